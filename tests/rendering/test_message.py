"""Whole messages: what a mail reader gets, what a replay repeats, what is refused."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendctl.errors import BadInput, ExitCode
from sendctl.rendering.failures import RenderError
from sendctl.rendering.message import StepRenderer
from tests.rendering.samples import ANA, CAMPAIGN, FROZEN, KEY, STEP, body_text, lines, parsed, person, renderer

GOLDEN = b"""\
Date: Mon, 23 Nov 2026 09:00:05 +0000
From: Shop <news@shop.example>
Reply-To: help@shop.example
To: ana@one.example
Subject: Hello Ana
Message-ID: <0123456789abcdef0123456789abcdef@shop.example>
List-Unsubscribe: <https://shop.example/u/t0ken>
List-Unsubscribe-Post: List-Unsubscribe=One-Click
MIME-Version: 1.0
Content-Type: multipart/alternative;
 boundary="=_0123456789abcdef0123456789abcdef"

--=_0123456789abcdef0123456789abcdef
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello Ana,
stop: https://shop.example/u/t0ken

--=_0123456789abcdef0123456789abcdef
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<p>Hello Ana</p>
<a href="https://shop.example/u/t0ken">stop</a>

--=_0123456789abcdef0123456789abcdef--
""".replace(b"\n", b"\r\n")

# Every character that a mail may hold: no surrogates, and the controls are what other tests are for.
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=400)
WORDS = st.text(st.sampled_from(string.printable.replace("\x00", "") + "éß€字😀"), min_size=1, max_size=2000)
ONE_LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=200)


def normal(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if text.endswith("\n") else text + "\n"


def test_a_message_has_exactly_these_bytes():
    assert renderer().render(ANA, FROZEN).content == GOLDEN


def test_outgoing_carries_the_frozen_identity_and_the_envelope():
    out = renderer().render(ANA, FROZEN)
    assert (out.message_id, out.attempt, out.key, out.provider) == (7, 1, KEY, "primary")
    assert (out.sender, out.recipient) == ("news@shop.example", "ana@one.example")
    assert not out.eight_bit
    assert not out.smtputf8


def test_a_replay_from_another_renderer_is_byte_identical():
    late = FROZEN._replace(attempt=3, composed_at=FROZEN.composed_at.astimezone(timezone(timedelta(hours=9))))
    assert renderer().render(ANA, late).content == renderer().render(ANA, FROZEN).content


@settings(max_examples=60, deadline=None)
@given(subject=ONE_LINE, text=WORDS | ANY_TEXT, html=ANY_TEXT | WORDS)
def test_any_text_comes_back_as_it_was_in_short_ascii_lines(subject, text, html):
    if not (subject.strip(" \t") and text.strip() and html.strip()):
        return
    step = replace(STEP, subject="{{ contact.s }}", text="{{ contact.t }}", html="{{ contact.h|safe }}")
    out = StepRenderer(CAMPAIGN, step).render(person(s=subject, t=text, h=html), FROZEN)
    assert out.content.isascii()
    assert max(map(len, lines(out.content))) <= 78
    message = parsed(out.content)
    assert message["Subject"] == subject.strip(" \t")
    assert body_text(message, "plain") == normal(text)
    assert body_text(message, "html") == normal(html)


def test_a_step_with_one_part_is_a_single_part_message():
    for part, subtype in (("html", "plain"), ("text", "html")):
        message = parsed(renderer(**{part: ""}).render(ANA, FROZEN).content)
        assert message.get_content_type() == f"text/{subtype}"
        assert "Ana" in body_text(message, subtype)


def test_a_body_that_contains_the_boundary_does_not_end_its_part():
    nasty = f"--=_{KEY}\n--=_{KEY}--\n"
    message = parsed(renderer(text="{{ contact.t }}\n").render(person(t=nasty), FROZEN).content)
    assert [part.get_content_subtype() for part in message.iter_parts()] == ["plain", "html"]
    assert body_text(message, "plain") == nasty


def test_marketing_announces_one_click_unsubscribe_and_transactional_mail_does_not():
    assert parsed(renderer().render(ANA, FROZEN).content)["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    message = parsed(renderer(replace(CAMPAIGN, purpose="transactional")).render(ANA, FROZEN).content)
    assert message["List-Unsubscribe"] is None
    assert message["List-Unsubscribe-Post"] is None


def test_a_long_unsubscribe_url_is_not_folded():
    long = replace(CAMPAIGN, unsubscribe_url="https://shop.example/u/{{ token }}/" + "a" * 300)
    head = renderer(long).render(ANA, FROZEN).content.partition(b"\r\n\r\n")[0]
    assert b"List-Unsubscribe: <https://shop.example/u/t0ken/" + b"a" * 300 + b">\r\n" in head


@pytest.mark.parametrize(
    "url", ["http://shop.example/u", "https://shop.example/a b", "https://x>, <mailto:a@b", "https://é"]
)
def test_an_unsubscribe_url_that_breaks_its_header_is_refused(url):
    unusual = replace(CAMPAIGN, unsubscribe_url="{{ contact.u }}")
    with pytest.raises(RenderError, match="unsubscribe_url"):
        renderer(unusual).render(person(u=url), FROZEN)


@pytest.mark.parametrize(
    "control", ["\n", "\r", "\r\nBcc: x@evil.example", "\x00", "\x0b", "\x85", "\u2028", "\x7f", "\x1b"]
)
def test_no_header_accepts_a_line_break_or_control_character(control):
    campaign = replace(CAMPAIGN, link="https://shop.example/{{ contact.l }}")
    ready = renderer(campaign)
    for column in ("first_name", "l"):
        with pytest.raises(RenderError, match=r"subject|link|contact"):
            ready.render(person(**{"l": "x", column: f"Ana{control}"}), FROZEN)
    with pytest.raises(RenderError, match="recipient"):
        ready.render(person(l="x"), FROZEN._replace(recipient=f"ana{control}@one.example"))
    for key in ("sender", "reply_to"):
        with pytest.raises(BadInput):
            renderer(replace(CAMPAIGN, **{key: f"Shop{control} <news@shop.example>"}))


def test_a_line_break_in_the_subject_is_found_at_enqueue_already():
    with pytest.raises(RenderError, match="subject") as caught:
        renderer().missing(person(first_name="Ana\nBcc: x@evil.example"))
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_line_ends_of_the_data_are_normalised_and_nul_is_refused():
    ready = renderer(text="{{ contact.t }}")
    out = ready.render(person(t="a\rb\r\nc\nd"), FROZEN)
    assert body_text(parsed(out.content), "plain") == "a\nb\nc\nd\n"
    with pytest.raises(RenderError, match=r"contact\.t holds a NUL"):
        ready.missing(person(t="a\x00b"))
    with pytest.raises(RenderError, match="text holds a NUL"):
        renderer(text="a\x00b").render(ANA, FROZEN)


def test_a_lone_surrogate_is_refused_where_it_stands():
    with pytest.raises(RenderError, match=r"contact\.first_name holds a lone surrogate"):
        renderer().render(person(first_name="\ud800"), FROZEN)
    with pytest.raises(BadInput, match="text holds a lone surrogate"):
        renderer(text="\udfff")


def test_a_blank_part_or_subject_is_refused_instead_of_sent():
    for part in ("subject", "text", "html"):
        with pytest.raises(RenderError, match=f"{part} is blank"):
            renderer(**{part: " {{ contact.b }} "}).render(person(b=""), FROZEN)


def test_an_international_domain_becomes_a_labels_and_stays_seven_bit():
    out = renderer(replace(CAMPAIGN, sender="Bücher <post@bücher.example>")).render(
        ANA, FROZEN._replace(recipient="max@straße.example")
    )
    assert (out.sender, out.recipient) == ("post@xn--bcher-kva.example", "max@xn--strae-oqa.example")
    assert out.content.isascii()
    assert not out.smtputf8
    message = parsed(out.content)
    assert message["From"].addresses[0].display_name == "Bücher"
    assert message["Message-ID"] == f"<{KEY}@xn--bcher-kva.example>"


def test_a_utf8_local_part_needs_smtputf8():
    out = renderer().render(ANA, FROZEN._replace(recipient="jörg@bücher.example"))
    assert (out.smtputf8, out.eight_bit) == (True, True)
    assert out.recipient == "jörg@xn--bcher-kva.example"
    assert "To: jörg@xn--bcher-kva.example\r\n".encode() in out.content
    assert renderer(replace(CAMPAIGN, reply_to="hilfe-ä@shop.example")).render(ANA, FROZEN).smtputf8


def test_links_are_templates_rendered_first_and_open_to_all_parts():
    campaign = replace(CAMPAIGN, link="https://shop.example/r?t={{ token }}&n={{ contact.first_name|urlencode }}")
    out = renderer(campaign, subject="{{ link }}").preview(person(first_name="a/b c"), FROZEN)
    assert out.subject == "https://shop.example/r?t=t0ken&n=a/b%20c"


def test_campaign_order_and_item_are_variables():
    step = {"subject": "{{ order.id }}/{{ item.id }} {{ campaign.name }}", "text": "{{ order.items[1].name }}"}
    buyer = ANA._replace(order={"id": 5, "items": [{"name": "Tea"}, {"name": "Pot"}]}, item={"id": 2})
    preview = renderer(**step).preview(buyer, FROZEN)
    assert (preview.subject, preview.text) == ("5/2 spring-sale", "Pot\n")


def test_preview_shows_the_headers_that_travel():
    preview = renderer().preview(ANA, FROZEN)
    assert preview.headers == GOLDEN.partition(b"\r\n\r\n")[0].decode().replace("\r\n", "\n") + "\n"
    assert (preview.subject, preview.text[:10]) == ("Hello Ana", "Hello Ana,")


def test_references_name_what_each_row_must_have():
    assert renderer().references() == {"contact.first_name", "token"}


def test_missing_names_every_undefined_variable_of_a_bare_template():
    ready = renderer(text="{{ contact.city }} {{ contact.street }} {{ order.id }}", html="{{ link }}")
    assert ready.missing(person(city="Rome")) == ["contact.street", "link", "order.id"]
    assert renderer().missing(ANA) == []


def test_many_people_surely_fit_where_their_columns_and_the_length_of_their_values_decide():
    ready = renderer()
    assert not ready.surely_fits({"first_name"}, ANA.token, 10)  # nobody has been looked at with this token yet
    assert ready.missing(ANA) == []
    assert ready.surely_fits({"first_name", "email"}, ANA.token, 10)
    assert not ready.surely_fits({"email"}, ANA.token, 10)
    assert not ready.surely_fits({"first_name"}, "another", 10)
    assert not ready.surely_fits({"first_name"}, ANA.token, 1 << 20)
    guarded = renderer(text="{% if contact.first_name %}Hello{% endif %}")
    assert guarded.missing(ANA) == []
    assert not guarded.surely_fits({"first_name"}, ANA.token, 10)


def test_missing_lets_guards_pass_and_follows_loops():
    guarded = renderer(
        text="{{ contact.city|default('your town') }}{% if contact.vip is defined %}{{ contact.vip }}{% endif %}"
    )
    assert guarded.missing(ANA) == []
    looped = renderer(text="{% for item in order.items %}{{ item.name }}{% endfor %}")
    assert looped.missing(ANA._replace(order={"items": [{"name": "Tea"}]})) == []
    assert looped.missing(ANA._replace(order={"items": [{"id": 1}]})) == ["item.name"]


def test_missing_sees_what_a_link_needs():
    assert renderer(replace(CAMPAIGN, unsubscribe_url="https://shop.example/{{ contact.id }}")).missing(ANA) == [
        "contact.id"
    ]


def test_missing_refuses_a_row_that_a_template_cannot_show():
    with pytest.raises(RenderError, match="not text"):
        renderer(text="{{ contact }}").missing(ANA)


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_syntax_error_names_step_part_and_line(part):
    with pytest.raises(BadInput, match=f"step 'offer': {part}, line 3: ") as caught:
        renderer(**{part: "a\nb\n{{ contact.first_name"})
    assert caught.value.exit_code is ExitCode.BAD_INPUT


def test_a_syntax_error_in_the_unsubscribe_url_is_named():
    with pytest.raises(BadInput, match="unsubscribe_url, line 1"):
        renderer(replace(CAMPAIGN, unsubscribe_url="https://shop.example/{% u %}"))


def test_a_step_without_subject_or_body_is_refused():
    for parts in ({"subject": ""}, {"text": "", "html": ""}):
        with pytest.raises(BadInput, match="needs a subject and at least one of text and html"):
            renderer(**parts)


@pytest.mark.parametrize("key", ["", "a b", "a@b", "x" * 65, 'a"b', "a\r\nb"])
def test_a_key_that_cannot_stand_in_a_message_id_is_refused(key):
    with pytest.raises(RenderError, match="does not fit a Message-ID"):
        renderer().render(ANA, FROZEN._replace(key=key))


def test_an_error_never_repeats_a_persons_data():
    with pytest.raises(RenderError) as caught:
        renderer(text="{{ contact.secret }} {{ contact.nothing }}").render(person(secret="s3cret"), FROZEN)
    assert "contact.nothing is undefined" in str(caught.value)
    assert "s3cret" not in str(caught.value)
