"""Bare templates without the engine: the same bytes, refusals and missing names as the engine's, whatever the data."""

from __future__ import annotations

import binascii
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sendctl.definition import Definition, Step
from sendctl.errors import SendctlError
from sendctl.rendering import data, headers, mime
from sendctl.rendering.failures import RenderError
from sendctl.rendering.letter import Letter
from sendctl.rendering.message import Recipient, StepRenderer
from sendctl.rendering.templates import MAX_PART_BYTES, Template
from tests.rendering.samples import ANA, CAMPAIGN, FROZEN, KEY, STEP, person, renderer

ENGINE = "{% if true %}{% endif %}"  # prints nothing, and no template that holds it is bare

CHARACTERS = "ab .=\t\r\n\x0b\x1f%&<>\"'/{}-é€字😀"
VALUES = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=30),
    st.text(st.sampled_from("abc &'é"), min_size=1, max_size=12),
    st.text(max_size=20),
    st.sampled_from(
        [
            "Ana",
            "From here",
            "\nFrom there",
            f"--=_{KEY}--",
            f"\n--=_{KEY}\n",
            ".",
            "\n.\n",
            "a\r\nb",
            "\ud800",
            "a\x00b",
        ]
    ),
    st.sampled_from(["", " ", "{{ token }}", "%s", "x" * 77, "word " * 40, "=" * 200, "é" * 90, "https://a.example/"]),
    st.sampled_from([None, True, False, 0, -7, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40, 0.5, -0.0, 1e30, 1e-7]),
    st.sampled_from([[], ["x"], {}, {"y": "z"}]),
)
TEXTS = st.one_of(
    st.text(st.sampled_from("abc &'<é=.字\x1b"), min_size=1, max_size=12),
    st.sampled_from(["Ana", "From here", f"--=_{KEY}--", ".", "", "%s", "x" * 77, "word " * 40, "=" * 99, "é" * 90]),
    st.sampled_from(["a\r\nb", "\nFrom there", "\n.\n", f"\n--=_{KEY}\n"]),
)
LONG = st.sampled_from(["x" * 70_000, "é" * (MAX_PART_BYTES // 2), "&" * (MAX_PART_BYTES // 4), "y\n" * 9_000])
PEOPLE = st.fixed_dictionaries({"a": TEXTS, "b": TEXTS, "c": TEXTS, "deep": st.just({"x": 7})})
CONTACTS = st.fixed_dictionaries(
    {"a": VALUES, "b": VALUES | LONG}, optional={"c": VALUES, "items": VALUES, "deep": st.just({"x": "deep", "é": "e"})}
)
GOOD_NAMES = st.sampled_from(["contact.a", "contact.b", "contact.c", "contact.deep.x", "token", "campaign.name"])
NAMES = GOOD_NAMES | st.sampled_from(
    ["link", "unsubscribe_url", "contact.items", "contact.deep.é", "contact.deep", "contact.a.0", "contact.0",
     "order.id", "campaign.reply_to", "nobody", "true", "none"]
)  # fmt: skip
FIXED = st.one_of(
    st.text(st.sampled_from(CHARACTERS), max_size=20),
    st.sampled_from(
        ["\nFrom ", "From", "\n", "\n\n", "\r\n", " \n", "{# {{ contact.gone }} -#}", "{#- no #}", "100%s"]
    ),
    st.sampled_from(["A line that is longer than the seventy-eight characters that may travel as they are. ", "ü\n"]),
)


def sources(names, fixed):
    """Templates of text and names, with and without white space control."""
    tags = st.builds(
        "{{{{{}{}{}}}}}".format, st.sampled_from([" ", "", "- ", "-", "+", "\n"]), names, st.sampled_from(" -+")
    )
    return st.lists(tags | fixed, min_size=1, max_size=7).map("".join)


GOOD_SOURCES = sources(GOOD_NAMES, FIXED).map(
    lambda source: f"Dear customer, {source}\nYours, and more of it to read\n"
)
SOURCES = GOOD_SOURCES | sources(NAMES, FIXED | st.sampled_from(["\r", "\x00", "{{"]))
GOOD_SUBJECTS = st.sampled_from(["Hello {{ contact.a }}", "Hello", "An offer, {{ contact.deep.x }}{# for you #}"])
URLS = st.sampled_from(["https://a.example/{{ contact.c }}", "{{ contact.a }}", ""])
LINKS = st.sampled_from(["https://a.example/?{{ contact.a }}", "{{ unsubscribe_url }}", "{{ contact.b }}"])


def cases(subjects, bodies, urls, links, contacts):
    """A campaign with one step, and a person."""
    steps = st.builds(partial(replace, STEP), subject=subjects, text=bodies, html=bodies)
    purposes = st.sampled_from(["marketing", "transactional"])
    campaigns = st.builds(partial(replace, CAMPAIGN), unsubscribe_url=urls, link=links, purpose=purposes)
    return st.tuples(campaigns, steps, contacts)


# Most of the first kind are rendered, most of the second refused.
CASES = cases(GOOD_SUBJECTS, GOOD_SOURCES, st.just("https://a.example/{{ token }}"), st.just(""), PEOPLE) | cases(
    GOOD_SUBJECTS | SOURCES, SOURCES | st.just(""), URLS, LINKS | st.just(""), CONTACTS | PEOPLE
)


def example_of(text: str, html: str, **contact: str):
    """A case that a generator would hardly find."""
    return example((replace(CAMPAIGN, unsubscribe_url=""), replace(STEP, subject="x", text=text, html=html), contact))


def outcome(act):
    """What `act` gives, or the kind and words of its refusal."""
    try:
        return act()
    except SendctlError as error:
        return type(error), str(error), getattr(error, "name", "")


def letter(campaign: Definition = CAMPAIGN, **step: str) -> Letter:
    """The sample step as a letter, with some parts replaced."""
    sources = {"subject": STEP.subject, "text": STEP.text, "html": STEP.html} | step
    bare = {part: Template(part, source, owner="").bare for part, source in sources.items() if source}
    url = Template("unsubscribe_url", campaign.unsubscribe_url, owner="").bare
    bodies = {{"text": "plain"}.get(part, part): bare[part] for part in ("text", "html") if part in bare}
    return Letter({"unsubscribe_url": (url, headers.https_url)}, bare["subject"], bodies)


def scope(**contact: object) -> dict[str, object]:
    return {"contact": data.frozen(person(**contact).contact, "contact"), "token": "t0ken"}


AWKWARD = [
    "<b>", "&", "O'Neill", '"', "/", "=", "a=b", "é", "é=&", "字" * 30, "x" * 300, "%s %", "{{ token }}", "\x1b[0m",
    "\t", " ", "", ".", "From ", "From", f"--=_{KEY}", "a\nb", "a\rb", "a\r\nb", "\nFrom ", "\u2028", "\x85", "\x00",
    "\udfff", None, True, 0, -5, 2**63, 2**128, 1.0, 1e300, [], {}, "x" * MAX_PART_BYTES,
]  # fmt: skip
AROUND = [
    "Dear {{ contact.v }}, 100% = ü\n\n{{ contact.v }}\n" + "and more\n" * 9,
    "{{ contact.v }}",
    "a\r{{ contact.v }}\n",
    "short\n{{ contact.v }}",
    "x" * 79 + "{{ contact.v }}" + "y =" * 99,
    "ü" * 5 + "\nFrom {{ contact.v }} on\n",
    "Dear {{ contact.v }},\nFrom now on\n" + "x" * 80,
    "{{ contact.v }} and {{ contact.v }}\r\nand so on\n",
    "{{ contact.v }}here\n" + "long and " * 20,
    "Это {{ contact.v }}",
]


def without_letter(campaign: Definition, step: Step) -> StepRenderer:
    """The same contents from the engine, part by part."""
    parts = {part: ENGINE + getattr(step, part) for part in ("subject", "text", "html") if getattr(step, part)}
    links = {key: ENGINE + getattr(campaign, key) for key in ("unsubscribe_url", "link") if getattr(campaign, key)}
    return StepRenderer(replace(campaign, **links), replace(step, **parts))


@pytest.mark.parametrize("source", AROUND, ids=range(len(AROUND)))
def test_awkward_values_come_out_as_the_engine_has_them(source):
    for parts in ({"text": source, "html": source}, {"text": source, "html": ""}, {"subject": source}):
        step = replace(STEP, **parts)
        with_letter, without = StepRenderer(CAMPAIGN, step), without_letter(CAMPAIGN, step)
        for value in AWKWARD:
            expected = outcome(partial(without.render, person(v=value), FROZEN))
            assert outcome(partial(with_letter.render, person(v=value), FROZEN)) == expected


def test_an_order_is_not_taken_for_a_column():
    ready = renderer(text="Order {{ order.id }}\n")
    buyer = ANA._replace(order={"id": 5})
    assert [ready.missing(each) for each in (buyer, ANA, person(id="5"))] == [[], ["order.id"], ["order.id"]]
    plain = renderer()
    assert plain.missing(ANA) == []
    with pytest.raises(RenderError, match=r"order\.x holds a NUL"):
        plain.missing(ANA._replace(order={"x": "\x00"}))


def test_a_link_does_not_know_the_other_link():
    campaign = replace(CAMPAIGN, link="{{ unsubscribe_url }}")
    recipient = person()
    expected = outcome(partial(without_letter(campaign, STEP).render, recipient, FROZEN))
    assert outcome(partial(StepRenderer(campaign, STEP).render, recipient, FROZEN)) == expected


@settings(max_examples=150, deadline=None)
@given(CASES)
@example_of("x\n{{ contact.a }}", "x\r{{ contact.a }}\n", a="")
@example_of("{{ contact.a }}", "{{ contact.b }} ", a=" ", b="")
def test_a_bare_step_gives_what_the_engine_gives(case):
    campaign, step, contact = case
    recipient = Recipient(contact=contact, token="t0ken")
    assert outcome(lambda: StepRenderer(campaign, step).render(recipient, FROZEN)) == outcome(
        lambda: without_letter(campaign, step).render(recipient, FROZEN)
    )


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_a_row_lacks_the_same_names_with_and_without_a_letter(case):
    campaign, step, contact = case
    # One template that is not bare, and there is no letter; the others still name all that a row lacks.
    renderers = [outcome(partial(StepRenderer, replace(campaign, link=link), step)) for link in ("", ENGINE)]
    if "link" in step.subject + step.text + step.html or not all(isinstance(each, StepRenderer) for each in renderers):
        return
    usual = Recipient(contact={"a": "x", "b": "y", "c": "z", "deep": {"x": 7}}, token="t0ken")
    # The second look at a row knows its token already.
    for recipient in (usual, usual._replace(contact=contact), ANA, ANA._replace(token="to\nken")):
        first, second = (outcome(partial(each.missing, recipient)) for each in renderers)
        assert first == second


@pytest.mark.parametrize("subject", ["To {{ contact.v }}", "{{ contact.v }}", "{{ token }}{{ contact.v }}"])
@pytest.mark.parametrize("url", ["https://a.example/{{ token }}", "https://a.example/{{ contact.v }}"])
def test_rows_with_the_same_token_lack_what_the_engine_finds_lacking(subject, url):
    campaign, step = replace(CAMPAIGN, unsubscribe_url=url), replace(STEP, subject=subject, text="Dear {{ contact.v }}")
    with_letter, without = StepRenderer(campaign, step), StepRenderer(replace(campaign, link=ENGINE), step)
    for value in AWKWARD:
        for recipient in (person(v="x"), person(v=value), ANA, person(w=value), person(v="x", w=value)):
            expected = outcome(partial(without.missing, recipient))
            assert outcome(partial(with_letter.missing, recipient)) == expected


@pytest.mark.parametrize("name", ["Ana", "Jörg", "Ana & Eva <x>", "O'Neill", "a=b", "7", "", "%s", "x" * 300, "字"])
def test_usual_people_do_not_need_the_engine(name):
    assert letter(text="Dear {{ contact.n }},\r\nyours\r\n").filled(scope(n=name)) is not None
    assert letter(text="Dear {{ contact.n }},\nyours\n").filled(scope(n=name)) is not None
    assert letter(text="{{ contact.n }}\ngrößer\n" + "x" * 80).filled(scope(n=name)) is not None


@pytest.mark.parametrize(
    "name", [None, "a\nb", "a\rb", "From", 1.5, True, 2**63, ["x"], "é" * 400, "x" * MAX_PART_BYTES]
)
def test_what_is_unusual_is_left_to_the_templates(name):
    assert letter(text="{{ contact.n }} x\nyours\n").filled(scope(n=name)) is None


def test_an_empty_last_line_is_left_to_the_templates():
    ready = letter(text="Dear {{ contact.n }}\n{{ contact.n }}")
    assert ready.filled(scope(n="")) is None
    assert ready.filled(scope(n="Ana")).bodies[0].data == b"Dear Ana\r\nAna\r\n"


@pytest.mark.parametrize(
    ("source", "fixed", "names"),
    [
        ("a {{ contact.x }} b\n", (("a ", " b")), ("contact.x",)),
        ("a\n {{- contact.x -}} \nb{# gone #}c", ("a", "bc"), ("contact.x",)),
        ("{{ b }}{{ a }}{{ b }}", ("", "", "", ""), ("b", "a", "b")),
        ("50% {# {{ x }} #}", ("50% ",), ()),
        ("{{ true }}", ("True",), ()),
    ],
)
def test_the_engine_says_what_is_fixed(source, fixed, names):
    bare = Template("text", source, owner="").bare
    assert (bare.fixed, bare.names) == (fixed, names)


@pytest.mark.parametrize(
    "source",
    ["{{ a|upper }}", "{% if a %}x{% endif %}", "{{ a.0 }}", "{{ a[0] }}", "{{ é }}", "{{ aé }}", "{{ a }}{{ a.b }}",
     "\x00{{ a }}", "{{ 'x' }}", "{{ none }}", "{{ a ~ b }}", "{% raw %}{{ a }}{% endraw %}"],
)  # fmt: skip
def test_more_than_names_is_not_bare(source):
    assert Template("text", source, owner="").bare is None


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"b" * 37, b"=", b" ", b"\t", b".", b"x" * 70, b"\x1b", b"\xc3\xa9"]), max_size=12)
)
def test_lines_are_quoted_as_the_standard_library_does(pieces):
    line = b"".join(pieces)
    assert mime.quoted_line(line) == binascii.b2a_qp(line).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("length", range(70, 160))
def test_a_quoted_byte_is_never_cut(length):
    for at in range(length):
        line = b"x" * at + b"=" + b"x" * (length - at - 1)
        assert mime.quoted_line(line) == binascii.b2a_qp(line).replace(b"\n", b"\r\n")
