"""The provider: a relay with a few connections kept open, and as many lanes, on which messages follow each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from sendctl.clock import Deadline
from sendctl.providers.base import Feed, Job, Outcome, Outgoing, PhaseMark
from sendctl.providers.checks import Checked
from sendctl.providers.facts import FACTS
from sendctl.providers.smtp.lane import Lane
from sendctl.providers.smtp.pool import Pool
from sendctl.providers.smtp.settings import SmtpSettings, settings_from_table


class SmtpProvider:
    """One relay. Belongs to the event loop that first uses it.

    SMTP has no idempotency key and no lookup (RFC 5321 knows neither): the relay's own log is the evidence.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self.name = settings.name
        self.capabilities = FACTS["smtp"].capabilities
        self.connections = settings.connections
        self._settings = settings
        self._pool = Pool(settings)

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        """Hand over one message within `deadline`; see the Provider protocol.

        Raises only what `mark` raises, and cancellation: in both cases the connection it concerned is aborted.
        """
        feed = _Single(Job(message, deadline, mark))
        await self.stream(feed)
        return feed.outcome()

    async def stream(self, feed: Feed) -> None:
        """Hand over all that `feed` gives; see the Streaming protocol."""
        await Lane(self._pool, feed, self._settings.reply_timeout_s).run()

    def check(self, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """See `Provider.check`; over a connection of its own."""
        from sendctl.providers.smtp.checking import relay_checked  # noqa: PLC0415  no pass asks

        return relay_checked(self._settings, senders)

    async def close(self) -> None:
        """Say QUIT on every idle connection and wait at most 2 seconds for the answers."""
        await self._pool.close()


class _Single:
    """A feed of one message."""

    def __init__(self, job: Job) -> None:
        self._job: Job | None = job
        self._ended: Outcome | Exception | None = None

    def take(self) -> Job | None:
        job, self._job = self._job, None
        return job

    async def more(self) -> bool:
        return False

    def goes_on(self, job: Job) -> bool:
        return True

    def end(self, job: Job, outcome: Outcome) -> None:
        self._ended = outcome

    def fail(self, job: Job, error: Exception) -> None:
        self._ended = error

    def outcome(self) -> Outcome:
        if isinstance(self._ended, Exception):
            raise self._ended
        assert self._ended is not None
        return self._ended


def smtp_from_table(name: str, options: Mapping[str, object], password: str | None) -> SmtpProvider:
    """The provider that `[providers.NAME]` describes. Raises BadConfig, see `settings_from_table`."""
    return SmtpProvider(settings_from_table(name, options, password))
