"""Text messages: what they say, how long they are, and what is refused before anybody pays for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sendctl.definition import Definition, Step
from sendctl.errors import BadInput
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import Frozen, Recipient
from sendctl.rendering.segments import beyond_gsm, length_of
from sendctl.rendering.sms import SmsRenderer
from sendctl.rendering.steps import BothRenderer, renderer_of

FROZEN = Frozen(7, 2, "a" * 32, "texts", "+49 30 123456", datetime(2026, 3, 2, tzinfo=UTC))


def sale(sms: str, **more: object) -> Definition:
    values: dict[str, object] = {"channel": "sms", "purpose": "transactional", "sender": "Shop"} | more
    return Definition("sale", (Step("offer", subject="Hello", text="Hi {{ contact.city }}", sms=sms),), **values)  # type: ignore[arg-type]


def renderer(sms: str, **more: object) -> SmsRenderer:
    definition = sale(sms, **more)
    return SmsRenderer(definition, definition.steps[0])


def to(**contact: object) -> Recipient:
    return Recipient(contact, "t" * 32)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", ("GSM-7", 0, 1)),
        ("a" * 160, ("GSM-7", 160, 1)),
        ("a" * 161, ("GSM-7", 161, 2)),
        ("a" * 306, ("GSM-7", 306, 2)),
        ("a" * 307, ("GSM-7", 307, 3)),
        ("€" * 80, ("GSM-7", 160, 1)),  # of the extension table: two septets
        ("€" * 81, ("GSM-7", 162, 2)),
        ("a" * 152 + "€" + "a" * 151, ("GSM-7", 305, 2)),
        ("a" * 152 + "€" + "a" * 152, ("GSM-7", 306, 3)),  # 306 septets, but no escape is divided: 152, 153, 1
        ("ÄÖÜäöüß@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæÉ¤¡¿Ññà§\n\r", ("GSM-7", 44, 1)),
        ("ç", ("UCS-2", 1, 1)),  # only the capital is in GSM-7
        ("`", ("UCS-2", 1, 1)),
        ("ж" * 70, ("UCS-2", 70, 1)),
        ("ж" * 71, ("UCS-2", 71, 2)),
        ("ж" * 134, ("UCS-2", 134, 2)),
        ("ж" * 135, ("UCS-2", 135, 3)),
        ("😀" * 35, ("UCS-2", 70, 1)),
        ("😀" * 66, ("UCS-2", 132, 2)),
        ("😀" * 67, ("UCS-2", 134, 3)),  # 67 units hold 33 pairs
    ],
    ids=repr,
)  # fmt: skip
def test_a_text_has_the_segments_of_the_standard(text: str, length: tuple[str, int, int]) -> None:
    assert length_of(text) == length


def test_what_makes_a_text_ucs2_is_named_once() -> None:
    assert beyond_gsm("Grüße – ‘Ana’ – 😀") == ["–", "‘", "’", "😀"]


def test_a_text_is_the_same_to_the_byte_and_goes_from_whom_the_campaign_says() -> None:
    made = renderer("Hello {{ contact.name }},\r\nyour code.\n")
    first, again = made.render(to(name="Ana"), FROZEN), renderer("Hello {{ contact.name }},\r\nyour code.\n")
    assert first == again.render(to(name="Ana"), FROZEN)
    assert (first.sender, first.recipient, first.content) == ("Shop", "+4930123456", b"Hello Ana,\nyour code.")
    both = renderer("Hi", channel="both", sender="Shop <news@shop.example>", sms_sender="+4930555")
    assert both.render(to(), FROZEN).sender == "+4930555"


def test_nothing_is_escaped_and_links_are_filled_only_where_they_are_used() -> None:
    links = {"link": "https://shop.example/{{ contact.id }}", "unsubscribe_url": "https://shop.example/u/{{ token }}"}
    made = renderer("A & B <{{ contact.name }}> {{ unsubscribe_url }}", **links)
    assert made.text(to(name="O'Neil")) == f"A & B <O'Neil> https://shop.example/u/{'t' * 32}"
    assert made.missing(to(name="x")) == []
    assert renderer("{{ link }} {{ contact.x }}", **links).missing(to()) == ["contact.id"]
    assert made.references() == {"contact.name", "token"}


@pytest.mark.parametrize(
    ("sms", "contact", "reason"),
    [
        ("{{ contact.name }}", {"name": "  "}, "sms is empty"),
        ("{{ contact.name }}", {"name": "a\x07b"}, "sms holds the control character U\\+0007"),
        ("{{ contact.name }}", {"name": "a\u2028b"}, "U\\+2028"),
        ("{{ contact.name }}", {"name": "a" * 1531}, r"sms takes 11 segments \(1531 units of GSM-7\), the limit is 10"),
        ("{{ contact.name }}", {"name": "a\x00"}, "NUL"),
    ],
    ids=lambda value: str(value)[:20],
)  # fmt: skip
def test_what_no_telephone_shows_or_costs_too_much_is_an_error_of_its_row(
    sms: str, contact: dict[str, str], reason: str
) -> None:
    with pytest.raises(RenderError, match=reason):
        renderer(sms).missing(to(**contact))


def test_a_marketing_text_says_how_to_end_it() -> None:
    for sms in ("Sale! Reply STOP to end", "Sale! {{ unsubscribe_url }}"):
        assert renderer(sms, purpose="marketing", unsubscribe_url="https://shop.example/u").missing(to()) == []
    for sms in ("Sale!", "Nonstop sale!", "{# unsubscribe_url #} Sale!"):
        with pytest.raises(BadInput, match="step 'offer': sms: a marketing text says how to end it"):
            renderer(sms, purpose="marketing", unsubscribe_url="https://shop.example/u")


def test_who_lacks_an_address_needs_only_what_the_other_channel_uses() -> None:
    made = renderer_of(*_both("{{ contact.code }}"))
    assert isinstance(made, BothRenderer)
    assert made.missing(to(email="a@x.example", phone="+4930123456")) == ["contact.city", "contact.code"]
    assert made.missing(to(email="a@x.example", phone="", city="Rome")) == []
    assert made.missing(to(phone="+4930123456", code="1")) == []
    assert not made.surely_fits({"city", "code", "email"}, "t" * 32, 10)
    shown = made.preview(to(phone="+4930123456", code="1"), FROZEN)
    assert (shown.text, shown.headers, shown.sms) == ("", "", "1")


def _both(sms: str) -> tuple[Definition, Step]:
    definition = sale(sms, channel="both", sender="Shop <news@shop.example>")
    return definition, definition.steps[0]
