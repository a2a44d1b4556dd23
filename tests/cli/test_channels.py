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
    assert "not in GSM-7, so that a segment holds less than half: –" in ran.err
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--json")
    sms = {"to": "+49301234567", "text": "Hello Ana – come by", "encoding": "UCS-2", "units": 19, "segments": 1}
    assert (ran.json["channel"], ran.json["recipient"], ran.json["sms"]) == ("both", "ana@recipient.example", sms)
    assert ran.json["size_bytes"] > 200
    ran = shop.run("preview", "pickup.toml", "--contacts", "people.csv", "--row", "3", "--part", "sms")
    assert (ran.out, "no sms part" in ran.err) == ("", True)
    ran = shop.run("enqueue", "pickup.toml", "--contacts", "people.csv", "--dry-run")
    assert "4 messages would be planned\n  people           3\n" in ran.out
    assert "texts of ready: 2, 2 segments, 2 with characters beyond GSM-7\n" in ran.out
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
