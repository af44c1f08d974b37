"""Loading, proving and unloading on a real Triton server."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException

from parkade.errors import ModelRejected, SourceUnavailable, TritonUnavailable
from parkade.local import ports
from parkade.serving import Endpoint, ModelRepository, ServedModel, load, probe, unload
from parkade.snapshot import LoadedModel
from parkade.snapshot.versions import version_of
from serving import onnx_files
from serving.conftest import PoolServer, Shelf

pytestmark = pytest.mark.triton

MATMUL = onnx_files.model(
    "MatMul",
    [("a", onnx_files.FLOAT, ("rows", 4)), ("b", onnx_files.FLOAT, (4, "columns"))],
    ("y", onnx_files.FLOAT, ("rows", "columns")),
)
# zeros as the wanted shape mean "as in the input", which has no second axis: it loads, and no request of zeros runs
BREAKS = onnx_files.model(
    "Reshape",
    [("a", onnx_files.FLOAT, (4,)), ("shape", onnx_files.INT64, (2,))],
    ("y", onnx_files.FLOAT, ("rows", "columns")),
)


def ask(clients, server: PoolServer, model: str, feeds: dict[str, tuple[str, np.ndarray]]) -> np.ndarray:
    address = server.endpoint.http if clients is over_http else server.endpoint.grpc
    with clients.InferenceServerClient(address) as client:
        inputs = []
        for name, (datatype, value) in feeds.items():
            tensor = clients.InferInput(name, list(value.shape), datatype)
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        return client.infer(model, inputs).as_numpy("y")


def holds(server: PoolServer, name: str) -> list[LoadedModel]:
    return [model for model in probe(server.endpoint).models if model.name == name]


@pytest.mark.parametrize("clients", [over_http, over_grpc], ids=["http", "grpc"])
def test_answers_equal_the_model_run_directly(server, shelf: Shelf, clients):
    digest = shelf.put(MATMUL)
    loaded = load(server.endpoint, ServedModel("matmul", digest, 1), shelf.repository)
    assert loaded == LoadedModel("matmul", version_of(digest), 1, ready=True)
    draw = np.random.default_rng(1)
    a, b = draw.random((3, 4), np.float32), draw.random((4, 5), np.float32)
    directly = ort.InferenceSession(MATMUL).run(None, {"a": a, "b": b})[0]
    np.testing.assert_allclose(
        ask(clients, server, "matmul", {"a": ("FP32", a), "b": ("FP32", b)}), directly, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("kind", "axes", "datatype", "value"),
    [
        (onnx_files.INT64, (), "INT64", np.array([2**40], np.int64)),
        (onnx_files.FLOAT16, ("n", 2), "FP16", np.array([[0.5, -2]], np.float16)),
        (onnx_files.STRING, ("n",), "BYTES", np.array([b"STOP", "Größe".encode()], np.object_)),
    ],
    ids=["scalar", "half", "text"],
)
def test_every_kind_of_tensor_comes_back_as_it_went(server, shelf: Shelf, kind, axes, datatype, value):
    digest = shelf.put(onnx_files.identity(kind, axes))
    load(server.endpoint, ServedModel("echo", digest, 1), shelf.repository)
    answer = ask(over_http, server, "echo", {"x": (datatype, value)})
    assert answer.dtype == value.dtype
    assert answer.tolist() == value.tolist()


def test_two_models_are_held_side_by_side_and_unloaded_one_by_one(server, shelf: Shelf):
    one, two = (shelf.put(onnx_files.identity(onnx_files.FLOAT, (2,), salt)) for salt in ("one", "two"))
    load(server.endpoint, ServedModel("side-a", one, 1), shelf.repository)
    load(server.endpoint, ServedModel("side-b", two, 2), shelf.repository)
    assert holds(server, "side-a") == [LoadedModel("side-a", version_of(one), 1, ready=True)]
    assert holds(server, "side-b") == [LoadedModel("side-b", version_of(two), 2, ready=True)]
    unload(server.endpoint, "side-a")
    assert holds(server, "side-a") == []
    assert holds(server, "side-b")[0].ready
    unload(server.endpoint, "side-a")  # once more is no error


def test_a_file_that_is_no_model_is_rejected_with_the_servers_sentence(server, shelf: Shelf):
    digest = shelf.put(b"not an ONNX file")
    with pytest.raises(ModelRejected, match="Protobuf parsing failed") as refusal:
        load(server.endpoint, ServedModel("garbage", digest, 1), shelf.repository)
    assert "\n" not in str(refusal.value)
    assert "At:" not in str(refusal.value)
    (fact,) = holds(server, "garbage")
    assert not fact.ready
    assert "Protobuf parsing failed" in fact.failure


def test_a_bad_successor_leaves_the_model_serving(server, shelf: Shelf):
    good = shelf.put(onnx_files.identity(onnx_files.FLOAT, (2,), "good"))
    load(server.endpoint, ServedModel("succession", good, 1), shelf.repository)
    bad = shelf.put(b"not an ONNX file either")
    with pytest.raises(ModelRejected):
        load(server.endpoint, ServedModel("succession", bad, 1), shelf.repository)
    assert LoadedModel("succession", version_of(good), 1, ready=True) in holds(server, "succession")
    better = shelf.put(onnx_files.identity(onnx_files.FLOAT, (2,), "better"))
    load(server.endpoint, ServedModel("succession", better, 1), shelf.repository)
    ready = [model.version for model in holds(server, "succession") if model.ready]
    assert ready == [version_of(better)]


def test_a_model_that_loads_and_cannot_run_is_rejected(server, shelf: Shelf):
    digest = shelf.put(BREAKS)
    with pytest.raises(ModelRejected, match=r"loads breaks but cannot run it.*Reshape"):
        load(server.endpoint, ServedModel("breaks", digest, 1), shelf.repository)
    unload(server.endpoint, "breaks")


def test_what_the_model_refuses_is_answered_with_a_sentence(server, shelf: Shelf):
    digest = shelf.put(MATMUL)
    load(server.endpoint, ServedModel("matmul", digest, 1), shelf.repository)
    wrong = np.zeros((2, 3), np.float32)
    with pytest.raises(InferenceServerException, match=r"unexpected shape for input 'a'"):
        ask(over_http, server, "matmul", {"a": ("FP32", wrong), "b": ("FP32", np.zeros((4, 1), np.float32))})


def test_instances_change_while_requests_are_answered(server, shelf: Shelf):
    digest = shelf.put(MATMUL)
    load(server.endpoint, ServedModel("busy", digest, 1), shelf.repository)
    a, b = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    answered, failed, stop = [0], [], threading.Event()

    def send() -> None:
        while not stop.is_set():
            try:
                ask(over_http, server, "busy", {"a": ("FP32", a), "b": ("FP32", b)})
                answered[0] += 1
            except (InferenceServerException, OSError) as error:
                failed.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for instances in (2, 3, 1):
            before = answered[0]
            loaded = load(server.endpoint, ServedModel("busy", digest, instances), shelf.repository)
            assert loaded.instances == instances
            assert answered[0] > before
    finally:
        stop.set()
        thread.join(10)
    assert failed == []
    assert holds(server, "busy")[0].instances == 1


def test_a_pool_without_repository_gets_the_files_with_the_load_call(server, shelf: Shelf):
    digest = shelf.put(MATMUL)
    pushing = ModelRepository("", "python", shelf.store)
    load(server.endpoint, ServedModel("pushed", digest, 1), pushing)
    load(server.endpoint, ServedModel("pushed", digest, 2), pushing)
    assert holds(server, "pushed") == [LoadedModel("pushed", version_of(digest), 2, ready=True)]
    unload(server.endpoint, "pushed")
    assert holds(server, "pushed") == []


def test_a_repository_that_the_server_does_not_read_is_told_apart_from_a_bad_model(server, shelf: Shelf):
    digest = shelf.put(MATMUL)
    elsewhere = ModelRepository(f"file://{shelf.folder}/elsewhere", "python", shelf.store)
    with pytest.raises(TritonUnavailable, match=r"models\.repository"):
        load(server.endpoint, ServedModel("lost", digest, 1), elsewhere)


def test_a_killed_server_comes_back_empty_and_is_loaded_again(own_server: PoolServer, store, tmp_path):
    own_server.start()
    shelf = Shelf(store, tmp_path, ModelRepository(f"file://{own_server.repository}", "python", store))
    model = ServedModel("matmul", shelf.put(MATMUL), 1)
    load(own_server.endpoint, model, shelf.repository)
    own_server.kill()
    dead = probe(own_server.endpoint, timeout=1)
    assert not dead.live
    assert "does not answer" in dead.failure
    with pytest.raises(TritonUnavailable, match="check that it runs"):
        load(own_server.endpoint, model, shelf.repository, timeout=1)
    own_server.start()
    assert probe(own_server.endpoint).models == ()
    load(own_server.endpoint, model, shelf.repository)
    assert holds(own_server, "matmul")[0].ready


def test_restricted_model_control_needs_the_pools_header(own_server: PoolServer, store, tmp_path):
    own_server.start("--http-restricted-api=model-repository:parkade-control=open sesame")
    shelf = Shelf(store, tmp_path, ModelRepository(f"file://{own_server.repository}", "python", store))
    model = ServedModel("matmul", shelf.put(MATMUL), 1)
    with pytest.raises(TritonUnavailable, match="controlSecretRef"):
        load(own_server.endpoint, model, shelf.repository)
    assert "controlSecretRef" in probe(own_server.endpoint).failure
    place = own_server.endpoint
    allowed = Endpoint(place.pool, place.http, place.grpc, {"parkade-control": "open sesame"})
    load(allowed, model, shelf.repository)
    assert [model.name for model in probe(allowed).models] == ["matmul"]
    unload(allowed, "matmul")
    assert "sesame" not in repr(allowed)


def test_a_wrong_grpc_address_is_noticed_before_callers_do(server):
    (nobody,) = ports.choose(1)
    seen = probe(Endpoint("here", server.endpoint.http, f"127.0.0.1:{nobody}"))
    assert not seen.live
    assert f"over gRPC not at 127.0.0.1:{nobody}" in seen.failure
    assert "correct grpc among the pool's endpoints" in seen.failure


def test_two_servers_of_a_pool_are_loaded_at_once(server, own_server: PoolServer, shelf: Shelf):
    """Both read one repository, and the files are written only once or by both alike."""
    own_server.repository = server.repository
    own_server.start()
    model = ServedModel("twin", shelf.put(MATMUL), 1)
    with ThreadPoolExecutor(2) as pool:
        places = (server.endpoint, own_server.endpoint)
        loaded = list(pool.map(lambda place: load(place, model, shelf.repository), places))
    assert [fact.ready for fact in loaded] == [True, True]
    assert shelf.repository.versions()["twin"] == (version_of(model.sha256),)


def test_a_server_that_controls_its_models_itself_is_told_apart_from_a_bad_model(
    own_server: PoolServer, store, tmp_path
):
    own_server.start("--model-control-mode=none")
    shelf = Shelf(store, tmp_path, ModelRepository(f"file://{own_server.repository}", "python", store))
    with pytest.raises(TritonUnavailable, match="--model-control-mode=explicit"):
        load(own_server.endpoint, ServedModel("matmul", shelf.put(MATMUL), 1), shelf.repository)


def test_after_unloading_the_memory_is_free(server, shelf: Shelf):
    """Ready turns false at once; the backend's process ends about a second later."""
    digest = shelf.put(MATMUL)
    load(server.endpoint, ServedModel("brief", digest, 1), shelf.repository)
    unload(server.endpoint, "brief")
    with over_http.InferenceServerClient(server.endpoint.http) as client:
        (line,) = [line for line in client.get_model_repository_index() if line["name"] == "brief"]
    assert (line["state"], line["reason"]) == ("UNAVAILABLE", "unloaded")


def test_what_is_not_staged_is_not_loaded(server, shelf: Shelf):
    with pytest.raises(SourceUnavailable, match="not staged"):
        load(server.endpoint, ServedModel("nothing", "0" * 64, 1), shelf.repository)
