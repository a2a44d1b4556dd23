"""The receiver of docs/webhooks.md is run as it stands there: what it writes down, the check of signatures takes."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sendctl.inputs.events import Event, open_events
from sendctl.providers.hooks.opening import Opener
from sendctl.settings.provider_options import OPTIONS
from tests.providers.events import test_resend, test_twilio
from tests.providers.hooks import signing
from tests.providers.hooks.signing import SECRETS, Posted, sections

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"


@pytest.fixture
def port() -> int:
    """One that nobody has at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def spool(tmp_path: Path, port: int) -> Iterator[Path]:
    """Where the receiver of the page writes to."""
    folder, script = tmp_path / "spool", tmp_path / "receiver.py"
    folder.mkdir()
    [text] = re.findall(r"<!-- receiver -->\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    script.write_text(text)
    with subprocess.Popen([sys.executable, script, folder], env=os.environ | {"PORT": str(port)},
                          stderr=subprocess.DEVNULL) as running:  # fmt: skip
        try:
            yield folder
        finally:
            running.terminate()


def post(port: int, path: str, posted: Posted) -> int:
    """Asks until the receiver listens; it is the one that is started."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        try:
            connection.request("POST", path, posted.body, dict(posted.headers))
            return connection.getresponse().status
        except ConnectionRefusedError:
            continue
        finally:
            connection.close()


def test_what_the_receiver_writes_down_is_taken(spool: Path, port: int) -> None:
    now = datetime.now(UTC)
    letter = signing.resend(test_resend.event("email.delivered", subject='Grüße\r\n\t"\\ \u2028'), at=now)
    url = "https://hooks.shop.example/4b1f/texts?from=twilio"
    text = signing.twilio(test_twilio.callback("delivered", Body2="ä & b"), url=url)

    assert post(port, "/4b1f/letters", letter) == 204
    assert post(port, "/4b1f/texts?from=twilio", text) == 204
    assert post(port, "/elsewhere", letter) == 404

    rows = []
    for path in sorted(spool.iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600
        with open_events(path, opener=Opener(sections(), SECRETS)) as file:
            rows += list(file.rows())
    assert [(row.type, row.source) for row in rows if isinstance(row, Event)] == [
        ("delivered", "letters"),
        ("delivered", "texts"),
    ]
    assert len(rows) == 2


def test_each_option_that_checks_webhooks_is_on_the_page() -> None:
    text = PAGE.read_text()
    options = {key for kind in OPTIONS.values() for key in kind if key.startswith(("webhook_", "sns_"))}
    assert len(options) == 7
    assert not [key for key in options | {"status_callback", "auth_token"} if f"`{key}`" not in text]
