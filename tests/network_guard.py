"""Keeps tests off the network: a connection or datagram to another machine fails the test, and no name resolves.

An audit hook sees every use of Python's `socket`, asyncio's included. It does not see libpq, uvloop or other
processes: what those connect to is for their tests to set.
"""

from __future__ import annotations

import ipaddress
import socket
import sys

BLOCKED_EVENTS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})

# Code under test turns exceptions of the network into outcomes, so raising alone could go unseen.
attempts: list[str] = []


class NetworkUsed(RuntimeError):
    """A test tried to reach another machine."""


def install() -> None:
    """Guard this process for the rest of its life: an audit hook cannot be removed (PEP 578)."""
    sys.addaudithook(_refuse_other_machines)


def _refuse_other_machines(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo" and not _is_local(arguments):
        # Not a failed test: "no such host" is what a test of a wrong host name wants, without asking a name server.
        raise socket.gaierror(socket.EAI_NONAME, f"{arguments[0]!r} is not looked up in tests")
    if event in BLOCKED_EVENTS and not _is_local(arguments[1]):
        attempts.append(f"{event} {arguments[1]!r}")
        raise NetworkUsed(attempts[-1])


def _is_local(address: object) -> bool:
    """Whether an address, as `socket` takes it, stays here: loopback, a Unix path, the None of a connected socket."""
    if not isinstance(address, tuple):
        return True
    host = address[0].decode() if isinstance(address[0], bytes) else str(address[0] or "")
    if host in ("", "localhost", socket.gethostname()):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
