"""Mistakes in campaign files: each with its exact line and column, and all of them in one error."""

from pathlib import Path

import pytest

from sendctl.errors import BadInput
from sendctl.inputs.campaign_file import load_definition
from tests.inputs.campaign_files import GOOD, only_problem, problems

# Each case changes one line of GOOD: what is replaced, what by, and the one problem with its place.
CAMPAIGN_MISTAKES = [
    ('name = "spring-sale"', 'name = "spring sale"', '2:8: "name": "spring sale" is no name'),
    ('name = "spring-sale"', 'name = "-x"', '2:8: "name": "-x" is no name'),
    ('name = "spring-sale"', f'name = "{"x" * 65}"', f'2:8: "name": "{"x" * 65}" is no name'),
    ('name = "spring-sale"', 'name = "größe"', '2:8: "name": "größe" is no name'),
    ('name = "spring-sale"', "name = 7", '2:8: "name" is a number; want text in quotes'),
    ('name = "spring-sale"\n', "", '1:1: missing key "name" in [campaign]'),
    ('from = "Shop <news@shop.example>"\n', "", '1:1: missing key "from" in [campaign]'),
    (
        "from =",
        "form =",
        '3:1: unknown key "form" in [campaign]; did you mean "from"?',
    ),
    (
        "from =",
        '"fro\\u006d" = "x@y.example"\n"fr om" =',
        '4:1: unknown key "fr om" in [campaign]; did you mean "from"?',
    ),
    ("Shop <news@shop.example>", "Shop, Inc. <news@shop.example>", "3:8: "),
    ("Shop <news@shop.example>", "a@shop.example, b@shop.example", "3:8: "),
    ("Shop <news@shop.example>", "Team: a@shop.example;", "3:8: "),
    ("Shop <news@shop.example>", "news", "3:8: "),
    ("Shop <news@shop.example>", "news@shop..example", "3:8: "),
    (
        "Shop <news@shop.example>",
        "news@-shop.example",
        '3:8: "from": "news@-shop.example" is not one mailbox: the part \'-shop\' of the domain',
    ),
    ("Shop <news@shop.example>", "news@shop.example\\nBcc: x@y.example", "3:8: "),
    ("Shop <news@shop.example>", "", "3:8: "),
    (
        "https://shop",
        "http://shop",
        '4:19: "unsubscribe_url": "http://shop.example/u/{{ token }}" must begin with https://',
    ),
    ("{{ token }}", "x", '4:19: "unsubscribe_url": "https://shop.example/u/x" must contain {{ token }}'),
    ("https://shop.example/u/", "https:///u/", '4:19: "unsubscribe_url": "https:///u/{{ token }}" is no address'),
    ("https://shop.example/u/", "https://a b/u/", '4:19: "unsubscribe_url": "https://a b/u/{{ token }}" is no address'),
    ("unsubscribe_url", "unsubscribe_uri", '4:1: unknown key "unsubscribe_uri"'),
    ("\n[[steps]]", "link = 'ftp://x'\n[[steps]]", '5:8: "link": "ftp://x" is no address of a page'),
    ("\n[[steps]]", "owner = 'ops'\n[[steps]]", '5:9: "owner": "ops" is not one mailbox'),
    ("\n[[steps]]", "channel = 'fax'\n[[steps]]", '5:11: "channel" is "fax"; want one of email, sms, both'),
    ("\n[[steps]]", "purpose = 'market'\n[[steps]]", '5:11: "purpose" is "market"; want one of'),
    ("\n[[steps]]", "in_doubt = 'resnd'\n[[steps]]", 'want one of hold, resend, skip; did you mean "resend"?'),
    ("\n[[steps]]", "providers = []\n[[steps]]", '5:13: "providers" is empty'),
    ("\n[[steps]]", "providers = ['a', 'a']\n[[steps]]", '5:13: "providers" names "a" twice'),
    ("\n[[steps]]", "providers = ['a', 3]\n[[steps]]", '5:13: "providers" must list texts'),
    ("\n[[steps]]", "providers = ['a b']\n[[steps]]", '5:13: "providers": "a b" is no name'),
    ("\n[[steps]]", "providers = 'a'\n[[steps]]", '5:13: "providers" is text; want a list of texts'),
    ("\n[[steps]]", "expires_after = '0s'\n[[steps]]", '5:17: "expires_after": "0s" is outside 1s to 3650d'),
    ("\n[[steps]]", "expires_after = '7 days'\n[[steps]]", '5:17: "expires_after": "7 days" is no duration'),
    ("\n[[steps]]", "expires_after = 7\n[[steps]]", '5:17: "expires_after" is a number; want text in quotes'),
    ("\n[[steps]]", "window = '8-20'\n[[steps]]", '5:10: "window": "8-20" is no window'),
    ("\n[[steps]]", "window = '08:00-25:00'\n[[steps]]", '5:10: "window": "08:00-25:00" is no window: hours go'),
    ("\n[[steps]]", "window = '08:00-08:00'\n[[steps]]", "5:10: "),
    (
        "\n[[steps]]",
        "timezone = 'berlin'\n[[steps]]",
        '5:12: "timezone": "berlin" is no IANA time zone; did you mean "Europe/Berlin"?',
    ),
    ("\n[[steps]]", "timezone = '../etc/passwd'\n[[steps]]", '5:12: "timezone": "../etc/passwd" is no IANA time zone'),
    ("\n[[steps]]", "timezone = 'Europe'\n[[steps]]", '5:12: "timezone": "Europe" is no IANA time zone'),
    (
        "\n[[steps]]",
        "start_at = 2026-11-23T09:00:00\n[[steps]]",
        '5:12: "start_at" has no offset from UTC: write 2026-11-23T09:00:00Z',
    ),
    ("\n[[steps]]", "start_at = 2026-11-23\n[[steps]]", '5:12: "start_at" has no time of day'),
    (
        "\n[[steps]]",
        "start_at = '2026-11-23'\n[[steps]]",
        '5:12: "start_at" is text; want a date and time without quotes',
    ),
    ("\n[[steps]]", "start_at = 0001-01-01T00:00:00+10:00\n[[steps]]", '5:12: "start_at": the year 1 is outside 1970'),
    ("\n[[steps]]", "start_at = 9999-12-31T23:59:59Z\n[[steps]]", '5:12: "start_at": the year 9999 is outside'),
    (
        "\n[[steps]]",
        "batch_size = 5\n[[steps]]",
        '5:1: unknown key "batch_size" in [campaign]; it belongs in [controls]',
    ),
    (
        "\n[[steps]]",
        "[controls]\nbatch_size = 0\n[[steps]]",
        '6:14: "batch_size" is 0; want a whole number from 1 to 10000',
    ),
    ("\n[[steps]]", "[controls]\nbatch_size = 10001\n[[steps]]", '6:14: "batch_size" is 10001; want a whole number'),
    (
        "\n[[steps]]",
        "[controls]\nbatch_size = true\n[[steps]]",
        '6:14: "batch_size" is true or false; want a whole number',
    ),
    ("\n[[steps]]", "[controls]\nbatch_size = 1.5\n[[steps]]", '6:14: "batch_size" is a number; want a whole number'),
    (
        "\n[[steps]]",
        "[controls]\nmax_attempts = 21\n[[steps]]",
        '6:16: "max_attempts" is 21; want a whole number from 1 to 20',
    ),
    ("\n[[steps]]", "[controls]\nrate = '50/fortnight'\n[[steps]]", '6:8: "rate": "50/fortnight" is no rate'),
    ("\n[[steps]]", "[controls]\nrate = 50\n[[steps]]", '6:8: "rate" is a number; want text in quotes'),
    ("\n[[steps]]", "[controls]\ncooldown = '8d'\n[[steps]]", '6:12: "cooldown": "8d" is outside 0s to 7d'),
    ("\n[[steps]]", "[controls]\nretry_base = '0s'\n[[steps]]", '6:14: "retry_base": "0s" is outside 1s to 6h'),
    ("\n[[steps]]", "controls.bach_size = 5\n[[steps]]", '5:1: unknown key "controls" in [campaign]'),
    ("\n[[steps]]", "[contorls]\n[[steps]]", '5:1: unknown key "contorls"; did you mean "controls"?'),
    ("\n[[steps]]", "[stop]\non = ['submited']\n[[steps]]", '6:6: "submited" in "on" is no event that stops'),
    ("\n[[steps]]", "[[stop]]\n[[steps]]", '5:1: "stop" is a list; want a section: [stop]'),
    ("\n[[steps]]", "[trigger]\nevent = 'order'\nemail = 'x'\n[[steps]]", '5:1: missing key "key" in [trigger]'),
    ("\n[[steps]]", "[trigger]\nevent = 'order'\nkey = 'x'\n[[steps]]", '5:1: missing key "email" in [trigger]'),
    (
        "\n[[steps]]",
        "[trigger]\nevent = 'a'\nkey = 'x'\nemail = 'y'\ncancel_on = ['b c']\n[[steps]]",
        '9:13: "cancel_on": "b c" is no event',
    ),
    (
        "\n[[steps]]",
        "[trigger]\nevent = 'a'\nkey = 'x'\nemail = 'y'\ncancel_on = ['a']\n[[steps]]",
        '9:13: "a" in "cancel_on" is the event of the trigger itself',
    ),
    ("\n[[steps]]", "[trigger]\nevent = 'a b'\nkey = 'x'\nemail = 'y'\n[[steps]]", '6:9: "event": "a b" is no event'),
    (
        "\n[[steps]]",
        "[trigger]\nevent = 'a'\nkey = 'x'\nemail = 'y'\ndelay = 'x'\n[[steps]]",
        '9:9: "delay": "x" is no duration',
    ),
]

