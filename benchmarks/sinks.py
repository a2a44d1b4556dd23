"""The servers that mail is sent to, and smtp-source: Debian's postfix brings smtp-sink and smtp-source.

Starts servers of its own on loopback, on ports that were free, and ends nothing else. A sink counts what it accepts.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.measuring import BenchmarkFailed, Running, Usage, free_port, run, wait_for_port

BACKLOG = "1024"
SOURCE_SESSIONS = 8


@dataclass(frozen=True, slots=True)
class Postfix:
    """Where smtp-sink and smtp-source are."""

    sink: Path
    source: Path

    @property
    def environ(self) -> dict[str, str]:
        """Their libraries lie beside them where they were unpacked and not installed."""
        libraries = self.sink.parent.parent / "lib/postfix"
        return {"PATH": os.defpath, "LC_ALL": "C", "LD_LIBRARY_PATH": str(libraries)}

    def version(self) -> str:
        """As postconf says it; empty where postconf is not."""
        try:
            said = run([self.sink.with_name("postconf"), "-dh", "mail_version"], environ=self.environ, folder=Path("/"))
        except (OSError, BenchmarkFailed):
            return ""
        return said.said.strip()


def find_postfix() -> Postfix:
    """In $SENDCTL_BENCH_POSTFIX, on the PATH, or in /usr/sbin. Raises BenchmarkFailed with what to install."""
    places = os.pathsep.join([os.environ.get("SENDCTL_BENCH_POSTFIX", ""), os.environ.get("PATH", ""), "/usr/sbin"])
    sink, source = (shutil.which(name, path=places) for name in ("smtp-sink", "smtp-source"))
    if sink is None or source is None:
        raise BenchmarkFailed(
            "smtp-sink and smtp-source not found: `apt-get install postfix`, or name their folder in "
            "$SENDCTL_BENCH_POSTFIX"
        )
    return Postfix(Path(sink), Path(source))


@dataclass
class Sink:
    """A running smtp-sink. After the `with` block, `accepted` and `usage` say what it did."""

    port: int
    dump: Path | None
    accepted: int = -1
    usage: Usage | None = None
    recipients: list[str] = field(default_factory=list)


@contextmanager
def smtp_sink(postfix: Postfix, *, dump: bool = False) -> Iterator[Sink]:
    """A sink of our own; with `dump` it also writes each message down, and says who the recipients were."""
    as_root = os.geteuid() == 0  # then smtp-sink gives root up, as nobody
    sink = Sink(free_port(), _dump_file(as_root) if dump else None)
    options = ["-c", *(["-u", "nobody"] if as_root else []), *(["-D", str(sink.dump)] if dump else [])]
    command: list[str | Path] = [postfix.sink, *options, f"127.0.0.1:{sink.port}", BACKLOG]
    running = Running(command, environ=postfix.environ, folder=Path("/"))
    try:
        wait_for_port(sink.port, running)
        yield sink
    finally:
        running.terminate()
        sink.usage = running.ended(codes=(0, -15))
        counts = re.findall(r"mesg=(\d+)", sink.usage.said)
        sink.accepted = int(counts[-1]) if counts else 0
        if sink.dump is not None:
            sink.recipients = _recipients(sink.dump)
            shutil.rmtree(sink.dump.parent)


def _dump_file(as_root: bool) -> Path:
    """In a folder of its own that nobody can reach too: root's TMPDIR may lie under /root."""
    folder = Path(tempfile.mkdtemp(prefix="sendctl-bench-sink-", dir="/tmp" if as_root else None))  # noqa: S108
    if as_root:
        shutil.chown(folder, "nobody")
    return folder / "accepted"


def _recipients(dump: Path) -> list[str]:
    if not dump.exists():
        return []
    mark = b"X-Rcpt-Args: <"
    with dump.open("rb") as lines:
        return [line[len(mark) :].partition(b">")[0].decode() for line in lines if line.startswith(mark)]


def smtp_source(postfix: Postfix, port: int, messages: int, size_bytes: int) -> Usage:
    """Postfix's load generator: one connection a session (-d), messages of one and the same content."""
    return run(
        [postfix.source, "-d", "-s", str(SOURCE_SESSIONS), "-l", str(size_bytes), "-m", str(messages),
         "-f", "news@shop.example", "-t", "person@customer.example", f"127.0.0.1:{port}"],
        environ=postfix.environ, folder=Path("/"),
    )  # fmt: skip
