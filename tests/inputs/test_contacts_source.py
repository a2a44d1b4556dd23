"""Where contacts come from: files and standard input, read twice, in flat memory, whatever the bytes are."""

import io
import os
import stat
import threading
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sendctl.errors import BadInput
from sendctl.inputs.contacts import BadRow, ContactRow, open_contacts


def test_standard_input_is_read_twice_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with open_contacts("-", stdin=io.BytesIO(b"email\na@x.example\n")) as contacts:
        assert list(tmp_path.iterdir()) == []  # no name, so nothing stays after a kill either
        copies = [
            os.stat(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd") if _is_in(tmp_path, number)
        ]
        assert [stat.S_IMODE(copy.st_mode) for copy in copies] == [0o600]
        assert list(contacts.rows()) == list(contacts.rows())
        assert contacts.name == "<stdin>"


def _is_in(folder, number) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}").startswith(str(folder))
    except FileNotFoundError:
        return False


def test_two_readings_of_one_file_do_not_disturb_each_other(tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text("email\n" + "".join(f"u{number}@x.example\n" for number in range(15_000)))
    with open_contacts(path) as contacts:
        assert all(first == second for first, second in zip(contacts.rows(), contacts.rows(), strict=True))


def test_a_pipe_is_read_like_a_file(tmp_path):
    path = tmp_path / "pipe.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text("email\na@x.example\n"))
    writer.start()
    with open_contacts(path) as contacts:
        assert [row.email.key for row in contacts.rows()] == ["a@x.example"]
        assert len(list(contacts.rows())) == 1
    writer.join(10)


@pytest.mark.parametrize(("name", "content", "columns"), [
    ("a.csv", '{"email": 1}\n', None),
    ("a.csv", '[{"email": "a@x.example"}]\n', None),
    ("a.tsv", "email\tname, first\n", ("email", "name_first")),
    ("a.TSV", "email\tb;c\n", ("email", "b_c")),
    ("a.csv", "email\n", ("email",)),
    ("a.txt", "email\n", ("email",)),
    ("a.txt", ' \n{"email": "a@x.example"}', None),
    ("a.jsonl", '{"email": "a@x.example"}', None),
    ("a.ndjson", '{"email": "a@x.example"}', None),
])  # fmt: skip
def test_the_extension_decides_the_format_else_the_first_byte(tmp_path, name, content, columns):
    path = tmp_path / name
    path.write_text(content)
    if name == "a.csv" and columns is None:
        with pytest.raises(BadInput, match="looks like JSON"):
            open_contacts(path)
        return
    with open_contacts(path) as contacts:
        assert contacts.columns == columns


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"missing\.csv: cannot read: no such file"):
        open_contacts(tmp_path / "missing.csv")
    with pytest.raises(BadInput, match="cannot read: is a directory"):
        open_contacts(tmp_path)


def test_a_file_that_changes_between_two_readings_is_refused(tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text("email\na@x.example\n")
    with open_contacts(path) as contacts:
        assert len(list(contacts.rows())) == 1
        with path.open("a") as file:
            file.write("b@x.example\n")
        with pytest.raises(BadInput, match="changed while it was read"):
            list(contacts.rows())


def test_a_file_replaced_by_another_is_still_read_as_it_was_opened(tmp_path):
    path, other = tmp_path / "contacts.csv", tmp_path / "other.csv"
    path.write_text("email\na@x.example\n")
    other.write_text("email\nb@x.example\n")
    with open_contacts(path) as contacts:
        other.replace(path)
        assert [row.email.key for row in contacts.rows()] == ["a@x.example"]


def test_progress_ends_at_the_size_of_the_file(tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text("email\n" + "someone@x.example\n" * 40_000)
    with open_contacts(path) as contacts:
        positions = [contacts.position_bytes() for _ in contacts.rows()]
        assert contacts.size_bytes == path.stat().st_size == positions[-1]
        assert 0 < positions[0] < contacts.size_bytes
        assert positions == sorted(positions)


def peak_bytes(path) -> int:
    tracemalloc.start()
    try:
        with open_contacts(path) as contacts:
            for _ in contacts.rows():
                pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(tmp_path):
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    row = "someone@x.example," + "x" * 1000 + "\n"
    small.write_text("email,note\n" + row * 1_500)
    large.write_text("email,note\n" + row * 6_000)
    peak_bytes(small)  # the first reading also fills caches
    assert peak_bytes(large) < peak_bytes(small) * 1.2


def test_the_error_of_a_bad_record_names_file_line_column_and_reason(tmp_path):
    path = tmp_path / "contacts.csv"
    path.write_text("id,email\n1,a@x\n")
    with open_contacts(path) as contacts:
        (bad,) = contacts.rows()
        assert str(contacts.error(bad)) == f"{path}:2:2: email: the domain 'x' has no dot"
        assert "--skip-bad FILE" in contacts.error(bad).hint


PIECES = st.sampled_from([
    b"email", b"a@x.example", b",", b";", b"\t", b"\n", b"\r\n", b"\r", b'"', b"\0", b"\xff", b"\xef\xbb\xbf", b"\xe9",
    b"{", b"}", b'{"email": "a@x.example"}', b'":', b"[", b"\\u0000", b"NaN", b" ", b"\xe2\x80\xa8", b"email,name\n",
    b"phone", b"+4930123456", b"1e999", b"timezone",
])  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200) | st.lists(PIECES, max_size=40).map(b"".join))
def test_any_bytes_are_rows_or_bad_input(content):
    try:
        contacts = open_contacts("-", stdin=io.BytesIO(content))
    except BadInput:
        return
    with contacts:
        for row in contacts.rows():
            assert isinstance(row, ContactRow | BadRow)
            assert 1 <= row.line <= content.count(b"\n") + 1
            if isinstance(row, BadRow):
                assert row.raw.encode(errors="surrogateescape") in content
