"""Passes are killed between what they reserve and what comes of it: nobody gets too much, and nothing leaks."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

import sqlalchemy as sa

from sendctl.store import proofs
from tests.crash.conftest import NewWorld
from tests.crash.world import World

PEOPLE = 12
CAMPAIGN_FILE = """\
[campaign]
name = "{name}"
purpose = "{purpose}"
from = "Shop <news@shop.example>"
unsubscribe_url = "https://shop.example/u/{{{{ token }}}}"
{more}
[controls]
batch_size = 4
retry_base = "1s"
[[steps]]
name = "first"
subject = "Hello {{{{ contact.first_name }}}}"
text = "Hello"
"""
SECOND = '[[steps]]\nname = "second"\nafter = "0s"\nsubject = "Hello again"\ntext = "Hello again"\n'


def enqueue(world: World, name: str, *, purpose: str = "marketing", more: str = "", steps: str = "") -> None:
    path = world.folder / f"{name}.toml"
    path.write_text(CAMPAIGN_FILE.format(name=name, purpose=purpose, more=more) + steps)
    done = world.run("enqueue", str(path), "--contacts", str(world.folder / "contacts.csv"))
    assert done.code == 0, done


def rows(world: World, sql: str) -> list[Any]:
    with world.context() as context, context.store.read() as connection:
        assert proofs.check(connection) == []
        return list(connection.execute(sa.text(sql)))


def finish(world: World) -> None:
    """Passes as long as anything is due: what is held back is not."""
    while True:
        assert world.run("send-due").code in (0, 3)
        if not world.anything_due():
            break
    assert world.run("reconcile").code in (0, 3)


def test_killed_passes_give_nobody_two_within_the_distance_and_everybody_one(
    new_world: NewWorld, store_url: str
) -> None:
    world = new_world(store_url, enqueued=False, contacts=PEOPLE, connections=1, extra='[limits]\ndistance = "12h"\n')
    for name in ("spring", "summer"):
        enqueue(world, name)
    for point in ("claim.committed", "journal.dotted", "provider.replied", "settle.committed"):
        assert world.run("send-due", failpoint=f"{point}:kill").code == -signal.SIGKILL, point
        assert max(world.accepted().values(), default=0) <= 1
    finish(world)
    assert max(world.accepted().values()) == 1
    found = rows(world, "SELECT recipient, status, error_class FROM messages ORDER BY recipient")
    reached = Counter(row[0] for row in found if row[1] in ("sent", "in_doubt"))
    assert reached == {f"person{number}@example.com": 1 for number in range(PEOPLE)}
    assert [row[2] for row in found if row[1] == "queued"] == ["distance"] * PEOPLE
    assert sum(row[1] == "in_doubt" for row in found) >= 1


def test_killed_passes_use_up_exactly_what_an_account_allows(new_world: NewWorld, store_url: str) -> None:
    most = PEOPLE + PEOPLE // 2
    accounts = f'[accounts.shop]\nallowance = "{most}/year"\n'
    world = new_world(store_url, enqueued=False, contacts=PEOPLE, connections=1, extra=accounts)
    enqueue(world, "drip", purpose="transactional", more='account = "shop"', steps=SECOND)
    for point in ("claim.committed", "settle.before_commit", "settle.committed"):
        assert world.run("send-due", failpoint=f"{point}:kill").code == -signal.SIGKILL, point
    finish(world)
    found = Counter(dict(map(tuple, rows(world, "SELECT status, count(*) FROM messages GROUP BY status"))))
    in_doubt = found["in_doubt"]
    assert found["sent"] + in_doubt == most
    assert found["queued"] == 2 * PEOPLE - most - in_doubt  # the next step of who is in doubt is not planned
    assert not [
        name for name, count in Counter(row["message_id"] for row in world.judge.accepted()).items() if count > 1
    ]
    waiting = rows(world, "SELECT count(*) FROM messages WHERE status = 'queued' AND error_class = 'allowance'")
    assert waiting[0][0] == found["queued"]
