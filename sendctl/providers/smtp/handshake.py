"""From a host name to a connection ready for MAIL: DNS, TCP, banner, EHLO, TLS, AUTH.

It never sends AUTH or MAIL over a connection less protected than the settings ask for, and never falls back.
"""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl

from sendctl.providers.base import Outcome
from sendctl.providers.smtp import classify
from sendctl.providers.smtp.connection import Connection, Dropped
from sendctl.providers.smtp.replies import ProtocolViolation, Reply
from sendctl.providers.smtp.settings import SmtpSettings
from sendctl.providers.tls import verifying_context


class SetupFailed(Exception):
    """The connection is not ready and is closed; `outcome` says why and whether a person is needed."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome


def tls_context(settings: SmtpSettings) -> ssl.SSLContext:
    """A context that verifies chain and name, with `ca_file` trusted besides the system's authorities.

    Raises SetupFailed when `ca_file` cannot be read.
    """
    try:
        return verifying_context(settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        text = f"cannot read ca_file {settings.ca_file}: {error}"
        raise SetupFailed(classify.setup_failed("tls", text, halt=True)) from error


async def open_connection(settings: SmtpSettings, context: ssl.SSLContext | None) -> Connection:
    """A connection ready for its first MAIL, within `connect_timeout_s` in all. `context` unless tls is "none".

    Raises SetupFailed; what was opened is closed again, also on cancellation.
    """
    handshake = _Handshake(settings, context)
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            return await handshake.run()
    except BaseException as error:
        if handshake.connection is not None:
            handshake.connection.abort()
        outcome = handshake.explain(error)
        if outcome is None:
            raise
        raise SetupFailed(outcome) from error


class _Handshake:
    """One set-up and the step it has reached, which names the failure."""

    def __init__(self, settings: SmtpSettings, context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._context = context
        self._step = "dns"
        self.connection: Connection | None = None

    async def run(self) -> Connection:
        """All steps in order; a failed one raises."""
        connection = self.connection = await self._dial()
        if self._settings.tls == "tls":
            await self._upgrade(connection)
        self._step = "banner"
        banner = await connection.reply(None)
        if banner.code != 220:
            raise SetupFailed(classify.setup_refused("banner", banner))
        await self._greet(connection)
        if self._settings.tls == "starttls":
            await self._starttls(connection)
        if self._settings.username:
            await self._authenticate(connection)
        return connection

    def explain(self, error: BaseException) -> Outcome | None:
        """The outcome for a failure of the network or the server; None for anything else.

        What breaks TLS itself halts: a bad certificate, no TLS at all, no version in common, words injected before
        it. Each is an attack or needs a person. A connection lost during the handshake does not.
        """
        if isinstance(error, SetupFailed):
            return error.outcome
        if not isinstance(error, Dropped | ProtocolViolation | OSError | UnicodeError):  # the last: a name IDNA refuses
            return None
        broken_tls = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
        halt = broken_tls or (self._step == "tls" and isinstance(error, ProtocolViolation))
        reason = "no answer in time" if isinstance(error, TimeoutError) else str(error) or "the connection was closed"
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"the certificate is not valid: {error.verify_message}"
        text = f"{self._settings.host} port {self._settings.port}: {reason} ({self._step})"
        return classify.setup_failed(self._step, text, halt=halt)

    async def _dial(self) -> Connection:
        loop = asyncio.get_running_loop()
        host, port = self._settings.host, self._settings.port
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._step = "connect"
        addresses = list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                # A share each, so that a black-holed IPv6 route leaves time for IPv4 (the purpose of RFC 8305).
                async with asyncio.timeout(self._settings.connect_timeout_s / len(addresses)):
                    _, connection = await loop.create_connection(lambda: Connection(loop), address, port)
                return connection
            except OSError as error:  # TimeoutError is one
                failure = error
        raise failure

    async def _command(self, connection: Connection, line: str) -> Reply:
        connection.write(line.encode("utf-8") + b"\r\n")
        return await connection.reply(None)

    async def _greet(self, connection: Connection) -> None:
        self._step = "ehlo"
        name = self._settings.local_hostname or _address_literal(connection.local_address())
        reply = await self._command(connection, f"EHLO {name}")
        if reply.code // 100 == 5:  # RFC 5321 section 3.2: a server without extensions wants HELO
            reply = await self._command(connection, f"HELO {name}")
        elif reply.code == 250:
            connection.extensions = _extensions(reply)
        if reply.code != 250:
            raise SetupFailed(classify.setup_refused("ehlo", reply))

    async def _starttls(self, connection: Connection) -> None:
        self._step = "tls"
        if "STARTTLS" not in connection.extensions:
            text = f"{self._settings.host} does not offer STARTTLS; nothing was sent in clear text"
            raise SetupFailed(classify.setup_failed("tls", text, halt=True))
        reply = await self._command(connection, "STARTTLS")
        if reply.code != 220:
            raise SetupFailed(classify.setup_refused("tls", reply))
        await self._upgrade(connection)
        await self._greet(connection)  # RFC 3207 section 4.2: what was said before TLS is forgotten

    async def _upgrade(self, connection: Connection) -> None:
        self._step = "tls"
        assert self._context is not None
        try:
            await connection.upgrade(self._context, self._settings.host)
        except (ProtocolViolation, ssl.SSLError) as error:
            spoke_first = isinstance(error, ProtocolViolation) or error.reason == "WRONG_VERSION_NUMBER"
            if self._settings.tls == "starttls" or not spoke_first:
                raise
            text = f'port {self._settings.port} does not begin with TLS: does it want tls = "starttls"?'
            raise SetupFailed(classify.setup_failed("tls", text, halt=True)) from error

    async def _authenticate(self, connection: Connection) -> None:
        self._step = "auth"
        offered = connection.extensions.get("AUTH", "").upper().split()
        if "PLAIN" in offered:
            reply = await self._auth_plain(connection)
        elif "LOGIN" in offered:
            reply = await self._auth_login(connection)
        else:
            text = f"{self._settings.host} offers neither AUTH PLAIN nor LOGIN (offered: {' '.join(offered) or 'none'})"
            raise SetupFailed(classify.setup_failed("auth", text, halt=True))
        if reply.code != 235:
            outcome = classify.setup_refused("auth", reply)
            raise SetupFailed(outcome._replace(text=self._without_secrets(outcome.text)))

    async def _auth_plain(self, connection: Connection) -> Reply:
        # RFC 4616 section 2, as the initial response of RFC 4954 section 4.
        return await self._command(connection, "AUTH PLAIN " + self._plain_secret())

    async def _auth_login(self, connection: Connection) -> Reply:
        # draft-murchison-sasl-login: prompts for the name, then for the password; their texts mean nothing.
        reply = await self._command(connection, "AUTH LOGIN")
        for answer in (self._settings.username, self._settings.password):
            if reply.code != 334:
                return reply
            reply = await self._command(connection, _base64(answer))
        return reply

    def _plain_secret(self) -> str:
        return _base64(f"\0{self._settings.username}\0{self._settings.password}")

    def _without_secrets(self, text: str) -> str:
        """A server that does not know AUTH may echo the line it refused."""
        for secret in (self._plain_secret(), _base64(self._settings.password), self._settings.password):
            text = text.replace(secret, "[secret]")
        return text


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _address_literal(address: str) -> str:
    """RFC 5321 section 4.1.3: what a client without a domain name of its own says in EHLO."""
    return f"[IPv6:{address.partition('%')[0]}]" if ":" in address else f"[{address}]"


def _extensions(reply: Reply) -> dict[str, str]:
    """Keyword (upper case) to parameters, from the lines after the first (RFC 5321 section 4.1.1.1)."""
    lines = (line.decode("ascii", "replace").strip() for line in reply.lines[1:])
    # "AUTH=LOGIN PLAIN" is how servers from before RFC 2554 offer it.
    lines = (line.replace("=", " ", 1) if line.upper().startswith("AUTH=") else line for line in lines)
    return {keyword.upper(): rest for keyword, _, rest in (line.partition(" ") for line in lines)}
