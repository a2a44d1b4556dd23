"""Runs that died: a claimed window and a real journal that got so far and no further."""

from __future__ import annotations

import os
from pathlib import Path

from sendctl.clock import Deadline
from sendctl.definition import fingerprint
from sendctl.identity import new_id
from sendctl.journal import home as homes
from sendctl.journal.home import RunNote
from sendctl.journal.records import Header
from sendctl.journal.writer import AttemptMark, JournalWriter
from sendctl.passes.claiming import Claimed, Window
from sendctl.providers.base import Outcome
from sendctl.store import campaigns, meta
from tests.store.ground import Ground

THIS_BOOT = homes.boot_id()


def dead_run(ground: Ground, *got: Outcome | str, boot_id: str = THIS_BOOT) -> tuple[str, Window]:
    """A run that claimed one message for each of `got` and died: "nothing", "begin", "dot", or an outcome recorded."""
    clerk = ground.clerk(run_id=new_id())
    with ground.store.read() as connection:
        store_id = meta.read(connection).store_id
    now = ground.clock.now
    note = RunNote(store_id, clerk.run_id, "send-due", boot_id, os.getpid(), now.isoformat())
    home = ground.context.home
    with homes.held_lock(home, note):
        header = Header(store_id, note.run_id, 0, home.host_id, boot_id, now.isoformat())
        journal = JournalWriter(home.journal_path(note.run_id, 0), header)
        window = clerk.turn([], len(got))
        assert len(window.messages) == len(got)
        for item, far in zip(window.messages, got, strict=True):
            if far == "nothing":
                continue
            mark = AttemptMark(
                journal, message_id=item.due.id, number=item.number, claim_id=item.claim_id, key=item.due.key,
                provider=item.provider, contents=_contents(ground, item), composed_at=item.composed_at.timestamp(),
                deadline=Deadline(ground.clock.boot + 60, ground.clock), lease=window.lease, deadline_s=60.0,
            )  # fmt: skip
            mark.begin()
            if far == "begin":
                continue
            mark.dot()
            if isinstance(far, Outcome):
                journal.outcome(item.due.id, item.number, far)
        journal.close()
    return note.run_id, window


def _contents(ground: Ground, item: Claimed) -> str:
    with ground.store.read() as connection:
        return fingerprint(campaigns.definition_of(connection, item.due.campaign_id, item.revision))


def journal_of(ground: Ground, run_id: str) -> Path:
    return ground.context.home.journal_path(run_id, 0)
