"""Faults by protocol step: which passage of which step misbehaves, and how. It decides; the server acts.

A script is a JSON list of rules such as `{"at": "rcpt", "do": "reply:550 5.1.1 no", "recipient": "^bad"}`.

at          connect, banner, ehlo, starttls, tls, auth, mail, rcpt, data, body (the body is not read, then the action
            follows), dot (before the message is accepted), reply (after it is accepted and logged), rset, quit
do          close | reset | silence | drip (bytes of a reply that never ends) | reply:TEXT (raw; LF becomes CRLF)
recipient   a regular expression that the recipient must match; at mail it is not known yet
skip        leave the first K passages alone
every       then only each Nth
first       at most K times
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

STEPS = (
    "connect",
    "banner",
    "ehlo",
    "starttls",
    "tls",
    "auth",
    "mail",
    "rcpt",
    "data",
    "body",
    "dot",
    "reply",
    "rset",
    "quit",
)
ACTIONS = ("close", "reset", "silence", "drip")


@dataclass
class Rule:
    """One fault and how often it has met its step."""

    at: str
    do: str
    recipient: str = ""
    skip: int = 0
    every: int = 1
    first: int = 0  # 0: no limit
    passages: int = 0
    applied: int = 0

    def __post_init__(self) -> None:
        if self.at not in STEPS or not (self.do in ACTIONS or self.do.startswith("reply:")):
            raise ValueError(f"not a rule: at {self.at!r} do {self.do!r}")

    def applies(self, recipient: str) -> bool:
        """Count this passage and say whether the fault strikes."""
        if self.recipient and not re.search(self.recipient, recipient):
            return False
        self.passages += 1
        due = self.passages > self.skip and (self.passages - self.skip - 1) % self.every == 0
        if not due or (self.first and self.applied >= self.first):
            return False
        self.applied += 1
        return True


class Script:
    """The rules of one server, shared by its connections."""

    def __init__(self, rules: list[Rule]) -> None:
        self._by_step = {step: [rule for rule in rules if rule.at == step] for step in STEPS}

    def names(self, step: str) -> bool:
        """Whether any rule concerns `step`."""
        return bool(self._by_step[step])

    def action(self, step: str, recipient: str = "") -> str:
        """What to do at this passage of `step`; empty for the proper thing."""
        for rule in self._by_step[step]:
            if rule.applies(recipient):
                return rule.do
        return ""


def parse_script(text: str) -> Script:
    """A script from its JSON. Raises ValueError or TypeError for an unknown step, action or key."""
    return Script([Rule(**rule) for rule in json.loads(text)])
