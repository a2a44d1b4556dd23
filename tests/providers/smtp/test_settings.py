"""From the checked options of a relay to its settings, and what its adapter refuses whoever made them."""

from __future__ import annotations

from typing import Any

import pytest

from sendctl.errors import BadConfig
from sendctl.providers.smtp import settings_from_table, smtp_from_table


def test_a_table_with_only_a_host_gets_the_defaults() -> None:
    settings = settings_from_table("relay", {"host": "mail.example.com"}, None)
    assert (settings.tls, settings.port, settings.connections) == ("starttls", 587, 4)


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_tls(tls: str, port: int) -> None:
    assert settings_from_table("relay", {"host": "h", "tls": tls}, None).port == port


def test_a_whole_table_is_taken_over() -> None:
    table: dict[str, object] = {
        "host": "mail.example.com",
        "port": 2525,
        "tls": "tls",
        "username": "user",
        "password_env": "SMTP_PASSWORD",
        "connections": 9,
        "connect_timeout_s": 3,
        "reply_timeout_s": 4.5,
        "ca_file": "/etc/ca.pem",
        "local_hostname": "sender.example.com",
        "messages_per_connection": 100,
        "pipelining": False,
    }
    relay = smtp_from_table("relay", table, "secret")
    assert (relay.name, relay.connections) == ("relay", 9)
    settings = settings_from_table("relay", table, "secret")
    assert (settings.password, settings.connect_timeout_s, settings.reply_timeout_s) == ("secret", 3.0, 4.5)
    assert (settings.local_hostname, settings.messages_per_connection) == ("sender.example.com", 100)
    assert not settings.pipelining
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("table", "password", "expected"),
    [
        ({"host": "h", "username": "u"}, None, "no password"),
        ({"host": "h"}, "secret", "without a username"),
        ({"host": "h", "username": "u\0v"}, "secret", "NUL"),
        ({"host": "h", "username": "u"}, "se\0cret", "NUL"),
        ({"host": "h", "local_hostname": "a b\r\nMAIL"}, None, "local_hostname"),
        ({"host": "mail.example.com", "tls": "none", "username": "u"}, "secret", "clear text"),
        ({"host": "127.0.0.1.example.com", "tls": "none", "username": "u"}, "secret", "clear text"),
    ],
)
def test_what_would_betray_a_password_is_refused_here_too(
    table: dict[str, Any], password: str | None, expected: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        settings_from_table("relay", table, password)
    assert "[providers.relay]" in str(caught.value)
    assert expected in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_a_password_may_travel_in_clear_text_only_inside_this_machine(host: str) -> None:
    assert settings_from_table("relay", {"host": host, "tls": "none", "username": "u"}, "secret").password == "secret"
