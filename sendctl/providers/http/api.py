"""One HTTP service: requests whose phase is known at every byte, and replies that are read whole or not at all.

A submission is UNTOUCHED until its headers leave, BEGUN until its body does, DOTTED from the first byte of the body
on. A service cannot accept a body that it does not have, so that every failure before is definite non-acceptance.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import httpx2

from sendctl import __version__, faults
from sendctl.clock import Deadline
from sendctl.providers.base import Outcome, Phase, PhaseMark, Scope
from sendctl.providers.http.settings import HttpSettings
from sendctl.providers.text import printable
from sendctl.states import AttemptOutcome

REPLY_CAP_BYTES = 1 << 20
_POOL_IDLE_S = 5.0  # shorter than what services keep a connection for: one that they close just then is doubt
_ASK_S = 30.0
_HEADERS, _BODY = "http11.send_request_headers.started", "http11.send_request_body.started"


class Request(NamedTuple):
    """What a service is sent for one message; the same bytes on every attempt."""

    path: str
    headers: Mapping[str, str]
    content: bytes


class Reply(NamedTuple):
    """A whole reply. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body if it is JSON, whatever its content type says; else None."""
        with suppress(ValueError, RecursionError):
            return json.loads(self.body)
        return None

    def record(self) -> Mapping[str, Any]:
        """The body if it is a JSON object; else an empty one."""
        found = self.json()
        return found if isinstance(found, dict) else {}

    def shown(self) -> str:
        """The beginning of a body that is not what was agreed on."""
        return printable(self.body[:200].strip()) or "an empty reply"


class Declined(OSError):
    """A whole reply to a question that is no answer to it."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(0, f"HTTP {reply.status}: {reply.shown()}")
        self.reply = reply


class Unanswered(OSError):
    """A question to which no whole reply came; `certificate`: the service is not who it says."""

    def __init__(self, text: str, *, certificate: bool = False) -> None:
        super().__init__(0, text)
        self.text = text
        self.certificate = certificate


class CutOff(Exception):
    """A reply that ended early, or would not end."""


