"""`enqueue --orders` as its operator meets it: counts in words and in JSON, refusals, and one message shown before."""

from __future__ import annotations

import json

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import World, contacts
from tests.passes.orders import LINK, STEP, as_lines, event, item, trigger
from tests.store.ground import campaign_file

CAMPAIGN = campaign_file("asks", campaign=LINK, steps=(STEP,), rest=trigger())


@pytest.fixture
def shop(any_world: World) -> World:
    assert any_world.run("migrate").code == 0
    any_world.write("asks.toml", CAMPAIGN)
    any_world.write("people.csv", contacts(2))
    orders = [event(1, [item(1), item(2, "packed")]), event(2), event(3, type_="order.paid")]
    any_world.write("orders.jsonl", as_lines(orders))
    return any_world


def test_what_was_not_eligible_is_counted_with_the_reason(shop: World) -> None:
    ran = shop.run("enqueue", "asks.toml", "--orders", "orders.jsonl")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("campaign asks (new): 2 messages planned\n  events           3\n")
    assert "  not eligible     1: other type\n  not eligible     1: where\n" in ran.out
    refund = event(1, [item(1)], type_="order.refunded", at="2026-03-02T10:00:00Z")
    again = shop.run("enqueue", "asks.toml", "--orders", "-", "--json", stdin=as_lines([refund, event(2), event(4)]))
    said = ("rows", "eligible", "enrolled", "known", "not_eligible", "stopped")
    assert {name: again.json[name] for name in said} == {
        "rows": 3, "eligible": 2, "enrolled": 1, "known": 1, "not_eligible": {"known": 1},
        "stopped": {"order.refunded": 1},
    }  # fmt: skip
    counts = shop.run("status", "--campaign", "asks", "--json").json["counts"]
    assert (counts["queued"], counts["cancelled"]) == (2, 1)


def test_a_stopped_message_says_what_stopped_it(shop: World) -> None:
    shop.run("enqueue", "asks.toml", "--orders", "orders.jsonl")
    refund = event(2, type_="order.refunded", at="2026-03-02T10:00:00Z")
    assert "stopped          1: order.refunded" in shop.run("enqueue", "asks.toml", "--orders", "-",
                                                            stdin=as_lines([refund])).out  # fmt: skip


def test_bad_events_are_named_with_exit_code_65_or_kept_in_a_file(shop: World) -> None:
    shop.write("orders.jsonl", as_lines([event(1), event(2, email="nobody")]))
    ran = shop.run("enqueue", "asks.toml", "--orders", "orders.jsonl")
    assert (ran.code, ran.out) == (ExitCode.BAD_INPUT, "")
    assert "orders.jsonl:2:email: " in ran.err
    assert "--skip-bad FILE keeps them" in ran.err
    assert shop.run("status", "--json").json["campaigns"] == []
    skipped = shop.run("enqueue", "asks.toml", "--orders", "orders.jsonl", "--skip-bad", "bad.jsonl")
    assert "  bad, left out    1\n" in skipped.out
    kept = json.loads((shop.folder / "bad.jsonl").read_text())
    assert (kept["sendctl_line"], kept["order"]["id"]) == (2, 2)
    repaired = (shop.folder / "bad.jsonl").read_text().replace("nobody", "somebody@x.example")
    assert "1 message planned" in shop.run("enqueue", "asks.toml", "--orders", "-", stdin=repaired).out


def test_files_put_aside_are_said_even_when_silence_was_asked_for(shop: World) -> None:
    (shop.folder / "spool").mkdir()
    shop.write("spool/a.jsonl", "nonsense\n")
    ran = shop.run("enqueue", "-q", "asks.toml", "--orders", "spool")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "sendctl: warning: a.jsonl was put aside: spool/a.jsonl:1:1: not JSON: expecting value\n"
    assert (shop.folder / "spool/bad/a.jsonl").exists()
    assert shop.run("enqueue", "-q", "asks.toml", "--orders", "spool").err == ""


def test_files_that_cannot_be_moved_are_in_the_json_with_the_reason(shop: World) -> None:
    (shop.folder / "spool").mkdir()
    shop.write("spool/a.jsonl", "nonsense\n")
    shop.write("spool/bad", "in the way")
    ran = shop.run("enqueue", "asks.toml", "--orders", "spool", "--json")
    assert ran.code == 69
    (stays,) = ran.json["unmoved"]
    assert (stays["file"], stays["reason"].startswith("the spool ")) == ("a.jsonl", True)
    assert f"a.jsonl stays where it is: {stays['reason']}" in ran.json["warnings"]
    (shop.folder / "spool/bad").unlink()
    assert shop.run("enqueue", "asks.toml", "--orders", "spool", "--json").json["unmoved"] == []


def test_orders_and_contacts_are_not_taken_for_each_other(shop: World) -> None:
    for arguments, said in (
        (["--contacts", "people.csv"], "use --orders FILE"),
        (["--contacts", "people.csv", "--orders", "orders.jsonl"], "exclude each other"),
        (["--orders", "orders.jsonl", "--at", "now"], "orders are due by their own time"),
    ):
        ran = shop.run("enqueue", "asks.toml", *arguments)
        assert ran.code == ExitCode.USAGE
        assert said in ran.err


def test_preview_shows_the_first_eligible_item_or_the_one_asked_for(shop: World) -> None:
    first = shop.run("preview", "asks.toml", "--orders", "orders.jsonl", "--part", "text")
    assert first.out.startswith("Dear Person 1, order 1: Lamp 1 https://shop.example/r/preview")
    for option in (["--row", 2], ["--to", "PERSON2@x.example"]):
        ran = shop.run("preview", "asks.toml", "--orders", "orders.jsonl", "--part", "text", *option)
        assert ran.out.startswith("Dear Person 2, order 2: ")
    refused = shop.run("preview", "asks.toml", "--orders", "orders.jsonl", "--row", 3)
    assert (refused.code, "event 3 of orders.jsonl has no eligible item" in refused.err) == (ExitCode.USAGE, True)
    sample = shop.run("preview", "asks.toml", "--part", "text")
    assert sample.out.startswith("Dear [name], order [id]: [name] https://")
    assert "--orders FILE shows an order's" in sample.err
    assert "use --orders FILE" in shop.run("preview", "asks.toml", "--contacts", "people.csv").err
    lacking = shop.write("short.toml", CAMPAIGN.replace("item.name", "item.colour"))
    ran = shop.run("preview", lacking.name, "--orders", "orders.jsonl")
    assert "the record of Person1@x.example lacks what the template uses: item.colour" in ran.err
