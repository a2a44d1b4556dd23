"""Order events from JSON Lines: their own times, and everything that is no event named with its place."""

import io
import json
from datetime import UTC, datetime

import pytest

from sendctl.errors import BadInput
from sendctl.inputs.contact_rows import BadRow
from sendctl.inputs.orders import OrderEvent, open_orders

GOOD = {"id": "evt-1", "type": "order.delivered", "occurred_at": "2026-11-20T10:00:00Z", "order": {"id": 7, "n": 1.5}}


def events_of(content):
    data = content if isinstance(content, bytes) else content.encode()
    with open_orders("-", stdin=io.BytesIO(data)) as file:
        found = list(file.events())
        assert list(file.events()) == found, "a second reading gives another result"
        return found


def test_a_line_becomes_an_event_with_its_order_as_it_is():
    (event,) = events_of("\n" + json.dumps(GOOD | {"source": "shop"}) + "\n")
    moment = datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert event == OrderEvent(2, "evt-1", "order.delivered", moment, {"id": 7, "n": 1.5})


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T12:00:00+02:00",
        "2026-11-20t10:00:00z",
        "2026-11-20 10:00:00.000Z",
        "2026-11-19T23:00:00.000000-11:00",
    ],
)
def test_times_of_all_offsets_are_one_moment(text):
    (event,) = events_of(json.dumps(GOOD | {"occurred_at": text}))
    assert event.occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "key", "reason"),
    [
        ({"id": ""}, "id", "must be a text that is not empty, is ''"),
        ({"id": 5}, "id", "must be a text that is not empty, is 5"),
        ({"id": "x" * 256}, "id", "256 characters, the limit is 255"),
        ({"type": None}, "type", "must be a text that is not empty, is None"),
        ({"occurred_at": "2026-11-20T10:00:00"}, "occurred_at", "must be a time with its offset, such as"),
        ({"occurred_at": "2026-11-20"}, "occurred_at", "must be a time with its offset, such as"),
        ({"occurred_at": "2026-02-30T10:00:00Z"}, "occurred_at", "must be a time with its offset, such as"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "occurred_at", "must be a time with its offset, such as"),
        ({"occurred_at": 1795168800}, "occurred_at", "must be a time with its offset, such as"),
        ({"occurred_at": "9999-01-01T00:00:00Z"}, "occurred_at", "the year 9999 is outside 1970 to 2199"),
        ({"order": [1]}, "order", "must be an object, is [1]"),
    ],
)
def test_a_value_that_is_wrong_is_named_by_its_key_and_the_others_are_kept(changes, key, reason):
    first, bad, last = events_of("\n".join(json.dumps(one) for one in (GOOD, GOOD | changes, GOOD)))
    assert isinstance(first, OrderEvent)
    assert isinstance(last, OrderEvent)
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.column) == (2, key)
    assert bad.reason.startswith(reason)
    assert json.loads(bad.raw) == GOOD | changes


@pytest.mark.parametrize("key", GOOD)
def test_a_key_that_is_missing_is_named(key):
    (bad,) = events_of(json.dumps({name: value for name, value in GOOD.items() if name != key}))
    assert (bad.column, bad.reason.partition(":")[0]) == (key, "is missing")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "not JSON"),
        (b'{"id": "a", "id": "b"}', "the key stands twice in one object"),
        (b'{"id": "Ren\xe9"}', "byte 0xE9 is not valid UTF-8"),
        (b'{"order": {"n": NaN}}', "NaN is not JSON"),
    ],
)
def test_a_line_that_is_no_object_is_a_bad_one(line, reason):
    (bad,) = events_of(line)
    assert bad.reason.startswith(reason)


def test_no_events_are_no_mistake_and_an_array_is():
    assert events_of("") == events_of("\n  \n") == []
    with pytest.raises(BadInput, match="one JSON array"):
        events_of(json.dumps([GOOD]))


def test_a_file_that_changes_between_two_readings_is_refused(tmp_path):
    path = tmp_path / "orders.jsonl"
    path.write_text(json.dumps(GOOD) + "\n")
    with open_orders(path) as file:
        list(file.events())
        with path.open("a") as more:
            more.write(json.dumps(GOOD))
        with pytest.raises(BadInput, match="changed while it was read"):
            list(file.events())


def test_an_error_says_file_line_and_key():
    with open_orders("-", stdin=io.BytesIO(json.dumps(GOOD).encode())) as file:
        event = next(file.events())
        bad = file.reject(event, "email", "no address")
        assert str(file.error(bad)) == "<stdin>:1:email: no address"
        with pytest.raises(ValueError, match="line 9 is not the one just read"):
            file.reject(event._replace(line=9), None, "x")
