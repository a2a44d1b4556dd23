"""The file of skipped records: written whole or not at all, and read again after a repair."""

import csv
import io
import os
import stat

import pytest

from sendctl.errors import UsageError
from sendctl.inputs.contacts import BadRow, open_contacts


def skip(content: bytes, path, name="in.csv"):
    source = path.parent / name
    source.write_bytes(content)
    with open_contacts(source) as contacts, contacts.skip_file(path) as skipped:
        for row in contacts.rows():
            if isinstance(row, BadRow):
                skipped.write(row)
        skipped.keep()
    return skipped.count


CSV = b"""\xef\xbb\xbfemail;Full Name;n
a@x.example;Ann;1\r
b@x;"Bob; ""B"" =1+1";2
c@x.example;short
d@x.example;"broken" quote;3
e@x;Ren\xe9e;"two
lines"
"""


def test_csv_records_stay_as_written_beside_their_line_and_reason(tmp_path):
    path = tmp_path / "bad.csv"
    assert skip(CSV, path) == 4
    lines = path.read_bytes().split(b"\n")
    assert lines[0] == b"sendctl_line;sendctl_reason;email;Full Name;n"
    assert lines[1] == b"""3;column 1: email: the domain 'x' has no dot;b@x;"Bob; ""B"" =1+1";2"""
    assert lines[2].startswith(b"4;column 3: 2 fields where the header has 3")
    assert lines[3].endswith(b';d@x.example;"broken" quote;3')
    assert b"\n".join(lines[4:]).endswith(b';e@x;Ren\xe9e;"two\nlines"\n')
    titles, first, *_ = csv.reader(io.StringIO(path.read_text(errors="replace")), delimiter=";")
    assert len(titles) == len(first) == 5


def test_a_repaired_file_reads_like_the_original_rows(tmp_path):
    path = tmp_path / "bad.csv"
    skip(CSV, path)
    repaired = (
        path.read_bytes()
        .replace(b"@x;", b"@x.example;")
        .replace(b"short", b"long;9")
        .replace(b'"broken" ', b"")
        .replace(b"\xe9", b"e")
    )
    path.write_bytes(repaired)
    with open_contacts(path) as contacts:
        rows = list(contacts.rows())
    assert [row.email.key for row in rows] == ["b@x.example", "c@x.example", "d@x.example", "e@x.example"]
    assert rows[0].attributes == {"email": "b@x.example", "full_name": 'Bob; "B" =1+1', "n": "2"}


def test_a_file_that_is_not_repaired_gives_the_same_bad_rows_again(tmp_path):
    first, second, third = tmp_path / "1.csv", tmp_path / "2.csv", tmp_path / "3.csv"
    assert skip(CSV, first) == skip(first.read_bytes(), second) == skip(second.read_bytes(), third) == 4


def test_json_lines_keep_their_values_and_gain_line_and_reason(tmp_path):
    path = tmp_path / "bad.jsonl"
    content = b'{"email": "a@x", "n": [1, 2]}\n{}\nnot json\n["x"]\n'
    content += b'{"email": "Ren\xe9e@x.example"}\n{"email": "ok@x.example"}\n'
    assert skip(content, path, "in.jsonl") == 5
    lines = path.read_bytes().split(b"\n")
    notes = b"""{"sendctl_line": 1, "sendctl_reason": "column email: the domain 'x' has no dot", """
    assert lines[0] == notes + b'"email": "a@x", "n": [1, 2]}'
    assert lines[1] == b"""{"sendctl_line": 2, "sendctl_reason": "column 1: neither email nor phone"}"""
    assert lines[2].endswith(b'"sendctl_raw": "not json"}')
    assert lines[3].endswith(b'"sendctl_raw": "[\\"x\\"]"}')
    path.write_bytes(lines[0].replace(b"a@x", b"a@x.example") + b"\n" + lines[4].replace(b"\xe9", b"e"))
    with open_contacts(path) as contacts:
        rows = list(contacts.rows())
    assert rows[0].attributes == {"email": "a@x.example", "n": [1, 2]}
    assert rows[1].attributes == {"email": "Renee@x.example"}


