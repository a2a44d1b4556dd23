"""Who is reached on which channel, whom events about a number are about, and how doubt about texts is settled."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from sendctl.clock import Deadline, SystemClock
from sendctl.errors import BadInput
from sendctl.inputs.events import open_events
from sendctl.passes import enqueue as enqueue_pass
from sendctl.passes import events, reconcile
from sendctl.passes.deciding import Desk
from sendctl.passes.whom import Unmatched
from sendctl.providers.base import Outgoing
from sendctl.providers.sms_file import SmsFileProvider
from tests.passes.two_channels import NUMBER, STEPS, answer, enqueue, people, standing, with_texts
from tests.store.ground import ACCEPTED, REFUSED, UNKNOWN, Ground, campaign_file


@pytest.fixture
def both(ground: Ground) -> Ground:
    return with_texts(ground)


def test_who_lacks_an_address_gets_the_other_and_a_number_gets_each_text_once(both: Ground) -> None:
    rows = (
        "email,phone,first_name\na@x.example,+4930111111,A\nb@x.example,,B\n,+4930222222,C\n"
        "d@x.example,+49 30 111111,D\n,+4930111111,E\n"
    )
    report = both.enqueue(contacts=rows, campaign='channel = "both"', steps=STEPS)
    assert (report.rows, report.enrolled, report.planned, report.sharing, report.repeated_count) == (5, 4, 5, 1, 1)
    assert report.repeated == [(6, "+4930111111")]
    planned = both.rows("SELECT channel, recipient FROM messages ORDER BY channel, recipient")
    assert planned == [("email", "a@x.example"), ("email", "b@x.example"), ("email", "d@x.example"),
                       ("sms", "+4930111111"), ("sms", "+4930222222")]  # fmt: skip
    again = both.enqueue(contacts=rows, campaign='channel = "both"', steps=STEPS)
    assert (again.enrolled, again.known, again.repeated_count) == (0, 4, 1)
    both.pass_with(ACCEPTED)
    channels = "SELECT channel, count(*) FROM messages WHERE step_index = 1 GROUP BY channel ORDER BY channel"
    assert both.rows(channels) == [("email", 3), ("sms", 2)]
    assert both.violations() == []


def ingest(ground: Ground, text: str) -> tuple[events.Applied, list[Unmatched]]:
    path = ground.folder / "events.jsonl"
    path.write_text(text)
    desk = Desk(ground.context)
    with open_events(path) as file, desk.transaction() as connection:
        return events.apply(desk, connection, list(file.rows()))  # type: ignore[misc]


def test_events_find_people_by_either_address_and_end_what_they_are_about(both: Ground) -> None:
    names = ["ana", "bob", "cid", "dot"]
    enqueue(both, names)
    clerk = both.clerk()
    window = clerk.turn([], 1000)
    clerk.turn(answer(both, window, dict.fromkeys(names, ("sent", "sent"))), 0)
    at = (both.clock.now + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    token = both.one(
        "SELECT e.token FROM enrollments e JOIN contacts c ON c.id = e.contact_id WHERE c.email LIKE 'cid%'"
    )
    person = '{"campaign": "sale", "type": "%s", "occurred_at": "%s", "%s": "%s"}\n'
    applied, unmatched = ingest(
        both,
        person % ("submitted", at, "phone", f"{NUMBER}000") + person % ("bounced", at, "email", "bob@x.example")
        + f'{{"type": "unsubscribed", "occurred_at": "{at}", "token": "{token}"}}\n'
        + person % ("unsubscribed", at, "phone", f"{NUMBER}003") + person % ("clicked", at, "phone", "+4930999999"),
    )  # fmt: skip
    assert len(unmatched) == 1
    assert standing(both) == {
        "ana": ("stopped", 1, "cancelled cancelled"),
        "bob": ("active", 1, "suppressed queued"),  # the address takes nothing: the other one may
        "cid": ("stopped", 1, "cancelled cancelled"),
        "dot": ("stopped", 1, "cancelled cancelled"),
    }
    kept = {row[0] for row in both.rows("SELECT address_key FROM suppressions")}
    assert kept == {"bob@x.example", "cid@x.example", "dot@x.example", f"{NUMBER}002", f"{NUMBER}003"}
    assert applied.suppressed == 5
    both.clock.forward(days=2)
    both.pass_with(ACCEPTED)
    assert standing(both)["bob"] == ("active", 2, "queued queued")
    assert both.violations() == []


def test_one_channel_that_is_shut_does_not_hold_the_other(both: Ground) -> None:
    enqueue(both, ["ana", "bob"])
    both.change("INSERT INTO provider_state (provider, breaker, consecutive_failures, times_opened, retry_at, reason,"
                " updated_at) VALUES ('primary', 'open', 5, 1, '2026-03-02 12:00:00.000000', 'away',"
                " '2026-03-02 09:00:00.000000')")  # fmt: skip
    clerk = both.clerk()
    window = clerk.turn([], 1000)
    assert [item.due.channel for item in window.messages] == ["sms", "sms"]
    window = clerk.turn(both.done(window, ACCEPTED), 1000)
    assert not window.messages
    assert "primary: away" in window.blocked
    assert standing(both)["ana"] == ("active", 0, "queued sent")
    del both.providers["texts"]
    both.close()
    both.clock.forward(hours=4)
    window = both.clerk().turn([], 1000)
    assert [item.due.channel for item in window.messages] == ["email"]  # one finds out whether it is back


def test_orders_reach_their_buyers_on_the_channels_that_they_give(both: Ground) -> None:
    trigger = (
        '[trigger]\nevent = "paid"\nkey = "{{ order.id }}"\nemail = \'{{ order.email|default("") }}\'\n'
        "phone = '{{ order.phone|default(\"\") }}'\n"
    )
    campaign = both.folder / "campaign.toml"
    step = STEPS[0].replace("contact.first_name", "order.id")
    campaign.write_text(campaign_file(campaign='channel = "both"', steps=[step], rest=trigger))
    at = both.clock.now.strftime("%Y-%m-%dT%H:%M:%SZ")
    buyers: list[dict[str, str]] = [{"email": "a@x.example"}, {"phone": "+49 30 1234567"},
                                    {"email": "b@x.example", "phone": "+49301234567"}]  # fmt: skip
    orders = both.folder / "orders.jsonl"
    orders.write_text("".join(
        json.dumps({"id": f"e{number}", "type": "paid", "occurred_at": at, "order": {"id": number} | buyer}) + "\n"
        for number, buyer in enumerate(buyers, start=1)
    ))  # fmt: skip
    tried = enqueue_pass.run(both.context, campaign, orders=orders, dry_run=True)
    assert [(one.step, one.texts, one.segments) for one in tried.texts] == [("offer", 2, 2)]
    report = enqueue_pass.run(both.context, campaign, orders=orders)
    assert (report.enrolled, report.planned) == (3, 4)
    both.clock.forward(seconds=1)
    both.send_due()
    texts = [json.loads(line) for line in (both.folder / "sms.jsonl").read_text().splitlines()]
    assert sorted((text["to"], text["text"]) for text in texts) == [
        ("+49301234567", "Hello 2"),
        ("+49301234567", "Hello 3"),
    ]
    orders.write_text(
        orders.read_text() + json.dumps({"id": "e9", "type": "paid", "occurred_at": at, "order": {"id": 9}})
    )
    with pytest.raises(BadInput, match="neither an address nor a number"):
        enqueue_pass.run(both.context, campaign, orders=orders)


def test_a_file_of_texts_settles_doubt_both_ways_on_its_own_host_only(both: Ground) -> None:
    both.clock.now = datetime.now(UTC)
    both.enqueue(
        contacts=people(["ana", "bob", "cid"]), campaign='channel = "sms"', steps=['name = "a"\nsms = "Hello"\n']
    )
    clerk = both.clerk()
    window = clerk.turn([], 10)
    sent, dead, alive = window.messages
    provider, clock = SmsFileProvider("texts", both.folder / "sms.jsonl"), SystemClock()
    outgoing = Outgoing(sent.due.id, 1, sent.due.key, "texts", "", sent.due.recipient, b"Hello")
    mark = AttemptMarkThatAllows()
    asyncio.run(provider.submit(outgoing, Deadline(clock.boot_s() + 9, clock), mark))
    clerk.turn(both.done(window, UNKNOWN), 0)
    both.change("UPDATE attempts SET evidence = 'claim_expired' WHERE message_id = :id", id=alive.due.id)
    elsewhere = with_texts(both.other_host())
    told = reconcile.run(elsewhere.context)
    elsewhere.close()
    assert (told.proven_sent, told.proven_absent) == (1, 0)
    assert "another host handed it over" in " ".join(told.cannot_tell)
    told = reconcile.run(both.context)
    assert (told.proven_sent, told.proven_absent, told.in_doubt) == (0, 1, 1)
    assert "its run may still be alive" in " ".join(told.cannot_tell)
    states = dict(both.rows("SELECT id, status FROM messages"))
    assert states == {sent.due.id: "sent", dead.due.id: "queued", alive.due.id: "in_doubt"}
    assert both.violations() == []


class AttemptMarkThatAllows:
    def begin(self) -> None: ...
    def dot(self) -> None: ...


def test_e_mails_that_are_all_refused_alike_stop_a_campaign_whose_texts_are_taken(ground: Ground) -> None:
    shop = with_texts(ground)
    enqueue(shop, [f"p{number}" for number in range(12)])
    clerk = shop.clerk()
    window = clerk.turn([], 1000)
    spam = REFUSED._replace(enhanced="5.7.1", text="looks like spam", error_class="data")
    outcomes = [spam if item.due.channel == "email" else ACCEPTED for item in window.messages]
    clerk.turn(shop.done(window, *outcomes), 0)
    assert shop.one("SELECT status FROM campaigns") == "paused"
    assert "12 of 12 messages were refused alike: looks like spam" in clerk.stops[0]
