"""Campaign files: what a whole one becomes, which files and encodings are taken, and what damage does."""

import os
import re
import tempfile
from datetime import UTC, datetime, time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendctl.definition import Controls, Definition, Step, Trigger, Window, from_json, to_json
from sendctl.durations import Rate
from sendctl.errors import BadInput
from sendctl.inputs.campaign_file import load_definition
from tests.inputs.campaign_files import GOOD, only_problem, problems

WHOLE = """\
[campaign]
name = "spring-sale"
channel = "both"
purpose = "marketing"
from = "Shop <news@shop.example>"
reply_to = "help@shop.example"
owner = "ops@shop.example"
unsubscribe_url = "https://shop.example/u/{{ token }}"
link = "https://shop.example/review/{{ token }}?c={{ contact.id }}"
providers = ["primary", "fallback"]
start_at = 2026-11-23T09:00:00+01:00
expires_after = "7d"
window = "08:00-20:00"
timezone = "Europe/Berlin"
in_doubt = "resend"

[controls]
batch_size = 500
rate = "50/s"
cooldown = "10s"
max_attempts = 5
retry_base = "2m"

[[steps]]
name = "offer"
subject = "Hello"
text_file = "offer.txt"
html_file = "mail/offer.html"
sms = "Hi"

[[steps]]
name = "reminder"
kind = "reminder"
after = "3d"
repeat = 2
subject = "Still there?"
html = "<p>Hi</p>"
sms_file = "offer.txt"

[stop]
on = ["submitted", "unsubscribed"]

[trigger]
event = "order.delivered"
each = "items"
where = "order.total >= 50"
key = "{{ order.id }}/{{ item.id }}"
email = "{{ order.customer.email }}"
phone = "{{ order.customer.phone }}"
delay = "7d"
"""


def test_a_whole_file_becomes_a_definition(tmp_path: Path) -> None:
    (tmp_path / "mail").mkdir()
    (tmp_path / "offer.txt").write_bytes("Grüße\r\n".encode())
    (tmp_path / "mail" / "offer.html").write_text("\ufeff<p>Hello</p>", encoding="utf-8")
    (tmp_path / "campaign.toml").write_text(WHOLE)
    definition = load_definition(tmp_path / "campaign.toml")
    assert definition == Definition(
        name="spring-sale",
        channel="both",
        purpose="marketing",
        sender="Shop <news@shop.example>",
        reply_to="help@shop.example",
        owner="ops@shop.example",
        unsubscribe_url="https://shop.example/u/{{ token }}",
        link="https://shop.example/review/{{ token }}?c={{ contact.id }}",
        providers=("primary", "fallback"),
        start_at=datetime(2026, 11, 23, 8, tzinfo=UTC),
        expires_after_s=604800,
        window=Window(time(8), time(20)),
        timezone="Europe/Berlin",
        in_doubt="resend",
        controls=Controls(batch_size=500, rate=Rate(50, 1), cooldown_s=10.0, max_attempts=5, retry_base_s=120.0),
        steps=(
            Step("offer", subject="Hello", text="Grüße\r\n", html="<p>Hello</p>", sms="Hi"),
            Step("reminder", "reminder", 259200, 2, subject="Still there?", html="<p>Hi</p>", sms="Grüße\r\n"),
        ),
        stop_on=("submitted", "unsubscribed"),
        trigger=Trigger(
            "order.delivered",
            "items",
            "order.total >= 50",
            "{{ order.id }}/{{ item.id }}",
            "{{ order.customer.email }}",
            "{{ order.customer.phone }}",
            604800,
        ),
    )
    assert from_json(to_json(definition)) == definition


def test_defaults_are_those_of_the_definition(tmp_path: Path) -> None:
    (tmp_path / "campaign.toml").write_text(GOOD)
    definition = load_definition(tmp_path / "campaign.toml")
    expected = Definition(
        name="spring-sale",
        sender="Shop <news@shop.example>",
        unsubscribe_url="https://shop.example/u/{{ token }}",
        steps=(Step("offer", subject="Hello {{ contact.first_name }}", text="Hi"),),
    )
    assert definition == expected


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(WHOLE)), st.integers(0, 12), st.text(alphabet="[]{}=.,\"'\\\n# a1-{%\x00é", max_size=6))
def test_a_file_with_random_damage_is_read_or_refused_at_a_place(start: int, cut: int, inserted: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "campaign.toml")
        path.write_text(WHOLE[:start] + inserted + WHOLE[start + cut :], encoding="utf-8", newline="")
        try:
            load_definition(path)
        except BadInput as error:
            assert re.match(rf"{re.escape(str(path))}:\d+:\d+: ", str(error))  # noqa: PT017 - both ends are right


