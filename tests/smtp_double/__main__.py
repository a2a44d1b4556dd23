"""The command line of the SMTP double: `python -m tests.smtp_double --port-file F --log F`. It prints nothing."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

from tests.smtp_double.script import parse_script
from tests.smtp_double.server import Options, serve


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="smtp_double", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--port-file", type=Path, required=True, help="written whole once the port is open")
    parser.add_argument("--log", type=Path, required=True, help="one JSON line per accepted message, appended")
    parser.add_argument("--transcript", type=Path, help="one JSON line per command received")
    parser.add_argument("--keep", type=Path, help="keep each accepted message in this folder")
    parser.add_argument("--pipelining", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--extension", action="append", default=None, help="EHLO keyword line; replaces the defaults")
    parser.add_argument("--starttls", action="store_true", help="offer STARTTLS")
    parser.add_argument("--tls", action="store_true", help="speak TLS from the first byte")
    parser.add_argument("--cert", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--auth", default="", metavar="USER:PASS", help="require AUTH")
    parser.add_argument("--auth-mechanisms", default="PLAIN LOGIN")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="delay of the reply to the dot")
    parser.add_argument("--script", default="[]", metavar="JSON", help="faults, see script.py")
    parser.add_argument("--fsync", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--exit-with-stdin", action="store_true", help="end when stdin does: with the parent")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> None:
    options = Options(
        log=arguments.log,
        transcript=arguments.transcript,
        keep=arguments.keep,
        pipelining=arguments.pipelining,
        starttls=arguments.starttls,
        tls=arguments.tls,
        cert=arguments.cert,
        key=arguments.key,
        auth=arguments.auth,
        auth_mechanisms=arguments.auth_mechanisms,
        latency_s=arguments.latency_ms / 1000,
        script=parse_script(arguments.script),
        fsync=arguments.fsync,
    )
    if arguments.extension is not None:
        options.extensions = tuple(arguments.extension)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, stop.set)
    if arguments.exit_with_stdin:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    server = await serve(options, arguments.port)
    half_written = arguments.port_file.with_suffix(".new")
    half_written.write_text(str(server.port))
    os.replace(half_written, arguments.port_file)
    await stop.wait()
    await server.close()


if __name__ == "__main__":
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_run(_arguments()))
