"""Contacts from JSON Lines: values kept as they are, and everything that two readers could take differently refused."""

import io
import json

import pytest

from sendctl.inputs.contacts import BadRow, ContactRow, open_contacts


def rows_of(content: bytes | str) -> list[ContactRow | BadRow]:
    data = content.encode() if isinstance(content, str) else content
    with open_contacts("-", stdin=io.BytesIO(data)) as contacts:
        assert contacts.columns is None
        assert contacts.delimiter is None
        return list(contacts.rows())


def test_an_object_becomes_a_contact_with_its_values_as_they_are():
    value = {
        "email": "Ann@X.Example",
        "id": "7",
        "age": 41,
        "plan": {"name": "gold", "since": [2020, 1.5]},
        "vip": True,
        "phone": None,
    }
    (row,) = rows_of("\n  \n" + json.dumps(value))
    assert row == ContactRow(3, row.email, None, "7", None, value)
    assert row.email.key == "ann@x.example"


def test_unicode_escapes_pairs_and_separators_within_a_line_are_kept():
    (row,) = rows_of('{"email":"a@x.example","a":"\\ud83d\\ude00","b":"x\u2028y\x85"}\r\n')
    assert row.attributes["a"] == "\U0001f600"
    assert row.attributes["b"] == "x\u2028y\x85"


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        ('{"email": "a@x.example",}', None, "not JSON"),
        ("nonsense", 1, "not JSON: expecting value"),
        ('{"email": "a@x.example"', None, "not JSON"),
        ('{"email": "a@x.example"} {}', 26, "not JSON: extra data"),
        ('["a@x.example"]', 1, "the line is not a JSON object"),
        ('"a@x.example"', 1, "the line is not a JSON object"),
        ('{"email": "a@x.example", "email": "b@x.example"}', "email", "the key stands twice in one object"),
        ('{"email": "a@x.example", "b": {"c": 1, "c": 1}}', "c", "the key stands twice in one object"),
        ('{"email": 5}', "email", "must be a string, is 5"),
        ('{"email": "a@x.example", "id": 5}', "id", "must be a string, is 5"),
        ('{"email": "a@x.example", "timezone": ["UTC"]}', "timezone", 'must be a string, is ["UTC"]'),
        (
            '{"email": "a@x.example", "timezone": "utc"}',
            "timezone",
            "'utc' is not an IANA time zone (did you mean UTC?)",
        ),
        ('{"email": "a@x"}', "email", "the domain 'x' has no dot"),
        ('{"name": "Ann"}', 1, "neither email nor phone"),
        ('{"E-Mail": "a@x.example"}', 1, "neither email nor phone: rename the key 'E-Mail' to 'email'"),
        ('{"Email": "a@x.example"}', 1, "neither email nor phone: rename the key 'Email' to 'email'"),
        ('{"email": "a@x.example", "n": NaN}', 1, "NaN is not JSON"),
        ('{"email": "a@x.example", "n": -Infinity}', 1, "-Infinity is not JSON"),
        ('{"email": "a@x.example", "n": 1e999}', 1, "the number 1e999 is too large"),
        ('{"email": "a@x.example", "n": ' + "9" * 5000 + "}", 1, "a number has more than 100 digits"),
        ('{"email": "a@x.example", "n": "\\u0000"}', 1, "character U+0000 cannot be stored"),
        ('{"email": "a@x.example", "\\ud800": 1}', 1, "character U+D800 cannot be stored"),
        ('{"email": "a@x.example", "n": ' + "[" * 33 + "]" * 33 + "}", 1, "nested deeper than 32 levels"),
        ('{"email": "a@x.example", "n": ' + "[" * 200_000, 1, "nested deeper than 32 levels"),
        ('{"email": "a@x.example", "n": "a\tb"}', 33, "not JSON: invalid control character at"),
        ('{"email": "a@x.example", "n": "a\0b"}', 33, "a NUL character"),
    ],
)
def test_a_bad_line_names_column_and_reason_and_the_others_are_kept(line, column, reason):
    rows = rows_of(f'{{"email": "b@x.example"}}\n{line}\n{{"email": "c@x.example"}}\n')
    assert [(type(row), row.line) for row in rows] == [(ContactRow, 1), (BadRow, 2), (ContactRow, 3)]
    assert rows[1].raw == line
    assert rows[1].reason.startswith(reason)
    assert column is None or rows[1].column == column


def test_a_byte_that_is_not_utf8_is_named_with_its_column_and_kept():
    (bad,) = rows_of(b'{"email": "Ren\xe9e@x.example"}')
    assert (bad.column, bad.reason) == (15, "byte 0xE9 is not valid UTF-8")
    assert bad.raw.encode(errors="surrogateescape") == b'{"email": "Ren\xe9e@x.example"}'


def test_a_line_over_a_mebibyte_is_one_bad_record():
    rows = rows_of('{"email": "a@x.example", "n": "' + "x" * 3_000_000 + '"}\n{"email": "b@x.example"}')
    assert [(type(row), row.line) for row in rows] == [(BadRow, 1), (ContactRow, 2)]
    assert "more than 1048576 characters" in rows[0].reason


def test_a_hostile_number_of_keys_costs_no_more_than_reading_them():
    keys = ", ".join(f'"k{number}": 1' for number in range(50_000))
    (twice, nobody) = rows_of(f'{{{keys}, "k49999": 1}}\n{{{keys}}}')
    assert twice.column == "k49999"
    assert nobody.reason == "neither email nor phone"
