"""Tiny ONNX files written by hand, so that tests need neither the `onnx` package nor a download.

Wire format and field numbers: onnx/onnx.proto of ONNX, ir_version 8, opset 13.
"""

from collections.abc import Sequence

FLOAT, INT64, STRING, FLOAT16 = 1, 7, 8, 10
"""TensorProto.DataType."""

Tensor = tuple[str, int, Sequence[int | str]]
"""Name, element type, and axes: a number is fixed, a name is free."""


def model(operator: str, inputs: Sequence[Tensor], output: Tensor) -> bytes:
    """A graph of one node that takes all inputs in order."""
    node = b"".join(_text(1, name) for name, _, _ in inputs) + _text(2, output[0]) + _text(4, operator)
    graph = _bytes(1, node) + _text(2, "graph")
    graph += b"".join(_bytes(11, _value(tensor)) for tensor in inputs) + _bytes(12, _value(output))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, 13))


def identity(kind: int, axes: Sequence[int | str], salt: str = "x") -> bytes:
    """Answers its input; another `salt` names it otherwise and so gives another digest."""
    return model("Identity", [(salt, kind, axes)], ("y", kind, axes))


def _value(tensor: Tensor) -> bytes:
    name, kind, axes = tensor
    shape = b"".join(_bytes(1, _number(1, axis) if isinstance(axis, int) else _text(2, axis)) for axis in axes)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, shape)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
