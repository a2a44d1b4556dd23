"""A step whose templates are all bare, filled at once: a recipient costs a fraction of what the engine takes.

Gives the very subject, links and bodies that the templates and `mime.body` give, or nothing. Never says what is
wrong with a recipient: whatever is unusual about the values is left to the templates, one by one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence, Set
from html import escape
from operator import itemgetter
from typing import Any, NamedTuple

from sendctl.rendering import headers, mime
from sendctl.rendering.bare import Bare, Names, pattern
from sendctl.rendering.skeleton import PLACE, Skeleton
from sendctl.rendering.templates import MAX_PART_BYTES

# Nothing that HTML escapes or quoted-printable quotes, and no line break.
_USUAL = re.compile(f"[{PLACE}\t !#-%(-;?-~]*")

Check = Callable[[str], str]  # gives a text as it is used, or raises ValueError


class Filled(NamedTuple):
    """What the templates of a step gave for one recipient, checked. The bodies come plainest first."""

    subject: str
    unsubscribe_url: str
    bodies: list[mime.Body]


class Letter:
    """All templates of a step. Values have numbers: those of names, then those of links, then both again, escaped."""

    def __init__(self, links: Mapping[str, tuple[Bare, Check]], subject: Bare, bodies: Mapping[str, Bare]) -> None:
        """`bodies` by subtype, plainest first. Raises ValueError if one of the templates does not suit."""
        parts = [subject, *bodies.values()]
        in_links = {name for bare, _ in links.values() for name in bare.names}
        if not in_links.isdisjoint(links):
            raise ValueError("a link is not known yet where links are made")
        self._names = Names(sorted(in_links.union(*(bare.names for bare in parts)) - links.keys()))
        numbers = {name: number for number, name in enumerate((*self._names.dotted, *links))}
        self._links = [(_Form(bare.fixed, _numbers(bare, numbers)), check) for bare, check in links.values()]
        self._unsubscribe_url = numbers["unsubscribe_url"] if "unsubscribe_url" in links else None
        self._subject = _Form(subject.fixed, _numbers(subject, numbers))
        self._skeletons = [Skeleton(subtype, bare) for subtype, bare in bodies.items()]
        varying = "\n".join(line for skeleton in self._skeletons for line in skeleton.varying)
        used = [number for bare in bodies.values() for number in _numbers(bare, numbers)]
        self._varying = _Form(varying.split(PLACE), used)
        self._most_characters = _most_characters([*(bare for bare, _ in links.values()), *parts])
        self._columns = _columns(self._names.dotted, subject, in_links)
        self._known_token: str | None = None

    def filled(self, scope: Mapping[str, Any]) -> Filled | None:
        """The contents of one recipient's message; None if the templates have to be asked one by one."""
        known = self.known(scope)
        if known is None:
            return None
        values, joined, subject = known
        unsafe_values = False
        if _USUAL.fullmatch(joined):
            values += values
        elif "\n" in joined or "\r" in joined:
            return None
        else:
            values += escape(joined).split(PLACE)
            unsafe_values = mime.unsafe_bytes(joined.replace(PLACE, "").encode()) > 0
        lines = self._varying.text(values).encode().split(b"\n")
        bodies, at = [], 0
        for skeleton in self._skeletons:
            end = at + len(skeleton.varying)
            body = skeleton.body(lines[at:end], unsafe_values=unsafe_values)
            if body is None:
                return None
            bodies.append(body)
            at = end
        url = "" if self._unsubscribe_url is None else values[self._unsubscribe_url]
        return Filled(subject, url, bodies)

    def known(self, scope: Mapping[str, Any]) -> tuple[list[str], str, str] | None:
        """All values, the same joined, and the subject, if nothing is missing and links and subject are good."""
        values = self._names.values(scope)
        if values is None:
            return None
        try:
            for link, check in self._links:
                values.append(check(link.text(values)))
            subject = headers.subject(self._subject.text(values))
        except ValueError:
            return None
        joined = PLACE.join(values)
        if len(joined) > self._most_characters:
            return None
        self._known_token = scope.get("token")
        return values, joined, subject

    def surely_knows(self, contact: Mapping[str, object], token: str) -> bool:
        """Whether `known` has an answer for this contact and the token that it last had an answer for.

        Takes a third of the time, and the rows of a file are all checked with one token. If False, ask `known`.
        """
        if type(contact) is not dict:
            return False
        try:
            joined = "".join(contact.values())
        except TypeError:
            return False
        # Nothing printable breaks a line or is refused by data.frozen.
        return joined.isprintable() and self.surely_knows_all(contact.keys(), token, len(joined))

    def surely_knows_all(self, columns: Set[str], token: str, most_characters: int) -> bool:
        """The same for all contacts with these columns and printable text of at most so many characters as values."""
        if self._columns is None or token != self._known_token:
            return False
        return columns >= self._columns and most_characters <= self._most_characters


class _Form:
    """Fixed texts around values that are known by their numbers."""

    __slots__ = ("_chosen", "_pattern")

    def __init__(self, fixed: Sequence[str], numbers: Sequence[int]) -> None:
        self._pattern = pattern(fixed)
        self._chosen: Callable[[list[str]], Any] = itemgetter(*numbers) if numbers else lambda _values: ()

    def text(self, values: list[str]) -> str:
        text: str = self._pattern % self._chosen(values)
        return text


def _numbers(bare: Bare, numbers: Mapping[str, int]) -> list[int]:
    offset = len(numbers) if bare.escaped else 0
    return [numbers[name] + offset for name in bare.names]


def _columns(names: Sequence[str], subject: Bare, in_links: Set[str]) -> frozenset[str] | None:
    """The contact's columns, if they are all that varies, links are the same for all, and no subject is blank."""
    paths = [name.split(".") for name in names if name != "token" and not name.startswith("campaign.")]
    if any(path[0] != "contact" or len(path) != 2 for path in paths):
        return None
    if any(name.startswith("contact.") for name in in_links) or not "".join(subject.fixed).strip():
        return None
    return frozenset(path[1] for path in paths)


def _most_characters(templates: list[Bare]) -> int:
    """How long all values may be together, so that no part can come near MAX_PART_BYTES."""
    if any(len("".join(bare.fixed).encode()) > MAX_PART_BYTES // 2 for bare in templates):
        raise ValueError("a template is large")
    uses = sum(len(bare.names) for bare in templates)
    return MAX_PART_BYTES // 16 // max(uses, 1)  # escaping makes six bytes of one
