"""E-mail addresses, mailboxes with a name, and phone numbers: what is accepted, and when two are the same person's.

Never guesses: what is not an address is refused with the reason and the character's place. Never strips plus
tags or dots, which only the receiving host may interpret (RFC 5321 section 2.3.11).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

LOCAL_MAX_OCTETS = 64  # RFC 5321 section 4.5.3.1.1
ADDRESS_MAX_OCTETS = 254  # a path is 256 octets with its brackets: RFC 5321 section 4.5.3.1.3
DOMAIN_MAX_OCTETS = 253  # 255 in wire form (RFC 1035 section 2.3.4) is 253 written
LABEL_MAX_OCTETS = 63  # RFC 1035 section 2.3.4

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"  # RFC 5322 section 3.2.3
_ATOMS = rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+"
_DOT_ATOM = re.compile(_ATOMS).fullmatch
# The common form. Two hyphens in a row, as in A-labels ("xn--"), take the careful way.
_PLAIN = re.compile(rf"{_ATOMS}@(?:[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+\.)++[A-Za-z]{{2,}}").fullmatch
_LDH_LABEL = re.compile(r"[A-Za-z0-9]++(?:-++[A-Za-z0-9]++)*+").fullmatch
_NOT_ATEXT = re.compile(rf"[^{_ATEXT}.\x80-\U0010FFFF]")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"').match
_QUOTED_PAIR = re.compile(r"\\(.)")
_NEEDS_BACKSLASH = re.compile(r'(["\\])')

# Controls, invisible and direction-changing characters (RFC 6532 allows them; in a contact list they are copying
# accidents or disguises), lone surrogates, and separators other than the space.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"})

# C0 without tab, DEL, C1, and the line breaks that Unicode adds: none may stand in a header field.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_NAMED = re.compile(r"\s*(.*?)\s*<([^<>]*)>\s*", re.DOTALL)
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*+)"').fullmatch
_NOT_IN_A_NAME = re.compile(r'[()<>\[\]:;@\\,"]')  # specials, without the dot: RFC 5322 sections 3.2.3 and 4.1

_PHONE = re.compile(r"\+[1-9][0-9]{7,14}").fullmatch  # E.164 section 6.2.1: at most 15 digits, no leading zero
_PHONE_BEGIN = re.compile(r"[-( ]*[+0-9]").match
_PHONE_PUNCTUATION = str.maketrans("", "", " -()")


class Email(NamedTuple):
    """One mailbox. A named tuple: a file makes millions of them, and a frozen dataclass takes three times as long.

    `address` is the delivery form: the local part as written (NFC), the domain in lower-case A-labels. `key` says
    who it is: equal keys are one person, whatever the case or the quoting. `smtputf8`: the local part is not
    ASCII, so the relay must offer SMTPUTF8 (RFC 6531).
    """

    address: str
    key: str
    smtputf8: bool


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name, perhaps empty, and an address in its delivery form, as a From field has them."""

    display: str
    address: str


def parse_mailbox(text: str) -> Mailbox:
    """Exactly one mailbox: `Shop <news@shop.example>` or a bare address.

    Raises ValueError with the reason. Source: RFC 5322 section 3.4, without comments, groups and routes.
    """
    control = _CONTROL.search(text)
    if control:
        raise ValueError(f"holds the control character U+{ord(control[0]):04X}")
    named = _NAMED.fullmatch(text)
    if not named:
        return Mailbox("", parse_email(text.strip()).address)
    quoted = _QUOTED_NAME(named[1])
    if quoted:
        return Mailbox(_QUOTED_PAIR.sub(r"\1", quoted[1]), parse_email(named[2]).address)
    wrong = _NOT_IN_A_NAME.search(named[1])
    if wrong:
        raise ValueError(f"{wrong[0]!r} in the name before <: put a name with punctuation in double quotes")
    return Mailbox(named[1], parse_email(named[2]).address)


