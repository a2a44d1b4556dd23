"""Fills a store with history in seconds: some people are enqueued and sent for real, then SQL multiplies them."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from benchmarks import shop
from benchmarks.measuring import ROOT, BenchmarkFailed, run
from benchmarks.shop import Shop
from benchmarks.sinks import Postfix, smtp_sink

SENT, FUTURE = 180, 20  # people enqueued for real; the rest of the store is copies of them


def fill(place: Shop, postfix: Postfix, size: int) -> None:
    """A store with `size` messages of one campaign, a tenth of them due in a month, the others sent."""
    place.create()
    folder = place.folder
    place.enqueue(shop.write_contacts(folder / "sent.csv", SENT))
    with smtp_sink(postfix) as sink:
        place.configure(replace(place.sending, port=sink.port))
        place.run("-q", "send-due")
    if sink.accepted != SENT:
        raise BenchmarkFailed(f"smtp-sink accepted {sink.accepted} messages, not {SENT}")
    place.enqueue(shop.write_contacts(folder / "future.csv", FUTURE, first=SENT), "--at", "+30d")
    copies = size // (SENT + FUTURE) - 1
    command = [sys.executable, "-m", "benchmarks.copying", str(copies)]
    run(command, environ={"PATH": os.defpath, "BENCH_STORE": place.store_url}, folder=ROOT)
