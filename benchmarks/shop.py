"""The job that is measured: a shop's letter to many people, in a folder with configuration, campaign and contacts.

Talks to sendctl through its command line and its documented files only.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Running, Usage, run

CAMPAIGN = "letter"
PROGRAM = Path(sys.executable).with_name("sendctl")
SENDER = "Shop <news@shop.example>"
UNSUBSCRIBE = "https://shop.example/u/"

SUBJECT = "{{ contact.first_name }}, your {{ contact.plan }} offer of the week"
_SENTENCES = (
    "We have set the things aside that people with the {{ contact.plan }} plan asked for most.",
    "They wait for you, {{ contact.first_name }} {{ contact.last_name }}, until the end of the week.",
    "Whoever orders before Friday gets them on Monday, wherever in the country that is.",
    "Nothing has to be paid before the parcel is at your door and you have looked inside.",
    "What you do not like goes back in the same box, and we pay the postman for both ways.",
    "There are four hundred of them in the store, and when they are gone, they are gone.",
    "People with the {{ contact.plan }} plan pay nothing for the parcel, this week as every week.",
    "Would you rather look at them first? The shop at the market is open until eight.",
    "And if you were there already: thank you, {{ contact.first_name }}, it was good to see you.",
    "The list is made each Monday from what was asked for in the week before, and by nobody else.",
    "It is sent once. Whoever does not open it will not be reminded of it on Tuesday.",
    "Your number with us is {{ contact.id }}; please name it when you call, it saves us both time.",
    "With this the week is set out before you. We wish you a good one, and look forward to yours.",
)
_LINK = "https://shop.example/offer/{{ contact.id }}"
TEXT = "\n".join([
    "Hello {{ contact.first_name }},", "", *_SENTENCES, "", f"Your offer: {_LINK}", "",
    "Do not want these letters? {{ unsubscribe_url }}",
])  # fmt: skip
HTML = "\n".join([
    "<!doctype html>", "<html><body style=\"font-family: sans-serif; color: #222222\">",
    "<h1>Hello {{ contact.first_name }}</h1>",
    *[f'<p style="margin: 0 0 12px 0; line-height: 1.5">{sentence}</p>' for sentence in _SENTENCES],
    f'<p><a style="padding: 8px 16px; background: #0a6" href="{_LINK}">Your offer</a></p>',
    '<table width="100%"><tr><td>Shop</td><td>1 Market Street</td><td>{{ contact.plan }}</td></tr></table>',
    '<p><small>Do not want these letters? <a href="{{ unsubscribe_url }}">Unsubscribe</a></small></p>',
    "</body></html>",
])  # fmt: skip

_CAMPAIGN_FILE = """\
[campaign]
name = "{name}"
purpose = "marketing"
from = "{sender}"
unsubscribe_url = "{unsubscribe}{{{{ token }}}}"

[controls]
batch_size = {batch_size}

[[steps]]
name = "offer"
subject = {subject}
text_file = "letter.txt.j2"
html_file = "letter.html.j2"
"""


@dataclass(frozen=True, slots=True)
class Sending:
    """How passes send: the keys that docs/configuration.md and docs/campaign-file.md describe."""

    port: int = 9
    workers: int = 2
    connections: int = 8
    batch_size: int = 500


@dataclass
class Shop:
    """One folder from which sendctl works on one store."""

    folder: Path
    store_url: str
    sending: Sending = field(default_factory=Sending)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_campaign()
        self.configure(self.sending)

    @property
    def environ(self) -> dict[str, str]:
        """As little as cron gives, and the store's URL, which may hold a password."""
        return {"PATH": os.defpath, "HOME": str(self.folder), "SENDCTL_STORE_URL": self.store_url}

    def configure(self, sending: Sending) -> None:
        """Write sendctl.toml."""
        self.sending = sending
        (self.folder / "sendctl.toml").write_text(
            f'[send]\nenabled = true\nproviders = ["relay"]\nworkers = {sending.workers}\nmax_seconds = 0\n'
            f'[providers.relay]\ntype = "smtp"\nhost = "127.0.0.1"\nport = {sending.port}\ntls = "none"\n'
            f'connections = {sending.connections}\n[journal]\npath = "journal"\n'
        )

    def _write_campaign(self) -> None:
        text = _CAMPAIGN_FILE.format(
            name=CAMPAIGN, sender=SENDER, unsubscribe=UNSUBSCRIBE, subject=json.dumps(SUBJECT),
            batch_size=self.sending.batch_size,
        )  # fmt: skip
        (self.folder / "campaign.toml").write_text(text)
        (self.folder / "letter.txt.j2").write_text(TEXT)
        (self.folder / "letter.html.j2").write_text(HTML)

    # -- commands -------------------------------------------------------------------------------------------------

    def command(self, *arguments: str | Path) -> list[str | Path]:
        """The whole command line."""
        return [PROGRAM, "--config", self.folder / "sendctl.toml", *arguments]

    def start(self, *arguments: str | Path) -> Running:
        """Start `sendctl ARGUMENTS` and go on."""
        return Running(self.command(*arguments), environ=self.environ, folder=self.folder)

    def run(self, *arguments: str | Path, codes: Iterable[int] = (0,)) -> Usage:
        """Run `sendctl ARGUMENTS`. Raises BenchmarkFailed on another exit code."""
        return run(self.command(*arguments), environ=self.environ, folder=self.folder, codes=codes)

    def create(self) -> None:
        """An empty store."""
        self.run("-q", "migrate")

    def enqueue(self, contacts: Path, *options: str) -> Usage:
        """Plan the letter for each person of a file."""
        return self.run("-q", "enqueue", self.folder / "campaign.toml", "--contacts", contacts, *options)

    def counts(self) -> dict[str, int]:
        """Messages by state, `planned` among them, as `status` says."""
        said: dict[str, Any] = json.loads(self.run("status", "--campaign", CAMPAIGN, "--json").said)
        return {**said["counts"], "planned": said["planned"]}

    def message_bytes(self, contacts: Path) -> int:
        """How large the letter to the first person is."""
        said = self.run("preview", self.folder / "campaign.toml", "--contacts", contacts, "--json").said
        size: int = json.loads(said)["size_bytes"]
        return size


def write_contacts(path: Path, count: int, *, first: int = 0) -> Path:
    """A CSV file with so many different people; `first` is the number of the first."""
    plans = ("gold", "silver", "basic")
    with path.open("w") as file:
        file.write("email,first_name,last_name,id,timezone,plan\n")
        for number in range(first, first + count):
            file.write(
                f"person{number}@customer{number % 5000}.example,First{number % 977},Last{number % 3571},"
                f"C{number:08},Europe/Berlin,{plans[number % 3]}\n"
            )
    return path
