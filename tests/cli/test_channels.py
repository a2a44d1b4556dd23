"""Text messages at the command line: what they cost is said first, and what a kill leaves is settled."""

from __future__ import annotations

import json

import pytest

from tests.cli.world import World

TEXTS = '[providers.texts]\ntype = "file"\npath = "sms.jsonl"\n'
CAMPAIGN = """\
[campaign]
name = "pickup"
channel = "both"
purpose = "transactional"
from = "Shop <news@shop.example>"
sms_from = "Shop"
[[steps]]
name = "ready"
subject = "Ready"
text = "Hello {{ contact.name }}"
sms = "Hello {{ contact.name }} – come by"
"""
PEOPLE = "email,phone,name\nana@recipient.example,+49301234567,Ana\n,+12025550123,Cid\nbob@recipient.example,,Bob\n"


@pytest.fixture
def shop(world: World) -> World:
    world.configure(more=TEXTS)
    config = world.folder / "sendctl.toml"
    config.write_text(config.read_text().replace('providers = ["outbox"]', 'providers = ["outbox", "texts"]'))
    assert world.run("migrate").code == 0
    world.write("pickup.toml", CAMPAIGN)
    world.write("people.csv", PEOPLE)
    return world


def test_texts_are_shown_with_their_segments_before_they_are_sent(shop: World) -> None:
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--to", "+12025550123")
    assert ran.out.splitlines() == [
        "campaign pickup, step ready", "",
        "---- sms to +12025550123: 1 segment, 19 units of UCS-2 -------------------------", "Hello Cid – come by",
    ]  # fmt: skip
    assert "not in GSM-7, so that a segment holds less than half: – U+2013\n" in ran.err
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--json")
    sms = {"to": "+49301234567", "text": "Hello Ana – come by", "encoding": "UCS-2", "units": 19, "segments": 1,
           "beyond": ["–"], "cost": None}  # fmt: skip
    assert (ran.json["channel"], ran.json["recipient"], ran.json["sms"]) == ("both", "ana@recipient.example", sms)
    assert ran.json["size_bytes"] > 200
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--row", "3", "--part", "sms")
    assert (ran.out, "no sms part" in ran.err) == ("", True)
    ran = shop.run("enqueue", "pickup.toml", "--contacts", "people.csv", "--dry-run")
    assert "4 messages would be planned\n  people           3\n" in ran.out
    assert "texts of ready: 2, 2 segments, 2 with characters beyond GSM-7\n" in ran.out
    assert "    these are      – U+2013 in 2\n" in ran.out
    assert "cost" not in ran.out, "no price is known here"
    only = CAMPAIGN.replace('"both"', '"sms"').replace('subject = "Ready"\ntext = "Hello {{ contact.name }}"\n', "")
    shop.write("only.toml", only.replace('from = "Shop <news@shop.example>"\nsms_from', "from"))
    ran = shop.run("enqueue", "only.toml", "--contacts", "people.csv")
    assert ran.code == 65
    assert "people.csv:4:2: phone: a campaign of text messages needs a phone number" in ran.err
    assert "no such messages" in shop.run("messages").out


def test_a_text_that_a_killed_pass_left_in_doubt_is_proven_and_sent_once(shop: World) -> None:
    assert shop.run("enqueue", "pickup.toml", "--contacts", "people.csv").code == 0
    # Killed when a text had been written, or was about to be: the file says which.
    for point in ("provider.replied:kill:3", "journal.dotted:kill:1"):
        assert shop.run("send-due", SENDCTL_FAILPOINT=point).code == -9
        with (shop.folder / "sms.jsonl").open("a") as file:
            file.write('{"key":"torn')
        assert shop.run("reconcile").code in (0, 3)
    ran = shop.run("send-due")
    assert ran.code in (0, 3), ran
    assert shop.run("reconcile").code in (0, 3)
    lines = [json.loads(line) for line in (shop.folder / "sms.jsonl").read_text().splitlines()]
    assert sorted((line["to"], line["from"], line["text"]) for line in lines) == [
        ("+12025550123", "Shop", "Hello Cid – come by"), ("+49301234567", "Shop", "Hello Ana – come by"),
    ]  # fmt: skip
    listed = shop.run("messages", "--channel", "sms", "--json").json
    assert [(row["to"], row["channel"], row["message_id"]) for row in listed] == [
        ("+49301234567", "sms", None), ("+12025550123", "sms", None),
    ]  # fmt: skip
    assert {row["status"] for row in listed} == {"sent"}
    assert shop.run("messages", "--channel", "email", "--json").json[0]["channel"] == "email"
    assert "BY" in shop.run("messages").out
    assert shop.run("status", "--campaign", "pickup", "--json").json["channel"] == "both"
    assert "e-mail and sms" in shop.run("status", "--campaign", "pickup").out
    assert "(sms)" in shop.run("show", "+49301234567").out
    assert shop.run("messages", "--channel", "fax").code == 2


