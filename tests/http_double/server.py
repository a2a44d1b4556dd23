"""HTTP/1.1 for the services, with faults to order. Never decides what a request means.

A script is a list of rules `{"at": ..., "do": ..., "to": REGEX, "skip": N, "first": N}`:

at      connect (nothing is read), headers (the body is not read), body (nothing is taken), reply (taken and logged);
        asked (nothing is looked up), answered (it was): of a GET, with `to` about its path
do      close | reset | silence | cut (half of the reply) | answer (with "status", "headers", "body" of the rule)
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.http_double.services import Answer, Asked, Service


class _Script:
    def __init__(self, rules: list[dict[str, Any]]) -> None:
        self._rules = [rule | {"seen": 0, "done": 0} for rule in rules]
        self._lock = threading.Lock()

    def rule(self, at: str, body: bytes = b"") -> dict[str, Any] | None:
        with self._lock:
            for rule in self._rules:
                if rule["at"] != at or not re.search(rule.get("to", ""), body.decode(errors="replace")):
                    continue
                rule["seen"] += 1
                if rule["seen"] > rule.get("skip", 0) and rule["done"] < rule.get("first", 1 << 30):
                    rule["done"] += 1
                    return rule
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a reply leaves in one piece, at its flush
    disable_nagle_algorithm = True
    service: Service
    script: _Script

    def handle(self) -> None:
        self.close_connection = self._strikes("connect")
        while not self.close_connection:
            self.handle_one_request()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        if self._strikes("headers"):
            return
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer(body)

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""

    def _answer(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body)
        self.service.ledger.write(
            "request", method=self.command, path=self.path, headers=headers, body=body.decode(errors="replace")
        )
        if self.path == "/double":
            self._reply(200, self.service.told.control(json.loads(body)), {})
            return
        if self._strikes(*(("body", body) if self.command == "POST" else ("asked", self.path.encode()))):
            return
        answer = self.service.answer(asked)
        if self.command == "POST" and self._strikes("reply", body, answer):
            return
        if self.command == "GET" and self._strikes("answered", self.path.encode(), answer):
            return
        self._reply(answer.status, answer.body, dict(answer.headers))

    def _reply(self, status: int, body: Any, headers: dict[str, str], *, cut: bool = False) -> None:
        data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        given = {"content-type": "application/json", "content-length": str(len(data))} | headers
        self.send_response(status)
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        self.wfile.flush()

    def _strikes(self, at: str, body: bytes = b"", answer: Answer | None = None) -> bool:
        """Do what the script says here; whether that was the end of this request."""
        rule = self.script.rule(at, body)
        if rule is None:
            return False
        self.close_connection = True
        match rule["do"]:
            case "answer":
                self.close_connection = False
                self._reply(rule["status"], rule.get("body", ""), rule.get("headers", {}))
            case "cut" if answer is not None:
                self._reply(answer.status, answer.body, dict(answer.headers), cut=True)
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case "silence":
                self.connection.recv(1)  # until the client gives up
        return True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:  # it was reset to order
            return


def serve(service: Service, rules: list[dict[str, Any]], port: int) -> ThreadingHTTPServer:
    """A listening server on 127.0.0.1."""
    handler = type("Handler", (_Handler,), {"service": service, "script": _Script(rules)})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    return server
