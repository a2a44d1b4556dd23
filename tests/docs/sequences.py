"""The situations of sequences that the documents speak of: people between two steps, and what goes wrong there."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

from tests.docs.arrivals import learned, write_events
from tests.docs.situations import ROOT, World, by_words


def a_sequence_is_under_way(world: World) -> None:
    """The sample sequence: three people have had its first step, and wait for the second."""
    world.start_relay()
    world.configure()
    for path in (ROOT / "examples/drip").iterdir():
        shutil.copy(path, world.folder)
    world.expect("sendctl migrate")
    world.expect("sendctl enqueue campaign.toml --contacts contacts.csv")
    world.expect("sendctl send-due")


def _due_now(world: World) -> None:
    """What waits is due, as if days had gone by."""
    now = datetime.now(UTC).strftime("'%Y-%m-%d %H:%M:%S.000000'")
    world.sql(f"UPDATE messages SET due_at = {now}, next_attempt_at = {now} WHERE status = 'queued'")
    world.sql(f"UPDATE enrollments SET next_scheduled_at = {now} WHERE status = 'active'")


def the_next_step_is_due_and_refused_for_somebody(world: World) -> None:
    """Days have gone by; Ben's mailbox is not there any more."""
    _due_now(world)
    world.stop_relay()
    world.start_relay(script=[{"at": "rcpt", "do": "reply:550 5.1.1 no such mailbox", "recipient": "^ben"}])
    world.expect("sendctl send-due", code=3)


def a_wrong_campaign_file_was_enqueued_and_its_step_is_sent(world: World) -> None:
    """Somebody put the words of the third letter into the second."""
    file = world.folder / "campaign.toml"
    shutil.copy(file, world.folder / "campaign.toml.good")
    file.write_text(file.read_text().replace("here are three tips.", "this one is for you."))
    world.expect("sendctl enqueue campaign.toml")
    _due_now(world)
    world.expect("sendctl send-due")


def the_campaign_file_is_mended(world: World) -> None:
    """As it was before."""
    shutil.copy(world.folder / "campaign.toml.good", world.folder / "campaign.toml")


REMINDERS = """\
[campaign]
name = "how-is-it"
purpose = "transactional"
from = "Shop <care@shop.example>"

[[steps]]
name = "ask"
subject = "How is it, {{ contact.first_name }}?"
text = "Tell us."

[[steps]]
name = "nudge"
kind = "reminder"
after = "3d"
repeat = 2
subject = "Still: how is it?"
text = "Tell us."
"""


def reminders_are_under_way(world: World) -> None:
    """Three people were asked, and are due to be reminded."""
    world.start_relay()
    world.configure()
    shutil.copy(ROOT / "examples/drip/contacts.csv", world.folder)
    (world.folder / "reminders.toml").write_text(REMINDERS)
    world.expect("sendctl migrate")
    world.expect("sendctl enqueue reminders.toml --contacts contacts.csv")
    world.expect("sendctl send-due")
    _due_now(world)


def the_receiver_had_kept_what_people_submitted(world: World) -> None:
    """One of them had answered long before."""
    write_events(world.folder / "events.jsonl", learned(1, "submitted", 1))


def the_reminder_is_taken_out_of_the_campaign_file(world: World) -> None:
    """Only the first step is left."""
    file = world.folder / "reminders.toml"
    file.write_text(file.read_text().partition('\n[[steps]]\nname = "nudge"')[0])


SITUATIONS = by_words(
    (
        a_sequence_is_under_way,
        the_next_step_is_due_and_refused_for_somebody,
        a_wrong_campaign_file_was_enqueued_and_its_step_is_sent,
        the_campaign_file_is_mended,
        reminders_are_under_way,
        the_receiver_had_kept_what_people_submitted,
        the_reminder_is_taken_out_of_the_campaign_file,
    )
)
