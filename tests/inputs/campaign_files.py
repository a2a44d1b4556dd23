"""A small campaign file for tests to damage, and the problems that a damaged one has."""

from pathlib import Path

import pytest

from sendctl.errors import BadInput, ExitCode
from sendctl.inputs.campaign_file import load_definition

GOOD = """\
[campaign]
name = "spring-sale"
from = "Shop <news@shop.example>"
unsubscribe_url = "https://shop.example/u/{{ token }}"

[[steps]]
name = "offer"
subject = "Hello {{ contact.first_name }}"
text = "Hi"
"""


def problems(folder: Path, text: str) -> list[str]:
    """The problems of a campaign file as "line:column: text"."""
    path = folder / "campaign.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        load_definition(path)
    assert caught.value.exit_code is ExitCode.BAD_INPUT
    lines = str(caught.value).split("\n")
    found = [line.strip().removeprefix(f"{path}:") for line in (lines[1:] if len(lines) > 1 else lines)]
    assert caught.value.place.startswith(str(path)) or "/" in caught.value.place
    assert len(lines) == 1 or f"{len(found)} problems in {path}" in lines[0]
    return found


def only_problem(folder: Path, text: str) -> str:
    found = problems(folder, text)
    assert len(found) == 1, found
    return found[0]
