"""`parkade probe`: what `helm test` runs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import click
from geventhttpclient.response import HTTPParseError
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from parkade.errors import RouterUnavailable
from parkade.serving.proving import INPUT_REFUSED, Tensors, guesses, zeros

_PAUSE: Final = 1.0
"""Seconds between two attempts."""
_PATIENCE: Final = 10.0
"""Seconds for one answer."""


@click.command()
@click.option("--http", "address", default="parkade-router:8000", show_default=True, help="HOST:PORT of a router.")
@click.option("--model", default="", help="Model to send zeros of its own shapes to; without it, no request.")
@click.option("--token", envvar="PARKADE_TOKEN", default="", help="A caller's token; default: PARKADE_TOKEN.")
@click.option("--seconds", default=60.0, show_default=True, help="How long to try.")
def probe(address: str, model: str, token: str, seconds: float) -> None:
    """Ask a router whether it is ready, and send a real request to a model, as a KServe v2 client does."""
    deadline = time.monotonic() + seconds
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    _until(deadline, lambda: _ready(address))
    click.echo(f"the router at {address} is ready")
    if model:
        said = _until(deadline, lambda: _ask(address, model, headers))
        click.echo(f"{model} {said}")


def _until(deadline: float, attempt: Callable[[], str]) -> str:
    """Return the first success; after the deadline raise the last failure."""
    while True:
        try:
            return attempt()
        except RouterUnavailable:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _ready(address: str) -> str:
    with _calling(address) as client:
        if not client.is_server_ready():
            raise RouterUnavailable(f"the router at {address} is not ready; look at its log")
    return "ready"


def _ask(address: str, model: str, headers: dict[str, str]) -> str:
    """Send zeros; a model with axes of free size may refuse them, and has answered with that."""
    with _calling(address) as client:
        metadata = client.get_model_metadata(model, headers=headers)
        inputs: Tensors = [(tensor["name"], tensor["datatype"], tensor["shape"]) for tensor in metadata["inputs"]]
        refusal: InferenceServerException | None = None
        for guess in guesses(inputs):
            try:
                answer = client.infer(model, [zeros(*tensor) for tensor in guess], headers=headers).get_response()
            except InferenceServerException as error:
                said = (error.message() or "").lower()
                if error.status() != "400" and not any(mark in said for mark in INPUT_REFUSED):
                    raise
                refusal = error
            else:
                return f"answered {', '.join(_shown(tensor) for tensor in answer['outputs'])}"
        if refusal is not None and not any(axis < 0 for _, _, shape in inputs for axis in shape):
            raise refusal
    return "answered that it takes no zeros of guessed sizes"


def _shown(tensor: dict[str, Any]) -> str:
    return f"{tensor['name']} {tensor['datatype']} {tensor['shape']}"


@contextmanager
def _calling(address: str) -> Iterator[InferenceServerClient]:
    """Open a client for one attempt; every way in which it can fail becomes an error of ours."""
    try:
        with InferenceServerClient(address, connection_timeout=_PATIENCE, network_timeout=_PATIENCE) as client:
            yield client
    except InferenceServerException as error:
        raise RouterUnavailable(f"the router at {address} answers: {error.message()}") from None
    except (OSError, HTTPParseError, RuntimeError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise RouterUnavailable(f"the router at {address} does not answer ({said}); is it running?") from None
