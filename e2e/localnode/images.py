"""The images that the chart names, as OCI archives, of the programs that this checkout builds.

`python -m localnode.images FOLDER` writes them for `ctr -n k8s.io images import` or `docker load`. They are for tests:
they carry this machine's libraries. images/ has the Dockerfiles of what is released.
"""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from localnode import oci, programs, rootfs
from localnode.oci import Files, Image
from parkade.errors import LocalPlaneError
from parkade.local import binaries
from parkade.local.paths import source_root

Say = Callable[[str], None]

REGISTRY: Final = "parkade.test"
TAG: Final = "1"
NAMES: Final = ("parkade-operator", "carlet", "parkade-router", "nats", "coredns", "pause")

COMMAND: Final = b"#!/usr/local/bin/python3\nfrom parkade.cli import main\n\nmain()\n"


def name_of(image: str) -> str:
    """The full name under which containerd holds one of NAMES."""
    return f"{REGISTRY}/{image}:{TAG}"


def write_all(folder: Path, say: Say) -> dict[str, Path]:
    """Write the archive of each of NAMES; returns them by name. Programs are built where they are missing.

    Raises:
        LocalPlaneError: a program cannot be built, or the kernel is not compiled yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    archives = {}
    with _operator(say) as operator:
        for image in (operator, *_programs(say)):
            name = image.name.rpartition("/")[2].partition(":")[0]
            archives[name] = folder / f"{name}.oci.tar"
            oci.write(image, archives[name])
    return archives


def _programs(say: Say) -> Iterator[Image]:
    """One program an image."""
    router = rootfs.with_libraries(binaries.router(say), "usr/bin/parkade-router")
    carlet = _static(binaries.carlet(say), "carlet")
    nats = _static(binaries.upstream("nats-server", say), "nats-server")
    yield _image("parkade-router", router, "/usr/bin/parkade-router")
    yield _image("carlet", carlet, "/usr/bin/carlet")
    yield _image("nats", nats, "/usr/bin/nats-server")
    yield _image("coredns", _static(programs.built("dns", say), "coredns"), "/usr/bin/coredns")
    yield _image("pause", _static(programs.built("pause", say), "pause"), "/usr/bin/pause")


def _static(program: Path, name: str) -> Files:
    """A Go program needs no other file."""
    return {f"usr/bin/{name}": program}


def _image(name: str, files: Files, program: str) -> Image:
    return Image(name_of(name), [{**rootfs.USERS, **files}], [program], {"PATH": "/usr/bin"})


@contextmanager
def _operator(say: Say) -> Iterator[Image]:
    """Python and packages below, Parkade itself above: a change of it changes one small layer."""
    root = source_root()
    if root is None:
        raise LocalPlaneError("images are built from Parkade's sources; run this from a checkout")
    below = {**rootfs.USERS, **rootfs.python(root, say)}
    with tempfile.TemporaryDirectory() as scratch:
        above = {"usr/local/bin/parkade": COMMAND, **_package(root, Path(scratch))}
        yield Image(name_of("parkade-operator"), [below, above], env=rootfs.environment(below))


def _package(root: Path, scratch: Path) -> Files:
    source = root / "operator" / "parkade"
    if not any(source.glob("solver/_kernel*.so")):
        raise LocalPlaneError("the kernel is not compiled; run `make setup`")
    target = scratch / rootfs.SITE / "parkade"
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    rootfs.compile_tree(target, scratch)
    return rootfs.tree(scratch, "")


if __name__ == "__main__":
    for archive in write_all(Path(sys.argv[1]), print).values():
        print(archive)
