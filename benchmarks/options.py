"""How large the measurements are. Each size is an option of the command line; `quick` makes them all small."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.stores import KINDS


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes of a run; see command_line.py for what each means."""

    stores: tuple[str, ...] = KINDS
    rounds: int = 3
    large: bool = False
    messages: int = 20_000
    peer_messages: int = 1_000
    workers: int = 2
    connections: int = 8
    batch_size: int = 500
    cost_messages: int = 10_000
    latency_ms: float = 50.0
    latency_connections: int = 100
    latency_messages: int = 10_000
    contacts: int = 1_000_000
    enqueue_rounds: int = 2
    sizes: tuple[int, ...] = (10_000, 1_000_000)
    scaling_messages: int = 10_000
    idle_rounds: int = 21
    tuning_messages: int = 10_000
    tuning_rounds: int = 3
    hosts: tuple[int, ...] = (1, 2, 4, 8)
    host_messages: int = 20_000

    def rounds_of(self, point: str) -> int:
        """How often each measurement of a point is repeated."""
        own = {"enqueue": self.enqueue_rounds, "idle": self.idle_rounds, "tuning": self.tuning_rounds}
        return own.get(point, self.rounds)


QUICK = Options(
    rounds=1, messages=5_000, peer_messages=200, cost_messages=3_000, latency_messages=5_000, contacts=30_000,
    enqueue_rounds=1, sizes=(10_000, 50_000), scaling_messages=1_000, idle_rounds=5, hosts=(1, 2), host_messages=4_000,
    tuning_messages=2_000,
)  # fmt: skip
