"""The sample campaign: 200 awkward but legal people, each of whom gets a letter that reads back as it was meant."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from zoneinfo import ZoneInfo

from sendctl.addresses import parse_email
from sendctl.definition import Definition, Step
from sendctl.rendering.message import Recipient, StepRenderer
from tests.rendering.samples import FROZEN, body_text, lines, parsed

FOLDER = Path(__file__).parents[2] / "examples" / "spring-sale"


def people() -> list[dict[str, str]]:
    with (FOLDER / "contacts.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def ready() -> StepRenderer:
    raw = tomllib.loads((FOLDER / "campaign.toml").read_text(encoding="utf-8"))
    head, (step,) = raw["campaign"], raw["steps"]
    offer = Step(
        name=step["name"],
        subject=step["subject"],
        text=(FOLDER / step["text_file"]).read_text(encoding="utf-8"),
        html=(FOLDER / step["html_file"]).read_text(encoding="utf-8"),
    )
    links = {key: head[key] for key in ("reply_to", "unsubscribe_url", "link")}
    return StepRenderer(Definition(name=head["name"], steps=(offer,), sender=head["from"], **links), offer)


def test_there_are_200_different_people_under_reserved_domains():
    rows = people()
    assert len(rows) == len({parse_email(row["email"]).key for row in rows}) == len({row["id"] for row in rows}) == 200
    for row in rows:
        assert parse_email(row["email"]).address.endswith(".example")  # RFC 2606
        assert ZoneInfo(row["timezone"])


def test_every_person_gets_a_letter_that_reads_back():
    renderer = ready()
    for row in people():
        recipient = Recipient(contact=row, token="token" + row["id"])
        frozen = FROZEN._replace(recipient=row["email"], key=f"key-{row['id']}")
        assert renderer.missing(recipient) == []
        out = renderer.render(recipient, frozen)
        # Only an address may be longer: there is no place to fold it.
        assert max(len(line) for line in lines(out.content) if not line.startswith(b"To: ")) <= 78
        assert out.content.isascii()
        message = parsed(out.content)
        assert message["Subject"] == f"{row['first_name']}, spring has come to the shop"
        assert f"\r\nTo: {out.recipient}\r\n".encode() in out.content
        assert row["first_name"] in body_text(message, "plain")
        assert f"https://shop.example/u/token{row['id']}" in body_text(message, "html")


def test_markup_in_a_name_stays_text_in_the_html_part():
    (row,) = [row for row in people() if row["email"] == "html@mail.example"]
    preview = ready().preview(Recipient(contact=row, token="t"), FROZEN)
    assert "Hello &lt;b&gt;Bold&lt;/b&gt; &amp; Sons," in preview.html
    assert "Hello <b>Bold</b> & Sons," in preview.text
