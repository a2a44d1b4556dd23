"""`account` as a command, an enqueue that is refused, and what `status` and `show` say of who waits."""

from __future__ import annotations

import pytest

from sendctl.errors import ExitCode
from tests.cli.world import Ran, World

MORE = '[limits]\ndistance = "12h"\n[accounts.shop]\nallowance = "5/month"\n[accounts.agency]\n'
FILE = """\
[campaign]
name = "{name}"
from = "Shop <news@shop.example>"
unsubscribe_url = "https://shop.example/u/{{{{ token }}}}"
account = "shop"
[[steps]]
name = "offer"
subject = "Hello"
text = "Hello"
"""


def enqueue(world: World, name: str, people: int, *more: str) -> Ran:
    world.write("people.csv", "email\n" + "".join(f"p{number}@x.example\n" for number in range(people)))
    return world.run("enqueue", world.write(f"{name}.toml", FILE.format(name=name)), "--contacts", "people.csv", *more)


def test_who_waits_and_what_is_left_is_said(bare_world: World) -> None:
    world = bare_world
    world.configure(more=MORE)
    world.run("migrate")
    assert enqueue(world, "spring", 2).code == 0
    assert world.run("send-due").code == 0
    assert enqueue(world, "summer", 2).code == 0
    assert world.run("send-due").code == 0
    assert world.mails() == 2
    told = world.run("show", "p1@x.example").out
    assert "not sent yet; next attempt in 11 h 59 min: held by the distance of 12h until" in told
    status = world.run("status", "--campaign", "summer", "--json").json
    (held,) = status["held"]
    assert (held["why"], held["count"], held["first_until"]) == ("distance", 2, status["next_due_at"])
    assert "held by the least distance" in world.run("status").out
    rows = world.run("messages", "--campaign", "summer", "--json").json
    assert [row["held"] for row in rows] == ["distance", "distance"]
    listed = world.run("account").out.splitlines()
    assert listed[0] == "ACCOUNT  MOST       SENT  RESERVED  LEFT  LATER  WAITING"
    assert listed[2] == "shop     5/month       2         2     1      0        0"
    refused = enqueue(world, "autumn", 2)
    assert refused.code == ExitCode.ALLOWANCE
    assert "has 1 of 5 messages a month left" in refused.err
    assert [row["campaign"] for row in world.run("status", "--json").json["campaigns"]] == ["spring", "summer"]
    (agency, shop) = world.run("account", "--json").json
    assert (agency["schema"], agency["kind"], agency["period"], agency["ends"]) == (
        "sendctl.account/1", "credits", None, None,
    )  # fmt: skip
    assert (shop["sent"], shop["reserved"], shop["left"], shop["most"]) == (2, 2, 1, 5)


def test_credits_are_granted_and_taken_back(bare_world: World) -> None:
    world = bare_world
    world.configure(more=MORE)
    world.run("migrate")
    granted = world.run("account", "grant", "agency", "100", "--reason", "invoice 4711")
    assert granted.out == "account agency: 100 credits granted, 100 left (before: 0)\n"
    taken = world.run("account", "take", "agency", "30", "--reason", "mistake", "--json").json
    assert taken == {
        "schema": "sendctl.grant/1", "account": "agency", "amount": -30, "before": 100, "left": 70, "shared": 0,
    }  # fmt: skip
    quiet = world.run("account", "grant", "agency", "1", "--reason", "more", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")
    assert "70 credits" not in world.run("account").out
    audit = world.run("status", "--json").json["audit"]
    assert [(line["action"], line["reason"]) for line in audit[:2]] == [("grant", "more"), ("grant", "mistake")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("grant", "agency", "1"), 2, "needs a --reason"),
        (("grant", "agency"), 2, "name the account and how many"),
        (("grant", "shop", "1", "--reason", "x"), 2, "it takes no credits"),
        (("grant", "nobody", "1", "--reason", "x"), 2, "there is no account nobody"),
        (("give", "agency", "1", "--reason", "x"), 2, "want grant or take"),
        (("grant", "agency", "0", "--reason", "x"), 2, "not in the range"),
        (("take", "agency", "1", "--reason", "x"), 7, "1 cannot be taken back"),
    ],
)
def test_what_cannot_be_granted(bare_world: World, arguments: tuple[str, ...], code: int, words: str) -> None:
    bare_world.configure(more=MORE)
    bare_world.run("migrate")
    ran = bare_world.run("account", *arguments)
    assert ran.code == code
    assert words in ran.err
