"""Time and breakage around one message: deadlines, a process that stood still, a cancelled task, a broken write."""

from __future__ import annotations

import asyncio
import selectors
import socket
import struct
import time
from pathlib import Path

import pytest

from sendctl.clock import Deadline
from sendctl.providers.base import Job, Outcome
from sendctl.providers.smtp.provider import _Single
from tests.providers.smtp import world
from tests.smtp_double import start_smtp_double


def test_a_deadline_that_passed_unnoticed_before_the_dot_sends_no_dot(tmp_path: Path) -> None:
    # The clock runs on without the loop's timers, as in a process that was stopped: the dot must look at the clock.
    class Stopped:
        shift_s = 0.0

        def utc_now(self) -> object:
            return world.CLOCK.utc_now()

        def boot_s(self) -> float:
            return world.CLOCK.boot_s() + self.shift_s

    async def main() -> Outcome:
        clock = Stopped()

        def stop_for_a_minute() -> None:
            clock.shift_s = 60.0

        async with world.server(tmp_path) as double:
            relay = world.provider(double.port)
            late = world.Deadline(clock.boot_s() + 20, clock)  # type: ignore[arg-type]
            mark = world.Mark(at_begin=stop_for_a_minute)
            outcome = await relay.submit(world.outgoing(), late, mark)
            assert mark.calls == ["begin"]
            return outcome

    outcome = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.error_class) == ("untouched", "begun", "stood_still")
    assert outcome.scope == "recipient", "the relay is not to blame"
    assert world.rows(tmp_path) == []


def test_a_deadline_already_over_touches_nothing(tmp_path: Path) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path) as double:
            outcome, mark = await world.submit(world.provider(double.port), seconds=-1.0)
            assert mark.calls == []
            return outcome

    outcome = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.error_class) == ("untouched", "untouched", "stood_still")


def test_a_deadline_already_over_sends_no_mail_on_an_open_connection(tmp_path: Path) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path) as double:
            relay = world.provider(double.port, connections=1)
            await world.submit(relay)
            outcome, mark = await world.submit(relay, seconds=-1.0)
            assert mark.calls == []
            await relay.close()
            return outcome

    assert world.run(main()).kind == "untouched"
    assert len([line for line in world.heard(tmp_path) if line.startswith("MAIL")]) == 1


def test_waiting_for_a_free_connection_ends_with_the_deadline(tmp_path: Path) -> None:
    async def main() -> list[Outcome]:
        async with world.server(tmp_path, {"at": "mail", "do": "silence"}) as double:
            relay = world.provider(double.port, connections=1)
            results = await asyncio.gather(world.submit(relay, seconds=0.3), world.submit(relay, seconds=0.2))
            return [outcome for outcome, _ in results]

    assert [outcome.kind for outcome in world.run(main())] == ["deferred", "untouched"]


def test_a_reply_that_is_here_when_the_deadline_strikes_settles_the_message(tmp_path: Path) -> None:
    """A process stopped between dot and reply, and continued after its deadline, finds the 250 in its socket."""
    with start_smtp_double(tmp_path) as double:

        async def main() -> Outcome:
            end = world.deadline(1.0)

            def stopped() -> None:  # nothing of this loop runs until the deadline is over and the server has accepted
                while not (end.passed() and double.accepted()):
                    time.sleep(0.01)

            mark = world.Mark(at_dot=lambda: asyncio.get_running_loop().call_soon(stopped))  # type: ignore[arg-type,return-value]
            return await world.provider(double.port).submit(world.outgoing(), end, mark)

        outcome = world.run(main())
        assert (outcome.kind, outcome.phase) == ("accepted", "replied")
        assert outcome.provider_message_id == double.accepted()[0]["queue_id"]


class StoppedAfterItsLook(selectors.DefaultSelector):
    """When it is told to, it finds nothing, and says so when the answer is in the socket and the deadline is over."""

    end: Deadline | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.end is None:
            return super().select(timeout)
        end, self.end = self.end, None
        super().select(None)
        while end.remaining_s() > -0.1:
            time.sleep(0.01)
        return []


