"""The bare protobuf message of `ModelInfer`: what a gRPC caller sent, without gRPC around it."""

from math import prod
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
from tritonclient.grpc import service_pb2

from parkade.vehicle import tensors
from parkade.vehicle.kserve import GRPC_TYPE, Answer, Call, Served, check_type, infer
from parkade.vehicle.runtime import Cancellation
from parkade.vehicle.tensors import Array, BadRequest, NotHere

CONTENTS: Final = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Field of `InferTensorContents` by datatype; FP16 has none and travels raw."""


def answer(served: Served, body: bytes, cancellation: Cancellation) -> Answer:
    """Answer one serialised `ModelInferRequest` with a serialised `ModelInferResponse`.

    Raises:
        BadRequest: the message cannot be answered by any place.
        NotHere: the message asks for what a car does not do, or for another model.
        ModelRejected: the model failed.
    """
    request = service_pb2.ModelInferRequest()
    try:
        request.ParseFromString(body)
    except DecodeError as error:
        raise BadRequest("the body is not a ModelInferRequest") from error
    if request.model_name != served.name or request.model_version not in ("", served.version):
        return Answer.error(404, f"this car does not hold {request.model_name[:200]!r} in the version asked for")
    wanted = tuple(output.name for output in request.outputs)
    if len(set(wanted)) != len(wanted):
        raise BadRequest("an output is asked for twice")
    for row in (*request.inputs, *request.outputs):
        if "shared_memory_region" in row.parameters or "classification" in row.parameters:
            raise NotHere("cars do not do shared memory or classification")
    response = service_pb2.ModelInferResponse(model_name=served.name, model_version=served.version, id=request.id)
    for spec, array in infer(served, Call(request.id, _feeds(served, request), wanted), cancellation):
        response.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        response.raw_output_contents.append(tensors.to_binary(array, spec.datatype))
    return Answer(200, response.SerializeToString(), (("content-type", GRPC_TYPE),))


def _feeds(served: Served, request: Any) -> dict[str, Array]:  # noqa: ANN401 -- generated message
    raw = list(request.raw_input_contents)
    if raw and len(raw) != len(request.inputs):
        raise BadRequest(f"expected {len(request.inputs)} raw_input_contents but got {len(raw)}")
    feeds: dict[str, Array] = {}
    for position, row in enumerate(request.inputs):
        check_type(served, row.name, row.datatype)
        dtype = tensors.dtype_of(row.datatype, row.name)
        shape = tensors.shape_of(list(row.shape), row.name)
        if row.name in feeds:
            raise BadRequest(f"input '{row.name}' is given twice")
        if raw:
            feeds[row.name] = tensors.from_binary(raw[position], row.datatype, shape, row.name)
        else:
            feeds[row.name] = _typed(row, dtype, shape)
    return feeds


def _typed(row: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:  # noqa: ANN401 -- generated message
    if row.datatype not in CONTENTS:
        raise BadRequest(f"input '{row.name}' is {row.datatype}, which travels only in raw_input_contents")
    values = getattr(row.contents, CONTENTS[row.datatype])
    if len(values) != prod(shape):
        raise BadRequest(f"input '{row.name}' has {len(values)} elements where its shape wants {prod(shape)}")
    array: Array = np.empty(len(values), dtype)
    try:
        array[:] = list(values)
    except OverflowError as error:
        raise BadRequest(f"input '{row.name}' has elements that are not {row.datatype}") from error
    return array.reshape(shape)
