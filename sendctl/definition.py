"""What a campaign file says, as plain frozen values, and their form in the store (JSON).

Made by `inputs.campaign_file`, kept by the store, read by rendering and the passes. Durations are seconds.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime, time
from typing import Any

from sendctl.durations import Rate


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
class Definition:
    """A whole campaign file. `sender` is the `from` key; `providers` empty means those of [send]."""

    name: str
    steps: tuple[Step, ...]
    channel: str = "email"  # email | sms | both
    purpose: str = "marketing"  # marketing | transactional
    sender: str = ""
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


def _plain(value: object) -> str:
    if isinstance(value, datetime | time):
        return value.isoformat()
    raise TypeError(f"cannot store {type(value).__name__}")


def to_json(definition: Definition) -> str:
    """The definition as canonical JSON: equal definitions give equal text."""
    return json.dumps(asdict(definition), default=_plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def fingerprint(definition: Definition) -> str:
    """16 characters that name the contents of messages: equal definitions, and no others, have equal ones.

    The number of a revision does not name them: a store that was put back counts anew.
    """
    return hashlib.sha256(to_json(replace(definition, controls=Controls())).encode()).hexdigest()[:16]


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
    data["providers"] = tuple(data["providers"])
    data["stop_on"] = tuple(data["stop_on"])
    data["controls"] = _controls(data["controls"])
    data["start_at"] = datetime.fromisoformat(start_at) if start_at else None
    data["trigger"] = Trigger(**trigger) if trigger else None
    data["window"] = Window(time.fromisoformat(window["start"]), time.fromisoformat(window["end"])) if window else None
    return Definition(**data)
