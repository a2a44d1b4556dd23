"""One transaction as the server sees it: envelope parameters, the exact body, refused groups, reuse."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import pytest

from sendctl.providers.base import ClaimExpired, Outcome
from tests.providers.smtp import world

BOTH = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "stepwise"])


@BOTH
@pytest.mark.parametrize(
    "content",
    [
        world.CONTENT,
        b".\r\n",
        b"..\r\n.\r\n\r\n",
        b"\r\n.\r\n.\r\n..\r\n",
        b"A: b\r\n\r\n" + b".x\r\n" * 50_000,
        "Subject: grün\r\n\r\nÄ\r\n".encode(),
        b"A: b\r\n\r\n" + (b"x" * 70 + b"\r\n") * 200_000,  # more than the kernel takes at once
    ],
)
def test_the_server_receives_every_byte_as_rendered(tmp_path: Path, pipelining: bool, content: bytes) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path, pipelining=pipelining) as double:
            relay = world.provider(double.port)
            outcome, _ = await world.submit(relay, world.outgoing(content=content, eight_bit=not content.isascii()))
            await relay.close()
            return outcome

    assert world.run(main()).kind == "accepted"
    assert [row["sha256"] for row in world.rows(tmp_path)] == [hashlib.sha256(content).hexdigest()]


def _submit_one(folder: Path, *rules: dict[str, object], message: object = None, **options: object) -> Outcome:
    async def main() -> Outcome:
        async with world.server(folder, *rules, **options) as double:
            relay = world.provider(double.port)
            outcome, _ = await world.submit(relay, message)  # type: ignore[arg-type]
            await relay.close()
            return outcome

    return world.run(main())


def test_the_envelope_carries_what_the_server_offers_and_the_message_needs(tmp_path: Path) -> None:
    message = world.outgoing("jürgen@x.example", eight_bit=True, smtputf8=True)
    assert _submit_one(tmp_path, message=message).kind == "accepted"
    size = len(world.CONTENT)
    assert world.heard(tmp_path)[1:4] == [
        f"MAIL FROM:<a@shop.example> SIZE={size} BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<jürgen@x.example>",
        "DATA",
    ]


def test_the_envelope_asks_for_nothing_that_was_not_offered(tmp_path: Path) -> None:
    assert _submit_one(tmp_path, extensions=()).kind == "accepted"
    assert "MAIL FROM:<a@shop.example>" in world.heard(tmp_path)


@pytest.mark.parametrize(
    ("offers", "fields", "error_class"),
    [
        (("SIZE 50",), {}, "size"),
        (("SIZE 5000",), {"eight_bit": True}, "8bitmime-unsupported"),
        (("8BITMIME",), {"smtputf8": True}, "smtputf8-unsupported"),
        (("8BITMIME",), {"recipient": "jürgen@x.example"}, "smtputf8-unsupported"),
        ((), {"recipient": "b@x.example>\r\nRCPT TO:<c@x.example"}, "address"),
        ((), {"recipient": "b@x.example\0"}, "address"),
        ((), {"recipient": ""}, "address"),
        ((), {"recipient": "b c@x.example"}, "address"),
        ((), {"content": b"A: b\r\n\r\nx\n.\r\nMAIL FROM:<evil@x>\r\n"}, "content"),
        ((), {"content": b"A: b\r\n\r\nx\r.\r\n"}, "content"),
        ((), {"content": b"A: b\r\n\r\nno line end"}, "content"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_a_byte_leaves(
    tmp_path: Path, offers: tuple[str, ...], fields: dict[str, object], error_class: str
) -> None:
    outcome = _submit_one(tmp_path, message=world.outgoing(**fields), extensions=offers)  # type: ignore[arg-type]
    # An address that is not the recipient's stands in every message of the campaign.
    scope = "campaign" if "smtputf8" in fields else "recipient"
    assert (outcome.kind, outcome.phase, outcome.scope) == ("refused", "untouched", scope)
    assert outcome.error_class == error_class
    assert not [line for line in world.heard(tmp_path) if line.startswith(("MAIL", "RCPT"))]


@pytest.mark.parametrize("size_line", ["SIZE", "SIZE 0", "SIZE nonsense"])
def test_a_server_without_a_size_limit_takes_any_message(tmp_path: Path, size_line: str) -> None:
    assert _submit_one(tmp_path, extensions=(size_line,)).kind == "accepted"


@pytest.mark.parametrize("address", ['"quoted name"@x.example', '"a\\"b<c>"@x.example', "o'brien+tag@x.example"])
def test_awkward_but_legal_addresses_are_sent(tmp_path: Path, address: str) -> None:
    assert _submit_one(tmp_path, message=world.outgoing(address)).kind == "accepted"
    assert f"RCPT TO:<{address}>" in world.heard(tmp_path)


def test_a_sender_that_cannot_stand_in_an_envelope_halts_the_campaign(tmp_path: Path) -> None:
    outcome = _submit_one(tmp_path, message=world.outgoing(sender="a@x.example>\r\nDATA"))
    assert (outcome.kind, outcome.phase, outcome.scope) == ("halted", "untouched", "campaign")


@BOTH
@pytest.mark.parametrize("step", ["mail", "rcpt", "data"])
def test_a_refused_message_leaves_the_connection_good_for_the_next(tmp_path: Path, pipelining: bool, step: str) -> None:
    async def main() -> list[Outcome]:
        rule = {"at": step, "do": "reply:450 4.2.0 later", "first": 1}
        async with world.server(tmp_path, rule, pipelining=pipelining) as double:
            relay = world.provider(double.port, connections=1)
            outcomes = [(await world.submit(relay))[0] for _ in range(3)]
            await relay.close()
            return outcomes

    assert [outcome.kind for outcome in world.run(main())] == ["deferred", "accepted", "accepted"]
    assert len([line for line in world.heard(tmp_path) if line.startswith("EHLO")]) == 1
    assert len(world.rows(tmp_path)) == 2


def _after_354_to_a_refused_envelope(folder: Path, *rules: dict[str, object]) -> list[Outcome]:
    async def main() -> list[Outcome]:
        data = {"at": "data", "do": "reply:354 go ahead anyway", "first": 1}
        async with world.server(folder, *rules, data) as double:  # type: ignore[arg-type]
            relay = world.provider(double.port, connections=1)
            outcomes = [(await world.submit(relay))[0] for _ in range(2)]
            await relay.close()
            return outcomes

    return world.run(main())


@pytest.mark.parametrize("answer_to_dot", ["554 5.5.1 no recipients", "250 2.0.0 ok nothing"])
def test_a_354_to_a_refused_recipient_gets_a_lone_dot_and_is_never_acceptance(
    tmp_path: Path, answer_to_dot: str
) -> None:
    refusal = {"at": "rcpt", "do": "reply:550 5.1.1 no such user", "first": 1}
    dot = {"at": "dot", "do": f"reply:{answer_to_dot}", "first": 1}
    first, second = _after_354_to_a_refused_envelope(tmp_path, refusal, dot)
    assert (first.kind, first.phase, first.enhanced) == ("refused", "begun", "5.1.1")
    assert second.kind == "accepted"
    heard = world.heard(tmp_path)
    assert heard[heard.index("DATA") + 1 : heard.index("DATA") + 3] == [". 0", "RSET"]
    assert len([line for line in heard if line.startswith("EHLO")]) == 1


def test_a_connection_that_does_not_confirm_its_reset_is_given_up(tmp_path: Path) -> None:
    async def main() -> list[Outcome]:
        rules = [{"at": "rcpt", "do": "reply:450 4.2.0 later", "first": 1}, {"at": "rset", "do": "reply:500 what"}]
        async with world.server(tmp_path, *rules) as double:
            relay = world.provider(double.port, connections=1)
            outcomes = [(await world.submit(relay))[0] for _ in range(2)]
            await relay.close()
            return outcomes

    assert [outcome.kind for outcome in world.run(main())] == ["deferred", "accepted"]
    assert [line for line in world.heard(tmp_path) if line.startswith("EHLO") or line == "RSET"][1] == "RSET"
    assert len([line for line in world.heard(tmp_path) if line.startswith("EHLO")]) == 2


def test_a_354_after_a_refused_sender_and_a_taken_recipient_gets_no_dot_at_all(tmp_path: Path) -> None:
    mail = {"at": "mail", "do": "reply:451 4.3.0 trouble", "first": 1}
    rcpt = {"at": "rcpt", "do": "reply:250 2.1.5 ok", "first": 1}
    first, second = _after_354_to_a_refused_envelope(tmp_path, mail, rcpt)
    assert (first.kind, first.phase) == ("deferred", "begun")
    assert second.kind == "accepted"
    heard = world.heard(tmp_path)
    assert ". 0" not in heard
    assert len([line for line in heard if line.startswith("EHLO")]) == 2


@BOTH
@pytest.mark.parametrize("action", ["close", "reset", "reply:421 4.4.2 idle too long"])
def test_an_idle_connection_found_closed_at_mail_is_replaced_once(
    tmp_path: Path, pipelining: bool, action: str
) -> None:
    async def main() -> tuple[Outcome, Outcome, list[str]]:
        rule = {"at": "mail", "do": action, "skip": 1, "first": 1}
        async with world.server(tmp_path, rule, pipelining=pipelining) as double:
            relay = world.provider(double.port, connections=1)
            first, _ = await world.submit(relay)
            second, mark = await world.submit(relay)
            await relay.close()
            return first, second, mark.calls

    first, second, calls = world.run(main())
    assert (first.kind, second.kind) == ("accepted", "accepted")
    assert calls == ["begin", "dot"]
    assert len(world.rows(tmp_path)) == 2


@pytest.mark.parametrize("action", ["close", "reset", "reply:421 4.4.2 go away"])
def test_a_server_that_closes_at_every_mail_is_not_tried_a_third_time(tmp_path: Path, action: str) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path, {"at": "mail", "do": action, "skip": 1}, pipelining=False) as double:
            relay = world.provider(double.port, connections=1)
            await world.submit(relay)
            outcome, _ = await world.submit(relay)
            return outcome

    outcome = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.scope) == ("deferred", "begun", "provider")
    assert len([line for line in world.heard(tmp_path) if line.startswith("MAIL")]) == 3


def test_an_outage_between_two_messages_defers_the_one_whose_mail_had_left(tmp_path: Path) -> None:
    async def main() -> Outcome:
        rules = [{"at": "mail", "do": "close", "skip": 1}, {"at": "banner", "do": "reply:554 5.3.2 no", "skip": 1}]
        async with world.server(tmp_path, *rules) as double:
            relay = world.provider(double.port, connections=1)
            await world.submit(relay)
            return (await world.submit(relay))[0]

    outcome = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.error_class) == ("halted", "begun", "banner")


def test_a_connection_carries_no_more_messages_than_allowed(tmp_path: Path) -> None:
    async def main() -> None:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port, connections=1, messages_per_connection=2)
            for _ in range(5):
                assert (await world.submit(relay))[0].kind == "accepted"
            await relay.close()

    world.run(main())
    verbs = [line.split()[0] for line in world.heard(tmp_path)]
    assert verbs.count("EHLO") == 3
    assert verbs.count("QUIT") == 3


def test_no_more_connections_are_opened_than_allowed(tmp_path: Path) -> None:
    async def main() -> list[Outcome]:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port, connections=3)
            results = await asyncio.gather(*(world.submit(relay, world.outgoing(f"r{n}@x.example")) for n in range(40)))
            await relay.close()
            return [outcome for outcome, _ in results]

    assert {outcome.kind for outcome in world.run(main())} == {"accepted"}
    assert len({json.loads(line)["connection"] for line in world.lines(tmp_path / "heard")}) == 3
    assert len({row["rcpt"] for row in world.rows(tmp_path)}) == 40


def test_a_claim_lost_before_mail_sends_nothing(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ClaimExpired

    async def main() -> None:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port)
            with pytest.raises(ClaimExpired):
                await relay.submit(world.outgoing(), world.deadline(), world.Mark(at_begin=refuse))
            await relay.close()

    world.run(main())
    assert [line.split()[0] for line in world.heard(tmp_path)] == ["EHLO"]


def test_a_claim_lost_before_the_dot_sends_no_dot(tmp_path: Path) -> None:
    def refuse() -> None:
        raise ClaimExpired

    async def main() -> None:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port)
            with pytest.raises(ClaimExpired):
                await relay.submit(world.outgoing(), world.deadline(), world.Mark(at_dot=refuse))
            assert (await world.submit(relay))[0].kind == "accepted"  # on a connection of its own
            await relay.close()

    world.run(main())
    assert len(world.rows(tmp_path)) == 1
    assert len([line for line in world.heard(tmp_path) if line.startswith("EHLO")]) == 2
