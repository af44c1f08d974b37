"""Tensors of the KServe v2 protocol: names of types, the binary extension's bytes, and JSON data."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAX_TENSOR: Final = 64 * 2**20
"""Bytes that one tensor of a request may unfold to."""

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype(np.object_),
}
"""Little-endian, as the binary tensor extension prescribes; BYTES are Python `bytes`."""


class BadRequest(Exception):
    """What the caller sent cannot be answered by any place; HTTP 400 with this sentence."""


class NotHere(Exception):
    """A legal request that a car does not do; HTTP 501, and the router asks the next place."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model; -1 is an axis of any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def protocol_shape(self) -> tuple[int, ...]:
        """The shape that callers see: the protocol's servers have no tensor without axes, so a scalar is `[1]`."""
        return self.shape or (1,)


def shape_of(value: object, name: str) -> tuple[int, ...]:
    """Check a shape as it came over the wire.

    Raises:
        BadRequest: it is not a list of whole numbers, or it unfolds too far.
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes) or len(value) > 16:
        raise BadRequest(f"input '{name}' has no shape; write a list of at most 16 whole numbers")
    if not all(isinstance(axis, int) and not isinstance(axis, bool) and axis >= 0 for axis in value):
        raise BadRequest(f"input '{name}' has a shape that is not of whole numbers")
    if prod(value) > MAX_TENSOR:
        raise BadRequest(f"input '{name}' has more than {MAX_TENSOR} elements")
    return tuple(value)


def dtype_of(datatype: object, name: str) -> np.dtype[Any]:
    """Return the numpy type of a protocol type.

    Raises:
        BadRequest: the type does not exist.
        NotHere: the type exists, and cars do not carry it.
    """
    if datatype == "BF16":
        raise NotHere(f"input '{name}' is BF16, which cars do not take")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise BadRequest(f"input '{name}' has the unknown datatype {datatype!r}; write for example FP32")
    return DTYPES[datatype]


def from_binary(raw: bytes | memoryview, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """Read a tensor of the binary extension.

    Raises:
        BadRequest: the bytes do not fill the shape exactly.
    """
    if datatype == "BYTES":
        return _texts(_split_texts(raw, prod(shape), name), shape)
    dtype = dtype_of(datatype, name)
    if len(raw) != prod(shape) * dtype.itemsize:
        raise BadRequest(
            f"unexpected total byte size {len(raw)} for input '{name}', expecting {prod(shape) * dtype.itemsize}"
        )
    return np.frombuffer(raw, dtype).reshape(shape)


def _split_texts(raw: bytes | memoryview, count: int, name: str) -> list[bytes]:
    texts: list[bytes] = []
    position = 0
    while position < len(raw) and len(texts) < count:
        if position + 4 > len(raw):
            break
        (length,) = struct.unpack_from("<I", raw, position)
        texts.append(bytes(raw[position + 4 : position + 4 + length]))
        position += 4 + length
    if position != len(raw) or len(texts) != count:
        raise BadRequest(f"input '{name}' does not hold exactly {count} length-prefixed elements")
    return texts


def _texts(texts: Sequence[bytes], shape: tuple[int, ...]) -> Array:
    array: Array = np.empty(len(texts), np.object_)
    array[:] = texts
    return array.reshape(shape)


def to_binary(array: Array, datatype: str) -> bytes:
    """Write a tensor for the binary extension."""
    if datatype == "BYTES":
        texts = [_as_bytes(item) for item in array.ravel()]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return np.ascontiguousarray(array, DTYPES[datatype]).tobytes()


def _as_bytes(item: object) -> bytes:
    return item if isinstance(item, bytes) else str(item).encode()


def from_json(data: object, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """Read JSON data, nested or flat, in row-major order.

    Raises:
        BadRequest: the data do not fill the shape, or an element is not of the type.
    """
    dtype = dtype_of(datatype, name)
    if datatype == "FP16":
        raise BadRequest(f"sending FP16 data via JSON is not supported; send input '{name}' in the binary format")
    if not isinstance(data, list):
        raise BadRequest(f"input '{name}' has neither binary data nor a list 'data'")
    if datatype == "BYTES":
        return _texts([_as_bytes(text) for text in _flat_texts(data, prod(shape), name)], shape)
    try:
        # numpy finds no common type for values beyond INT64 beside others, so those are read as what they should be
        array = np.array(data, dtype if _whole(data, datatype) else None)
        if not _fits(array, dtype):
            raise BadRequest(f"input '{name}' has elements that are not {datatype}")
        return array.astype(dtype, copy=False).reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadRequest(f"input '{name}' does not hold {list(shape)} elements of {datatype}") from error


def _whole(data: list[Any], datatype: str) -> bool:
    return datatype == "UINT64" and all(type(item) is int for item in _flat(data))


def _fits(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether every JSON number is a value of the type: no text, no fraction in an integer, nothing out of range."""
    if not array.size:
        return True
    if array.dtype.kind not in "bufi" or (dtype.kind in "ui" and array.dtype.kind == "f"):
        return False
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        return int(array.min()) >= int(limits.min) and int(array.max()) <= int(limits.max)
    return True


def _flat(data: list[Any]) -> Iterator[Any]:
    """The elements of nested lists in row-major order, however deep."""
    pending: list[Any] = [data]
    while pending:
        item = pending.pop()
        if isinstance(item, list):
            pending.extend(reversed(item))
        else:
            yield item


def _flat_texts(data: list[Any], count: int, name: str) -> list[str]:
    flat = list(_flat(data))
    if not all(isinstance(item, str) for item in flat):
        raise BadRequest(f"input '{name}' has elements that are not text")
    if len(flat) != count:
        raise BadRequest(f"input '{name}' has {len(flat)} elements where its shape wants {count}")
    return flat


def to_json(array: Array, datatype: str) -> list[Any]:
    """Write a tensor as flat JSON data in row-major order, as Triton does.

    Raises:
        BadRequest: the type has no JSON form.
    """
    if datatype == "FP16":
        raise BadRequest("sending FP16 data via JSON is not supported; ask for the output in the binary format")
    if datatype != "BYTES":
        flat: list[Any] = array.ravel().tolist()
        return flat
    try:
        return [_as_bytes(item).decode() for item in array.ravel()]
    except UnicodeDecodeError as error:
        raise BadRequest("an output is not UTF-8; ask for it in the binary format") from error