PRICES = 'price_per_segment = ["0.05 EUR", "+49 0.11 EUR", "+49151 0.1 EUR"]\n'
AGAIN = """\
[[steps]]
name = "again"
kind = "reminder"
after = "1d"
repeat = 2
subject = "Again"
text = "Again"
sms = "Again, {{ contact.name }}"
"""


def test_what_texts_cost_is_said_before_they_are_sent(shop: World) -> None:
    config = shop.folder / "sendctl.toml"
    config.write_text(config.read_text() + PRICES)
    shop.write("pickup.toml", CAMPAIGN + AGAIN)
    shop.write("people.csv", PEOPLE + f"dan@recipient.example,+4915100000000,{'D' * 80}\n")
    for row, cost in (("1", "0.11 EUR"), ("2", "0.05 EUR"), ("4", "0.20 EUR")):
        ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--row", row)
        assert f" of UCS-2, {cost} ---" in ran.out
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--row", "4", "--json")
    assert ran.json["sms"]["cost"] == {"amount": "0.20", "currency": "EUR", "provider": "texts"}
    ran = shop.run("enqueue", "pickup.toml", "--contacts", "people.csv", "--dry-run")
    assert ran.out.endswith(
        "  texts of ready: 3, 4 segments, at most 2 each, 3 with characters beyond GSM-7\n"
        "    these are      – U+2013 in 3\n"
        "  texts of again: 3, 3 segments\n"
        "  cost of ready: 0.36 EUR\n"
        "  cost of again: 0.26 EUR, or 0.52 if it is sent 2 times\n"
        "  cost at most     0.88 EUR, by the prices of provider texts\n"
        "nothing was written: this was a dry run\n"
    )
    document = shop.run("enqueue", "pickup.toml", "--contacts", "people.csv", "--dry-run", "--json").json
    assert (document["priced_by"], document["currency"]) == ("texts", "EUR")
    assert [(one["cost"], one["unpriced"], one["repeat"], one["beyond"]) for one in document["texts"]] == [
        ("0.36", 0, 1, {"–": 3}), ("0.26", 0, 2, {}),
    ]  # fmt: skip


def test_numbers_without_a_price_are_counted_and_not_guessed(shop: World) -> None:
    config = shop.folder / "sendctl.toml"
    config.write_text(config.read_text() + 'price_per_segment = "+49 0.11 EUR"\n')
    ran = shop.run("enqueue", "pickup.toml", "--contacts", "people.csv", "--dry-run")
    assert "  cost at most     0.11 EUR, by the prices of provider texts\n" in ran.out
    assert "  without a price  1 number: what goes there is not reckoned in\n" in ran.out
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--row", "2")
    assert "units of UCS-2 ---" in ran.out


def test_preview_needs_no_configuration_for_texts_either(shop: World) -> None:
    (shop.folder / "sendctl.toml").unlink()
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv")
    assert (ran.code, "1 segment, 19 units of UCS-2 ---" in ran.out) == (0, True)
    assert shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--config", "none.toml").code == 78


@pytest.mark.parametrize(
    ("prices", "problem"),
    [
        ('"5 cents"', '"5 cents" is no price: want "0.05 EUR"'),
        ('["0.05 EUR", "0.06 EUR"]', "two prices for all numbers"),
        ('["0.05 EUR", "+49 0.06 USD"]', "several currencies: EUR, USD"),
        ('["+49 0.05 EUR", "+49 0.06 EUR"]', "two prices for numbers that begin with +49"),
        ("[]", "it is empty"),
        ("0.05", "want a list of texts"),
    ],
)
def test_a_wrong_price_is_named_with_its_place(shop: World, prices: str, problem: str) -> None:
    config = shop.folder / "sendctl.toml"
    config.write_text(config.read_text() + f"price_per_segment = {prices}\n")
    ran = shop.run("providers")
    assert ran.code == 78
    assert "sendctl.toml:12:" in ran.err
    assert problem in ran.err


def test_prices_are_of_texts_alone_and_may_stand_in_a_variable(shop: World) -> None:
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv",
                   SENDCTL_PROVIDERS_TEXTS_PRICE_PER_SEGMENT="0.05 EUR, +49 0.11 EUR")  # fmt: skip
    assert "UCS-2, 0.11 EUR ---" in ran.out
    ran = shop.run("providers", SENDCTL_PROVIDERS_OUTBOX_PRICE_PER_SEGMENT="0.05 EUR")
    assert (ran.code, 'no key "price_per_segment"' in ran.err) == (78, True)
