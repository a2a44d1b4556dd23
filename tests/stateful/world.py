"""Two hosts on one store, and what befalls their passes: they end, are killed at a failpoint, or stop and go on later.

A pass that is to die or to stop is a forked process, and it dies by SIGKILL. Time, ids and the record are shared with
it, so that one that goes on after an hour sees the hour. Nothing here knows what must be true.
"""

from __future__ import annotations

import mmap
import os
import shutil
import signal
import struct
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from sendctl import faults
from sendctl.errors import SendctlError
from sendctl.passes import deciding, enqueue, planning, reconcile, recover, send_due
from sendctl.providers import registry
from sendctl.settings import ProviderTable
from sendctl.store import meta
from sendctl.store.engine import open_store
from tests.model.seams import EvenJitter
from tests.stateful.relay import Record, Relay
from tests.store.ground import SENDING, START, Backup, Ground, OwnedClock, campaign_file

DEFECT = 70  # how a forked pass ends that raised what nobody handles
STEPS = {"sale": 1, "course": 2}
POLICY = {"sale": "hold", "course": "resend"}
BY_POLICY = ["course"]  # campaigns of which reconcile sends again what is in doubt
EXPIRES = {"sale": "", "course": 'expires_after = "7d"\n'}
Program = Callable[[], object]


