"""The command line of the double: `python -m tests.http_double --service resend --port-file F --log F`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from pathlib import Path

from tests.http_double.ledger import Ledger
from tests.http_double.server import serve
from tests.http_double.services import SERVICES


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="http_double")
    parser.add_argument("--service", choices=sorted(SERVICES), required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--script", default="[]")
    parser.add_argument("--lag", type=float, default=0.0)
    asked = parser.parse_args()
    service = SERVICES[asked.service](Ledger(asked.log), asked.lag)
    server = serve(service, json.loads(asked.script), asked.port)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    half_written = asked.port_file.with_suffix(".new")
    half_written.write_text(str(server.server_address[1]))
    os.replace(half_written, asked.port_file)
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
