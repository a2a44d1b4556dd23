"""Putting back what a journal proves: the attempt says what the journal said, and where it says nothing, so."""

from __future__ import annotations

from typing import Any

from sendctl.store import replay
from sendctl.store.replay import Proven
from tests.store.ground import DEFERRED, START, Ground


def put_back(ground: Ground, **said: Any) -> dict[str, Any]:
    """Put an attempt back that came after a deferral, and tell message and attempt as they are then."""
    ground.provable = False  # the enrollment goes on in the caller's hands (passes/replaying.py)
    ground.enqueue(1)
    ground.pass_with(DEFERRED)
    key = ground.one("SELECT provider_key FROM messages")
    known: dict[str, Any] = {"accepted": False, "provider_message_id": "", "text": ""} | said
    proven = Proven(
        key, "run9", 2, "claim9", "fallback", at=START, contents="", composed_at=None,
        **known,
    )  # fmt: skip
    with ground.store.write() as connection:
        place = replay.known_messages(connection, [key])[key]
        assert replay.put_back(connection, place, proven, revision=None, now=ground.store.now(connection))
    (row,) = ground.rows(
        "SELECT m.status, m.attempts, m.last_error, m.error_class, a.number, a.run_id, a.worker, a.claim_id,"
        " a.provider, a.evidence, a.outcome, a.phase, a.reply, a.provider_message_id FROM messages m"
        " JOIN attempts a ON a.message_id = m.id WHERE a.number = 2"
    )
    return dict(row._mapping)


ALWAYS = {"attempts": 2, "number": 2, "run_id": "run9", "worker": 2, "claim_id": "claim9", "provider": "fallback",
          "evidence": "journal", "error_class": None}  # fmt: skip


def test_an_acceptance_is_put_back_with_all_that_the_provider_said(ground: Ground) -> None:
    assert put_back(ground, accepted=True, provider_message_id="Q9", text="250 ok") == ALWAYS | {
        "status": "sent", "last_error": None, "outcome": "accepted", "phase": "replied", "reply": "250 ok",
        "provider_message_id": "Q9",
    }  # fmt: skip


def test_a_last_byte_without_a_reply_is_put_back_as_doubt_and_says_so(ground: Ground) -> None:
    assert put_back(ground) == ALWAYS | {
        "status": "in_doubt", "last_error": replay.NO_REPLY, "outcome": "unknown", "phase": "dotted", "reply": None,
        "provider_message_id": None,
    }  # fmt: skip


def test_doubt_with_words_of_the_journal_shows_them_and_not_those_of_an_earlier_attempt(ground: Ground) -> None:
    assert put_back(ground, text="silence")["last_error"] == "silence"
