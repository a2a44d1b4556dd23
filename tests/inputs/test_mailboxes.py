"""The mailboxes of a campaign file: one parser says what they are, so what is checked can also be sent from."""

import pytest

from sendctl.addresses import Mailbox, parse_mailbox
from sendctl.definition import Definition, Step
from sendctl.errors import BadInput
from sendctl.inputs.campaign_checks import mailbox
from sendctl.rendering.message import StepRenderer

GOOD = [
    ("news@shop.example", Mailbox("", "news@shop.example")),
    (" news@Shop.Example ", Mailbox("", "news@shop.example")),
    ("Shop <news@shop.example>", Mailbox("Shop", "news@shop.example")),
    ("<news@shop.example>", Mailbox("", "news@shop.example")),
    ("Shop Inc. <news@shop.example>", Mailbox("Shop Inc.", "news@shop.example")),
    ('"Shop, Inc." <news@shop.example>', Mailbox("Shop, Inc.", "news@shop.example")),
    (r'"The \"Shop\"" <news@shop.example>', Mailbox('The "Shop"', "news@shop.example")),
    ('"=?utf-8?q?x?=" <n@x.example>', Mailbox("=?utf-8?q?x?=", "n@x.example")),
    ("Bücher <info@bücher.example>", Mailbox("Bücher", "info@xn--bcher-kva.example")),
    ('"a b"@shop.example', Mailbox("", '"a b"@shop.example')),
]
BAD = [
    "",
    "news",
    "n@localhost",
    "n@xn--a.example",
    "n@-s.example",
    "n@s.example (Shop)",
    'A "B" C <n@x.example>',
    '"A" B <n@x.example>',
    "Shop, Inc. <n@x.example>",
    "a@x.example, b@x.example",
    "Team: a@x.example;",
    "Shop <a@x.example> <b@x.example>",
    "Shop <n@x.example",
    "Shop <n@x.example> x",
    "<>",
    "n@x.example\nBcc: e@x.example",
    "Shop\u2028 <n@x.example>",
    "Shop\x85 <n@x.example>",
    "Shop",
    "A <a@b.example>, C <c@d.example>",
    "Shop <a b@c.example>",
    "Shop <a@b_c.example>",
    "Shop <a@b..example>",
    "<a@b.example",
    "Shop <<a@b.example>>",
]


def sends_from(text: str) -> bool:
    """Whether the renderer takes this as a sender."""
    definition = Definition("x", (), purpose="transactional", sender=text)
    try:
        StepRenderer(definition, Step("offer", subject="Hi", text="Hi"))
    except BadInput:
        return False
    return True


@pytest.mark.parametrize(("text", "expected"), GOOD)
def test_a_mailbox_is_a_name_and_an_address(text: str, expected: Mailbox) -> None:
    assert parse_mailbox(text) == expected
    assert mailbox(text) == text


@pytest.mark.parametrize("text", BAD)
def test_what_is_not_one_mailbox_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError):
        parse_mailbox(text)
    with pytest.raises(ValueError, match=r'is not one mailbox: .*; want "news@shop\.example" or'):
        mailbox(text)


@pytest.mark.parametrize("text", [text for text, _ in GOOD] + BAD)
def test_the_check_of_the_campaign_file_and_the_renderer_agree(text: str) -> None:
    try:
        accepted = bool(mailbox(text))
    except ValueError:
        accepted = False
    assert sends_from(text) == accepted
