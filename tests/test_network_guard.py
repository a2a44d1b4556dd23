"""The guard against the network refuses and remembers; loopback stays open."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests import network_guard


@pytest.mark.parametrize("address", [("192.0.2.1", 25), ("10.0.0.1", 25)])
def test_connection_to_another_machine_is_refused_and_remembered(address: tuple[str, int]) -> None:
    with socket.socket() as client, pytest.raises(network_guard.NetworkUsed):
        client.connect(address)
    assert len(network_guard.attempts) == 1
    network_guard.attempts.clear()


def test_connection_by_the_high_level_call_is_refused_too() -> None:
    with pytest.raises(network_guard.NetworkUsed):
        socket.create_connection(("192.0.2.1", 25))
    network_guard.attempts.clear()


def test_caught_refusal_still_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import no_network")
    pytester.makepyfile("""
        import contextlib, socket

        def test_careless():
            with contextlib.suppress(Exception):
                socket.create_connection(("192.0.2.1", 25))
    """)
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1, errors=1)
    network_guard.attempts.clear()


def test_asyncio_connection_to_another_machine_is_refused() -> None:
    with pytest.raises(network_guard.NetworkUsed):
        asyncio.run(asyncio.open_connection("192.0.2.1", 25))
    network_guard.attempts.clear()


def test_datagram_to_another_machine_is_refused() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as client, pytest.raises(network_guard.NetworkUsed):
        client.sendto(b"x", ("192.0.2.1", 53))
    network_guard.attempts.clear()


def test_name_does_not_resolve_and_no_name_server_is_asked() -> None:
    with pytest.raises(socket.gaierror, match="not looked up"):
        asyncio.run(asyncio.open_connection("shop.example", 25))


def test_loopback_stays_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(b"x")
    assert network_guard.attempts == []
