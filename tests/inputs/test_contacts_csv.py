"""Contacts from CSV: headers, delimiters, records, and the line, column and reason of everything that is wrong."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendctl.errors import BadInput
from sendctl.inputs.contacts import BadRow, ContactRow, open_contacts


def rows_of(content: bytes | str) -> list[ContactRow | BadRow]:
    data = content.encode() if isinstance(content, str) else content
    with open_contacts("-", stdin=io.BytesIO(data)) as contacts:
        return list(contacts.rows())


def refused(content: bytes | str) -> BadInput:
    with pytest.raises(BadInput) as caught:
        rows_of(content)
    return caught.value


def only_bad(content: bytes | str) -> BadRow:
    bad = [row for row in rows_of(content) if isinstance(row, BadRow)]
    assert len(bad) == 1
    return bad[0]


def test_a_row_becomes_a_contact_with_every_column_as_written():
    (row,) = rows_of(
        "email,phone,id,timezone,first_name,note\n"
        ' Ann@X.Example ,+49 30 1234567, A-7 ,Europe/Berlin,"Ann, ""A""","two\nlines"\n'
    )
    assert isinstance(row, ContactRow)
    assert (row.line, row.phone, row.external_id, row.timezone) == (2, "+49301234567", "A-7", "Europe/Berlin")
    assert row.email.address == "Ann@x.example"
    assert row.email.key == "ann@x.example"
    assert row.attributes == {
        "email": " Ann@X.Example ",
        "phone": "+49 30 1234567",
        "id": " A-7 ",
        "timezone": "Europe/Berlin",
        "first_name": 'Ann, "A"',
        "note": "two\nlines",
    }


def test_lines_are_counted_through_quoted_line_breaks_blank_lines_and_both_line_ends():
    rows = rows_of('email,note\r\na@x.example,"1\r\n2\n3"\r\n\r\n\nb@x.example,\nc@x.example,end')
    assert [(row.line, row.email.key) for row in rows] == [(2, "a@x.example"), (7, "b@x.example"), (8, "c@x.example")]
    assert rows[0].attributes["note"] == "1\r\n2\n3"


def test_empty_special_columns_are_none_and_one_of_email_or_phone_is_enough():
    rows = rows_of("email,phone,id,timezone\na@x.example,,,\n,+4930123456, ,\t\n")
    assert rows[0][2:5] == (None, None, None)
    assert rows[1][1:5] == (None, "+4930123456", None, None)


def test_special_columns_are_found_in_any_case_and_others_get_template_names():
    with open_contacts(
        "-", stdin=io.BytesIO(" EMAIL ,Id,First Name,2nd line,FirstName,prénom,Größe (cm)\n".encode())
    ) as contacts:
        assert contacts.columns == ("email", "id", "first_name", "_2nd_line", "FirstName", "prénom", "größe_cm")
        assert contacts.delimiter == ","
        assert list(contacts.rows()) == []


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("email,name", ","),
        ("email;name", ";"),
        ("email\tname", "\t"),
        ("email;a\tb", ";"),
        ('email;"name, first"', ";"),
        ("email", ","),
    ],
)
def test_the_delimiter_is_taken_from_the_header_line_alone(header, delimiter):
    with open_contacts("-", stdin=io.BytesIO(f"\n{header}\na@x.example{delimiter}b,c;d".encode())) as contacts:
        assert contacts.delimiter == delimiter


