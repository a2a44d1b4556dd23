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
    if event == "socket.getaddrinfo" and _address(arguments[0]) is None:
        # Not a failed test: "no such host" is what a test of a wrong host name wants, without asking a name server.
        raise socket.gaierror(socket.EAI_NONAME, f"{arguments[0]!r} is not looked up in tests")
    if event in BLOCKED_EVENTS and isinstance(arguments[1], tuple):  # a str is a Unix path, None a connected socket
        address = _address(arguments[1][0])
        if address is None or not address.is_loopback:
            attempts.append(f"{event} {arguments[1]!r}")
            raise NetworkUsed(attempts[-1])


def _address(host: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The IP address that a host means without asking anybody: a literal or a name of this machine; None for others."""
    text = host.decode() if isinstance(host, bytes) else str(host or "")
    if text in ("", "localhost", socket.gethostname()):
        return ipaddress.ip_address("127.0.0.1")
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
