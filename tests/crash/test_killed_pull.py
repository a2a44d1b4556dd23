"""Whoever asks a service for events is killed around its commits: each event counts, and counts once."""

from __future__ import annotations

import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.crash.conftest import NewWorld
from tests.crash.test_services import use
from tests.crash.world import World
from tests.http_double import start_http_double

PEOPLE = 30
GONE = 12  # those who have unsubscribed


def messages(world: World) -> list[tuple[str, str]]:
    """Provider key and recipient of all."""
    with world.context() as context, closing(context.store), context.store.read() as connection:
        rows = connection.execute(sa.text("SELECT provider_key, recipient FROM messages ORDER BY id"))
        return [(row[0], row[1]) for row in rows]


def known(world: World) -> tuple[int, int]:
    """How many events are written down, and how many addresses are suppressed."""
    with world.context() as context, closing(context.store), context.store.read() as connection:
        counted = sa.text("SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM suppressions)")
        return tuple(connection.execute(counted).one())  # type: ignore[return-value]


def unsubscribed(key: str, recipient: str, at: float) -> dict[str, Any]:
    return {
        "event": "unsubscribed", "id": f"u-{key[:12]}", "timestamp": at, "recipient": recipient,
        "message": {"headers": {"message-id": f"{key}@shop.example"}}, "user-variables": {"sendctl": key},
    }  # fmt: skip


def test_killed_while_events_are_pulled_ends_as_if_nothing_had_happened(
    new_world: NewWorld, store_url: str, tmp_path: Path
) -> None:
    world = new_world(store_url, contacts=PEOPLE)
    with start_http_double(tmp_path, "mailgun") as double:
        world.judge = double
        use(world, "mailgun", double.url)
        settings = world.folder / "sendctl.toml"
        settings.write_text(settings.read_text() + "pull_events = true\n")
        assert world.run("send-due").code == 0
        moments = [time.time() - (3600 if number % 2 else 60) for number in range(GONE)]  # for either reading
        gone = [unsubscribed(*one, at) for one, at in zip(messages(world)[:GONE], moments, strict=True)]
        double.pages_of(2)
        double.tell(*gone)
        written = 0
        for point, passage in (
            ("pull.before_commit", 1), ("pull.committed", 1), ("pull.before_commit", 2), ("pull.committed", 2),
        ):  # fmt: skip
            ran = world.run("reconcile", failpoint=f"{point}:kill:{passage}")
            assert ran.code == -signal.SIGKILL, ran
            world.assert_sound()
            before, (written, _) = written, known(world)
            pages = passage if point == "pull.committed" else passage - 1
            assert written == before + 2 * pages, (point, passage)
        assert world.run("reconcile").code == 0
        assert known(world) == (GONE, GONE)
        assert world.run("reconcile").code == 0
        assert known(world) == (GONE, GONE)
        world.assert_sound()


@pytest.mark.parametrize("point", ["pull.before_commit", "pull.committed"])
def test_killed_passes_at_ses_are_settled_by_its_queue(
    new_world: NewWorld, store_url: str, tmp_path: Path, point: str
) -> None:
    """Who was taken is proven by `Send` events alone, whenever whoever takes them in is killed."""
    world = new_world(store_url, contacts=PEOPLE)
    with start_http_double(tmp_path, "ses") as double:
        world.judge = double
        (world.folder / "key").write_text("key-of-the-double")
        (world.folder / "sendctl.toml").write_text(
            '[send]\nenabled = true\nproviders = ["api"]\n[journal]\npath = "journal"\n'
            f'[providers.api]\ntype = "ses"\nbase_url = "{double.url}"\nregion = "eu-central-1"\n'
            'access_key_id = "AKIDOFTHEDOUBLE"\nsecret_access_key_file = "key"\nconfiguration_set = "shop"\n'
            f'pull_events = true\nsqs_queue_url = "{double.url}/123456789012/ses-events"\n'
        )
        assert world.run("send-due", failpoint="provider.replied:kill:3").code == -signal.SIGKILL
        world.run("send-due")
        assert world.counts()["in_doubt"] > 0
        for row in double.accepted():
            mail = {"timestamp": "2026-11-23T09:00:00.000Z", "messageId": row["id"], "tags": {"sendctl": [row["key"]]}}
            double.tell({"eventType": "Send", "mail": mail, "send": {}}, sent=time.time())
        assert world.run("reconcile", failpoint=f"{point}:kill").code == -signal.SIGKILL
        world.assert_sound()
        double.let_come_again()
        world.run("reconcile")
        world.assert_sound()
        missing = PEOPLE - world.accepted().total()
        assert world.counts()["in_doubt"] == missing, "who was taken is proven; who was not cannot be told"
        assert double.left() == []
