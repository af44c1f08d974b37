"""What is in each image, as CycloneDX 1.5: packages by purl, from the tools that resolved and built them.

`python -m localnode.sbom FOLDER` writes `NAME.cdx.json`. Equal locks give equal bytes. The crates of the compiled
kernel stand in the operator's bill beside its Python packages.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from parkade import __version__
from parkade.errors import LocalPlaneError
from parkade.local.paths import source_root
from parkade.local.triton import uv_command

Packages = set[tuple[str, str]]
"""Name and version."""

GO_MODULES: Final = "{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}"


def write_all(folder: Path) -> dict[str, Path]:
    """Write the bill of each of Parkade's images; returns them by name.

    Raises:
        LocalPlaneError: a lock file is not up to date, or a tool is missing.
    """
    root = source_root()
    if root is None:
        raise LocalPlaneError("bills of materials are made from Parkade's lock files; run this from a checkout")
    folder.mkdir(parents=True, exist_ok=True)
    bills = {}
    for name, resolve in IMAGES.items():
        bills[name] = folder / f"{name}.cdx.json"
        bills[name].write_text(json.dumps(_bill(name, resolve(root)), indent=1, sort_keys=True) + "\n")
    return bills


def _operator(root: Path) -> dict[str, Packages]:
    flags = ["--quiet", "--locked", "--no-dev", "--no-emit-project", "--format", "cyclonedx1.5"]
    exported = json.loads(_run([*uv_command(), "export", *flags], root))
    python = {(component["name"], component["version"]) for component in exported["components"]}
    return {"pypi": python, "cargo": _crates(root, "parkade-python")}


def _carlet(root: Path) -> dict[str, Packages]:
    listed = _run(["go", "list", "-deps", "-f", GO_MODULES, "./cmd/carlet"], root / "operator" / "carlet")
    return {"golang": _pairs(listed)}


def _router(root: Path) -> dict[str, Packages]:
    return {"cargo": _crates(root, "parkade-router")}


IMAGES: Final[Mapping[str, Callable[[Path], dict[str, Packages]]]] = {
    "parkade-operator": _operator,
    "carlet": _carlet,
    "parkade-router": _router,
}


def _crates(root: Path, package: str) -> Packages:
    """What is linked into a program; crates that only run while it is built are not in the image."""
    flags = ["--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]
    listed = _run(["cargo", "tree", "--package", package, *flags], root / "kernels")
    pairs = _pairs(line.partition(" (")[0] for line in listed.splitlines())
    return {(name, version.removeprefix("v")) for name, version in pairs}


def _pairs(listed: Any) -> Packages:  # noqa: ANN401 -- lines, or a text of them
    lines = listed.splitlines() if isinstance(listed, str) else listed
    return {(name, version) for name, _, version in (line.strip().partition(" ") for line in lines) if version}


def _bill(name: str, resolved: Mapping[str, Packages]) -> dict[str, Any]:
    components = [
        {"type": "library", "bom-ref": purl, "name": package, "version": version, "purl": purl}
        for kind, packages in sorted(resolved.items())
        for package, version in sorted(packages)
        for purl in [f"pkg:{kind}/{package}@{version}"]
    ]
    made = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    own = f"pkg:generic/{name}@{__version__}"
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([own, components]))}",
        "version": 1,
        "metadata": {
            "timestamp": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {"type": "container", "bom-ref": own, "name": name, "version": __version__, "purl": own},
        },
        "components": components,
    }


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalPlaneError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-600:]}")
    return done.stdout


if __name__ == "__main__":
    for bill in write_all(Path(sys.argv[1])).values():
        print(bill)
