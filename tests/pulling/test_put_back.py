"""A store that was put back has an older place: it asks again for what came since, and passes over nothing of it."""

from __future__ import annotations

from tests.pulling.world import World, hard, mailgun


def test_what_was_learned_since_a_backup_is_learned_again(world: World) -> None:
    double = world.serve("mailgun")
    first, second = world.sent(2)
    double.tell(mailgun("delivered", first, world.ago(60)))
    assert world.pull().applied.fresh == 1
    backup = world.ground.backup()
    world.ground.clock.forward(hours=5)
    double.tell(hard(second, world.ago(60)))
    assert world.pull().applied.bounced == 1
    world.ground.clock.forward(hours=20)
    assert world.pull().applied.fresh == 0
    world.ground.put_back(backup)
    assert world.suppressed() == {}
    report = world.pull()
    assert report.applied.by_type == {"bounced": 1}
    assert world.suppressed() == {second["recipient"]: "bounced"}


def test_an_event_of_a_message_that_only_journals_remember_is_not_passed_over(world: World) -> None:
    """Its campaign's file has yet to be enqueued again: until then nothing here has its key."""
    double = world.serve("mailgun")
    (message,) = world.sent(1)
    double.tell(mailgun("delivered", message, world.ago(-60)))
    backup = world.ground.backup()
    forgotten = backup | {name: [] for name in ("attempts", "messages", "enrollments")}
    forgotten["replayed_keys"] = [
        {
            "provider_key": message["provider_key"], "outcome": "accepted", "provider": "primary", "run_id": "r",
            "provider_message_id": None, "claim_id": "c", "contents": "x", "composed_at": world.ago(),
            "at": world.ago(),
        }
    ]  # fmt: skip
    world.ground.put_back(forgotten)
    world.ground.clock.forward(hours=2)
    assert (world.pull().foreign, world.events()) == (0, [])
    with world.ground.store.read() as connection:
        place = dict(connection.exec_driver_sql("SELECT feed, again_for FROM event_cursors WHERE lag_s > 0").all())
    assert place["events"] is not None
    cursors = world.ground.backup()["event_cursors"]
    world.ground.put_back(backup | {"event_cursors": cursors})  # enqueued again, and settled by what was remembered
    assert world.pull().applied.by_type == {"delivered": 1}
