"""Names and subjects reach a service as they were written, however many encoded words carry them."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from sendctl.addresses import Mailbox, parse_mailbox
from sendctl.providers.http.letter import parsed
from sendctl.providers.http.postmark import Postmark
from sendctl.providers.http.resend import Resend
from sendctl.providers.http.sendgrid import SendGrid
from sendctl.rendering import headers
from tests.providers.http.world import CONTENT, outgoing

NAMES = (
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=120)
    .map(str.strip)
    .filter(bool)
)
ADDRESSES = st.sampled_from(["news@shop.example", "grüße@shop.example", '"a b"@shop.example'])


def message(sender: Mailbox, subject: str = "Hello") -> bytes:
    fields = [
        headers.mailbox_field("From", sender), headers.mailbox_field("Reply-To", sender),
        headers.text_field("Subject", subject),
    ]  # fmt: skip
    return "\r\n".join(fields).encode() + b"\r\n" + CONTENT.partition(b"Date:")[1] + CONTENT.partition(b"Date:")[2]


@given(NAMES, ADDRESSES)
@example("Gemeinnützige Gesellschaft für Bildung und Kultur mbH", "news@shop.example")
@example('Müller, Söhne & Co. "Gartenbau" Betriebs-GmbH Lübeck', "news@shop.example")
@example("=?utf-8?q?no_word?=", "news@shop.example")
@example("a\\b", "news@shop.example")
def test_a_senders_name_arrives_as_it_was_written(name: str, address: str) -> None:
    sender = Mailbox(name, address)
    given = outgoing()._replace(content=message(sender))
    resend, postmark, sendgrid = (
        json.loads(s.request(given).content) for s in (Resend("k"), Postmark("k"), SendGrid("k"))
    )
    assert parse_mailbox(resend["from"]) == parse_mailbox(resend["reply_to"]) == sender
    assert parse_mailbox(postmark["From"]) == parse_mailbox(postmark["ReplyTo"]) == sender
    assert sendgrid["from"] == sendgrid["reply_to"] == {"email": address, "name": name}


@given(NAMES)
@example("Ihre Bestellung bei der Gemeinnützigen Gesellschaft für Bildung und Kultur ist unterwegs")
def test_a_subject_arrives_as_it_was_written(subject: str) -> None:
    assert parsed(message(Mailbox("", "news@shop.example"), subject)).subject == subject
