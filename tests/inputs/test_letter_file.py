"""A letter file says one message to one person; what is wrong in it is named by line and column."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sendctl.definition import LetterTerms
from sendctl.errors import BadInput
from sendctl.inputs.campaign_file import load_campaign
from sendctl.inputs.letter_file import is_letter, load_letter

LEAST = """\
[letter]
name = "note"
to = "ann@r.example"
at = 2026-12-24T09:00:00
from = "Me <me@r.example>"
subject = "Hello {{ contact.first_name }}"
text_file = "note.txt"
"""


def written(folder: Path, text: str) -> Path:
    (folder / "note.txt").write_text("Dear {{ contact.first_name }}")
    path = folder / "note.toml"
    path.write_text(text)
    return path


def test_a_letter_is_a_campaign_of_one_step_with_its_contact(tmp_path: Path) -> None:
    more = 'timezone = "Europe/Berlin"\nphone = "+49 30 1234567"\nnotify = "me@r.example"\nencrypt = true\n'
    letter = load_letter(written(tmp_path, LEAST + more + '[letter.contact]\nfirst_name = "Ann"\nage = 7\n'))
    definition, row = letter.definition, letter.contact.row
    assert [(step.name, step.text) for step in definition.steps] == [("letter", "Dear {{ contact.first_name }}")]
    assert definition.start_at == datetime(2026, 12, 24, 8, tzinfo=UTC)
    assert (definition.purpose, definition.letter) == ("transactional", LetterTerms(notify="me@r.example"))
    assert (row.email and row.email.address, row.phone, row.timezone) == (
        "ann@r.example", "+49301234567", "Europe/Berlin",
    )  # fmt: skip
    assert row.attributes["first_name"] == "Ann"
    assert (letter.encrypt, is_letter(letter.campaign.path)) == (True, True)
    bare = letter.contact.bare().row
    assert (bare.attributes, bare.phone) == ({}, None)


@pytest.mark.parametrize(
    ("at", "moment"),
    [
        ("2026-12-24T09:00:00+02:00", datetime(2026, 12, 24, 7, tzinfo=UTC)),
        ('"2026-12-24 09:00"', datetime(2026, 12, 24, 8, tzinfo=UTC)),
        ("2026-10-25T02:30:00", datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # comes twice: the first
        ('"now"', None),
    ],
)
def test_a_time_without_an_offset_is_one_in_the_letters_zone(tmp_path: Path, at: str, moment: datetime | None) -> None:
    text = LEAST.replace("2026-12-24T09:00:00", at) + 'timezone = "Europe/Berlin"\n'
    letter = load_letter(written(tmp_path, text))
    assert (letter.definition.start_at, letter.dated) == (moment, True)


@pytest.mark.parametrize(
    ("before", "after", "place", "words"),
    [
        ('to = "ann@r.example"\n', "", "1:1", 'missing key "to"'),
        ("ann@r.example", "nobody", "3:6", "is not one mailbox"),
        ("2026-12-24T09:00:00", "2027-03-28T02:30:00", "4:6", "does not exist in Europe/Berlin"),
        ("2026-12-24T09:00:00", "2026-12-24", "4:6", "has no time of day"),
        ("2026-12-24T09:00:00", "9999-12-31T23:59:59Z", "4:6", "the year 9999 is outside 1970 to 2199"),
        ("2026-12-24T09:00:00", "9999-12-31T23:59:59-10:00", "4:6", "the year 9999 is outside 1970 to 2199"),
        ("2026-12-24T09:00:00", "2200-01-01T09:00:00", "4:6", "the year 2200 is outside 1970 to 2199"),
        ("2026-12-24T09:00:00", '"+2h"', "4:6", "is not a moment"),
        ("2026-12-24T09:00:00", "true", "4:6", "is not a moment"),
        ('name = "note"', f'name = "{"n" * 58}"', "2:8", "57 characters at most"),
        ("subject", "subjekt", "6:1", 'did you mean "subject"?'),
        ("note.txt", "gone.txt", "7:13", "cannot be read"),
        ('timezone = "Europe/Berlin"', 'notify = "me"', "8:10", "is not one mailbox"),
        ('timezone = "Europe/Berlin"', "encrypt = 1", "8:11", "want true or false"),
        ('timezone = "Europe/Berlin"', 'phone = "12"', "8:9", '"phone"'),
        (
            'timezone = "Europe/Berlin"',
            '[letter.contact]\nemail = "x@r.example"',
            "9:9",
            'belongs in [letter], as "to"',
        ),
        ('timezone = "Europe/Berlin"', "[letter.contact]\nwhen = [1]", "9:8", "must be text, a number"),
        ('timezone = "Europe/Berlin"', 'purpose = "marketing"', "1:1", 'missing key "unsubscribe_url"'),
        ('timezone = "Europe/Berlin"', "[campaign]", "8:1", 'unknown key "campaign"'),
    ],
)
def test_a_mistake_is_named_by_line_and_column(tmp_path: Path, before: str, after: str, place: str, words: str) -> None:
    text = LEAST + 'timezone = "Europe/Berlin"\n'
    assert before in text
    path = written(tmp_path, text.replace(before, after))
    with pytest.raises(BadInput) as caught:
        load_letter(path)
    assert (words in str(caught.value), caught.value.place.removeprefix(str(path))) == (True, f":{place}"), str(
        caught.value
    )
    assert "docs/letters.md" in caught.value.hint


def test_a_letter_and_a_campaign_are_not_taken_for_each_other(tmp_path: Path) -> None:
    letter = written(tmp_path, LEAST)
    with pytest.raises(BadInput, match="this is a letter") as caught:
        load_campaign(letter)
    assert "enqueue --letter" in caught.value.hint
    campaign = tmp_path / "campaign.toml"
    campaign.write_text('[campaign]\nname = "sale"\nencrypt = true\n')
    with pytest.raises(BadInput, match="one section, \\[letter\\]"):
        load_letter(campaign)
    with pytest.raises(BadInput, match="templates of a campaign are shared"):
        load_campaign(campaign)
    assert not is_letter(tmp_path / "nothing")