STEP_MISTAKES = [
    ("[[steps]]", "[steps]", '6:1: "steps" is a section; want sections: [[steps]]'),
    ("[[steps]]", "[[step]]", '6:1: unknown key "step"; did you mean "steps"?'),
    ('name = "offer"\n', "", '6:1: missing key "name" in [[steps]]'),
    ('subject = "Hello {{ contact.first_name }}"\n', "", '6:1: missing key "subject" in [[steps]]'),
    ("Hello {{ contact.first_name }}", "Hello\\nBcc: x@y.example", '8:11: "subject": must be one line'),
    ("Hello {{ contact.first_name }}", "", '8:11: "subject" is empty'),
    ("Hello {{ contact.first_name }}", "\\u00a0", '8:11: "subject" is empty'),
    ('"Hello {{ contact.first_name }}"', "7", '8:11: "subject" is a number; want text in quotes'),
    ('text = "Hi"\n', "", '6:1: missing key "text" in [[steps]]'),
    ('text = "Hi"', 'text = " "', '9:8: "text" is empty'),
    (
        'text = "Hi"',
        'txt = "Hi"',
        '9:1: unknown key "txt" in [[steps]]; did you mean "text"?',
    ),
    ('text = "Hi"', 'text = "Hi"\ntext_file = "x"', '10:13: both "text" and "text_file" are given'),
    ('text = "Hi"', 'text_file = ""', '9:13: "text_file" is empty'),
    ('text = "Hi"', 'text = "Hi"\nsms = "Hi"', '10:7: "sms" is never sent: the channel is "email"'),
    ('text = "Hi"', 'text = "Hi"\nkind = "reminder"', '10:8: the first step must be of kind "initial"'),
    ('text = "Hi"', 'text = "Hi"\nkind = "remind"', '10:8: "kind" is "remind"; want one of initial, drip, reminder'),
    ('text = "Hi"', 'text = "Hi"\nafter = "1d"', "10:9: the first step has none before it"),
    ('text = "Hi"', 'text = "Hi"\nrepeat = 2', '10:10: "repeat" is for a step of kind "reminder"'),
    ('text = "Hi"', 'text = "Hi"\nrepeat = 0', '10:10: "repeat" is 0; want a whole number from 1 to 50'),
    ('text = "Hi"', 'text = """\nHi\n"""\n"a.b" = 1', '12:1: unknown key "a.b" in [[steps]]'),
]

