"""Whatever is wrong with an answer about a message: it is no answer, or what is said of the message can be kept."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from threading import Thread
from typing import Any, NamedTuple

import pytest

from sendctl.providers.base import Sought
from sendctl.providers.http.letter import parsed
from tests.providers.http.world import CONTENT, provider
from tests.providers.seeking import sought

NOW = datetime.now(UTC)
AT, AS_MAIL = NOW.isoformat(), format_datetime(NOW)
LETTER = parsed(CONTENT)
TO, NUMBER = "b@x.example", "+4915112345678"
ODD = [None, 7, True, "", "\ud800", "a\0b", "9" * 5000, "Mon, 01 Jan 2024 00:00:0099999999999", ["x"], {"x": 1}, [[]]]


class Told(NamedTuple):
    """A good answer to what one service is asked, by the place where it is asked for, and the id that it gives."""

    pages: dict[str, dict[str, Any]]
    known: str


E_MAIL = {"id": "e1", "to": [TO], "subject": "Grüße", "created_at": AT}
TEXT = {"sid": "SM1", "to": NUMBER, "body": "Grüße", "direction": "outbound-api", "date_created": AS_MAIL}
ANSWERS = {
    "resend": Told(
        {
            "/emails/": {"text": LETTER.text, "html": LETTER.html},
            r"/emails\?": {"has_more": False, "data": [E_MAIL]},
        },
        "e1",
    ),
    "postmark": Told({"/messages": {"Messages": [{"MessageID": "e1", "Metadata": {"sendctl": "k1"}}]}}, "e1"),
    "mailgun": Told(
        {"/events": {"items": [{"event": "accepted", "message": {"headers": {"message-id": "k1@shop.example"}}}]}},
        "<k1@shop.example>",
    ),
    "sendgrid": Told(
        {
            "/v3/logs/": {"sg_message_id": "e1", "custom_args": {"sendctl": "k1"}},
            "/v3/logs$": {"messages": [{"sg_message_id": "e1", "to_email": TO}]},
        },
        "e1",
    ),
    "twilio": Told({"/Messages": {"messages": [TEXT], "next_page_uri": None}}, "SM1"),
}


def asked(service: str) -> Sought:
    contents = "Grüße".encode() if service == "twilio" else CONTENT
    return sought(recipient=NUMBER if service == "twilio" else TO)._replace(content=contents, handed_over_at=NOW)


@contextmanager
def answering(pages: dict[str, Any]) -> Iterator[str]:
    """The URL of a server of this process, which answers each place with the first of these that fits, as they are."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            body = next(json.dumps(page).encode() for path, page in pages.items() if re.search(path, self.path))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  its name there

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a JSON value, from the outside in."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, within in inner:
        yield (key,)
        yield from ((key, *rest) for rest in places(within))


def put(pages: dict[str, Any], place: tuple[Any, ...], odd: Any) -> Any:
    """Change what stands in that place; returns what stood there."""
    *outer, last = place
    within: Any = pages
    for key in outer:
        within = within[key]
    before, within[last] = within[last], odd
    return before


@pytest.mark.parametrize("service", ANSWERS)
def test_whatever_stands_anywhere_in_an_answer_it_is_read_or_is_none(service: str) -> None:
    pages, wanted = copy.deepcopy(ANSWERS[service].pages), asked(service)
    with answering(pages) as url:
        one = provider(service, url)
        for place, odd in product(list(places(pages)), ODD):
            before = put(pages, place, odd)
            with suppress(OSError):
                found = one.find(wanted)
                assert found is None or found.isprintable(), (place, odd)
            put(pages, place, before)
        assert one.find(wanted) == ANSWERS[service].known


ENTRIES = {"resend": (r"/emails\?", "data", "created_at"), "twilio": ("/Messages", "messages", "date_created")}


@pytest.mark.parametrize("flaw", [{}, {"to": "another"}, {"subject": "Bye", "body": "Bye"}, None])
@pytest.mark.parametrize("at", ["never", None, 7])
@pytest.mark.parametrize("service", ENTRIES)
def test_an_entry_without_a_time_hides_no_other(service: str, at: Any, flaw: dict[str, Any] | None) -> None:
    path, name, moment = ENTRIES[service]
    pages = copy.deepcopy(ANSWERS[service].pages)
    (ours,) = pages[path][name]
    odd = ours | {"id": "odd", "sid": "odd", moment: at} | flaw if flaw is not None else 7
    pages[path][name] = [odd, ours, odd]
    with answering(pages) as url:
        assert provider(service, url).find(asked(service)) == ANSWERS[service].known


@pytest.mark.parametrize("service", ENTRIES)
def test_one_that_may_be_it_by_all_but_its_time_is_said(service: str) -> None:
    path, name, moment = ENTRIES[service]
    pages = copy.deepcopy(ANSWERS[service].pages)
    pages[path][name][0][moment] = "never"
    with answering(pages) as url, pytest.raises(OSError, match=f"{moment} 'never' is no time"):
        provider(service, url).find(asked(service))


def test_a_list_that_says_that_there_is_more_and_not_from_where_is_not_at_its_end() -> None:
    pages = copy.deepcopy(ANSWERS["resend"].pages)
    pages[r"/emails\?"] = {"has_more": True, "data": [7]}
    with answering(pages) as url, pytest.raises(OSError, match="cannot be read on"):
        provider("resend", url).find(asked("resend"))
