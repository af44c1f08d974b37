import pytest

from benchmarks.page import markers, write
from parkade.errors import InvalidInput


def test_tables_go_between_the_markers_of_their_benchmark(tmp_path):
    page, (begin, end) = tmp_path / "page.md", markers("bench-solver")
    others = "\n".join(markers("bench-router"))
    page.write_text(f"before\n{others}\n{begin}\nold\n{end}\nafter\n")
    write(page, "new", "bench-solver")
    assert page.read_text() == f"before\n{others}\n{begin}\n\nnew\n\n{end}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(InvalidInput, match="add them"):
        write(page, "new", "bench-solver")


@pytest.mark.parametrize("name", ["bench-solver", "bench-router", "bench-fleet", "bench-departures"])
def test_the_page_has_the_markers(repository_root, name):
    page, (begin, end) = (repository_root / "docs/benchmarks.md").read_text(), markers(name)
    assert page.index(begin) < page.index(end)
