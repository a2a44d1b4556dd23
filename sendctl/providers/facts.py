"""What each type of provider can and cannot prove, with the source of each figure: said in one place, for the passes
that rely on it and for the person who asks `sendctl providers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from sendctl.durations import Rate
from sendctl.providers.base import Capabilities

_TEN_YEARS_S = 10 * 366 * 86400.0
_DAY_S = 86400.0
_MINUTE = 60
# None of the services says how often these may be asked but by its answer 429: well below what one connection can do.
_PACE = Rate(300, _MINUTE)
# The types of events that a service can tell of at the most.
_EVERYTHING = (
    "accepted", "delivered", "bounced", "deferred", "rejected", "failed", "complained", "unsubscribed", "opened",
    "clicked",
)  # fmt: skip


class Facts(NamedTuple):
    """One type of provider, in words for a person and in figures for the passes."""

    capabilities: Capabilities
    accepted: str  # what its acceptance means
    same_key: str  # what becomes of the same message handed over again
    lookup: str  # how it can be asked for one
    doubt: str  # what settles doubt about it
    sources: tuple[str, ...]
    events: str = "none by itself: they come from files (sendctl ingest, [events] spool)"  # where they come from


FACTS: Mapping[str, Facts] = {
    "smtp": Facts(
        Capabilities(),
        "the relay has taken responsibility for it",
        "two messages: SMTP knows no key",
        "none; the log of your own Postfix or Exim has it",
        "the run's journal; the MTA's log ([reconcile] mta); else a person",
        ("RFC 5321 sections 4.2.5 and 4.5.3.2.6", "RFC 1047"),
    ),
    "maildir": Facts(
        Capabilities(key_window_s=_TEN_YEARS_S, lookup=True),  # until its reader deletes the file
        "the file stands in `new`, synced to the disk",
        "one file: it is named after the key",
        "the file is there; once a reader has deleted it, nothing is proven",
        "the run's journal; reconcile looks for the file",
        ("maildir(5)", "link(2)"),
    ),
    "file": Facts(
        # A line is taken away by an operator only, and the watch says so: what is not there was not accepted, at once.
        Capabilities(lookup=True, absence=True, channels=("sms",)),
        "the line is there with its line feed, synced to the disk",
        "one line, from the second attempt on: the key is looked for",
        "the line is there or not, which is a proof either way as long as nobody has touched the file",
        "the run's journal; reconcile on that host looks for the line",
        ("write(2) with O_APPEND", "flock(2)"),
    ),
    "resend": Facts(
        # "Idempotency keys expire after 24 hours"; less for clocks, and for the time that it takes to ask.
        Capabilities(
            key_window_s=_DAY_S - 900.0,
            key_replay=True,
            lookup=True,
            lookup_pace=Rate(10, _MINUTE),  # many pages each
            lookup_by_content=True,
            pulled=tuple(kind for kind in _EVERYTHING if kind != "unsubscribed"),
        ),
        "Resend has queued it",
        "one message, for 24 hours; after that, two",
        "in its list of e-mails, newest first, by recipient, time and contents; the list may lag, so that absence"
        " proves nothing",
        "the run's journal; reconcile sends the same again under its key, within 23 h 45 min; later it looks for it in"
        " the list, or an event of it (tag `sendctl_key`): a hit is proof; else a person",
        (
            "resend.com/docs/dashboard/emails/idempotency-keys",
            "resend.com/docs/api-reference/errors",
            "resend.com/docs/api-reference/emails/list-emails",
        ),
        "pulled from its suppressions (what bounced hard, complaints) and from the last event of each e-mail, a quarter"
        " of an hour and a day after it was sent; the key must have full access",
    ),
    "postmark": Facts(
        Capabilities(
            lookup=True,
            lookup_pace=_PACE,
            retention_s=7 * _DAY_S,  # the least that a stream can be set to
            pulled=("bounced", "deferred", "complained", "unsubscribed", "failed"),
        ),
        "Postmark has queued it",
        "two messages: Postmark knows no key",
        "by metadata, for as long as the stream keeps messages (45 days by default); how long the index lags is not"
        " documented, so that absence proves nothing",
        "the run's journal; reconcile looks for it, or an event of it (metadata `sendctl`): a hit is proof; else a"
        " person",
        ("postmarkapp.com/developer/api/email-api", "postmarkapp.com/developer/api/messages-api"),
        "pulled from its bounces, which have complaints and who unsubscribed as well; deliveries, opens and clicks come"
        " by webhook",
    ),
    "twilio": Facts(
        Capabilities(
            lookup=True,
            lookup_pace=_PACE,
            lookup_by_content=True,
            channels=("sms",),
            pulled=("accepted", "delivered", "opened", "bounced", "deferred", "rejected", "failed", "unsubscribed"),
        ),
        "Twilio has queued it",
        "two messages: Twilio knows no key",
        "by number, time and text: it keeps nothing of ours. A text that it alters is not found, so that absence proves"
        " nothing",
        "the run's journal; reconcile looks for a text that is no other message's: a hit is proof; else a person",
        ("twilio.com/docs/messaging/api/message-resource", "twilio.com/docs/api/errors"),
        "pulled from its list of messages: the status of each, some minutes and half a day after it was sent, and who"
        " answered STOP",
    ),
    "sendgrid": Facts(
        Capabilities(
            lookup=True,
            lookup_pace=Rate(60, _MINUTE),  # up to 21 requests each
            retention_s=3 * _DAY_S,  # without the add-on that keeps 30 days
            pulled=("bounced", "complained", "unsubscribed"),
        ),
        "SendGrid has queued it",
        "two messages: SendGrid knows no key",
        "in its log of messages (30 days), by recipient and time, then each entry for our key; the log lags, so that"
        " absence proves nothing",
        "the run's journal; reconcile looks for it, or an event of it (custom argument `sendctl`): a hit is proof; else"
        " a person",
        (
            "twilio.com/docs/sendgrid/api-reference/mail-send/mail-send",
            "twilio.com/docs/sendgrid/api-reference/email-logs",
        ),
        "pulled from its lists of addresses that bounced, complained or unsubscribed, without any message; what became"
        " of a message comes by webhook",
    ),
    "mailgun": Facts(
        Capabilities(
            lookup=True,
            lookup_pace=_PACE,
            retention_s=_DAY_S,  # of the smallest plan
            pulled=_EVERYTHING,
        ),
        "Mailgun has queued it",
        "two messages: Mailgun knows no key",
        "by Message-ID, which is ours, for as long as the plan keeps events (3 to 30 days); events lag, so that absence"
        " proves nothing",
        "the run's journal; reconcile looks for it, or an event of it (variable `sendctl`): a hit is proof; else a"
        " person",
        (
            "documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages",
            "documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/events",
        ),
        "pulled: all events of the domain, each at once and once more when it is half an hour old, as its index lags",
    ),
    "ses": Facts(
        Capabilities(
            pulled=_EVERYTHING,
        ),
        "SES has queued it",
        "two messages: SES knows no key",
        "none",
        "the run's journal; an event of it (tag `sendctl`, with a configuration set) is proof, which reconcile takes"
        " from a queue (sqs_queue_url); else a person",
        (
            "docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html",
            "docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html",
        ),
        "pulled from the SQS queue to which a topic of SNS passes what a configuration set publishes",
    ),
}


def key_window_s(kind: str) -> float:
    """For how long doubt about this type is settled by sending the same again; 0.0 where it is not."""
    known = FACTS[kind].capabilities if kind in FACTS else Capabilities()
    return known.key_window_s if known.key_replay else 0.0


def can_tell(kind: str) -> bool:
    """Whether this type can be made to say what became of a message."""
    return kind in FACTS and FACTS[kind].capabilities.lookup


def retention_s(kind: str) -> float:
    """For how long at least this type can be asked about a message; 0.0 where no figure is documented."""
    return FACTS[kind].capabilities.retention_s if kind in FACTS else 0.0
