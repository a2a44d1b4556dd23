"""Lines of events: what is one, whom it is about, and what is named as wrong with a line that is none."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sendctl.errors import BadInput
from sendctl.inputs.contact_rows import BadRow
from sendctl.inputs.events import Event, open_events

KEY = "0123456789abcdef0123456789abcdef"


def read(folder: Path, *lines: Any) -> list[Event | BadRow]:
    path = folder / "events.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    with open_events(path) as file:
        return list(file.rows())


def one(folder: Path, **keys: Any) -> Event:
    (event,) = read(folder, {"type": "opened", "occurred_at": "2026-11-23T09:00:00Z"} | keys)
    assert isinstance(event, Event), event
    return event


def reason(folder: Path, line: Any) -> str:
    (bad,) = read(folder, line)
    assert isinstance(bad, BadRow), bad
    return f"{bad.column}: {bad.reason}"


@pytest.mark.parametrize(
    ("keys", "by", "of"),
    [
        ({"token": "t1"}, "token", ("t1", "")),
        ({"message_id": 12}, "number", ("12", "")),
        ({"message_id": "012"}, "number", ("12", "")),
        ({"message_id": KEY}, "key", (KEY, "")),
        ({"message_id": f"<{KEY}@shop.example>"}, "key", (KEY, "")),
        ({"message_id": f"{KEY}@shop.example"}, "key", (KEY, "")),
        ({"provider_message_id": "Q1"}, "provider id", ("Q1", "")),
        ({"provider_message_id": "Q1", "provider": "relay"}, "provider id", ("Q1", "relay")),
        ({"campaign": "sale", "email": "Ana@X.Example"}, "person", ("sale", "ana@x.example")),
        ({"token": "t1", "message_id": None, "campaign": ""}, "token", ("t1", "")),
    ],
)
def test_a_line_says_whom_it_is_about(tmp_path: Path, keys: dict[str, Any], by: str, of: tuple[str, str]) -> None:
    event = one(tmp_path, **keys)
    assert (event.by, event.of) == (by, of)
    assert of[0] in event.whom()


def test_times_are_utc_and_other_keys_are_kept(tmp_path: Path) -> None:
    event = one(tmp_path, token="t", occurred_at="2026-11-23T10:00:00.5+01:00", ip="192.0.2.1", provider="esp", id=7)
    assert event.occurred_at == datetime(2026, 11, 23, 9, 0, 0, 500000, UTC)
    assert json.loads(event.detail) == {"ip": "192.0.2.1", "provider": "esp"}
    assert (event.id, event.source) == ("7", "esp")
    assert one(tmp_path, token="t", source="shop", provider="esp").source == "shop"


def test_a_bounce_that_may_pass_is_a_deferral(tmp_path: Path) -> None:
    kinds = [one(tmp_path, type="bounced", token="t", permanent=said).type for said in (True, False)]
    assert kinds == ["bounced", "deferred"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("not json", "1: not JSON"),
        ("[]", "1: the line is not a JSON object"),
        ({"occurred_at": "2026-11-23T09:00:00Z", "token": "t"}, "type: must be given: one of accepted, delivered"),
        ({"type": "boounced", "occurred_at": "2026-11-23T09:00:00Z", "token": "t"},
         "type: 'boounced' is no type of event; did you mean bounced?"),
        ({"type": "xyz", "occurred_at": "2026-11-23T09:00:00Z", "token": "t"},
         "type: 'xyz' is no type of event; the types are accepted"),
        ({"type": 3, "occurred_at": "2026-11-23T09:00:00Z", "token": "t"}, "type: must be a string, is 3"),
        ({"type": "opened", "token": "t"}, "occurred_at: must be given"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00", "token": "t"}, "is no time with its offset"),
        ({"type": "opened", "occurred_at": "2026-13-23T09:00:00Z", "token": "t"}, "is no time with its offset"),
        ({"type": "opened", "occurred_at": "0001-01-01T00:00:00+12:00", "token": "t"},
         "occurred_at: the year 1 is outside 1970 to 2199"),
        ({"type": "opened", "occurred_at": "9999-12-31T23:59:59-12:00", "token": "t"},
         "occurred_at: the year 9999 is outside 1970 to 2199"),
        ({"type": "opened", "occurred_at": "yesterday", "token": "t"}, "is no time with its offset"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z"}, "1: whom is it about? give token"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t", "message_id": 1},
         "message_id: token says already whom it is about"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "message_id": "abc"},
         "message_id: 'abc' is neither a message's number nor one of our Message-IDs"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "message_id": 10**18}, "is neither a message"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "message_id": True}, "is neither a message"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "campaign": "sale"}, "email: must be given beside"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "campaign": "sale", "email": "ana"},
         "email: neither an e-mail address"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t", "id": 1.5}, "id: must be a string or"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t", "id": "x" * 501}, "id: has 501 char"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t", "source": "a b"}, "source: a name"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t", "provider": ":"}, "provider: a name"),
        ({"type": "bounced", "occurred_at": "2026-11-23T09:00:00Z", "token": "t", "permanent": "no"},
         "permanent: must be true or false"),
        ({"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "nul\0"}, "U+0000 cannot be stored"),
        ('{"type": "opened", "type": "clicked"}', "type: the key stands twice in one object"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_line_is_named(tmp_path: Path, line: Any, wrong: str) -> None:
    assert wrong in reason(tmp_path, line)


def test_blank_lines_are_left_out_and_good_ones_go_on_after_bad_ones(tmp_path: Path) -> None:
    good = {"type": "opened", "occurred_at": "2026-11-23T09:00:00Z", "token": "t"}
    rows = read(tmp_path, "", good, "x", "   ", good)
    assert [(row.line, isinstance(row, Event)) for row in rows] == [(2, True), (3, False), (5, True)]


def test_the_line_just_read_is_at_hand_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    text = '{ "type":"opened", "occurred_at":"2026-11-23T09:00:00Z", "token":"t" }'
    path.write_text(f"\n{text}\r\n{text}")
    with open_events(path) as file:
        assert [file.raw() for _ in file.rows()] == [text, text]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.jsonl: cannot read: no such file"):
        open_events(tmp_path / "none.jsonl")
