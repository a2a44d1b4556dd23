"""Silence in a complete log is proof only of what this host's own MTA would have, by a run that is over."""

from __future__ import annotations

from dataclasses import replace

from sendctl.passes import reconcile
from sendctl.settings import ProviderTable, ReconcileSettings
from tests.evidence.writing import DOTTED_AT, NOW, framed, write
from tests.passes.judge import Judge
from tests.store.ground import UNKNOWN, Ground


def look_into_the_log(ground: Ground) -> None:
    """From now on the provider's MTA is this host's own Postfix; the time is when `complete_log` matters."""
    ground.close()
    ground.reconcile = ReconcileSettings(
        mta="postfix", mta_logs=(str(ground.folder / "mail.log"),), mta_providers=("primary",)
    )
    ground.clock.now = DOTTED_AT


def complete_log(ground: Ground) -> None:
    """An hour later the log is complete and settled, and none of our messages is in it."""
    write(ground.folder / "mail.log", framed([]))
    ground.clock.now = NOW


def test_silence_about_a_run_that_may_be_alive_proves_nothing(ground: Ground, judge: Judge) -> None:
    """Its claim expired, but nobody knows that it is dead: it may hand the message over after the search."""
    look_into_the_log(ground)
    ground.enqueue(2)
    ground.clerk().turn([], 1)
    ground.pass_with(UNKNOWN)
    ground.clock.forward(seconds=ground.send.claim_s + ground.send.deadline_s + 1)
    assert reconcile.run(ground.context).claims_expired == 1
    complete_log(ground)
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.in_doubt) == (1, 1)
    assert report.proven_by == {"the MTA's log shows that it was not taken": 1}
    assert [reason for reason in report.cannot_tell if "may still be alive" in reason]
    assert ground.rows("SELECT evidence FROM attempts WHERE outcome = 'unknown'") == [("claim_expired",)]


def test_silence_about_what_another_host_handed_over_proves_nothing_here(ground: Ground, judge: Judge) -> None:
    """With one MTA a host, the other host's log has it."""
    look_into_the_log(ground)
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    complete_log(ground)
    other = ground.other_host()
    report = reconcile.run(other.context)
    assert (report.proven_absent, report.in_doubt) == (0, 1)
    assert [reason for reason in report.cannot_tell if "another host handed it over" in reason]
    assert reconcile.run(ground.context).proven_absent == 1
    assert ground.states() == {"queued": 1}
    other.close()


def test_silence_about_a_provider_that_hands_over_elsewhere_proves_nothing(ground: Ground, judge: Judge) -> None:
    look_into_the_log(ground)
    ground.reconcile = replace(ground.reconcile, mta_providers=("fallback",))
    ground.enqueue(1)
    ground.pass_with(UNKNOWN)
    complete_log(ground)
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.in_doubt) == (0, 1)
    assert [reason for reason in report.cannot_tell if "provider primary is not in mta_providers" in reason]


def test_reasons_that_differ_in_their_times_only_are_one(ground: Ground, judge: Judge) -> None:
    """Else a thousand messages in doubt are a thousand lines of a plan."""
    look_into_the_log(ground)
    ground.enqueue(3)
    for _ in range(3):
        clerk = ground.clerk()
        clerk.turn(ground.done(clerk.turn([], 1), UNKNOWN), 0)
        ground.clock.forward(seconds=1)
    ((reason, number),) = reconcile.run(ground.context).cannot_tell.items()
    assert (reason[:41], number) == ("it is too early: absence counts from 2026", 3)


def test_a_text_is_in_no_log_of_mail_and_its_sender_needs_no_domain(ground: Ground, judge: Judge) -> None:
    """Its doubt is held, since its provider's section is gone; that of an e-mail is settled by the log."""
    look_into_the_log(ground)
    token = ground.folder / "token"
    token.write_text("t")
    token.chmod(0o600)
    ground.providers["texts"] = ProviderTable("texts", "twilio", {"account_sid": "AC1", "auth_token_file": str(token)})
    ground.set(providers=("primary", "texts"))
    ground.enqueue(1)
    ground.enqueue(
        contacts="phone\n+4930123456\n", campaign='channel = "sms"', steps=['name = "a"\nsms = "Hello"\n'], name="texts"
    )
    for campaign in ("sale", "texts"):
        clerk = ground.clerk(campaign)
        clerk.turn(ground.done(clerk.turn([], 1), UNKNOWN), 0)
    complete_log(ground)
    del ground.providers["texts"]
    ground.set(providers=("primary",))
    report = reconcile.run(ground.context)
    assert (report.proven_absent, report.in_doubt) == (1, 1)
    assert [reason for reason in report.cannot_tell if "provider texts cannot be asked about a text" in reason]
    assert (ground.states("sale"), ground.states("texts")) == ({"queued": 1}, {"in_doubt": 1})
