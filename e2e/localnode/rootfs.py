"""What programs of this machine need to run in an empty image: their shared libraries, Python and its packages."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from localnode.oci import Files
from parkade.errors import LocalPlaneError
from parkade.local.paths import cache_directory
from parkade.local.triton import uv_command

Say = Callable[[str], None]

USERS: Final[Files] = {
    "etc/passwd": b"root:x:0:0::/:/none\nnonroot:x:65532:65532::/:/none\n",
    "etc/group": b"root:x:0:\nnonroot:x:65532:\n",
    "etc/nsswitch.conf": b"hosts: files dns\n",
}
PYTHON_HOME: Final = "usr/local"
SITE: Final = f"{PYTHON_HOME}/lib/site"
UNUSED: Final = ("test", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "site-packages", "__pycache__")
"""Parts of the standard library that nothing here imports."""
UNUSED_PACKAGES: Final = ("kubernetes/aio", "**/tests")
"""Parts of packages that nothing imports: a second client, a third of all bytes, and the packages' own tests."""


def with_libraries(program: Path, at: str) -> dict[str, Path | bytes]:
    """A program and the shared libraries that it loads, where its loader looks for them."""
    return {at: program, **libraries([program])}


def libraries(objects: Iterable[Path], inside: Path | None = None) -> dict[str, Path | bytes]:
    """The shared libraries of programs and modules; those below `inside` come with it."""
    found: dict[str, Path | bytes] = {}
    for module in objects:
        listed = subprocess.run(["ldd", module], capture_output=True, text=True, check=False).stdout
        for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listed, flags=re.MULTILINE):
            if inside is None or not Path(path).is_relative_to(inside):
                found[_system_path(Path(path))] = Path(path).resolve()
    return found


def _system_path(library: Path) -> str:
    """Libraries of a Python outside the system's folders move with it."""
    if library.is_relative_to(sys.base_prefix) and sys.base_prefix not in ("/usr", "/"):
        return f"{PYTHON_HOME}/lib/{library.name}"
    return str(library).lstrip("/")


def python(root: Path, say: Say) -> dict[str, Path | bytes]:
    """This Python and the locked packages that the operator needs, compiled, since no container can write them.

    Raises:
        LocalPlaneError: the packages cannot be installed.
    """
    folder = _installed(root, say)
    files = tree(folder, "")
    interpreter = Path(sys.executable).resolve()
    modules = [interpreter, *(path for path in folder.rglob("*.so*") if path.is_file())]
    return {
        **files,
        **libraries(modules, inside=folder),
        f"{PYTHON_HOME}/bin/python3": interpreter,
    }


def environment(files: Files) -> dict[str, str]:
    """With which the Python of `files` finds itself; a program of `files` its libraries."""
    folders = sorted({str(Path("/", path).parent) for path in files if ".so" in path and not path.startswith(SITE)})
    folders = [folder for folder in folders if "python" not in folder]
    return {
        "PATH": f"/{PYTHON_HOME}/bin",
        "PYTHONHOME": f"/{PYTHON_HOME}",
        "PYTHONPATH": f"/{SITE}",
        "PYTHONUNBUFFERED": "1",
        "LD_LIBRARY_PATH": os.pathsep.join(folders),
    }


def tree(folder: Path, at: str) -> dict[str, Path | bytes]:
    """Every file below a folder of this machine, below `at` in the image."""
    return {f"{at}{path.relative_to(folder)}": path.resolve() for path in sorted(folder.rglob("*")) if path.is_file()}


def compile_tree(folder: Path, below: Path) -> None:
    """Compile modules so that they are taken whatever their times are."""
    arguments = ["-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(below), "-p", "/", str(folder)]
    subprocess.run([sys.executable, "-m", "compileall", *arguments], check=False, capture_output=True)


def _installed(root: Path, say: Say) -> Path:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    requirements = _locked(root)
    key = hashlib.sha256(Path(__file__).read_bytes() + requirements.encode() + sys.version.encode()).hexdigest()[:12]
    folder = cache_directory() / "images" / f"{version}-{key}"
    if folder.is_dir():
        return folder
    say("installing the operator's packages for its image, once for these versions")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="building-") as scratch:
        built = Path(scratch, "root")
        library = built / PYTHON_HOME / "lib" / version
        ignored = shutil.ignore_patterns(*UNUSED, "config-*", "_tkinter*", "*.a")
        shutil.copytree(sysconfig.get_path("stdlib"), library, ignore=ignored)
        _install(requirements, built / SITE, Path(scratch))
        for pattern in UNUSED_PACKAGES:
            for unused in list((built / SITE).glob(pattern)):
                shutil.rmtree(unused)
        compile_tree(built / PYTHON_HOME, built)
        try:
            built.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process may have finished first
                raise
    return folder


def _locked(root: Path) -> str:
    command = ["export", "--quiet", "--locked", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate"]
    return _uv([*command, "--project", str(root)])


def _install(requirements: str, target: Path, scratch: Path) -> None:
    file = scratch / "requirements.txt"
    file.write_text(requirements)
    flags = ["--quiet", "--no-deps", "--only-binary=:all:", "--python", sys.executable, "--target", str(target)]
    _uv(["pip", "install", *flags, "--requirements", str(file)])


def _uv(arguments: list[str]) -> str:
    done = subprocess.run([*uv_command(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalPlaneError(f"the operator's packages cannot be installed: {done.stderr.strip()[-600:]}")
    return done.stdout