SECOND_STEP = GOOD + '[[steps]]\nname = "again"\nkind = "drip"\nafter = "1d"\nsubject = "x"\nhtml = "x"\n'
SECOND_STEP_MISTAKES = [
    ('"again"', '"offer"', '11:8: "offer" is the name of an earlier step too'),
    ('after = "1d"\n', "", '10:1: missing key "after" in [[steps]]'),
    ('kind = "drip"', 'kind = "initial"', '12:8: only the first step is of kind "initial"'),
    ('after = "1d"', 'after = "soon"', '13:9: "after": "soon" is no duration'),
    ('after = "1d"', 'aftr = "1d"', '13:1: unknown key "aftr"'),
]


@pytest.mark.parametrize(
    ("base", "old", "new", "expected"),
    [(GOOD, *case) for case in CAMPAIGN_MISTAKES + STEP_MISTAKES]
    + [(SECOND_STEP, *case) for case in SECOND_STEP_MISTAKES],
)
def test_a_mistake_is_named_with_line_and_column(tmp_path: Path, base: str, old: str, new: str, expected: str) -> None:
    assert base.count(old) >= 1
    found = problems(tmp_path, base.replace(old, new, 1))
    wanted = expected.split("|")
    assert len(found) == len(wanted), found
    for text in wanted:
        assert any(text in line for line in found), found


