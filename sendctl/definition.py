"""What a campaign file says, as plain frozen values, and their form in the store (JSON).

Made by `inputs.campaign_file`, kept by the store, read by rendering and the passes. Durations are seconds.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, time
from typing import Any, NamedTuple

from sendctl.durations import Rate


class StepName(NamedTuple):
    """What names a step in keys: what it is called, and how often it was removed and put back before.

    Not its number, which a counter gives: a store that was put back would give it to another step.
    """

    name: str
    times_back: int = 0


FIRST_STEP = StepName("")  # with which everybody begins: it cannot go, or be renamed


@dataclass(frozen=True, slots=True)
class Window:
    """The hours of a person's local day in which messages may be sent; `end` before `start` spans midnight."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Controls:
    """Live controls: `tune` changes them, every window reads them afresh."""

    batch_size: int = 100
    rate: Rate | None = None
    cooldown_s: float = 0.0  # least time between two windows of the campaign
    max_attempts: int = 3
    retry_base_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Trigger:
    """For `enqueue --orders`: which events become enrollments (expressions of the template language)."""

    event: str
    each: str = ""
    where: str = ""
    key: str = ""
    email: str = ""
    phone: str = ""
    delay_s: int = 0
    cancel_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One planned send. Template sources, not paths: a campaign runs on any host without its files."""

    name: str
    kind: str = "initial"  # initial | drip | reminder
    after_s: int = 0  # after the previous step was sent
    repeat: int = 1
    subject: str = ""
    text: str = ""
    html: str = ""
    sms: str = ""


@dataclass(frozen=True, slots=True)
class LetterTerms:
    """What a letter says beside what every campaign says; with `about`: the campaign that tells of that letter."""

    notify: str = ""  # the mailbox that is told what became of it
    contents: str = ""  # a random name of its encrypted contents; empty where they stand in the clear
    about: str = ""  # the letter's name


ALWAYS_STOP = frozenset({"unsubscribed", "complained"})  # they end any enrollment


@dataclass(frozen=True, slots=True)
class Definition:
    """A whole campaign file. `sender` is the `from` key; `providers` empty means those of [send].

    `numbers` name the steps over all revisions, in their order; `order` has those of removed steps too, each where it
    stood. A file knows neither: its steps are new, and counted from 0. `earlier` has, for a step that was removed and
    is back, (its number, a number that it had before).
    """

    name: str
    steps: tuple[Step, ...]
    channel: str = "email"  # email | sms | both
    purpose: str = "marketing"  # marketing | transactional
    sender: str = ""
    sms_sender: str = ""  # of the texts of a campaign with both channels; one of texts alone has `sender`
    reply_to: str = ""
    owner: str = ""
    unsubscribe_url: str = ""
    link: str = ""
    providers: tuple[str, ...] = ()
    start_at: datetime | None = None
    expires_after_s: int | None = None
    window: Window | None = None
    timezone: str = "UTC"
    in_doubt: str = "hold"  # hold | resend | skip
    controls: Controls = Controls()
    stop_on: tuple[str, ...] = ()
    trigger: Trigger | None = None
    account: str = ""  # whose allowance its messages use up
    letter: LetterTerms | None = None
    numbers: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    earlier: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not self.numbers:
            object.__setattr__(self, "numbers", tuple(range(len(self.steps))))
        if not self.order:
            object.__setattr__(self, "order", self.numbers)

    @property
    def is_letter(self) -> bool:
        """Whether this is one message to one person."""
        return self.letter is not None and not self.letter.about

    @property
    def is_sealed(self) -> bool:
        """Whether the contents stand encrypted in the store, and not in the steps."""
        return self.letter is not None and bool(self.letter.contents)

    @property
    def channels(self) -> tuple[str, ...]:
        """How its messages travel: one message for each of them at each place of a sequence."""
        return ("email", "sms") if self.channel == "both" else (self.channel,)

    @property
    def texts_from(self) -> str:
        """The number or name that its texts come from; "" where that is left to the provider."""
        return self.sender if self.channel == "sms" else self.sms_sender

    def step(self, number: int) -> Step:
        """The step with that number, which this revision has; one that is back is known by its earlier numbers too."""
        return self.steps[self.numbers.index(self._by_now(number))]

    def has_step(self, number: int) -> bool:
        """Whether this revision says what a message of that step says: it was not removed, or it is back."""
        return self._by_now(number) in self.numbers

    def numbers_of(self, number: int) -> frozenset[int]:
        """All numbers that the step with this one has had."""
        now = self._by_now(number)
        return frozenset({number, now, *(old for new, old in self.earlier if new == now)})

    def _by_now(self, number: int) -> int:
        """The number by which this revision has a step that had that one; the same where it has none."""
        if number in self.numbers:
            return number
        return next((new for new, old in self.earlier if old == number), number)

    def step_name(self, number: int) -> StepName:
        """What names that step in the keys of its messages."""
        if number == 0:
            return FIRST_STEP
        return StepName(self.step(number).name, sum(new == number for new, _ in self.earlier))

    def has_place(self, number: int, occurrence: int) -> bool:
        """Whether this revision sends that occurrence of that step."""
        return number in self.numbers and occurrence < self.step(number).repeat

    def next_place(
        self, number: int, occurrence: int, *, sent: bool = True, had: Mapping[int, int] | None = None
    ) -> tuple[int, int] | None:
        """Step and occurrence after this one; None after the last. The step may have been removed meanwhile.

        Of what was not `sent` nobody is reminded. `had` says how many occurrences of a step that is back the person has
        had under `earlier` numbers: these are not repeated.
        """
        if sent and number in self.numbers and occurrence + 1 < self.step(number).repeat:
            return number, occurrence + 1
        for following in self.order[self.order.index(number) + 1 :]:
            first = (had or {}).get(following, 0)
            if self.has_place(following, first) and (sent or self.step(following).kind != "reminder"):
                return following, first
        return None

    def ends_on(self, event: str) -> bool:
        """Whether an event of this type ends an enrollment. A bounce ends its own way; of two the other may be good."""
        if event in ALWAYS_STOP or event in self.stop_on:
            return True
        if event == "bounced":
            return len(self.channels) == 1
        return event == "submitted" and bool(self.reminders)

    @property
    def reminders(self) -> frozenset[int]:
        """The numbers of the steps that remind of what was not done."""
        return frozenset(
            number for number, step in zip(self.numbers, self.steps, strict=True) if step.kind == "reminder"
        )


def renumbered(before: Definition, after: Definition, names: Mapping[int, str] | None = None) -> Definition:
    """The definition of a file with the numbers of the revision before it: a step is known by its name.

    A new one stands right before the step that follows it in the file; so does one that is back, under a new number.
    `names` are those of all numbers so far. Raises ValueError with the names of two known steps that have changed
    places, the one that stood first first.
    """
    known = {step.name: number for step, number in zip(before.steps, before.numbers, strict=True)}
    fresh = itertools.count(max(before.order) + 1)
    numbers = tuple(known[step.name] if step.name in known else next(fresh) for step in after.steps)
    kept = [(before.order.index(known[step.name]), step.name) for step in after.steps if step.name in known]
    for (place, name), (next_place, next_name) in itertools.pairwise(kept):
        if next_place < place:
            raise ValueError(next_name, name)
    order, following = list(before.order), None
    for number in reversed(numbers):
        if number not in order:
            order.insert(len(order) if following is None else order.index(following), number)
        following = number
    earlier = tuple(
        (number, old) for number, step in zip(numbers, after.steps, strict=True)
        for old, name in sorted((names or {}).items()) if name == step.name and old != number
    )  # fmt: skip
    return replace(after, numbers=numbers, order=tuple(order), earlier=earlier)


def _plain(value: object) -> str:
    if isinstance(value, datetime | time):
        return value.isoformat()
    raise TypeError(f"cannot store {type(value).__name__}")


# Keys that campaign files had not at first: left out where they say nothing, so that journals go on naming the same.
_LATER = ("account", "letter", "sms_sender", "earlier")
_DEFAULTS = {field.name: field.default for field in fields(Definition)}
_NOT_IN_MESSAGES = ("numbers", "order", "earlier", "account")


def to_json(definition: Definition) -> str:
    """The definition as canonical JSON: equal definitions give equal text."""
    data = {key: value for key, value in asdict(definition).items() if key not in _LATER or value != _DEFAULTS[key]}
    return json.dumps(data, default=_plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def fingerprint(definition: Definition) -> str:
    """16 characters that name the contents of messages: equal definitions, and no others, have equal ones.

    The number of a revision does not name them: a store that was put back counts anew.
    """
    contents = json.loads(to_json(replace(definition, controls=Controls())))
    for key in _NOT_IN_MESSAGES:
        contents.pop(key, None)
    text = json.dumps(contents, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def controls_to_json(controls: Controls) -> str:
    """The controls as canonical JSON."""
    return json.dumps(asdict(controls), sort_keys=True, separators=(",", ":"))


def controls_from_json(text: str) -> Controls:
    """The inverse of `controls_to_json`."""
    return _controls(json.loads(text))


def _controls(data: dict[str, Any]) -> Controls:
    rate = data.pop("rate", None)
    return replace(Controls(**data), rate=Rate(**rate) if rate else None)


def from_json(text: str) -> Definition:
    """The inverse of `to_json`."""
    data: dict[str, Any] = json.loads(text)
    window, start_at, trigger = data["window"], data["start_at"], data["trigger"]
    data["steps"] = tuple(Step(**step) for step in data["steps"])
    data["providers"], data["numbers"] = tuple(data["providers"]), tuple(data["numbers"])
    data["order"] = tuple(data["order"])
    data["earlier"] = tuple((new, old) for new, old in data.get("earlier", ()))
    data["stop_on"] = tuple(data["stop_on"])
    data["controls"] = _controls(data["controls"])
    data["start_at"] = datetime.fromisoformat(start_at) if start_at else None
    data["trigger"] = Trigger(**trigger | {"cancel_on": tuple(trigger["cancel_on"])}) if trigger else None
    data["letter"] = LetterTerms(**data["letter"]) if data.get("letter") else None
    data["window"] = Window(time.fromisoformat(window["start"]), time.fromisoformat(window["end"])) if window else None
    return Definition(**data)
