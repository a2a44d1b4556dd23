"""The log of a process with two threads is read so that nothing looks safer than it was."""

from pathlib import Path

from tests.faults.disk_log import Op, Reader


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


STORE, JOURNAL = f"7<{hexed('/disk/store')}>", f"8<{hexed('/disk/journal')}>"
DOT = f'"{hexed("RCPT TO:<a@x.example>" + chr(13) + chr(10) + "." + chr(13) + chr(10))}"'


def read(folder: Path, *lines: str) -> list[Op]:
    log = folder / "log"
    log.write_text("\n".join(lines) + "\n")
    return list(Reader(Path("/disk")).read(log))


def test_a_sync_counts_when_it_has_ended_and_what_leaves_when_it_begins(tmp_path):
    ops = read(
        tmp_path,
        f"11 fdatasync({STORE} <unfinished ...>",
        f"10 write(9<{hexed('socket:[1]')}>, {DOT}, 26 <unfinished ...>",
        "11 <... fdatasync resumed>) = 0",
        "10 <... write resumed>) = 26",
    )
    assert [(op.kind, op.name) for op in ops] == [("left", "a@x.example"), ("sync", "store")]


def test_a_write_stands_before_the_sync_of_its_thread(tmp_path):
    ops = read(
        tmp_path,
        f'10 write({JOURNAL}, "{hexed("dot")}", 3 <unfinished ...>',
        f"11 fsync({STORE}) = 0",
        "10 <... write resumed>) = 3",
        f"10 fsync({JOURNAL}) = 0",
    )
    assert [(op.kind, op.name, op.data) for op in ops] == [
        ("sync", "store", b""), ("write", "journal", b"dot"), ("sync", "journal", b""),
    ]  # fmt: skip


def test_a_call_that_failed_or_never_ended_did_nothing(tmp_path):
    assert read(tmp_path, f"10 fsync({STORE}) = -1 EIO", f"11 fsync({STORE} <unfinished ...>") == []