SYNTAX = [
    ("[campaign\nname = 1\n", '1:10: not TOML: expected "]" at the end'),
    ('[campaign]\nname "x"\n', "2:6: not TOML: expected '=' after a key"),
    ('[campaign]\nname = "x\n', "2:10: not TOML: illegal character"),
    ("[campaign]\nname = 'x'\nname = 'y'\n", "3:11: not TOML: cannot overwrite a value"),
    ('[campaign]\ntext = """never closed\n', "3:1: not TOML: "),
    ("[campaign]\r\nname = 'a'\r\n= 3\r\n", "3:1: not TOML: invalid statement"),
    ("x = " + "[" * 5000 + "]" * 5000, "1:1: not TOML that can be read: nested too deeply"),
]


@pytest.mark.parametrize(("text", "expected"), SYNTAX)
def test_broken_toml_is_named_with_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    place, message = expected.split(" ", 1)
    found = only_problem(tmp_path, text)
    assert found.startswith(place), found
    assert message.replace('"', "'") in found.replace('"', "'"), found


def test_all_mistakes_of_a_file_come_in_one_error_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("spring-sale", "spring sale").replace("https", "http").replace('text = "Hi"', "txt = 1")
    found = problems(tmp_path, text)
    places = [tuple(int(part) for part in line.split(":")[:2]) for line in found]
    assert [place[0] for place in places] == [2, 4, 9]
    assert places == sorted(places)


def test_the_error_reads_well(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_text(GOOD.replace("spring-sale", "spring sale").replace("text =", "txt ="))
    with pytest.raises(BadInput) as caught:
        load_definition(path)
    assert str(caught.value) == (
        f"{path}:2:8: 2 problems in {path}\n"
        f'  {path}:2:8: "name": "spring sale" is no name: want 1 to 64 letters, digits and dashes, no dash in front\n'
        f'  {path}:9:1: unknown key "txt" in [[steps]]; did you mean "text"?'
    )
    assert caught.value.place == f"{path}:2:8"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("[campaign]", "[campain]", '1:1: unknown key "campain"; did you mean "campaign"?'),
        (
            'unsubscribe_url = "https://shop.example/u/{{ token }}"',
            'purpos = "transactional"',
            '4:1: unknown key "purpos"',
        ),
        ('text = "Hi"', 'text_fil = "Hi"', '9:1: unknown key "text_fil"'),
        ('subject = "Hello {{ contact.first_name }}"\ntext = "Hi"', 'sms = "Hi"', ""),
    ],
)
def test_a_misspelt_key_is_said_without_what_follows_from_it(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in GOOD
    found = problems(tmp_path, GOOD.replace(before, after))
    if said:
        assert len(found) == 1
        assert said in found[0]
        return
    assert len(found) == 3  # nothing is misspelt: a text for SMS alone
    misspelt = GOOD.replace(before, after).replace('name = "spring-sale"', 'name = "spring-sale"\nchanel = "sms"')
    assert [line.partition(": ")[2][:20] for line in problems(tmp_path, misspelt)] == ['unknown key "chanel"']


def test_escape_codes_in_a_file_are_not_repeated_to_the_terminal(tmp_path: Path) -> None:
    text = GOOD.replace("spring-sale", "\\u001b[2J\\u202e\\u009b") + '"\\u001b]0;x" = 1\n'
    joined = "\n".join(problems(tmp_path, text))
    assert all(character.isprintable() or character == "\n" for character in joined)
    assert "\\x1b[2J" in joined
