"""A service as a provider: what one file of this folder says of it, carried by the client that they share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from sendctl.clock import Deadline
from sendctl.providers.base import Capabilities, Outcome, Outgoing, PhaseMark, Sought
from sendctl.providers.checks import Checked, failed
from sendctl.providers.http.api import Api, Reply, Request, Unanswered
from sendctl.providers.http.settings import HttpSettings


class Service(Protocol):
    """What is particular to a service: pure functions but for `find` and `check`."""

    capabilities: Capabilities

    def headers(self) -> Mapping[str, str]:
        """What every request carries: who we are, and in which form an answer is wanted."""
        ...

    def request(self, message: Outgoing) -> Request:
        """The one request that hands a message over; its content is the same bytes whenever it is asked."""
        ...

    def outcome(self, reply: Reply) -> Outcome:
        """What a whole reply means for the message. Never raises, whatever the service sent."""
        ...

    def find(self, api: Api, sought: Sought) -> str | None:
        """See `Lookup.find`."""
        ...

    def check(self, api: Api, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """See `Provider.check`. Raises Unanswered when no whole reply came."""
        ...


class HttpProvider:
    """One account at one service."""

    def __init__(self, settings: HttpSettings, service: Service) -> None:
        self.name = settings.name
        self.capabilities = service.capabilities
        self.connections = settings.connections
        self._base_url = settings.base_url
        self._service = service
        self._api = Api(settings, service.headers())

    async def submit(self, message: Outgoing, deadline: Deadline, mark: PhaseMark) -> Outcome:
        """Hand over one message within `deadline`; see the Provider protocol.

        Raises only what `mark` raises, and cancellation.
        """
        reply = await self._api.post(self._service.request(message), deadline, mark)
        return reply if isinstance(reply, Outcome) else self._service.outcome(reply)

    def find(self, sought: Sought) -> str | None:
        """See `Lookup.find`."""
        return self._service.find(self._api, sought)

    async def check(self, senders: Sequence[str]) -> AsyncIterator[Checked]:
        """See `Provider.check`."""
        try:
            async for found in self._service.check(self._api, senders):
                yield found
        except Unanswered as error:
            cure = "mend the certificate, its name or the time; verification is never turned off."
            to_do = cure if error.certificate else "does this machine reach the service? is base_url right?"
            yield failed("service", f"{self._base_url}: {error.text}", to_do, passing=not error.certificate)
        except OSError as error:  # an answer without what it should have
            yield failed("service", f"{self._base_url}: {error.strerror}", "is base_url right?")

    async def close(self) -> None:
        """Give connections back."""
        await self._api.close()
