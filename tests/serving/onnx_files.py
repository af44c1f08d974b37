"""Tiny ONNX files, so that tests of serving need no download."""

from collections.abc import Sequence

from onnx import TensorProto, helper

FLOAT, INT64, STRING, FLOAT16 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.FLOAT16

Tensor = tuple[str, int, Sequence[int | str]]
"""Name, element type, and axes: a number is fixed, a name is free."""


def model(operator: str, inputs: Sequence[Tensor], output: Tensor) -> bytes:
    """A graph of one node that takes all inputs in order."""
    graph = helper.make_graph(
        [helper.make_node(operator, [name for name, _, _ in inputs], [output[0]])],
        "graph",
        [helper.make_tensor_value_info(*tensor) for tensor in inputs],
        [helper.make_tensor_value_info(*output)],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)]).SerializeToString()


def identity(kind: int, axes: Sequence[int | str], salt: str = "x") -> bytes:
    """Answers its input; another `salt` names it otherwise and so gives another digest."""
    return model("Identity", [(salt, kind, axes)], ("y", kind, axes))
