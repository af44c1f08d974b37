import re

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
