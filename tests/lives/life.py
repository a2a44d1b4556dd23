"""A life: a sequence, the people in it, and what befalls them, as plain data; and how hypothesis invents one.

Knows neither sendctl nor what must come of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

# Around the days on which clocks change in some of the zones, a season apart from any, and the last hour before one.
BEGINS = tuple(
    datetime(2026, month, day, hour, 20, tzinfo=UTC)
    for month, day, hour in ((3, 6, 9), (3, 27, 17), (4, 3, 12), (10, 23, 19), (10, 30, 6), (6, 15, 8), (3, 28, 23))
)
ZONES = ("", "Europe/Berlin", "America/New_York", "Australia/Sydney")
WINDOWS = (None, None, "08:00-20:00", "22:00-06:00", "02:00-05:30")
EXPIRES_H = (None, None, 6, 30)
DELAYS_H = (0, 5, 24, 24, 48, 72)
WAITS_H = (1, 5, 13, 24, 24, 30, 72)
FATES = (*["accepted"] * 5, "refused", "later", "silent", "silent, lost")
CHANGES = ("remove", "remove", "remove", "add", "retime", "repeat", "rename", "undo", "undo", "back")
ENDS = ("submitted", "submitted", "unsubscribed", "bounced", "complained", "clicked")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a campaign file; `after_h` counts from the message before it."""

    name: str
    kind: str
    after_h: int
    repeat: int = 1


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that happens: `what` is a method of the world and of the oracle, `how` its arguments."""

    what: str
    how: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Life:
    """What hypothesis invents. People are known by their place in `zones`."""

    begin: datetime
    steps: tuple[Step, ...]
    zones: tuple[str, ...]
    window: str | None
    expires_h: int | None
    by_orders: bool
    deeds: tuple[Deed, ...]

    @property
    def people(self) -> range:
        return range(len(self.zones))


STORIES = (
    ("silent, lost", Deed("decide", ("resend",))),
    ("silent", Deed("reconcile")),
    ("refused", Deed("retry")),
)


def _later_step(number: int) -> st.SearchStrategy[Step]:
    drip = st.builds(Step, st.just(f"s{number}"), st.just("drip"), st.sampled_from(DELAYS_H))
    nudge = st.builds(
        Step, st.just(f"s{number}"), st.just("reminder"), st.sampled_from(DELAYS_H[1:]), st.integers(1, 3)
    )
    return st.one_of(drip, nudge, nudge)


def _story(draw: st.DrawFn, people: int) -> tuple[Deed, ...]:
    """Somebody's end comes while it is not known, or was refused, what they were sent; then that is settled."""
    fate, settled = draw(st.sampled_from(STORIES))
    person, wait = draw(st.integers(0, people - 1)), Deed("wait", (draw(st.sampled_from(WAITS_H)),))
    end = draw(st.sampled_from([Deed("event", (person, "submitted")), Deed("refund", (person,))]))
    well = Deed("send", (("accepted",) * people,))
    return wait, Deed("send", ((fate,) * people,)), end, settled, Deed("wait", (24,)), well


def _change(draw: st.DrawFn, kind: str) -> Deed:
    return Deed("change", (kind, draw(st.integers(1, 4)), draw(st.sampled_from(DELAYS_H))))


def _flap(draw: st.DrawFn, people: int) -> tuple[Deed, ...]:
    """A wrong file, and the right one again, while it is not known what became of what was sent by it before."""
    wait, well = Deed("wait", (draw(st.sampled_from(WAITS_H)),)), Deed("send", (("accepted",) * people,))
    fates = draw(st.tuples(*[st.sampled_from(("silent", "silent, lost", "refused", "later"))] * people))
    wrong, right = _change(draw, draw(st.sampled_from(["remove", "rename"]))), _change(draw, "undo")
    settled = draw(st.sampled_from([Deed("reconcile"), Deed("decide", ("resend",)), Deed("retry")]))
    return wait, Deed("send", (fates,)), wrong, right, settled, Deed("wait", (1,)), well


@st.composite
def _deed(draw: st.DrawFn, people: int) -> tuple[Deed, ...]:
    """Most of the time a pass some time later: without passes nothing comes of the rest."""
    person = st.integers(0, people - 1)
    wait = Deed("wait", (draw(st.sampled_from(WAITS_H)),))
    passing = Deed("send", (draw(st.tuples(*[st.sampled_from(FATES)] * people)),))
    what = draw(
        st.sampled_from(
            ["send"] * 8
            + ["event", "event", "event", "decide", "decide", "retry", "retry", "reconcile", "hold", *["change"] * 4]
            + ["flap", "flap", "again", "suppress", "earlier", "refund", "story", "story", "story"]
        )
    )
    match what:
        case "event":
            return (Deed("event", (draw(person), draw(st.sampled_from(ENDS)))),)
        case "decide":
            return (Deed("decide", (draw(st.sampled_from(["resend", "resend", "skip"])),)),)
        case "story":
            return _story(draw, people)
        case "hold":
            return (Deed("pause"), wait, passing, Deed("resume"))
        case "change":
            return (_change(draw, draw(st.sampled_from(CHANGES))),)
        case "flap":
            return _flap(draw, people)
        case "suppress" | "earlier" | "refund":
            return (Deed(what, (draw(person),)),)
        case "retry" | "reconcile" | "again":
            return (Deed(what),)
        case _:
            return (wait, passing)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """One life; it ends with weeks of passes in which everything goes well."""
    count, people = draw(st.sampled_from((2, 3, 3, 4, 5))), draw(st.sampled_from((2, 3, 4)))
    steps = (Step("s0", "initial", 0), *(draw(_later_step(number)) for number in range(1, count)))
    first: tuple[Deed, ...] = (Deed("send", (draw(st.tuples(*[st.sampled_from(FATES)] * people)),)),)
    if draw(st.booleans()):
        first = _story(draw, people)  # at the beginning everybody is there to be hit
    deeds = draw(st.lists(_deed(people), min_size=4, max_size=14))
    well = Deed("send", (("accepted",) * people,))
    ending = [
        Deed("resume"),
        Deed("decide", ("resend",)),
        Deed("retry"),
        *[Deed("wait", (24,)), well] * 2,
        *[Deed("wait", (73,)), well] * 4,
    ]
    return Life(
        begin=draw(st.sampled_from(BEGINS)) + timedelta(minutes=draw(st.sampled_from((0, 40)))),
        steps=steps,
        zones=tuple(draw(st.sampled_from(ZONES)) for _ in range(people)),
        window=draw(st.sampled_from(WINDOWS)),
        expires_h=draw(st.sampled_from(EXPIRES_H)),
        by_orders=draw(st.booleans()),
        deeds=(*first, *(deed for some in deeds for deed in some), *ending),
    )
