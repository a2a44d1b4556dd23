"""The judge itself: the SMTP double in its own process logs before it accepts, keeps its log, and obeys its script."""

from __future__ import annotations

import asyncio
import hashlib
import smtplib
from pathlib import Path

import pytest

from tests.providers.smtp import world
from tests.smtp_double import start_smtp_double
from tests.smtp_double.script import Rule, Script, parse_script


def test_another_client_agrees_on_what_was_accepted(tmp_path: Path) -> None:
    with (
        start_smtp_double(tmp_path, keep=True, auth="user:pass", transcript=True) as double,
        smtplib.SMTP("127.0.0.1", double.port) as client,
    ):
        client.login("user", "pass")
        client.sendmail("a@x.example", ["b@x.example"], "Message-ID: <m1@x>\r\n\r\n.dots\r\n..\r\n")
        (row,) = double.accepted()
        content = (double.keep / f"{row['queue_id']}.eml").read_bytes()
        assert content == b"Message-ID: <m1@x>\r\n\r\n.dots\r\n..\r\n"
        assert row | {"at": ""} == {
            "at": "",
            "from": "a@x.example",
            "rcpt": "b@x.example",
            "message_id": "<m1@x>",
            "queue_id": row["queue_id"],
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert any(line.upper().startswith("MAIL FROM:<A@X.EXAMPLE>") for line in double.heard())


def test_the_log_outlives_the_double_and_goes_on(tmp_path: Path) -> None:
    async def one(port: int, recipient: str) -> None:
        relay = world.provider(port)
        assert (await world.submit(relay, world.outgoing(recipient)))[0].kind == "accepted"
        await relay.close()

    with start_smtp_double(tmp_path) as double:
        world.run(one(double.port, "first@x.example"))
        port = double.port
    with start_smtp_double(tmp_path, port=port) as double:
        assert double.port == port
        world.run(one(port, "second@x.example"))
        assert [row["rcpt"] for row in double.accepted()] == ["first@x.example", "second@x.example"]


def test_a_hundred_connections_at_once_are_served_and_logged_once_each(tmp_path: Path) -> None:
    async def main(port: int) -> set[str]:
        relay = world.provider(port, connections=120)
        messages = [world.outgoing(f"r{number}@x.example") for number in range(1200)]
        results = await asyncio.gather(*(world.submit(relay, message, 60.0) for message in messages))
        await relay.close()
        return {outcome.provider_message_id for outcome, _ in results}

    with start_smtp_double(tmp_path, latency_ms=5) as double:
        ids = world.run(main(double.port))
        rows = double.accepted()
    assert len(rows) == len(ids) == 1200
    assert {row["queue_id"] for row in rows} == ids
    assert len({row["rcpt"] for row in rows}) == 1200


def test_the_message_is_in_the_log_before_its_reply_is_lost(tmp_path: Path) -> None:
    with start_smtp_double(tmp_path, script=[{"at": "reply", "do": "close"}]) as double:
        outcome, _ = world.run(world.submit(world.provider(double.port)))
        assert outcome.kind == "unknown"
        assert len(double.accepted()) == 1


def test_rules_select_their_passages() -> None:
    script = Script([Rule("rcpt", "close", recipient="^bad", skip=1, every=2, first=2)])
    hits = [script.action("rcpt", recipient) for recipient in ["good", *["bad"] * 7]]
    assert hits == ["", "", "close", "", "close", "", "", ""]
    assert script.action("mail") == ""


@pytest.mark.parametrize("text", ['[{"at": "dots", "do": "close"}]', '[{"at": "dot", "do": "vanish"}]'])
def test_a_rule_that_says_nothing_known_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a rule"):
        parse_script(text)
