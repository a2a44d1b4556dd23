"""Fetching a certificate: whole, small, from where it was asked for, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sendctl.providers.hooks.envelope import Refused
from sendctl.providers.hooks.section import CERTIFICATE_CAP_BYTES, CertificateAway, fetch


@contextmanager
def serving(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server on this machine that gives one answer to everything; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/a.pem"
        finally:
            server.shutdown()
            thread.join()


def test_what_is_there_is_fetched() -> None:
    with serving(200, b"-----BEGIN CERTIFICATE-----") as url:
        assert fetch(url) == b"-----BEGIN CERTIFICATE-----"


def test_nobody_is_followed_elsewhere() -> None:
    with (
        serving(200, b"of another") as other,
        serving(302, b"", location=other) as url,
        pytest.raises(CertificateAway, match=r"a\.pem cannot be fetched: HTTP 302"),
    ):
        fetch(url)


@pytest.mark.parametrize("status", [403, 404])
def test_an_address_that_somebody_made_up_is_refused_and_holds_nothing_back(status: int) -> None:
    with serving(status, b"") as url, pytest.raises(Refused, match=f"there is nothing at .*: HTTP {status}"):
        fetch(url)


def test_a_server_that_is_unwell_is_no_refusal() -> None:
    with serving(503, b"") as url, pytest.raises(CertificateAway, match="HTTP 503"):
        fetch(url)


def test_too_much_is_refused() -> None:
    with (
        serving(200, b"x" * (CERTIFICATE_CAP_BYTES + 1)) as url,
        pytest.raises(CertificateAway, match="has more than 65536 bytes"),
    ):
        fetch(url)


def test_a_server_that_is_away_is_no_refusal() -> None:
    with serving(200, b"") as url:
        pass
    with pytest.raises(CertificateAway, match="cannot be fetched"):
        fetch(url)