class SharedClock(OwnedClock):
    """A clock that forked processes share: it goes on for whoever is stopped."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16)

    @property
    def seconds(self) -> float:
        return float(struct.unpack_from("d", self._memory)[0])

    @property
    def now(self) -> datetime:  # type: ignore[override]
        return START + timedelta(seconds=self.seconds)

    @property
    def boot(self) -> float:  # type: ignore[override]
        return 1000.0 + self.seconds

    def forward(self, **delay: float) -> None:
        struct.pack_into("d", self._memory, 0, self.seconds + timedelta(**delay).total_seconds())

    def restart(self) -> None:
        """Everything again from the beginning, also the ids."""
        struct.pack_into("dQ", self._memory, 0, 0.0, 0)

    def unix_s(self) -> float:
        return self.now.timestamp()

    def token_bytes(self, count: int) -> bytes:
        """Never the same twice, in whatever process, and the same in every repetition."""
        (number,) = struct.unpack_from("Q", self._memory, 8)
        struct.pack_into("Q", self._memory, 8, number + 1)
        return bytes(number.to_bytes(count, "big"))


class Stopped(NamedTuple):
    """A forked pass that stands still."""

    pid: int
    host: str


class World:
    """A store with two hosts, used for one example after the other: an open engine knows its statements already."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.sqlite = folder, url.startswith("sqlite")
        self.clock = SharedClock()
        self.record = Record(folder / "record", self.clock.boot_s)
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("secrets.token_bytes", self.clock.token_bytes)
        self.patch.setattr("sendctl.journal.writer.time", SimpleNamespace(time=self.clock.unix_s))
        self.patch.setattr(deciding, "random", SimpleNamespace(Random=EvenJitter))
        self.patch.setitem(registry._ADAPTERS, "relay", lambda table, _environ: Relay(table.name, self.record))
        send = replace(SENDING, providers=("primary", "fallback"))
        tables = {name: ProviderTable(name, "relay", {}) for name in send.providers}
        self.store = open_store(url, self.clock)
        self.hosts = {
            name: Ground(folder, url, self.clock, f"journal-{name}", send, providers=tables) for name in ("a", "b")
        }
        self._connect()
        self.first = self.hosts["a"].backup()
        self.lost_ids: set[str] = set()  # of journal folders that are gone
        self.stopped: list[Stopped] = []

    def _connect(self) -> None:
        """Both hosts use the one open store."""
        for ground in self.hosts.values():
            ground.context.__dict__["store"] = self.store

    def begin_anew(self) -> None:
        """The store as it was migrated, hosts without a journal, a record without a line."""
        self._end_stopped()
        self.clock.restart()
        self.record.forget()
        for folder in self.folder.glob("journal-*"):
            shutil.rmtree(folder)
        for ground in self.hosts.values():
            ground._context = None
        self._connect()
        self.hosts["a"].put_back(self.first)
        self.lost_ids.clear()

    def _end_stopped(self) -> None:
        while self.stopped:
            self.kill_stopped()

    def close(self) -> None:
        """End what still stands, and take the seams out."""
        self._end_stopped()
        self.store.close()
        self.patch.undo()

    # -- commands -------------------------------------------------------------------------------------------------

    def command(self, name: str, host: str, campaign: str = "sale") -> Program:
        """A command as cron or an operator runs it, to be forked."""
        context = self.hosts[host].context
        programs: dict[str, Program] = {
            "send-due": lambda: send_due.run(context),
            "reconcile": lambda: reconcile.run(context),
            "recover hold": lambda: self.recover(host, campaign, "hold"),
            "recover resend": lambda: self.recover(host, campaign, "resend"),
        }
        return programs[name]

    def recover(self, host: str, campaign: str, choice: str | None) -> recover.Recovered:
        context = self.hosts[host].context
        return recover.apply(context, planning.plan(context, campaign, in_doubt=choice), reason="a test")

    def enqueue(self, host: str, campaign: str, rows: Sequence[tuple[str, str]], version: int) -> Program:
        """Rows are (address as it is written, first name)."""
        path, contacts = self.folder / "campaign.toml", self.folder / "contacts.csv"
        steps = [
            f'name = "step{step}"\nsubject = "{campaign} {step}"\ntext = "v{version} {{{{ contact.first_name }}}}"\n'
            + ('kind = "drip"\nafter = "1d"\n' if step else "")
            for step in range(STEPS[campaign])
        ]
        head = f'in_doubt = "{POLICY[campaign]}"\n{EXPIRES[campaign]}'
        path.write_text(campaign_file(campaign, campaign=head, controls="batch_size = 3", steps=steps))
        contacts.write_text("email,first_name\n" + "".join(f"{address},{name}\n" for address, name in rows))
        context = self.hosts[host].context
        return lambda: enqueue.run(context, path, contacts=contacts)

    # -- forked passes --------------------------------------------------------------------------------------------

    def _forked(self, program: Callable[[], Program], failpoint: str, action: str, count: int) -> int:
        """Fork a pass that meets its fate at a failpoint; returns its process id. It never comes back into the test."""
        self.store.close()  # a connection has one owner
        pid = os.fork()
        if pid:
            return pid
        status = 0
        try:
            faults._name, faults._action, faults._left = failpoint, action, count
            program()()
        except SendctlError:
            pass
        except BaseException:
            traceback.print_exc()
            status = DEFECT
        finally:
            os._exit(status)

    def kill_at(self, program: Callable[[], Program], failpoint: str, count: int = 1) -> bool:
        """Let a pass run into SIGKILL at a failpoint; False when it ended before it came there."""
        pid = self._forked(program, failpoint, "kill", count)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL), "a pass ended with a defect, see stderr"
        return os.WIFSIGNALED(status)

    def stop_at(self, program: Callable[[], Program], host: str, failpoint: str, count: int) -> bool:
        """Let a pass run into SIGSTOP at a failpoint; False when it ended before it came there."""
        pid = self._forked(program, failpoint, "stop", count)
        _, status = os.waitpid(pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            self.stopped.append(Stopped(pid, host))
            return True
        assert os.waitstatus_to_exitcode(status) == 0, "a pass ended with a defect, see stderr"
        return False

    def go_on(self) -> None:
        """The pass that stands longest goes on to its end."""
        one = self.stopped.pop(0)
        os.kill(one.pid, signal.SIGCONT)
        _, status = os.waitpid(one.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0, "a pass ended with a defect, see stderr"

    def kill_stopped(self) -> None:
        """The pass that stands longest is killed where it stands."""
        one = self.stopped.pop(0)
        os.kill(one.pid, signal.SIGKILL)
        os.waitpid(one.pid, 0)

    # -- files ----------------------------------------------------------------------------------------------------

    def lose_journal(self, host: str) -> bool:
        """The journals of a run that died are gone, its lock file is not; False when there is none."""
        home = self.hosts[host].context.home
        alive = {one.host for one in self.stopped}
        found = [] if host in alive else [path for run_id in home.pending() for path in home.journals(run_id)]
        for path in found:
            path.unlink()
        return bool(found)

    def lose_folder(self, host: str) -> None:
        """The journal folder of a host is gone, as after the loss of its disk: it begins anew, with another id."""
        ground = self.hosts[host]
        self.lost_ids.add(ground.context.home.host_id)
        ground._context = None
        self._connect()
        shutil.rmtree(self.folder / f"journal-{host}")

    def put_back(self, backup: Backup) -> None:
        """Restore a backup. On Postgres its tables are made anew by that, which the store notices by itself."""
        ground = self.hosts["a"]
        ground.put_back(backup)
        if not self.sqlite:
            ground.change("UPDATE store SET database_id = regexp_replace(database_id, '[0-9]+$', '0')")

    def hosts_to_give_up(self) -> list[str]:
        """Ids of the hosts whose folders are gone and that the store still waits for."""
        with self.hosts["a"].store.read() as connection:
            return sorted(self.lost_ids & meta.host_names(connection).keys())