def test_a_transactional_campaign_needs_no_unsubscribe_url_and_a_long_one_line_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'campaign = {name="x", purpose="transactional", from="a@bücher.example"}\n'
        'steps = [{name="one", subject="s", text="t"}, {name="two", after="0s", subject="s", html="h"}]\n'
    )
    definition = load_definition(path)
    assert definition.sender == "a@bücher.example"
    assert [step.kind for step in definition.steps] == ["initial", "drip"]


def test_places_are_found_in_inline_tables_too(tmp_path: Path) -> None:
    text = (
        'campaign = {name="x", purpose="transactional", from="a@b.example"} # "}"\n'
        "steps = [\n  # [[steps]] name = 3\n"
        '  {name="one", subject="s", text="t"},\n'
        "  {name=\"two\", after=\"x\", subject='''s''''', html=\"h\\\"}\"},\n]\n"
    )
    assert only_problem(tmp_path, text).startswith('5:22: "after": "x" is no duration')


def test_an_sms_campaign_needs_a_text_and_no_mailbox(tmp_path: Path) -> None:
    head = '[campaign]\nname = "x"\nchannel = "sms"\npurpose = "transactional"\n'
    path = tmp_path / "c.toml"
    path.write_text(head + 'from = "SHOP"\n[[steps]]\nname = "one"\nsms = "Hi"\n')
    assert load_definition(path).steps == (Step("one", sms="Hi"),)
    found = problems(tmp_path, head + '[[steps]]\nname = "one"\nsubject = "Hi"\n')
    assert found == [
        '5:1: missing key "sms" in [[steps]]: the channel is "sms": give sms or sms_file',
        '7:11: "subject" is never sent: the channel is "sms"',
    ]


def test_midnight_may_end_a_window_and_a_window_may_span_it(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    for text, window in (("08:00-24:00", Window(time(8), time(0))), ("22:00-06:00", Window(time(22), time(6)))):
        path.write_text(GOOD.replace("\n[[steps]]", f'window = "{text}"\n[[steps]]'))
        assert load_definition(path).window == window


def test_a_template_file_that_is_not_utf8_is_named_at_its_own_line_and_column(tmp_path: Path) -> None:
    (tmp_path / "offer.txt").write_bytes("Grüße\r\nGr".encode() + b"\xfc\xdfe\n")
    text = GOOD.replace('text = "Hi"', 'text_file = "offer.txt"')
    assert only_problem(tmp_path, text).startswith(f"{tmp_path}/offer.txt:2:3: byte 0xfc is not UTF-8")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.txt", "No such file"),
        ("folder", "not a regular file"),
        ("pipe", "not a regular file"),
        ("big", "larger"),
    ],
)
def test_a_template_file_that_cannot_be_used_is_named_at_its_key(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"x" * (1 << 20) + b"x")
    found = only_problem(tmp_path, GOOD.replace('text = "Hi"', f'text_file = "{name}"'))
    assert found.startswith("9:13: ")
    assert reason in found


def test_an_empty_template_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    found = only_problem(tmp_path, GOOD.replace('text = "Hi"', 'text_file = "empty"'))
    assert re.fullmatch(r'9:13: "/.*" is empty', found), "a long path is cut"


def test_a_template_at_the_size_cap_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (1 << 20))
    path = tmp_path / "c.toml"
    path.write_text(GOOD.replace('text = "Hi"', 'text_file = "big"'))
    assert len(load_definition(path).steps[0].text) == 1 << 20


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (GOOD.encode("utf-16"), ":1:1: not UTF-8 but UTF-16"),
        (b'[campaign]\nname = "caf\xe9"\n', ":2:12: byte 0xe9 is not UTF-8"),
    ],
)
def test_a_campaign_file_in_another_encoding_is_named(tmp_path: Path, raw: bytes, expected: str) -> None:
    path = tmp_path / "campaign.toml"
    path.write_bytes(raw)
    with pytest.raises(BadInput) as caught:
        load_definition(path)
    assert str(caught.value).startswith(f"{path}{expected}")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "campaign.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_definition(path).name == "spring-sale"


def test_a_campaign_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.toml: cannot be read: No such file or directory"):
        load_definition(tmp_path / "nowhere.toml")
