import re

import pytest

from parkade.errors import InvalidInput
from parkade.settings import LIMITS, Settings


def test_the_table_has_every_setting_with_its_default(repository_root):
    text = (repository_root / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `PARKADE_([A-Z_]+)` \| `?([^|`]*)`? \|", text, re.MULTILINE))
    fields = {name.upper(): str(getattr(Settings(), name)) for name in Settings.__dataclass_fields__}
    del fields["ECONOMICS"]
    assert rows.pop("IDENTITY").strip() == "host name and process id"
    assert fields.pop("IDENTITY") == ""
    assert {rows.pop(name.upper()).strip() for name in LIMITS} == {"no limit"}
    assert rows == fields


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("STATUS_URL", "Service or Router"),
        ("OBSERVED_DEMAND", "Missing or Larger"),
        ("OBSERVED_TIMES", "Replace or Ignore"),
    ],
)
def test_a_word_that_is_none_is_refused_with_those_that_are(name, words):
    with pytest.raises(InvalidInput, match=f"PARKADE_{name} must be {words}"):
        Settings.from_environment({f"PARKADE_{name}": "Perhaps"})
    for word in words.split(" or "):
        assert getattr(Settings.from_environment({f"PARKADE_{name}": word}), name.lower()) == word