@pytest.mark.parametrize(
    ("name", "content", "raws"),
    [
        ("in.csv", 'email,n\na@x.example,"1\n2"\n\nb@x.example,3\n', ['a@x.example,"1\n2"', "b@x.example,3"]),
        ("in.jsonl", '{"email": "a@x.example"}\n\n{"email": "b@x.example"}', None),
    ],
)
def test_a_contact_that_the_caller_rejects_is_kept_as_written(tmp_path, name, content, raws):
    path = tmp_path / name
    path.write_text(content)
    with open_contacts(path) as contacts:
        bad = [contacts.reject(row, "n", "is odd") for row in contacts.rows()]
    assert [row.raw for row in bad] == (raws or content.split("\n\n"))
    assert (bad[0].column, bad[0].reason) == ((2, "n: is odd") if raws else ("n", "is odd"))


def test_only_the_contact_just_read_can_be_rejected(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("email\na@x.example\nb@x.example\n")
    with open_contacts(path) as contacts:
        first, second = contacts.rows()
        for row in (first, second):
            with pytest.raises(ValueError, match="not the one just read"):
                contacts.reject(row, "email", "reason")


def test_the_file_is_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        skip(CSV, tmp_path / "bad.csv")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "bad.csv").stat().st_mode) == 0o600


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_nothing_is_left_unless_the_file_is_kept(tmp_path):
    source = tmp_path / "in.csv"
    source.write_bytes(CSV)

    def interrupted():
        with open_contacts(source) as contacts, contacts.skip_file(tmp_path / "bad.csv") as skipped:
            skipped.write(BadRow(2, 1, "reason", "raw"))
            skipped.sync()
            assert names(tmp_path)[1:] == ["in.csv"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["in.csv"]


def test_without_a_bad_record_there_is_no_file(tmp_path):
    assert skip(b"email\na@x.example\n", tmp_path / "bad.csv") == 0
    assert names(tmp_path) == ["in.csv"]


def test_whatever_is_there_already_is_never_overwritten(tmp_path):
    source, link, dangling, other = (tmp_path / name for name in ("in.csv", "link.csv", "dangling", "sendctl.db"))
    source.write_bytes(CSV)
    other.write_bytes(b"SQLite format 3")
    link.symlink_to(source)
    dangling.symlink_to(tmp_path / "nowhere")
    before = names(tmp_path)
    with open_contacts(source) as contacts:
        for path in (source, link):
            with pytest.raises(UsageError, match="is the contacts file itself"):
                contacts.skip_file(path)
        for path in (other, dangling):
            with pytest.raises(UsageError, match=f"{path}: is there already, and nothing is ever overwritten"):
                contacts.skip_file(path)
        with pytest.raises(UsageError, match="is a folder"):
            contacts.skip_file(tmp_path)
        with pytest.raises(UsageError, match="cannot write"), contacts.skip_file(tmp_path / "no" / "bad.csv"):
            pass
    assert names(tmp_path) == before
    assert other.read_bytes() == b"SQLite format 3"


def test_what_appears_at_the_name_meanwhile_is_not_overwritten_either(tmp_path):
    source, path = tmp_path / "in.csv", tmp_path / "bad.csv"
    source.write_bytes(CSV)
    with open_contacts(source) as contacts, contacts.skip_file(path) as skipped:
        skipped.write(BadRow(2, 1, "reason", "raw"))
        path.write_text("another's")
        with pytest.raises(UsageError, match="is there already"):
            skipped.keep()
    assert path.read_text() == "another's"
    assert names(tmp_path) == ["bad.csv", "in.csv"]


def test_a_reason_never_breaks_out_of_its_cell(tmp_path):
    path = tmp_path / "bad.csv"
    source = tmp_path / "in.csv"
    source.write_text("email,name\n")
    with open_contacts(source) as contacts, contacts.skip_file(path) as skipped:
        skipped.write(BadRow(2, 1, 'a "reason", with\r\nlines \x1b[31m \u202e', "raw,row"))
        skipped.write(BadRow(3, None, "as a whole", "raw,row"))
        skipped.keep()
    rows = list(csv.reader(io.StringIO(path.read_text(), newline="")))
    assert rows[1] == ["2", 'column 1: a "reason", with  lines  [31m  ', "raw", "row"]
    assert rows[2] == ["3", "as a whole", "raw", "row"]
