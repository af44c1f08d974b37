"""Every PromQL query that a page prints is one, by promtool."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pages.reading import blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # a cold build of promtool: 4 minutes on 2 idle cores


def queries() -> list[tuple[str, str]]:
    """(page, query); a query is one line, comments are lines of their own."""
    return [
        (block.page, line)
        for block in blocks("promql")
        for line in block.text.splitlines()
        if line.strip() and not line.startswith("#")
    ]


def test_promtool_takes_every_query(promtool: Path, tmp_path: Path) -> None:
    found = queries()
    assert len(found) > 15
    rules = [
        {"record": f"page:{re.sub('[^a-z0-9]', '_', page.lower())}:{number}", "expr": query}
        for number, (page, query) in enumerate(found)
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