def test_a_reply_that_the_loop_has_yet_to_read_when_its_timer_rings_settles_the_message(tmp_path: Path) -> None:
    """Stopped between the loop's look at its sockets and its look at the clock: the timer comes before the 250."""
    selector = StoppedAfterItsLook()

    async def main(port: int) -> Outcome:
        end = world.deadline(1.0)
        mark = world.Mark(at_dot=lambda: setattr(selector, "end", end))
        return await world.provider(port).submit(world.outgoing(), end, mark)

    with (
        start_smtp_double(tmp_path) as double,
        asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selector)) as runner,
    ):
        outcome = runner.run(main(double.port))
        assert selector.end is None
        assert (outcome.kind, outcome.phase) == ("accepted", "replied")
        assert outcome.provider_message_id == double.accepted()[0]["queue_id"]


def test_a_silent_reply_before_the_dot_is_given_up_after_the_reply_timeout(tmp_path: Path) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path, {"at": "rcpt", "do": "drip"}) as double:
            return (await world.submit(world.provider(double.port, reply_timeout_s=0.2), seconds=60.0))[0]

    outcome = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.error_class) == ("deferred", "begun", "timeout")


def test_a_submission_that_is_cancelled_before_its_mail_begins_nothing(tmp_path: Path) -> None:
    """It waits for the server's answer to RSET, on a connection that nobody may use after it."""

    async def main() -> Outcome:
        rules = [{"at": "rcpt", "do": "reply:450 4.2.0 later", "first": 1}, {"at": "rset", "do": "silence", "first": 1}]
        async with world.server(tmp_path, *rules) as double:
            relay = world.provider(double.port, connections=1)
            assert (await world.submit(relay))[0].kind == "deferred"
            mark = world.Mark()
            task = asyncio.create_task(relay.submit(world.outgoing(), world.deadline(), mark))
            while "RSET" not in world.heard(tmp_path):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert mark.calls == []
            outcome = (await world.submit(relay))[0]
            await relay.close()
            return outcome

    assert world.run(main()).kind == "accepted"
    assert len([line for line in world.heard(tmp_path) if line.startswith("EHLO")]) == 2


async def _reset_behind_354(listener: socket.socket) -> None:
    """A server whose 354 and reset reach the client together, before its loop looks again."""
    loop = asyncio.get_running_loop()
    conn, _ = await loop.sock_accept(listener)
    for answer in (b"220 here\r\n", b"250 here\r\n", b"250 ok\r\n", b"250 ok\r\n"):
        await loop.sock_sendall(conn, answer)
        await loop.sock_recv(conn, 1024)
    conn.send(b"354 go ahead\r\n")
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def test_a_write_of_the_body_that_fails_is_no_doubt() -> None:
    """Nobody has said yet that the connection is lost: the loop will, when it looks the next time."""

    async def main() -> tuple[Outcome, list[str]]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            serving = asyncio.create_task(_reset_behind_354(listener))
            message = world.outgoing(content=world.CONTENT + (b"x" * 70 + b"\r\n") * 1000)
            outcome, mark = await world.submit(world.provider(listener.getsockname()[1]), message)
            await serving
            return outcome, mark.calls

    outcome, calls = world.run(main())
    assert (outcome.kind, outcome.phase, outcome.error_class) == ("deferred", "begun", "dropped")
    assert calls == ["begin"]


def test_a_cancelled_submission_propagates_and_frees_its_slot(tmp_path: Path) -> None:
    async def main() -> Outcome:
        async with world.server(tmp_path, {"at": "dot", "do": "silence", "first": 1}) as double:
            relay = world.provider(double.port, connections=1)
            dotted = asyncio.Event()
            mark = world.Mark(at_dot=dotted.set)
            task = asyncio.create_task(relay.submit(world.outgoing(), world.deadline(), mark))
            await dotted.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await world.submit(relay))[0]

    assert world.run(main()).kind == "accepted"


def test_nothing_forbids_a_message_of_its_own_to_go_on() -> None:
    job = Job(world.outgoing(), world.deadline(), world.Mark())
    assert _Single(job).goes_on(job)