def test_a_byte_order_mark_is_no_part_of_the_first_column():
    (row,) = rows_of(b"\xef\xbb\xbfemail\na@x.example")
    assert row.email.key == "a@x.example"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"", "<stdin>: the file is empty", "header row"),
        (b" \r\n\n", "<stdin>: the file is empty", ""),
        (b"\xef\xbb\xbf", "<stdin>: the file is empty", ""),
        ("email\n".encode("utf-16"), "<stdin>: the file is UTF-16, not UTF-8", "iconv -f UTF-16 -t UTF-8"),
        ("email\n".encode("utf-32"), "<stdin>: the file is UTF-32, not UTF-8", "iconv -f UTF-32 -t UTF-8"),
        ("email,a\na@x.example,b\n".encode("utf-16-be"), "<stdin>:1:1: in the header row: a NUL character", "UTF-16"),
        ("name,email\r\n".encode("utf-16-le"), "<stdin>:1:1: in the header row: a NUL character", "UTF-16"),
        (b"PK\x03\x04...", "<stdin>: the file is a workbook or an archive", "CSV UTF-8"),
        (b"\x1f\x8b...", "<stdin>: the file is gzip, not UTF-8", "gzip -dc"),
        (b"email,Pr\xe9nom\n", "<stdin>:1:2: in the header row: byte 0xE9 is not valid UTF-8", "UTF-8"),
        (
            "name,Email Address\n",
            "<stdin>:1:2: no column is named 'email' or 'phone'",
            "rename the column 'Email Address' to 'email'",
        ),
        ("name,Mobile\n", "<stdin>:1:2: no column is named", "rename the column 'Mobile' to 'phone'"),
        ("name,emial\n", "<stdin>:1:2: no column is named", "rename the column 'emial' to 'email'"),
        ("name,town\n", "<stdin>:1:1: no column is named", "the columns are: name, town"),
        (
            "a@x.example,Ann\n",
            "<stdin>:1:1: 'a@x.example' is an address where a column name is expected",
            "header row first",
        ),
        ("\nemail,,b\n", "<stdin>:2:2: column 2 has no name", "delete"),
        ("email,name,\n", "<stdin>:1:3: column 3 has no name", "delete"),
        ("email,Name,Name\n", "<stdin>:1:3: columns 2 ('Name') and 3 ('Name') are both named 'Name'", "rename"),
        (
            "email,first_name,First Name\n",
            "columns 2 ('first_name') and 3 ('First Name') are both named 'first_name'",
            "rename",
        ),
        ("email,EMAIL\n", "are both named 'email'", "rename"),
        ('email,"name\n', "<stdin>:1:2: in the header row: the quote opened here is not closed", ""),
        ('email,"name"x\n', "<stdin>:1:2: in the header row: text after a closing quote", ""),
        ("email,na\rme\na@x.example,A\n", "<stdin>:1:2: in the header row: a carriage return without a line feed", ""),
        ("email,n\ra@x.example,A\r", "<stdin>: the lines end in carriage returns alone", "tr '\\r' '\\n'"),
        ('{"email": "a@x.example"}\r{"email": "b@x.example"}', "carriage returns alone", "tr '\\r' '\\n'"),
        ("sep=;\nemail;n\n", "<stdin>:1:1: 'sep=;' is a line for Excel, not a header row", "delete that line"),
        ('"SEP=\t"\r\nemail\tn\r\n', "is a line for Excel, not a header row", "delete that line"),
        ("email" + ",a" * 1000, "1001 columns, the limit is 1000", ""),
        ('[{"email": "a@x.example"}]', "<stdin>:1:1: the file is one JSON array", "jq"),
    ],
)
def test_an_unusable_file_is_refused_as_a_whole(content, message, hint):
    error = refused(content)
    assert message in str(error)
    assert hint in error.hint
    assert error.exit_code == 65


@pytest.mark.parametrize(
    ("record", "column", "reason"),
    [
        ("a@x,n,,,", 1, "email: the domain 'x' has no dot"),
        (",n,12,,", 3, "phone: the number must start with + and the country code"),
        (",n,,,", 1, "neither email nor phone"),
        ("a@x.example,n,,Berlin,", 4, "timezone: 'Berlin' is not an IANA time zone (did you mean Europe/Berlin?)"),
        ("a@x.example,n,,localtime,", 4, "timezone: 'localtime' is not an IANA time zone"),
        ("a@x.example,n,,../../etc/passwd,", 4, "timezone: '../../etc/passwd' is not an IANA time zone"),
        (f"a@x.example,n,,,{'9' * 256}", 5, "id: 256 characters, the limit is 255"),
        ("a@x.example,n", 3, "2 fields where the header has 5: phone is missing"),
        ("a@x.example,n,,,,x", 6, "6 fields where the header has 5: quote a field that has the delimiter in it"),
        ('a@x.example,"n" x,,,', 2, "name: text after a closing quote"),
        ('"john doe"@x.example,n,,,', 1, "email: text after a closing quote"),
        ("a@x.example,n\rm,,,", 2, "name: a carriage return without a line feed"),
        ("a@x.example,n\0m,,,", 2, "name: a NUL character"),
        ("a@x.example,n,,\0,", 4, "timezone: a NUL character"),
        (f"a@x.example,{'n' * 65537},,,", 2, "name: a field has more than 65536 characters"),
    ],
)
def test_a_bad_record_names_line_column_and_reason_and_the_others_are_kept(record, column, reason):
    rows = rows_of(f"email,name,phone,timezone,id\nb@x.example,,,,\n{record}\nc@x.example,,,,\n")
    assert [row.line for row in rows] == [2, 3, 4]
    assert isinstance(rows[0], ContactRow)
    assert isinstance(rows[2], ContactRow)
    assert (rows[1].column, rows[1].raw) == (column, record)
    assert rows[1].reason.startswith(reason)


