"""The plugin as kubectl finds it: scripts on PATH, as an installer makes them of the wheel's entry points."""

import os
import pty
import select
import subprocess
import sys
import tomllib
from pathlib import Path

from click.testing import CliRunner

from parkade.kubectl.command import parkade

SCRIPTS = ("kubectl-parkade", "kubectl_complete-parkade")


def install(root: Path, folder: Path) -> Path:
    """Write the scripts into a folder, which is to be on PATH."""
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]
    for name in SCRIPTS:
        module, _, function = declared[name].partition(":")
        script = folder / name
        script.write_text(f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n")
        script.chmod(0o755)
    return folder


class Plugin:
    """`kubectl parkade` against one cluster."""

    def __init__(self, kubectl: Path, folder: Path, kubeconfig: Path) -> None:
        self.kubectl = str(kubectl)
        path = f"{folder}{os.pathsep}{Path(kubectl).parent}{os.pathsep}{os.environ['PATH']}"
        inherited = {key: os.environ[key] for key in ("HOME", "PYTHONPATH") if key in os.environ}
        self.environment = inherited | {"PATH": path, "KUBECONFIG": str(kubeconfig)}

    def run(self, *words: str, code: int = 0, **environment: str) -> str:
        """Standard output, or what it said of an error."""
        done = subprocess.run(
            [self.kubectl, *words], env=self.environment | environment, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done.stdout if code in (0, 3) else done.stderr

    def here(self, *words: str) -> str:
        """The same in this process, which spares a second of imports; its errors are raised."""
        done = CliRunner(env={"KUBECONFIG": self.environment["KUBECONFIG"]}).invoke(
            parkade, words, prog_name="kubectl parkade"
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    def __call__(self, *words: str, code: int = 0, **environment: str) -> str:
        return self.run("parkade", *words, code=code, **environment)

    def on_a_terminal(self, *words: str, **environment: str) -> str:
        """What a terminal of 100 columns shows until the command ends."""
        parent, child = pty.openpty()
        surroundings = self.environment | {"TERM": "xterm", "COLUMNS": "100"} | environment
        with subprocess.Popen(
            [self.kubectl, "parkade", *words], env=surroundings, stdin=child, stdout=child, stderr=child
        ) as process:
            os.close(child)
            shown = b""
            while select.select([parent], [], [], 60)[0]:
                try:
                    chunk = os.read(parent, 65536)
                except OSError:  # Linux says so when the other end is closed
                    break
                if not chunk:
                    break
                shown += chunk
            process.wait(timeout=60)
        os.close(parent)
        return shown.decode()
