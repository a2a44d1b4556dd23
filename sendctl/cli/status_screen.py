"""`status` for a person: one screen at 80 columns, the same words with and without colour.

Only layout: what is said comes from passes/status.py and passes/advice.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from sendctl.cli.screen import BY_STATE, unicode_ok
from sendctl.cli.wording import ago, clean, count, letter_words, some, span, utc, when
from sendctl.passes.advice import Advice, Level, advise
from sendctl.passes.status import CampaignState, RunState, Situation
from sendctl.states import CampaignStatus, EventType, State
from sendctl.store.limits import Breaker

_BAR_COLUMNS = 40
_LEVELS = {Level.CRITICAL: ("!!", "bold red"), Level.WARNING: ("! ", "yellow"), Level.OK: ("- ", "")}
_LIVES = {CampaignStatus.RUNNING: "green", CampaignStatus.PAUSED: "yellow", CampaignStatus.CANCELLED: "dim"}
_RUN_STYLES = {"alive": "cyan", "dead": "bold red", "unknown": "yellow"}


def screenful(situation: Situation, *, one: bool) -> RenderableType:
    """All campaigns, or the `one` in depth."""
    advice = advise(situation)
    parts: list[RenderableType] = []
    if one:
        parts += _campaign(situation, situation.campaigns[0])
    elif situation.campaigns:
        parts.append(_overview(situation))
    elif situation.archived:
        named = ", ".join(situation.archived[:5]) + (", ..." if len(situation.archived) > 5 else "")
        parts.append(Text(f"no campaign but archived ones: {named}\n`sendctl status --campaign NAME` shows one"))
    else:
        parts.append(Text("no campaign yet: `sendctl enqueue CAMPAIGN.toml --contacts FILE` makes one"))
    parts += _section("Providers that are left alone", _breakers(situation))
    parts += _section("Last runs", _runs(situation))
    if one:
        parts += _section("Last actions", _audit(situation))
    parts += _section("What to do next", _advice(situation, advice))
    return Group(*parts)


def _section(heading: str, body: RenderableType | None) -> list[RenderableType]:
    return [] if body is None else [Text(), Text(heading, style="bold"), Padding(body, (0, 0, 0, 2))]


# -- campaigns ----------------------------------------------------------------------------------------------------


def _overview(situation: Situation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("CAMPAIGN", overflow="fold", max_width=20)
    table.add_column("STATUS", no_wrap=True)
    for heading in ("PLANNED", "DONE", "UNSENT", "DOUBT", "FAILED"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("NEXT DUE", no_wrap=True)
    for state in situation.campaigns:
        status = state.campaign.status
        table.add_row(
            Text(state.campaign.name), Text(status, style=_LIVES.get(status, "")), count(state.planned),
            _percent(state), count(state.counts[State.QUEUED] + state.counts[State.SENDING]),
            _number(state, State.IN_DOUBT), _number(state, State.FAILED), _next(state, situation.now),
        )  # fmt: skip
    return table


def _percent(state: CampaignState) -> str:
    return f"{100 * state.settled // state.planned}%" if state.planned else "-"


def _number(state: CampaignState, name: State) -> Text:
    number = state.counts[name]
    return Text(count(number), style=BY_STATE[name] if number else "")


def _next(state: CampaignState, now: datetime) -> str:
    if state.next_due_at is None:
        return ""
    return "now" if state.next_due_at <= now else ago(state.next_due_at, now)


def _campaign(situation: Situation, state: CampaignState) -> list[RenderableType]:
    status = state.campaign.status
    title = Text.assemble(
        (state.campaign.name, "bold"), "  ", (status, _LIVES.get(status, "")), f"  revision {state.campaign.revision}"
    )
    if state.definition.letter is not None:
        title.append(f"  {letter_words(state.definition.letter)}")
    if state.definition.channel != "email":
        title.append("  e-mail and sms" if state.definition.channel == "both" else f"  {state.definition.channel}")
    if len(state.definition.steps) > 1:
        title.append(f"  {len(state.definition.steps)} steps")
    return [title, Text(), _progress(state), Text(), _identity(state), Text(), _facts(situation, state)]


def _progress(state: CampaignState) -> Text:
    if not state.planned:
        return Text("  nothing is planned")
    done = _BAR_COLUMNS * state.settled // state.planned
    full, empty = ("█", "░") if unicode_ok() else ("#", ".")
    line = Text("  ").append(full * done, style="green").append(empty * (_BAR_COLUMNS - done), style="dim")
    line.append(f"  {_percent(state)}  {count(state.settled)} of {count(state.planned)} settled")
    if state.sent_per_s is not None and state.campaign.status is CampaignStatus.RUNNING:
        line.append(f"\n  about {state.sent_per_s:,.1f}/s in the last minute{_left(state)}")
    return line


def _left(state: CampaignState) -> str:
    return f": {span(state.due / state.sent_per_s)} for what is due" if state.due and state.sent_per_s else ""


def _identity(state: CampaignState) -> Text:
    """planned = queued + sending + ...: the sum of all states, counted at this moment."""
    line = Text(f"  planned {count(state.planned)} = ")
    indent, width = " " * len(line.plain), len(line.plain)
    for index, name in enumerate(State):
        number = state.counts[name]
        term = f"{name} {count(number)}"
        lead = " + " if index else ""
        if width + len(lead) + len(term) > 78:
            line.append(f"\n{indent[:-2]}+ ")
            width, lead = len(indent), ""
        line.append(lead).append(term, style=(BY_STATE[name] or "bold") if number else "dim")
        width += len(lead) + len(term)
    return line


def _facts(situation: Situation, state: CampaignState) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    for name, fact in _told(situation, state):
        table.add_row(Text(f"  {name}"), fact)
    return table


def _told(situation: Situation, state: CampaignState) -> Iterator[tuple[str, Text]]:
    now = situation.now
    if state.in_doubt_since is not None:
        yield "in doubt", Text(f"since {when(state.in_doubt_since, now)}; policy: {state.definition.in_doubt}",
                               style="bold red")  # fmt: skip
    if state.overdue:
        yield "overdue", Text(count(state.overdue), style="yellow")
    for failure in state.failures[:3]:
        kind = "passing" if failure.transient else "for good"
        yield "failed", Text(f"{count(failure.count)} {kind}: {clean(failure.example)[:120]}")
    if state.given_up:
        yield "failed", Text(f"{count(state.given_up)} given up in doubt: perhaps accepted")
    if state.resent:
        yield "resent", Text(f"{some(state.resent, 'message')} of these, by operators")
    if state.events:
        told = ", ".join(f"{kind} {count(state.events[kind])}" for kind in EventType if kind in state.events)
        yield "events", Text(told)
    if state.next_due_at is not None:
        yield "next due", Text("now" if state.next_due_at <= now else when(state.next_due_at, now))
    last = situation.store.last_pass_at
    if last is None:
        yield "last pass", Text("never")
    else:
        yield "last pass", Text(f"{when(last, now)} on {clean(situation.store.last_pass_host or '?')}")


# -- around them --------------------------------------------------------------------------------------------------


def _breakers(situation: Situation) -> Table | None:
    if not situation.store.breakers:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for one in situation.store.breakers:
        table.add_row(Text(one.provider, style="bold red"), _again(one, situation.now), Text(clean(one.reason or "")))
    return table


def _again(breaker: Breaker, now: datetime) -> str:
    """When it is tried again: a message finds out, and there may be none for long."""
    if breaker.lets_through(now):
        return "tried with the next message"
    return f"tried again {ago(breaker.retry_at, now)}" if breaker.retry_at is not None else breaker.state


def _runs(situation: Situation) -> Table | None:
    if not situation.store.runs:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for number in range(5):
        table.add_column(no_wrap=number != 4, overflow="ellipsis" if number == 2 else "fold",
                         max_width=16 if number == 2 else None)  # fmt: skip
    for run in situation.store.runs:
        row = run.row
        style = _RUN_STYLES.get(run.life, "")
        table.add_row(
            utc(row.started_at),
            row.command,
            Text(clean(row.hostname)),
            Text(_ending(run, situation.now), style=style),
            _did(row.detail),
        )
    return table


def _ending(run: RunState, now: datetime) -> str:
    if run.row.finished_at is not None:
        return run.row.result or "ended"
    beat = span((now - run.row.heartbeat_at).total_seconds())
    words = {"alive": f"alive, beat {beat} ago", "dead": "died", "unknown": f"silent for {beat}"}
    return words.get(run.life, run.life)


def _did(detail: dict[str, Any]) -> str:
    """What a run counted, in a few words."""
    words = {"accepted": "sent", "refused": "refused", "deferred": "deferred", "unknown": "in doubt"}
    outcomes = detail.get("outcomes", {})
    counted = [f"{word} {count(outcomes[key])}" for key, word in words.items() if outcomes.get(key)]
    return ", ".join(counted) or clean(str(detail.get("reason", "")))


def _audit(situation: Situation) -> Table | None:
    if not situation.store.audit:
        return None
    table = Table.grid(padding=(0, 2, 0, 0))
    for entry in situation.store.audit:
        table.add_row(
            utc(entry.at), Text(entry.action), Text(clean(f"{entry.login}@{entry.hostname}")), Text(clean(entry.reason))
        )
    return table


def _advice(situation: Situation, advice: list[Advice]) -> RenderableType:
    if not advice:
        waiting = any(state.next_due_at is not None for state in situation.campaigns)
        return Text("nothing: what is left is not due yet" if waiting else "nothing")
    table = Table.grid(padding=(0, 1, 0, 0))
    many = len(situation.campaigns) > 1
    for one in advice:
        mark, style = _LEVELS[one.level]
        matter = Text(f"{one.campaign}: " if many and one.campaign else "", style="bold")
        table.add_row(Text(mark, style=style), matter.append(clean(one.matter), style=""))
        if one.command:
            table.add_row("", Text(f"    {one.command}", style="bold"))
    return table