def test_a_byte_that_is_not_utf8_is_named_and_kept():
    bad = only_bad(b"email,name\na@x.example,Ren\xe9e\nb@x.example,Ren\xc3\xa9e\n")
    assert (bad.line, bad.column, bad.reason) == (2, 2, "name: byte 0xE9 is not valid UTF-8")
    assert bad.raw.encode(errors="surrogateescape") == b"a@x.example,Ren\xe9e"


def test_an_unclosed_quote_is_one_bad_record_that_names_all_lines_it_took_in():
    rows = rows_of('email,name\na@x.example,"Ann\nb@x.example,Bob\nc@x.example,"Cy"\nd@x.example,Di\n')
    assert [type(row) for row in rows] == [BadRow, ContactRow]
    assert (rows[0].line, rows[0].column) == (2, 2)
    assert rows[0].reason.startswith("name: text after a closing quote")
    assert rows[0].reason.endswith("a quoted field took in lines 2 to 4")
    assert rows[0].raw == 'a@x.example,"Ann\nb@x.example,Bob\nc@x.example,"Cy"'
    assert rows[1].email.key == "d@x.example"


def test_a_quote_open_at_the_end_of_the_file_is_one_bad_record():
    bad = only_bad('email,name\nb@x.example,Bob\na@x.example,"Ann\n\nrest')
    assert (bad.line, bad.column) == (3, 2)
    assert bad.reason == "name: the quote opened here is not closed; a quoted field took in lines 3 to 5"


def test_an_unclosed_quote_does_not_swallow_a_large_file():
    content = 'email,name\na@x.example,"Ann\n' + "b@x.example,Bob\n" * 20_000
    rows = rows_of(content)
    assert isinstance(rows[0], BadRow)
    assert "more than 65536 characters; a quoted field took in lines 2 to" in rows[0].reason
    assert len(rows[0].raw) < 66_000
    assert all(isinstance(row, ContactRow) for row in rows[1:])
    assert rows[-1].line == 20_002
    assert rows[1].line == rows[0].line + rows[0].raw.count("\n") + 1


def test_a_record_of_many_quoted_lines_is_cut_off_at_its_limit():
    rows = rows_of("email,name\n" + 'a",b,"\n' * 200_000 + '"\nc@x.example,Cy\n')
    assert all(isinstance(row, BadRow) for row in rows[:-1])
    assert "more than 1048576 characters" in rows[0].reason
    assert len(rows[0].raw) <= 1_048_576 + 8


def test_a_line_of_many_megabytes_is_one_bad_record_of_which_the_beginning_is_kept():
    rows = rows_of("email,name\na@x.example," + "é" * 6_000_000 + "\nb@x.example,Bob\n")
    assert [(type(row), row.line) for row in rows] == [(BadRow, 2), (ContactRow, 3)]
    assert rows[0].raw.startswith("a@x.example,é")


def test_records_without_any_value_count_as_blank_lines():
    rows = rows_of("email,name\n,\n  , \na@x.example,\n   \n,,,,\n")
    assert [row.line for row in rows] == [4]


def test_a_single_column_file_is_a_list_of_addresses():
    rows = rows_of("email\na@x.example\n\n   \nb@x.example\n")
    assert [row.email.key for row in rows] == ["a@x.example", "b@x.example"]


WRITTEN = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(WRITTEN, min_size=3, max_size=3), max_size=8),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_csv_writer_wrote_is_read_back_unchanged(records, delimiter, line_end):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["email", "a", "b", "c"])
    writer.writerows(["x@y.example", *record] for record in records)
    rows = rows_of(text.getvalue())
    assert [[row.attributes[name] for name in "abc"] for row in rows] == records


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(['"', ",", "\n", "a", "\r\n", "x@y.example,b\n", '"x', '""']), max_size=40))
def test_every_character_of_a_broken_file_is_in_a_contact_or_in_a_bad_record(parts):
    body = "".join(parts)
    rows = rows_of("email,name\n" + body)
    kept = [row.raw for row in rows if isinstance(row, BadRow)]
    good = sum(isinstance(row, ContactRow) for row in rows)
    assert body.count("y") == sum(raw.count("y") for raw in kept) + sum(
        row.attributes["email"].count("y") + row.attributes["name"].count("y")
        for row in rows
        if isinstance(row, ContactRow)
    )
    assert good <= body.count("x@y.example")
