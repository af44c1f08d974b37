"""How a model artifact's digest becomes the number of its directory in a Triton model repository."""

import re
from typing import Final

_LARGEST: Final = 2**31 - 1


def version_of(sha256: str) -> int:
    """Triton version of the artifact: the digest's first 32 bits folded into 1 .. 2**31 - 1.

    Triton wants a positive integer; one made from the digest alone is immutable and needs no memory of its own.

    Raises:
        ValueError: `sha256` is not 64 lower-case hexadecimal digits.
    """
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ValueError(f"{sha256!r} is not a sha256; write its 64 lower-case hexadecimal digits")
    return int(sha256[:8], 16) % _LARGEST + 1
