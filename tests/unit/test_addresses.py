"""E-mail addresses and phone numbers: what is accepted, in which form, and what is refused with which reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.addresses import Email, address_key, parse_email, parse_phone, plain_emails


@pytest.mark.parametrize(
    ("text", "address", "key"),
    [
        ("a@b.example", "a@b.example", "a@b.example"),
        ("Jane.Doe+News@Shop.Example", "Jane.Doe+News@shop.example", "jane.doe+news@shop.example"),
        ("o'neil!#$%&*/=?^_`{|}~-@b.example", "o'neil!#$%&*/=?^_`{|}~-@b.example", "o'neil!#$%&*/=?^_`{|}~-@b.example"),
        ('"john doe"@x.example', '"john doe"@x.example', '"john doe"@x.example'),
        ('"a@b"@x.example', '"a@b"@x.example', '"a@b"@x.example'),
        ('"john.DOE"@x.example', '"john.DOE"@x.example', "john.doe@x.example"),
        ('"jo\\hn"@x.example', '"jo\\hn"@x.example', "john@x.example"),
        ("info@bücher.example", "info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
        ("info@XN--bcher-kva.example", "info@xn--bcher-kva.example", "info@xn--bcher-kva.example"),
        ("a@faß.de", "a@xn--fa-hia.de", "a@xn--fa-hia.de"),
        ("x@ＦＯＯ。example", "x@foo.example", "x@foo.example"),
        ("a@r3---sn.example", "a@r3---sn.example", "a@r3---sn.example"),
        ("a@4you.b1", "a@4you.b1", "a@4you.b1"),
    ],
)
def test_a_legal_address_gets_its_delivery_form_and_its_key(text, address, key):
    assert parse_email(text) == Email(address, key, False)


def test_a_utf8_local_part_needs_smtputf8_and_is_composed():
    decomposed = "Jo\u0308rg@b\u00fccher.example"
    assert parse_email(decomposed) == Email("J\u00f6rg@xn--bcher-kva.example", "j\u00f6rg@xn--bcher-kva.example", True)


def test_addresses_that_differ_in_letters_stay_two_people():
    assert parse_email("straße@x.example").key != parse_email("strasse@x.example").key
    assert parse_email("a.b@x.example").key != parse_email("ab@x.example").key
    assert parse_email("a+1@x.example").key != parse_email("a@x.example").key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("plain", "no @ in the address"),
        ("a@@b.example", "a second @ at character 3"),
        ("a@b.example,c@d.example", "a second @ at character 14"),
        ("@b.example", "nothing before @"),
        ("a@", "nothing after @"),
        (".a@b.example", "a dot at the beginning, at character 1"),
        ("a.@b.example", "a dot right before @, at character 2"),
        ("a..b@c.example", "two dots in a row, at character 2"),
        ("a b@c.example", "' ' at character 2"),
        ("a@b.example ", "a space at character 12"),
        ("Bob <b@c.example>", "'<' at character 5"),
        ('"a"b@c.example', "no @ after the quoted part, at character 4"),
        ('"a@c.example', "not closed"),
        ('""@c.example', "nothing between the quotes"),
        ("a@b", "has no dot"),
        ("a@b..example", "a dot too many"),
        ("a@b.example.", "a dot too many"),
        ("a@-b.example", "inner hyphens"),
        ("a@b_c.example", "inner hyphens"),
        ("a@10.0.0.1", "ends in a number"),
        ("a@[10.0.0.1]", "an address literal at character 3"),
        ("a@☃.example", "not an internationalised domain name"),
        ("a@xn--zzzzzz99999.example", "not an internationalised domain name"),
        ("a\ufffdb@c.example", "replacement character U+FFFD at character 2"),
    ],
)
def test_a_wrong_address_is_refused_with_the_reason_and_the_place(text, reason):
    with pytest.raises(ValueError) as caught:
        parse_email(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "character",
    [
        "\r",
        "\n",
        "\0",
        "\t",
        "\x1b",
        "\x7f",
        "\x85",
        "\u200b",
        "\u202e",
        "\u2066",
        "\u2028",
        "\ud800",
        "\ufeff",
        "\u00a0",
    ],
)
@pytest.mark.parametrize(
    "frame", ["a{}b@c.example", '"a{}b"@c.example', "a@b{}c.example", "a@b.example{}", "{}a@b.example"]
)
def test_line_breaks_controls_and_direction_marks_are_refused_everywhere(character, frame):
    with pytest.raises(ValueError, match=rf"U\+{ord(character):04X} at character"):
        parse_email(frame.format(character))


def test_lengths_are_limited_in_octets():
    assert parse_email("a" * 64 + "@b.example")
    with pytest.raises(ValueError, match="65 bytes, the limit is 64"):
        parse_email("a" * 65 + "@b.example")
    with pytest.raises(ValueError, match="66 bytes, the limit is 64"):
        parse_email("é" * 33 + "@b.example")
    assert parse_email("a@" + "b" * 63 + ".example")
    with pytest.raises(ValueError, match="64 bytes, the limit is 63"):
        parse_email("a@" + "b" * 64 + ".example")
    longest = "a" * 10 + "@" + ".".join(["b" * 60] * 3 + ["c" * 60])
    assert len(longest) == 254
    assert parse_email(longest)
    with pytest.raises(ValueError, match="the limit is 254"):
        parse_email("a" + longest)


@given(st.text(max_size=300) | st.text(alphabet='ab.@"\\ é-ß<\r\n\u202e', max_size=40))
def test_any_text_is_an_address_safe_to_put_in_a_command_or_a_value_error(text):
    try:
        email = parse_email(text)
    except ValueError:
        return
    assert email.address.isprintable()
    local, _, domain = email.address.rpartition("@")
    assert len(local.encode()) <= 64
    assert domain.isascii()
    assert domain == domain.lower()
    assert email.smtputf8 == (not local.isascii())
    again = parse_email(email.address)
    assert again == email
    assert parse_email(email.key).key == email.key


@pytest.mark.parametrize("text", ["+49 30 123456-78", "+49(30)12345678", "+493012345678"])
def test_a_phone_number_becomes_strict_e164(text):
    assert parse_phone(text) == "+493012345678"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "must start with +"),
        ("004930123456", "must start with +"),
        ("+49 (0)30 123456", "leave it out"),
        ("+0123456789", "does not start with 0"),
        ("+1234567", "7 digits"),
        ("+1234567890123456", "16 digits"),
        ("+49 30 12a456", "'a' at character 10 is not a digit"),
        ("+4930\u0661\u0662\u0663456", "is not a digit"),
        ("+49\n3012345678", "is not a digit"),
        ("+493012345678\n", "is not a digit"),
    ],
)
def test_a_wrong_phone_number_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError) as caught:
        parse_phone(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Ana@Shop.EXAMPLE", "ana@shop.example"),
        ("+49 30 123456-78", "+493012345678"),
        ("(+49) 30 123456", "+4930123456"),
    ],
)
def test_an_address_of_either_kind_has_one_key(text, key):
    assert address_key(text) == address_key(key) == key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither an e-mail address"),
        ("ana", "neither an e-mail address, which has an @, nor a phone number"),
        ("030 12345678", "must start with + and the country code"),
        ("@shop.example", "nothing before @"),
    ],
)
def test_what_is_no_address_of_any_kind_is_refused_with_the_reason(text, reason):
    with pytest.raises(ValueError) as caught:
        address_key(text)
    assert reason in str(caught.value)


@given(st.text(max_size=30) | st.text(alphabet="+0123456789 -()", max_size=30))
def test_any_text_is_a_phone_number_or_a_value_error(text):
    try:
        number = parse_phone(text)
    except ValueError:
        return
    assert number[0] == "+"
    assert number[1:].isascii()
    assert number[1:].isdigit()
    assert 8 <= len(number) - 1 <= 15


LIKE_ADDRESSES = st.from_regex(
    r"[A-Za-z.+\-]{1,4}@[A-Za-z0-9\-]{1,3}(\.[A-Za-z0-9\-]{0,70}){0,2}[ \n]?", fullmatch=True
)


@given(st.lists(LIKE_ADDRESSES | st.emails() | st.sampled_from(["A@b.example", "a@B.example"]), min_size=1, max_size=4))
def test_addresses_of_the_common_form_are_the_same_together_as_alone(texts):
    together = plain_emails(texts)
    if together is not None:
        assert [Email(*both, False) for both in zip(*together, strict=True)] == [parse_email(text) for text in texts]


def test_addresses_of_the_common_form_are_known_together():
    assert plain_emails(["a@b.example", "c@d.example"]) == (["a@b.example", "c@d.example"],) * 2
    assert plain_emails(["a@b.example", "C@D.example"]) == (
        ["a@b.example", "C@d.example"],
        ["a@b.example", "c@d.example"],
    )
    for other in (
        "",
        " a@b.example",
        "a@b.example\n",
        "ü@b.example",
        "a@xn--bcher-kva.example",
        "a" * 60 + "@b.example",
    ):
        assert plain_emails(["a@b.example", other]) is None
