"""One HTTP service: requests whose phase is known at every byte, and replies that are read whole or not at all.

A submission is UNTOUCHED until its headers leave, BEGUN until its body does, DOTTED from the first byte of the body
on. A service cannot accept a body that it does not have, so that every failure before is definite non-acceptance.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import httpx2

from sendctl import __version__, faults
from sendctl.clock import Deadline
from sendctl.providers.base import Outcome, Phase, PhaseMark, Scope
from sendctl.providers.http.settings import HttpSettings
from sendctl.providers.text import TEXT_MAX_CHARACTERS, printable
from sendctl.providers.tls import verifying_context
from sendctl.states import AttemptOutcome

REPLY_CAP_BYTES = 1 << 20  # to a submission, or to what `look` asks
ANSWER_CAP_BYTES = 32 << 20  # to what `fetch` asks: a page of events, or a whole e-mail
ANSWER_S = 30.0  # for the whole of it
_POOL_IDLE_S = 5.0  # shorter than what services keep a connection for: one that they close just then is doubt
# What carries a key, and how short one is that is too short to be told from other words.
_WITH_KEY = ("authorization", "x-postmark-server-token", "x-amz-security-token")
_LEAST_KEY_BYTES = 8
_FIELD = re.compile(rb"(?:[^\x00-\x20\x7f](?:[^\x00-\x08\x0a-\x1f\x7f]*[^\x00-\x20\x7f])?)?")  # RFC 9110 section 5.5
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


class Unfit(OSError):
    """A request that cannot be made, so that no byte of it leaves. Says nothing of what is in it: that may be a key."""

    def __init__(self, what: str) -> None:
        super().__init__(0, what)


class _Asking(NamedTuple):
    """What is asked outside of any event loop goes through one of its own, so that all of it has one time limit."""

    runner: asyncio.Runner
    client: httpx2.AsyncClient


class Api:
    """The client of one account. Belongs to the event loop that first uses it."""

    def __init__(self, settings: HttpSettings, headers: Mapping[str, str]) -> None:
        self.base_url = settings.base_url
        self._settings = settings
        self._headers = {"user-agent": f"sendctl/{__version__}", **headers}
        self._client: httpx2.AsyncClient | None = None
        self._asking: _Asking | None = None

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
        built = self._built(client, "POST", request.path, request.headers, content=request.content)
        built.extensions["trace"] = phases.heard
        return await _reply(client, built)

    def _built(
        self, client: httpx2.AsyncClient, method: str, path: str, headers: Mapping[str, str] | None, **given: Any
    ) -> httpx2.Request:
        """A request; a `path` that begins with neither a slash nor nothing is a URL. Raises Unfit."""
        url = self.base_url + path if path.startswith("/") or not path else path
        all_headers = {**self._headers, **(headers or {})}
        timeouts = {"timeout": self._timeouts()}
        try:
            built = client.build_request(method, url, headers=all_headers, extensions=timeouts, **given)
        except (httpx2.InvalidURL, ValueError, TypeError):
            raise Unfit("the request cannot be made: its address or a header is not fit for HTTP") from None
        for name, value in built.headers.raw:
            if not _FIELD.fullmatch(value):
                raise Unfit(f"the request cannot be made: its header {name.decode()} is not fit for HTTP")
        return built

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
        if self._asking is None:
            with self.together():
                return self.fetch(method, path, params, json=json, content=content, headers=headers)
        wanted = dict(params) if params else None  # an empty one would cut off what the path has
        client = self._asking.client
        built = self._built(client, method, path, headers, params=wanted, json=json, content=content)
        try:
            reply = self._asking.runner.run(_answer(client, built))
        except (TimeoutError, CutOff, httpx2.HTTPError) as error:
            raise OSError(0, _words(error)) from None
        if reply.status != 200:
            raise Declined(reply)
        return reply

    @contextmanager
    def together(self) -> Iterator[None]:
        """All that is asked within goes over one connection, as long as the service keeps it."""
        with asyncio.Runner() as runner:
            self._asking = _Asking(runner, self._client_of(1))
            try:
                yield
            finally:
                asking, self._asking = self._asking, None
                with suppress(Exception):
                    runner.run(asking.client.aclose())

    async def look(
        self, path: str, params: Mapping[str, str] | None = None, *, headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> Reply:  # fmt: skip
        """Ask something that hands nothing over, in an event loop: a GET, or a POST of `content`. `path` may be a URL.

        Raises Unanswered when no whole reply came. Whoever waits sets the limit.
        """
        method = "GET" if content is None else "POST"
        wanted = dict(params) if params else None
        try:
            client = self._open()
            built = self._built(client, method, path, headers, params=wanted, content=content)
            return await _reply(client, built)
        except (CutOff, httpx2.HTTPError, OSError) as error:
            raise Unanswered(_words(error), certificate=_is_about_the_certificate(error)) from None

    async def close(self) -> None:
        """Give connections back; never raises."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                await client.aclose()

    def _open(self) -> httpx2.AsyncClient:
        if self._client is None:
            self._client = self._client_of(self._settings.connections)
        return self._client

    def _client_of(self, most: int) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most, keepalive_expiry=_POOL_IDLE_S)
        # No proxy or password from the environment: cron and a shell would send in different ways.
        return httpx2.AsyncClient(
            verify=verifying_context(self._settings.ca_file), limits=limits, follow_redirects=False, trust_env=False
        )

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


