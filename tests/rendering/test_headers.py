"""Header fields against the stdlib's parser, and what may not stand in them."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from email import message_from_string, policy
from email.header import decode_header, make_header
from email.utils import format_datetime, parseaddr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendctl.addresses import Mailbox, parse_mailbox
from sendctl.rendering import headers

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=300)
ASCII_LINE = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=300)


def read(field: str):
    for line in field.split("\r\n"):
        assert len(line) <= 78
        assert line.strip()
    message = message_from_string(field + "\r\n\r\n", policy=policy.default)
    (value,) = message.values()
    assert value.defects == ()
    return value


@settings(max_examples=150, deadline=None)
@given(LINE | ASCII_LINE)
def test_a_subject_reads_back_whatever_it_holds(value):
    value = headers.single_line(value)
    if value:
        assert read(headers.text_field("Subject", value)) == value


@pytest.mark.parametrize(
    "value", ["=?utf-8?q?fake?=", "a" * 500, "word " * 60 + "end", "two  spaces", "é", "a\tb", "字" * 100, "=?"]
)
def test_awkward_subjects_read_back(value):
    assert read(headers.text_field("Subject", value)) == value


@pytest.mark.parametrize("value", ["x" * 69, "x" * 70, "x" * 72 + " end", "x" * 77 + " end", "a " + "x" * 77])
def test_a_subject_with_a_long_word_stays_within_the_line(value):
    assert read(headers.text_field("Subject", value)) == value


def test_a_short_ascii_subject_is_left_alone():
    assert headers.text_field("Subject", "50% off: today") == "Subject: 50% off: today"


@settings(max_examples=100, deadline=None)
@given(LINE | ASCII_LINE)
def test_a_display_name_reads_back_whatever_it_holds(name):
    name = " ".join(name.split())
    if not name:
        return
    quoted = '"' + name.replace("\\", r"\\").replace('"', r"\"") + '"'
    box = parse_mailbox(f"{quoted} <a@shop.example>")
    assert box == Mailbox(name, "a@shop.example")
    field = headers.mailbox_field("From", box)
    assert [each.addr_spec for each in read(field).addresses] == ["a@shop.example"]
    # The stdlib's newer parser keeps the space between two encoded words of a phrase, against RFC 2047 section 6.2.
    shown, _ = parseaddr(field.removeprefix("From: ").replace("\r\n", ""))
    assert str(make_header(decode_header(shown))) == name


@pytest.mark.parametrize(
    ("display", "field"),
    [
        ("Shop", "From: Shop <a@shop.example>"),
        ("Shop, Ltd.", 'From: "Shop, Ltd." <a@shop.example>'),
        ("=?utf-8?q?Bank?=", "From: =?utf-8?b?PT91dGYtOD9xP0Jhbms/PQ==?= <a@shop.example>"),
        ("Bücher", "From: =?utf-8?b?QsO8Y2hlcg==?= <a@shop.example>"),
        ("", "From: a@shop.example"),
    ],
)
def test_a_display_name_takes_the_plainest_form_that_is_safe(display, field):
    assert headers.mailbox_field("From", Mailbox(display, "a@shop.example")) == field


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2199, 1, 1)))  # noqa: DTZ001
def test_dates_are_those_of_the_standard_library(moment):
    moment = moment.replace(tzinfo=UTC)
    assert headers.date(moment) == format_datetime(moment)


@pytest.mark.parametrize("character", [chr(code) for code in range(128)])
def test_a_url_between_angle_brackets_holds_what_a_url_may_hold(character):
    url = f"https://shop.example/{character}x"
    if character in string.ascii_letters + string.digits + "!#$%&'()*+,-./:;=?@[]_~":
        assert headers.https_url(url) == headers.https_url(f" {url}\t") == url
    else:
        with pytest.raises(ValueError):
            headers.https_url(url)