def parse_email(text: str) -> Email:
    """The mailbox that `text` names: a bare address, without display name, brackets or spaces around it.

    Raises ValueError with the reason, and the 1-based character where one is to blame. Sources: RFC 5321 sections
    4.1.2 and 4.5.3.1, RFC 6531 section 3.3, RFC 5890 and UTS 46 for the domain.
    """
    if len(text) <= LABEL_MAX_OCTETS and _PLAIN(text):  # too short for any part to be too long
        key = text.lower()
        return Email(text if key == text else text[: text.index("@")] + key[text.index("@") :], key, False)
    return _parse_carefully(text)


def plain_emails(texts: Sequence[str]) -> tuple[Sequence[str], Sequence[str]] | None:
    """The addresses and keys that `parse_email` gives, if all of these are of the common form; else None."""
    if max(map(len, texts)) > LABEL_MAX_OCTETS or not all(map(_PLAIN, texts)):
        return None
    joined = "\n".join(texts)
    lowered = joined.lower()
    if lowered == joined:
        return texts, texts
    return [parse_email(text).address for text in texts], lowered.split("\n")


def _parse_carefully(text: str) -> Email:
    _refuse_characters(text)
    text = unicodedata.normalize("NFC", text)
    at = _place_of_at(text)
    local, domain = text[:at], _domain(text[at + 1 :], at + 1)
    identity = _local_identity(local)
    local_octets = len(local.encode())
    if local_octets > LOCAL_MAX_OCTETS:
        raise ValueError(f"the part before @ has {local_octets} bytes, the limit is {LOCAL_MAX_OCTETS}")
    if local_octets + 1 + len(domain) > ADDRESS_MAX_OCTETS:
        raise ValueError(f"the address has {local_octets + 1 + len(domain)} bytes, the limit is {ADDRESS_MAX_OCTETS}")
    return Email(f"{local}@{domain}", f"{identity}@{domain}", not local.isascii())


def _refuse_characters(text: str) -> None:
    if not text:
        raise ValueError("the address is empty")
    if len(text) > ADDRESS_MAX_OCTETS:
        raise ValueError(f"the address has {len(text)} characters, the limit is {ADDRESS_MAX_OCTETS} bytes")
    for place, character in enumerate(text, start=1):
        if character == "\N{REPLACEMENT CHARACTER}":
            raise ValueError(f"replacement character U+FFFD at character {place}: the text was decoded wrongly before")
        if character != " " and unicodedata.category(character) in _REFUSED_CATEGORIES:
            raise ValueError(f"control or invisible character U+{ord(character):04X} at character {place}")


def _place_of_at(text: str) -> int:
    """Index of the @ that ends the local part."""
    if text.startswith('"'):
        quoted = _QUOTED(text)
        if quoted is None:
            raise ValueError("the quote opened at character 1 is not closed")
        if not text.startswith("@", quoted.end()):
            raise ValueError(f"no @ after the quoted part, at character {quoted.end() + 1}")
        return quoted.end()
    if "<" in text:
        raise ValueError(f"'<' at character {text.index('<') + 1}: give the bare address, without a name")
    at = text.find("@")
    if at < 0:
        raise ValueError("no @ in the address")
    second = text.find("@", at + 1)
    if second >= 0:
        raise ValueError(f"a second @ at character {second + 1}")
    return at


def _local_identity(local: str) -> str:
    """The local part for comparing: in lower case, unquoted where quotes change nothing (RFC 5321 section 4.1.2).

    Lower case and not full case folding, which would make one person of straße and strasse: one of them is missed.
    """
    if local.startswith('"'):
        content = _QUOTED_PAIR.sub(r"\1", local[1:-1])
        if not content:
            raise ValueError("nothing between the quotes before @")
        if not _DOT_ATOM(content):
            return unicodedata.normalize("NFC", '"' + _NEEDS_BACKSLASH.sub(r"\\\1", content).lower() + '"')
        local = content
    _refuse_local(local)
    return unicodedata.normalize("NFC", local.lower())


