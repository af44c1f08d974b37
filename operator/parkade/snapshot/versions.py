"""How a model artifact's digest becomes the number of its directory in a Triton model repository."""

from typing import Final

_INT31_MAX: Final = 2**31 - 1


def version_of(sha256: str) -> int:
    """Triton version of the artifact: the digest's first 32 bits folded into 1 .. 2**31 - 1.

    Triton wants a positive integer; a number made from the digest alone is immutable and needs no memory of its own.

    Raises:
        ValueError: `sha256` is not 64 hexadecimal digits.
    """
    if len(sha256) != 64:
        raise ValueError(f"{sha256!r} is not a sha256; write its 64 hexadecimal digits")
    return int(sha256, 16) % (2**256) // 2**224 % _INT31_MAX + 1
