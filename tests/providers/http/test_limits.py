"""What is sent and heard has its bounds: nothing unfit leaves, no key comes back, no answer goes on for good."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from sendctl.providers.base import Phase, Scope
from sendctl.providers.http import api
from sendctl.providers.http.api import Api, Unfit
from sendctl.providers.http.settings import HttpSettings
from sendctl.states import AttemptOutcome
from tests.providers.http.world import SECRETS, message_for, provider, submit

Answer = Callable[[socket.socket, bytes], None]
KEY = "s3ntinel-of-a-key"


def asking(url: str, headers: dict[str, str] | None = None) -> Api:
    return Api(HttpSettings("api", url), headers or {})


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server that reads something from each connection, and says whatever it is told to, as long as anybody hears."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    peer, _ = server.accept()
                    with suppress(OSError), peer:
                        answer(peer, peer.recv(65536))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def endless_headers(peer: socket.socket, _heard: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        peer.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


def endless_body(peer: socket.socket, _heard: bytes) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.sendall(b"1000\r\n" + b" " * 4096 + b"\r\n")


def drops(peer: socket.socket, _heard: bytes) -> None:
    """One byte after the other: each read is answered soon, and the whole comes late."""
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    heard = threading.Event()  # nobody sets it
    for _ in range(98):
        heard.wait(0.05)
        peer.sendall(b" ")
    peer.sendall(b"{}")


def test_an_answer_that_comes_in_drops_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ANSWER_S", 0.1)
    with answering(drops) as url, pytest.raises(OSError, match="no answer in time"):
        asking(url).fetch("GET", "/")


def test_an_answer_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "ANSWER_CAP_BYTES", 100_000)
    with answering(endless_body) as url, pytest.raises(OSError, match="more than 100000 bytes"):
        asking(url).fetch("GET", "/")


@pytest.mark.parametrize("answer", [drops, endless_body, endless_headers])
def test_a_submission_that_is_answered_without_end_is_doubt(answer: Answer) -> None:
    with answering(answer) as url:
        [(outcome, mark)] = submit(provider("resend", url), seconds=3.0)
    assert (outcome.kind, outcome.phase) == (AttemptOutcome.UNKNOWN, Phase.DOTTED)
    assert mark.calls == ["begin", "dot"]


@pytest.mark.parametrize("value", [f"Bearer {KEY} ", f"Bearer {KEY}\n", f"Bearer {KEY}-ü", f"Bear\0er {KEY}"])
def test_a_request_that_cannot_be_made_is_no_attempt_and_says_nothing_of_what_is_in_it(value: str) -> None:
    """Secrets are looked at where they are read; this is what stands behind that."""
    with answering(lambda _peer, _heard: None) as url:
        one = provider("resend", url)
        one._api = asking(url, {"authorization": value})
        [(outcome, mark)] = submit(one)
        with pytest.raises(Unfit) as caught:
            asking(url, {"authorization": value}).fetch("GET", "/")
    assert (outcome.kind, outcome.phase, outcome.scope) == (AttemptOutcome.HALTED, Phase.UNTOUCHED, Scope.PROVIDER)
    assert mark.calls == []
    assert "the request cannot be made" in outcome.text
    assert KEY not in f"{outcome}{caught.value}{caught.value.__cause__}"


def test_an_address_that_is_none_is_no_attempt() -> None:
    one = provider("ses", "http://127.0.0.1:1/a\x7fb")
    [(outcome, mark)] = submit(one, message_for("ses"))
    assert (outcome.kind, outcome.phase, mark.calls) == (AttemptOutcome.HALTED, Phase.UNTOUCHED, [])


def repeats(peer: socket.socket, heard: bytes) -> None:
    body = json.dumps({"message": heard.decode()[:400]}).encode()
    peer.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.parametrize("answer", [repeats, lambda peer, heard: peer.sendall(heard)])
@pytest.mark.parametrize("service", SECRETS)
def test_a_key_that_is_repeated_by_whoever_answers_is_not_kept(service: str, answer: Answer) -> None:
    """Amazon tells what it would have signed, and something between us and a service may show a request whole."""
    options = {"session_token_env": "KEY"} if service == "ses" else {}
    with answering(answer) as url:
        one = provider(service, url, KEY, **options)
        [(outcome, _)] = submit(one, message_for(service))
        with pytest.raises(OSError) as caught:
            one._api.fetch("GET", "/")
    said = f"{outcome.text}{caught.value.strerror}"
    basic = [base64.b64encode(f"{name}:{KEY}".encode()).decode() for name in ("api", "AC1")]
    assert not [key for key in (KEY, *basic) if key in said], said


def names_it(peer: socket.socket, _heard: bytes) -> None:
    body = json.dumps({"message": f"Invalid private key: api:{KEY} is not active"}).encode()
    peer.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


@pytest.mark.parametrize("service", sorted(SECRETS.keys() - {"ses"}))  # its key is never sent
def test_a_key_that_a_service_names_in_the_clear_is_not_kept(service: str) -> None:
    """However it was sent: Mailgun and Twilio are told it in base64."""
    with answering(names_it) as url:
        one = provider(service, url, KEY)
        [(outcome, _)] = submit(one, message_for(service))
        with pytest.raises(OSError) as caught:
            one._api.fetch("GET", "/")
    said = f"{outcome.text}{caught.value.strerror}"
    assert KEY not in said, said
    assert "[secret] is not active" in said
