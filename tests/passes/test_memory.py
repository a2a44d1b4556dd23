"""Enqueue streams: its memory does not grow with the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.store.ground import Ground, campaign_file, contacts_file

PROGRAM = """
import resource, sys
from pathlib import Path
from tests.store.ground import Ground
folder, url = Path(sys.argv[1]), sys.argv[2]
from sendctl.passes import enqueue
report = enqueue.run(Ground(folder, url).context, folder / "campaign.toml", contacts=folder / sys.argv[3])
print(report.enrolled, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak_kib(ground: Ground, people: int, first: int) -> int:
    """The most memory that a process held while it enqueued so many people, in KiB."""
    (ground.folder / "campaign.toml").write_text(campaign_file())
    (ground.folder / "people.csv").write_text(contacts_file(first, first + people - 1))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, ground.folder, ground.url, "people.csv"],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    enrolled, peak = done.stdout.split()
    assert int(enrolled) == people
    return int(peak) // (1024 if sys.platform == "darwin" else 1)  # getrusage(2): bytes there, KiB on Linux


def test_four_times_the_people_take_no_more_memory(ground: Ground) -> None:
    small = peak_kib(ground, 2_500, 1)
    large = peak_kib(ground, 10_000, 10_001)
    assert large - small < 3 * 1024
