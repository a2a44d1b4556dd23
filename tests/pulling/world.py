"""What the tests of pulled events share: a service behind provider `primary`, and events about its messages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from sendctl.passes import reconcile
from sendctl.passes.deciding import Desk
from sendctl.passes.pulled import Pulled
from sendctl.passes.pulling import pull
from sendctl.passes.reconcile import ReconcileReport
from sendctl.providers.base import Outcome, Phase
from sendctl.settings import ProviderTable
from sendctl.states import AttemptOutcome
from sendctl.store import doubts
from tests.http_double import API_KEY, HttpDouble, start_http_double
from tests.providers.http.world import OPTIONS, SECRETS
from tests.store.ground import Ground


@dataclass
class World:
    """A ground and the doubles that were started on it."""

    ground: Ground
    folder: Path
    stack: ExitStack
    double: HttpDouble = field(init=False)

    def serve(self, service: str, *script: dict[str, Any], **options: Any) -> HttpDouble:
        """From now on `primary` is this service, whose events are pulled."""
        self.double = double = self.stack.enter_context(start_http_double(self.folder, service, script=script))
        key = self.folder / "key"
        key.write_text(API_KEY)
        given: dict[str, Any] = {f"{SECRETS[service]}_file": str(key), "base_url": double.url, "pull_events": True}
        if service == "ses":
            given["sqs_queue_url"] = f"{double.url}/123456789012/ses-events"
        self.configure(given | OPTIONS.get(service, {}) | {"connections": 1} | options, service)
        return double

    def configure(self, options: Mapping[str, Any], service: str = "") -> None:
        """From now on these are the options of `primary`."""
        self.ground.close()
        kind = service or self.ground.providers["primary"].type
        self.ground.providers["primary"] = ProviderTable("primary", kind, options)

    @contextmanager
    def once_between(self, deed: Callable[[], object]) -> Iterator[None]:
        """Do something when this host has ended its next transaction, and begun no other."""
        left = [deed]

        def happen(*_: object) -> None:
            if left:
                left.pop()()

        sa.event.listen(self.ground.store.engine, "checkin", happen)
        yield
        sa.event.remove(self.ground.store.engine, "checkin", happen)
        assert not left

    def sent(self, people: int) -> list[dict[str, Any]]:
        """So many people are enqueued and sent to; the messages in order: id, provider_key, provider_message_id."""
        self.ground.enqueue(people)
        self.ground.send_due()
        return self.messages()

    def messages(self) -> list[dict[str, Any]]:
        rows = self.ground.rows(
            "SELECT m.id, m.provider_key, m.recipient, m.status, a.provider_message_id FROM messages m"
            " LEFT JOIN attempts a ON a.message_id = m.id AND a.number = m.attempts ORDER BY m.id"
        )
        return [dict(row._mapping) for row in rows]

    def pull(self) -> Pulled:
        return pull(self.ground.context)

    def reconcile(self) -> ReconcileReport:
        return reconcile.run(self.ground.context)

    def settle(self, provider_message_id: str) -> None:
        """Whatever is in doubt was accepted, under this id."""
        desk = Desk(self.ground.context)
        outcome = Outcome(AttemptOutcome.ACCEPTED, Phase.REPLIED, provider_message_id=provider_message_id)
        with desk.transaction() as connection:
            for doubt in doubts.in_doubt(connection):
                assert desk.resolve(connection, doubt.message_id, outcome, evidence="lookup", claim_id=doubt.claim_id)

    def ago(self, seconds: float = 0) -> datetime:
        return self.ground.clock.now - timedelta(seconds=seconds)

    def events(self) -> list[tuple[str, str]]:
        """What is written down: recipient and type."""
        rows = self.ground.rows(
            "SELECT m.recipient, e.type FROM events e JOIN messages m ON m.id = e.message_id ORDER BY m.id, e.type"
        )
        return [(row[0], row[1]) for row in rows]

    def suppressed(self) -> dict[str, str]:
        rows = self.ground.rows("SELECT address_key, reason FROM suppressions")
        return {row[0]: row[1] for row in rows}


def mailgun(name: str, message: dict[str, Any] | None, at: datetime, *, ident: str = "", **more: Any) -> dict[str, Any]:
    """An event of Mailgun about a message of ours, or about a stranger's."""
    key = message["provider_key"] if message else ""
    named = f"{key}@shop.example" if message else "20260302090000.1.ABC@mg.shop.example"
    return {
        "event": name, "id": ident or f"{name}-{key[:12]}-{at.timestamp():.0f}", "timestamp": at.timestamp(),
        "log-level": "info", "message": {"headers": {"message-id": named}},
        "recipient": message["recipient"] if message else "somebody@else.example",
        "user-variables": {"sendctl": key} if key else {}, **more,
    }  # fmt: skip


def hard(message: dict[str, Any] | None, at: datetime, **more: Any) -> dict[str, Any]:
    """A hard bounce of Mailgun's."""
    status = {"severity": "permanent", "reason": "bounce", "delivery-status": {"code": 550, "enhanced-code": "5.1.1"}}
    return mailgun("failed", message, at, **status, **more)
