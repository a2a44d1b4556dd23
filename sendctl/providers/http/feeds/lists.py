"""Lists of a service as a source of events, and what a reply that is none means for whoever asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol
from urllib.parse import urlsplit

from sendctl.providers.events.line import Line, OtherForm
from sendctl.providers.http.api import Api, Declined
from sendctl.providers.http.settings import HttpSettings
from sendctl.providers.http.verdicts import retry_after_s
from sendctl.providers.source import Asked, EventPage, Feed, NoEvents
from sendctl.providers.text import printable

THROTTLED_S = 60.0  # where a service says that it is asked too often, and not for how long


class Lists(Protocol):
    """What is particular to a service."""

    @property
    def feeds(self) -> tuple[Feed, ...]: ...

    @property
    def permission(self) -> str:
        """What its key needs, as what follows "the key must be allowed to "."""
        ...

    def page(self, api: Api, asked: Asked) -> EventPage:
        """See EventLists.page. Raises OSError."""
        ...


class HttpLists:
    """The lists of one account."""

    def __init__(self, settings: HttpSettings, headers: Mapping[str, str], lists: Lists) -> None:
        self.feeds = lists.feeds
        self._lists = lists
        self._api = Api(settings, headers)

    @contextmanager
    def together(self) -> Iterator[None]:
        """See EventLists."""
        with ExitStack() as stack:
            with explained(self._lists.permission):
                stack.enter_context(self._api.together())
            yield

    def page(self, asked: Asked) -> EventPage:
        """See EventLists."""
        with explained(self._lists.permission):
            return self._lists.page(self._api, asked)


@contextmanager
def explained(permission: str) -> Iterator[None]:
    """What keeps a source from being read, in words that a person can act on. Raises NoEvents."""
    try:
        yield
    except NoEvents:
        raise
    except Declined as error:
        status, said = error.reply.status, str(error.strerror)
        if status in (401, 403):
            raise NoEvents(f"{said}; the key must be allowed to {permission}") from error
        wait_s = retry_after_s(error.reply)
        if status == 429 or (status == 503 and wait_s is not None):
            raise NoEvents(said, THROTTLED_S if wait_s is None else wait_s) from error
        raise NoEvents(said, stale=400 <= status < 500) from error
    except ValueError as error:
        raise NoEvents(f"its answer is not as documented: {error}") from error
    except OSError as error:
        raise NoEvents(error.strerror or str(error)) from error


def read(entries: Iterable[Any], lines: Callable[[Mapping[str, Any]], list[Line]]) -> EventPage:
    """The page that these entries make; one that is not of its form keeps no other from counting."""
    found: list[Line] = []
    unread: list[str] = []
    for entry in entries:
        try:
            if not isinstance(entry, dict):
                raise OtherForm("it is no JSON object")
            found += lines(entry)
        except OtherForm as error:
            unread.append(printable(f"{error}: {str(entry)[:200]}"))
    return EventPage(found, unread=unread)


def path_of(url: object, below: str) -> str:
    """The path and query of a page's address, which must lie below a path: the key goes nowhere else.

    Raises OtherForm.
    """
    place = urlsplit(url) if isinstance(url, str) else urlsplit("")
    if not place.path.startswith(below):
        raise OtherForm(f"its next page is {str(url)[:80]!r}, not below {below}")
    return f"{place.path}?{place.query}" if place.query else place.path