def _refuse_local(local: str) -> None:
    if not local:
        raise ValueError("nothing before @")
    wrong = _NOT_ATEXT.search(local)
    if wrong:
        raise ValueError(f"{wrong.group()!r} at character {wrong.start() + 1} is not allowed before @ without quotes")
    if local.startswith("."):
        raise ValueError("a dot at the beginning, at character 1")
    if local.endswith("."):
        raise ValueError(f"a dot right before @, at character {len(local)}")
    if ".." in local:
        raise ValueError(f"two dots in a row, at character {local.index('..') + 1}")


def _domain(domain: str, offset: int) -> str:
    """Lower-case A-labels of a domain whose first character is the `offset`-th (0-based) of the address."""
    if not domain:
        raise ValueError("nothing after @")
    if domain.startswith("["):
        raise ValueError(f"an address literal at character {offset + 1}: a domain name is needed")
    if " " in domain:
        raise ValueError(f"a space at character {offset + domain.index(' ') + 1}")
    ascii_domain = domain.lower() if domain.isascii() else _idna(domain)
    labels = ascii_domain.split(".")
    if "" in labels:
        raise ValueError(f"a dot too many in the domain {domain!r}")
    for label in labels:
        _refuse_label(label, domain)
    if len(labels) < 2:
        raise ValueError(f"the domain {domain!r} has no dot")
    if labels[-1].isdigit():
        raise ValueError(f"the domain {domain!r} ends in a number")  # RFC 3696 section 2
    if len(ascii_domain) > DOMAIN_MAX_OCTETS:
        raise ValueError(f"the domain has {len(ascii_domain)} bytes, the limit is {DOMAIN_MAX_OCTETS}")
    return ascii_domain


def _refuse_label(label: str, domain: str) -> None:
    if len(label) > LABEL_MAX_OCTETS:
        raise ValueError(f"a part of the domain has {len(label)} bytes, the limit is {LABEL_MAX_OCTETS}")
    if not _LDH_LABEL(label):
        raise ValueError(f"the part {label!r} of the domain {domain!r} is not letters, digits and inner hyphens")
    if label.startswith("xn--"):
        _idna(label)


@lru_cache(maxsize=1024)
def _idna(domain: str) -> str:
    # Costs a few milliseconds to import and most files have ASCII domains only.
    import idna  # noqa: PLC0415

    try:
        return idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
    except idna.IDNAError as error:
        reason = str(error).rstrip(".")
        raise ValueError(f"the domain {domain!r} is not an internationalised domain name: {reason}") from None


def address_key(text: str) -> str:
    """Who an e-mail address or phone number is: what the ledger compares people and suppressions by.

    Raises ValueError with the reason.
    """
    if "@" in text:
        return parse_email(text).key
    if not _PHONE_BEGIN(text):
        raise ValueError("neither an e-mail address, which has an @, nor a phone number")
    return parse_phone(text)


def parse_phone(text: str) -> str:
    """The number in strict E.164 form: "+" and 8 to 15 digits. Spaces, dashes and parentheses are dropped.

    Raises ValueError with the reason. Source: ITU-T E.164 section 6.2.1.
    """
    if "(0)" in text:
        raise ValueError("'(0)' is dialled only inside the country: leave it out")
    number = text.translate(_PHONE_PUNCTUATION)
    if _PHONE(number):
        return number
    if not number.startswith("+"):
        raise ValueError("the number must start with + and the country code")
    wrong = re.search(r"[^0-9]", number[1:])
    if wrong:
        raise ValueError(f"{wrong.group()!r} at character {text.index(wrong.group(), 1) + 1} is not a digit")
    if number.startswith("+0"):
        raise ValueError("a country code does not start with 0")
    raise ValueError(f"{len(number) - 1} digits, a number has 8 to 15")
