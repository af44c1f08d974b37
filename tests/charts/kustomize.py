"""`make kustomize`: the chart with its defaults, for who installs with `kubectl apply -k`."""

import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from go_tools import go_tool

ROOT: Final = Path(__file__).parents[2]
BASE: Final = ROOT / "charts" / "kustomize" / "parkade.yaml"
ABOUT: Final = "# Made by `make kustomize` from charts/parkade with its defaults; change it there.\n"
SECRETS: Final = "templates/secrets.yaml"
"""A hook of helm, and here a Job like any other: pods wait for the Secrets that it makes."""
ANNOTATIONS: Final = "helm.sh/"


def rendered(helm: Path) -> str:
    """The base; definitions are in `crds/`, and what runs after an uninstallation by helm is left out."""
    plain = _template(helm, "--no-hooks", "--set", "crds.install=false")
    objects = [_without_hook(each) for each in (*plain, *_template(helm, "--show-only", SECRETS))]
    return ABOUT + yaml.safe_dump_all(objects, sort_keys=False, width=120)


def _template(helm: Path, *arguments: str) -> list[dict[str, Any]]:
    command = [helm, "template", "parkade", ROOT / "charts" / "parkade", "--namespace", "parkade-system", *arguments]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def _without_hook(found: dict[str, Any]) -> dict[str, Any]:
    metadata = found["metadata"]
    if kept := {key: text for key, text in metadata.pop("annotations", {}).items() if not key.startswith(ANNOTATIONS)}:
        metadata["annotations"] = kept
    return found


if __name__ == "__main__":
    BASE.write_text(rendered(go_tool(ROOT, "helm", "helm.sh/helm/v4/cmd/helm")))
