"""`status` as data: the JSON documents of docs/json.md, and the line that monitoring reads."""

# ruff: noqa: PLC0415  see sendctl/cli/__init__.py
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sendctl.cli.wording import clean, iso
from sendctl.states import EventType, State

if TYPE_CHECKING:
    from sendctl.definition import Definition
    from sendctl.passes.advice import Advice
    from sendctl.passes.status import CampaignState, RunState, Situation

_LABELS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")


def campaign_document(situation: Situation, state: CampaignState, advice: list[Advice]) -> dict[str, Any]:
    """One campaign in depth."""
    return {"schema": "sendctl.status/1"} | _campaign(situation, state) | _around(situation, advice)


def overview_document(situation: Situation, advice: list[Advice]) -> dict[str, Any]:
    """All campaigns."""
    campaigns = [_campaign(situation, state) for state in situation.campaigns]
    return {"schema": "sendctl.overview/1", "campaigns": campaigns} | _around(situation, advice)


def _campaign(situation: Situation, state: CampaignState) -> dict[str, Any]:
    definition, rate = state.definition, state.sent_per_s
    return {
        "campaign": state.campaign.name,
        "status": state.campaign.status,
        "revision": state.campaign.revision,
        "channel": definition.channel,
        "steps": [step.name for step in definition.steps],
        "providers": list(state.providers),
        "planned": state.planned,
        "counts": {str(name): state.counts[name] for name in State},
        "in_doubt_since": iso(state.in_doubt_since),
        "in_doubt_oldest_s": (
            (situation.now - state.in_doubt_since).total_seconds() if state.in_doubt_since is not None else None
        ),
        "in_doubt_policy": definition.in_doubt,
        "due": state.due,
        "overdue": state.overdue,
        "next_due_at": iso(state.next_due_at),
        "sent_per_s": round(rate, 2) if rate is not None else None,
        "claims_expired": state.claims_expired,
        "failed_last_day": state.failed_recently,
        "failures": [
            {"error_class": one.error_class, "transient": one.transient, "count": one.count, "example": one.example}
            for one in state.failures
        ],
        "given_up": state.given_up,
        "held": [{"why": str(one.why), "count": one.number, "first_until": iso(one.first_at)} for one in state.held],
        "resent": state.resent,
        "events": {str(kind): state.events.get(kind, 0) for kind in EventType},
        "halted_for": state.halted or None,
        "letter": letter_json(definition, state.unreadable),
    }


def letter_json(definition: Definition, unreadable: str = "") -> dict[str, Any] | None:
    """What makes a campaign a letter, or what tells of one; None for any other."""
    terms = definition.letter
    if terms is None:
        return None
    return {
        "notify": terms.notify or None, "encrypted": definition.is_sealed, "about": terms.about or None,
        "unreadable": unreadable or None,
    }  # fmt: skip


def _around(situation: Situation, advice: list[Advice]) -> dict[str, Any]:
    store = situation.store
    runs = [_run(run) for run in store.runs]
    return {
        "checked_at": iso(situation.now),
        "last_run": runs[0] if runs else None,
        "runs": runs,
        "last_pass_at": iso(store.last_pass_at),
        "last_pass_host": store.last_pass_host,
        "sending_enabled": store.sending_enabled,
        "providers_configured": list(store.providers),
        "store_foreign": store.foreign or None, "witnessed": store.witnessed,
        "store_rewound": store.rewound or None,
        "journal_trouble": store.journal_trouble or None, "remembered": store.homeless,
        "hosts_behind": list(store.hosts_behind),
        "awaited": store.awaited or None,
        "breakers": [
            {"provider": one.provider, "state": one.state, "retry_at": iso(one.retry_at), "reason": one.reason}
            for one in store.breakers
        ],
        "audit": [
            {"at": iso(one.at), "login": one.login, "host": one.hostname, "action": one.action, "reason": one.reason}
            for one in store.audit
        ],
        "advice": [
            {
                "level": _LABELS[one.level].lower(), "campaign": one.campaign or None, "matter": one.matter,
                "command": one.command or None,
            }
            for one in advice
        ],
    }  # fmt: skip


def _run(run: RunState) -> dict[str, Any]:
    row = run.row
    return {
        "id": row.id, "command": row.command, "host": row.hostname, "pid": row.pid, "started_by": row.started_by,
        "started_at": iso(row.started_at), "heartbeat_at": iso(row.heartbeat_at), "finished_at": iso(row.finished_at),
        "result": row.result, "life": run.life, "detail": row.detail,
    }  # fmt: skip


def plugin_line(situation: Situation, advice: list[Advice]) -> str:
    """Status, reasons, and performance data behind a bar, which may stand nowhere else.

    Source: Monitoring Plugins Development Guidelines, "Plugin Output for Nagios", "Performance data".
    """
    from sendctl.passes.advice import Level, worst

    level = worst(advice)
    matters = [
        f"{one.campaign}: {one.matter}" if one.campaign else one.matter for one in advice if one.level is not Level.OK
    ]
    text = "; ".join(matters) or f"{_number(situation)} messages, all as they should be"
    return f"SENDCTL {_LABELS[level]} - {clean(text).replace('|', '/')} | {_performance(situation)}"


def _number(situation: Situation) -> str:
    return f"{sum(state.planned for state in situation.campaigns):,}"


def _performance(situation: Situation) -> str:
    totals = {name: sum(one.counts[name] for one in situation.campaigns) for name in State}
    oldest = [one.in_doubt_since for one in situation.campaigns if one.in_doubt_since is not None]
    age_s = (situation.now - min(oldest)).total_seconds() if oldest else 0
    data = {str(name): totals[name] for name in (State.QUEUED, State.SENDING, State.IN_DOUBT, State.SENT, State.FAILED)}
    data |= {
        "overdue": sum(one.overdue for one in situation.campaigns),
        "breakers_open": len(situation.store.breakers),
    }
    return " ".join(f"{key}={value}" for key, value in data.items()) + f" in_doubt_oldest={age_s:.0f}s"
