"""Many contacts at once are the very contacts that each record is alone, and whatever is unusual is left to that."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sendctl.inputs.contact_rows import contact_row
from sendctl.inputs.contact_tables import contact_table
from sendctl.inputs.contacts import BadRow, ContactRow, ContactTable, open_contacts
from sendctl.inputs.csv_header import Header

NAMES = ("email", "note", "phone", "id", "timezone")
HEADER = Header(NAMES, ",", ",".join(NAMES))
PLAIN = ["ann@x.example", "Ann", "", "A-7", "Europe/Berlin"]
CELLS = (
    st.sampled_from(["ann@x.example", "Ann@X.example", " ann@x.example", "ann@x", ""]),
    st.sampled_from(["", 'a "quote"', "two, parts", "umlaut ü", "\u2028", "two\nlines", "\r", "%s"]),
    st.sampled_from(["", "", "+49 30 1234567", " ", "12"]),
    st.sampled_from(["", " 7 ", "\t", "x" * 255, "x" * 256]),
    st.sampled_from(["", "", "Europe/Berlin", " Europe/Berlin", "Berlin"]),
)


def lines(*records: list[str]) -> list[str]:
    """The records as a spreadsheet writes them."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(records)
    return text.getvalue().splitlines(keepends=True)


@given(st.lists(st.tuples(*CELLS).map(list), min_size=1, max_size=3))
def test_a_table_has_the_contacts_that_its_records_are(records: list[list[str]]) -> None:
    table = contact_table(7, lines(*records), HEADER)
    if table is not None:
        alone = [
            contact_row(line, (record[0], *record[2:]), dict(zip(NAMES, record, strict=True)))
            for line, record in enumerate(records, start=7)
        ]
        assert list(table.rows()) == alone


@pytest.mark.parametrize(
    "change",
    [
        {0: ""}, {0: "ann@x"}, {0: " ann@x.example"}, {0: "ann@bücher.example"}, {2: "12"}, {3: "x" * 256},
        {4: "Berlin"}, {1: "two\nlines"}, {1: "x" * 70_000},
    ],
)  # fmt: skip
def test_a_table_is_made_of_plain_contacts_only(change: dict[int, str]) -> None:
    assert contact_table(2, lines(PLAIN, PLAIN), HEADER) is not None
    other = [change.get(place, cell) for place, cell in enumerate(PLAIN)]
    assert contact_table(2, lines(PLAIN, other), HEADER) is None


@pytest.mark.parametrize("text", ["\n", "a@x.example,b\n", "a@x.example,b,,,,\n", 'a@x.example,"b,,,\n', "a\rb,,,,\n"])
def test_a_table_is_made_of_whole_records_only(text: str) -> None:
    assert contact_table(2, [*lines(PLAIN), text], HEADER) is None


def test_plain_and_unusual_records_keep_their_order_lines_and_texts(tmp_path: Path) -> None:
    unusual = {3_000: "not an address", 9_000: "ann@bücher.example", 20_000: " a@x.example", 20_001: "x"}
    notes = {12_000: "two\nlines", 12_001: 'a "quote"', 25_000: "\n" * 50_000}
    records = [[unusual.get(k, f"p{k}@x.example"), notes.get(k, f"note {k}")] for k in range(30_000)]
    path = tmp_path / "people.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows([["email", "note"], *records])
    with open_contacts(path) as contacts:
        tables = [part for part in contacts.parts() if isinstance(part, ContactTable)]
        assert sum(len(table.records) for table in tables) > 5_000
        line = 2
        for record, row in zip(records, contacts.rows(), strict=True):
            assert row.line == line
            if isinstance(row, ContactRow):
                assert list(row.attributes.values()) == record
            else:
                assert row == BadRow(line, 1, row.reason, ",".join(record))
            line += 1 + record[1].count("\n")


def test_each_contact_of_a_table_can_be_rejected_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(b'email,note\r\na@x.example,"1"\r\nb@x.example,2\r\n')
    with open_contacts(path) as contacts:
        (table,) = contacts.parts()
    with open_contacts(path) as contacts:
        for part in contacts.parts():
            assert isinstance(part, ContactTable)
            bad = [contacts.reject(row, "note", "is odd") for row in part.rows()]
        assert [(row.line, row.column, row.raw) for row in bad] == [(2, 2, 'a@x.example,"1"'), (3, 2, "b@x.example,2")]
        assert isinstance(table, ContactTable)
        with pytest.raises(ValueError, match="line 2 is not the one just read"):
            contacts.reject(next(table.rows()), "note", "is odd")