class Api:
    """The client of one account. Belongs to the event loop that first uses it."""

    def __init__(self, settings: HttpSettings, headers: Mapping[str, str]) -> None:
        self.base_url = settings.base_url
        self._settings = settings
        self._headers = {"user-agent": f"sendctl/{__version__}", **headers}
        self._client: httpx2.AsyncClient | None = None
        self._kept: httpx2.Client | None = None

    async def post(self, request: Request, deadline: Deadline, mark: PhaseMark) -> Reply | Outcome:
        """Hand one message over: the service's reply, or the outcome when there is none.

        Raises only what `mark` raises, and cancellation.
        """
        phases = _Phases(mark)
        try:
            async with asyncio.timeout(deadline.remaining_s()):
                reply = await self._exchange(request, phases)
        except (TimeoutError, CutOff, httpx2.HTTPError, OSError) as error:
            return without_reply(phases.phase, error)
        faults.passing("provider.replied")
        return reply

    async def _exchange(self, request: Request, phases: _Phases) -> Reply:
        client = self._open()
        built = client.build_request(
            "POST", self.base_url + request.path, content=request.content, headers=dict(request.headers),
            extensions={"trace": phases.heard, "timeout": self._timeouts()},
        )  # fmt: skip
        return await _reply(client, built)

    def ask(
        self, method: str, path: str, params: Mapping[str, str] | None = None, json: object = None
    ) -> Mapping[str, Any]:
        """Ask the service something, outside of any event loop. Raises OSError without a 200 and a JSON object.

        `params`, when there are any, take the place of a query in `path`.
        """
        reply = self.fetch(method, path, params, json=json)
        record = reply.record()
        if not record:
            raise OSError(0, f"HTTP {reply.status}: {reply.shown()}")
        return record

    def fetch(
        self, method: str, path: str, params: Mapping[str, str] | None = None, *, json: object = None,
        content: bytes | None = None, headers: Mapping[str, str] | None = None,
    ) -> Reply:  # fmt: skip
        """The same, for a whole reply of any form. Raises Declined for another status than 200, OSError without one."""
        url = self.base_url + path
        wanted = dict(params) if params else None  # an empty one would cut off what the path has
        try:
            with self._asking() as one:
                found = one.request(method, url, params=wanted, json=json, content=content, headers=dict(headers or {}))
        except httpx2.HTTPError as error:
            raise OSError(0, printable(_words(error))) from error
        reply = Reply(found.status_code, _lower(found.headers), found.content)
        if reply.status != 200:
            raise Declined(reply)
        return reply

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is asked within goes over one connection, as long as the service keeps it."""
        with self._asking() as kept:
            self._kept = kept
            try:
                yield
            finally:
                self._kept = None

    @contextmanager
    def _asking(self) -> Iterator[httpx2.Client]:
        if self._kept is not None:
            yield self._kept
            return
        with httpx2.Client(verify=self._verify(), headers=self._headers, timeout=_ASK_S, trust_env=False) as one:
            yield one

    async def look(
        self, path: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:  # fmt: skip
        """Ask something that hands nothing over, in an event loop: a GET, or a POST of `content`. `path` may be a URL.

        Raises Unanswered when no whole reply came. Whoever waits sets the limit.
        """
        url = path if "://" in path else self.base_url + path
        method = "GET" if content is None else "POST"
        try:
            client = self._open()
            built = client.build_request(
                method, url, params=dict(params) if params else None, headers=dict(headers or {}), content=content,
                extensions={"timeout": self._timeouts()},
            )  # fmt: skip
            return await _reply(client, built)
        except (CutOff, httpx2.HTTPError, OSError) as error:
            raise Unanswered(printable(_words(error)), certificate=_is_about_the_certificate(error)) from error

    async def close(self) -> None:
        """Give connections back; never raises."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await client.aclose()

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            most = self._settings.connections
            limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=_POOL_IDLE_S)
            # No proxy, certificates or password from the environment: cron and a shell would send in different ways.
            self._client = httpx2.AsyncClient(
                verify=self._verify(), headers=self._headers, limits=limits, follow_redirects=False, trust_env=False
            )
        return self._client

    def _verify(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.ca_file:
            context.load_verify_locations(self._settings.ca_file)
        return context

    def _timeouts(self) -> dict[str, float | None]:
        return {"connect": self._settings.connect_timeout_s, "pool": None, "read": None, "write": None}


class _Phases:
    """Hears from the client what is about to leave, and tells the mark before it does."""

    def __init__(self, mark: PhaseMark) -> None:
        self.phase = Phase.UNTOUCHED
        self._mark = mark

    async def heard(self, event: str, _info: Mapping[str, object]) -> None:
        if event == _HEADERS:
            self._mark.begin()
            self.phase = Phase.BEGUN
        elif event == _BODY:
            faults.passing("provider.before_dot")
            self._mark.dot()
            self.phase = Phase.DOTTED


async def _reply(client: httpx2.AsyncClient, built: httpx2.Request) -> Reply:
    """The whole reply to a request. Raises CutOff, and what the client raises."""
    response = await client.send(built, stream=True)
    try:
        return await _whole(response)
    finally:
        await response.aclose()


async def _whole(response: httpx2.Response) -> Reply:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > REPLY_CAP_BYTES:
            raise CutOff(f"the reply has more than {REPLY_CAP_BYTES} bytes")
    return Reply(response.status_code, _lower(response.headers), bytes(body))


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def without_reply(phase: Phase, error: BaseException) -> Outcome:
    """What it means that no whole reply came."""
    text = printable(_words(error))
    if phase is Phase.DOTTED:
        return Outcome(AttemptOutcome.UNKNOWN, phase, Scope.PROVIDER, text=text, error_class="no-reply")
    if phase is Phase.BEGUN:
        return Outcome(AttemptOutcome.DEFERRED, phase, Scope.PROVIDER, text=text, error_class="connection")
    if _is_about_the_certificate(error):
        return Outcome(AttemptOutcome.HALTED, phase, Scope.PROVIDER, text=text, error_class="tls")
    return Outcome(AttemptOutcome.UNTOUCHED, phase, Scope.PROVIDER, text=text, error_class="connect")


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


def _is_about_the_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def listed(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of a list in an answer. Raises OSError where there is no such list."""
    found = record.get(name)
    if not isinstance(found, list):
        raise OSError(0, f"the answer has no list of {name}")
    return [item for item in found if isinstance(item, dict)]
