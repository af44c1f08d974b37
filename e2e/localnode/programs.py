"""The programs of a node, in the user's cache: Kubernetes' own built from Go modules, the rest from Debian's packages.

Debian's packages are unpacked beside each other, not installed: the machine stays as it is.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from parkade.errors import LocalPlaneError
from parkade.local.paths import cache_directory, source_root

Say = Callable[[str], None]

GO: Final = {
    "kubelet": (".", "k8s.io/kubernetes/cmd/kubelet"),
    "kube-proxy": (".", "k8s.io/kubernetes/cmd/kube-proxy"),
    "kube-scheduler": (".", "k8s.io/kubernetes/cmd/kube-scheduler"),
    "pause": (".", "./pause"),
    "dns": ("dns", "."),
}
"""The programs that Go builds: in which module below this folder, and of what."""
PACKAGES: Final = ("containerd", "runc", "containernetworking-plugins", "nftables")
"""Debian's packages; apt says which libraries they need beyond what the machine has."""


def unfit() -> str:
    """Why no node can run here; empty where it can."""
    if platform.system() != "Linux" or os.geteuid():
        return "a node needs root on Linux"
    missing = [name for name in ("apt-get", "dpkg-deb", "unshare", "nsenter", "ip") if not shutil.which(name)]
    return f"a node needs Debian's or Ubuntu's {', '.join(missing)}" if missing else ""


def built(name: str, say: Say) -> Path:
    """One of GO, of the versions that go.mod names; the first build of all takes some minutes on 2 cores."""
    folder, package = GO[name]
    module = _root() / "e2e" / "localnode" / folder
    binary = cache_directory() / "localnode" / _key(module, package) / name
    if not binary.exists():
        say(f"building {name}, once for this version")
        binary.parent.mkdir(parents=True, exist_ok=True)
        partial = binary.with_name(f".{name}.{os.getpid()}")
        command = ["go", "build", "-trimpath", "-ldflags", f"-s -w {_version(module)}", "-o", str(partial), package]
        _run(command, cwd=module, env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"})
        partial.replace(binary)
    return binary


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A folder with Debian's packages in it."""

    folder: Path

    def program(self, name: str) -> Path:
        """Path of one of their programs."""
        return next(path for path in (self.folder / "usr" / part / name for part in ("sbin", "bin")) if path.exists())

    @property
    def interfaces(self) -> Path:
        """The programs that join pods to the network."""
        return self.folder / "usr" / "lib" / "cni"

    @property
    def environment(self) -> dict[str, str]:
        """With which they find each other and their libraries."""
        folders = [str(self.folder / "usr" / part) for part in ("sbin", "bin")]
        libraries = self.folder / "usr" / "lib" / f"{platform.machine()}-linux-gnu"
        return {"PATH": os.pathsep.join([*folders, os.environ["PATH"]]), "LD_LIBRARY_PATH": str(libraries)}


def debian(say: Say) -> Unpacked:
    """The programs of PACKAGES, fetched with what they need: about 45 MB.

    Raises:
        LocalPlaneError: apt has no such packages, or cannot fetch them.
    """
    folder = cache_directory() / "localnode" / f"debian-{_release()}"
    if not folder.is_dir():
        say(f"fetching {', '.join(PACKAGES)} from Debian, once")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="unpacking-") as scratch:
            root = Path(scratch, "root")
            for archive in _fetched(Path(scratch)):
                _run(["dpkg-deb", "-x", str(archive), str(root)])
            try:
                root.rename(folder)
            except OSError:
                if not folder.is_dir():  # another process may have finished first
                    raise
    return Unpacked(folder)


def _fetched(scratch: Path) -> list[Path]:
    """The packages and those of their needs that this machine lacks, as .deb files."""
    archives = scratch / "archives"
    (archives / "partial").mkdir(parents=True)
    options = ["-qq", "-y", "--no-install-recommends", "-o", f"Dir::Cache::archives={archives}"]
    # it only downloads: whoever else holds apt's locks is not in its way
    options += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    fetch = ["apt-get", *options, "--download-only", "install", *PACKAGES]
    try:
        _run(fetch)
    except LocalPlaneError:
        _run(["apt-get", "-qq", "update"])  # a new machine has no lists yet, an old one old ones
        _run(fetch)
    return sorted(archives.glob("*.deb"))


def _release() -> str:
    release = platform.freedesktop_os_release()
    return f"{release.get('VERSION_CODENAME', release['ID'])}-{platform.machine()}"


def _key(module: Path, package: str) -> str:
    own = sorted((module / package).glob("*.go")) if package.startswith(".") else []
    sources = [module / "go.mod", module / "go.sum", *own]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:12]


def _version(module: Path) -> str:
    """What the programs say they are: the API server refuses a kubelet that is v0.0.0."""
    lines = (module / "go.mod").read_text().splitlines()
    versions = [line.split()[1] for line in lines if line.strip().startswith("k8s.io/kubernetes v")]
    return " ".join(f"-X k8s.io/component-base/version.gitVersion={version}" for version in versions)


def _root() -> Path:
    root = source_root()
    if root is None:
        raise LocalPlaneError("a node is built from Parkade's sources; start it from a checkout")
    return root


def _run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise LocalPlaneError(f"`{' '.join(command)}` failed:\n{said}")


if __name__ == "__main__":
    # For the Makefile: what a node needs, where one can run.
    if reason := unfit():
        print(f"no node will run: {reason}")
    else:
        debian(print)
        for program in GO:
            built(program, print)