async def _answer(client: httpx2.AsyncClient, built: httpx2.Request) -> Reply:
    """The whole reply to a question, in time. Raises TimeoutError, and what `_reply` does."""
    async with asyncio.timeout(ANSWER_S):
        return await _reply(client, built, ANSWER_CAP_BYTES)


async def _reply(client: httpx2.AsyncClient, built: httpx2.Request, cap_bytes: int = REPLY_CAP_BYTES) -> Reply:
    """The whole reply to a request. Raises CutOff, and what the client raises."""
    response = await client.send(built, stream=True)
    try:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > cap_bytes:
                raise CutOff(f"the reply has more than {cap_bytes} bytes")
        return Reply(response.status_code, _lower(response.headers), _unrepeated(bytes(body), built.headers))
    finally:
        await response.aclose()


def _unrepeated(said: bytes, sent: httpx2.Headers) -> bytes:
    """What was said, without the keys that went along: who is asked may repeat them, as Amazon does what it would sign.

    SignatureDoesNotMatch quotes the canonical request, with the header x-amz-security-token in it.
    """
    for name in _WITH_KEY:
        scheme, _, key = sent.get(name, "").encode().rpartition(b" ")
        # A service that is told the key in base64 (RFC 7617) knows it in the clear, and may name it so.
        inside = base64.b64decode(key).partition(b":")[2] if scheme.lower() == b"basic" else b""
        for secret in (key, inside):
            if len(secret) >= _LEAST_KEY_BYTES:
                said = said.replace(secret, b"[secret]")
    return said


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def without_reply(phase: Phase, error: BaseException) -> Outcome:
    """What it means that no whole reply came."""
    text = _words(error)
    if phase is Phase.DOTTED:
        return Outcome(AttemptOutcome.UNKNOWN, phase, Scope.PROVIDER, text=text, error_class="no-reply")
    if phase is Phase.BEGUN:
        return Outcome(AttemptOutcome.DEFERRED, phase, Scope.PROVIDER, text=text, error_class="connection")
    if isinstance(error, Unfit):
        return Outcome(AttemptOutcome.HALTED, phase, Scope.PROVIDER, text=text, error_class="protocol")
    if _is_about_the_certificate(error):
        return Outcome(AttemptOutcome.HALTED, phase, Scope.PROVIDER, text=text, error_class="tls")
    return Outcome(AttemptOutcome.UNTOUCHED, phase, Scope.PROVIDER, text=text, error_class="connect")


def _words(error: BaseException) -> str:
    """What went wrong, in one printable line. Never what the client says of a request of ours, which may be a key."""
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx2.LocalProtocolError):
        return "the request is not fit for HTTP"
    text = str(error.strerror if isinstance(error, Unfit) else _reason(error)) or type(error).__name__
    if isinstance(error, httpx2.RemoteProtocolError):
        text = _unrepeated(text.encode(), error.request.headers).decode()
    return printable(text)


def _reason(error: BaseException) -> str:
    """What was said, or why no connection came about: of that the client says only that none did."""
    found: BaseException | None = error
    while isinstance(error, httpx2.ConnectError) and found is not None:
        if isinstance(found, BaseExceptionGroup):  # one for each address that was tried
            found = found.exceptions[0]
        if isinstance(found, OSError) and (found.errno or 0) > 0 and not isinstance(found, ssl.SSLError):
            return os.strerror(found.errno or 0)
        found = found.__cause__ or found.__context__
    return str(error)


def _is_about_the_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def check_none(entries: Sequence[object]) -> None:
    """An answer about one message that has none is a finding; one that has others proves nothing. Raises OSError."""
    if entries:
        raise OSError(0, "its answer has other messages than the one that it was asked for")


def entries_of(record: Mapping[str, Any], name: str) -> list[Any]:
    """A list in an answer, with whatever is in it: its length says whether there are more. Raises OSError."""
    found = record.get(name)
    if not isinstance(found, list):
        raise OSError(0, f"the answer has no list of {name}")
    return found


def listed(record: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The objects of a list in an answer. Raises OSError where there is no such list."""
    return [item for item in entries_of(record, name) if isinstance(item, dict)]


def id_in(entry: object, name: str) -> str:
    """What an entry of an answer says that it is called; "" where that is nothing to ask for, and to keep."""
    found = entry.get(name) if isinstance(entry, dict) else None
    fits = isinstance(found, str) and found.isprintable() and len(found) <= TEXT_MAX_CHARACTERS
    return str(found) if fits else ""
