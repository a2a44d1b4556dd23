"""Whether a relay is there and knows us: the set-up of a connection, and MAIL for each sender, taken back by RSET.

Never names a recipient, so that there is nothing that the relay could take. RFC 5321 section 4.1.1.5: RSET leaves
nothing of a transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from sendctl.providers.checks import Checked, about, cannot_tell, failed, ok
from sendctl.providers.smtp.connection import Connection, Dropped
from sendctl.providers.smtp.dialogue import is_mailbox
from sendctl.providers.smtp.handshake import SetupFailed, open_connection, tls_context
from sendctl.providers.smtp.replies import ProtocolViolation, Reply
from sendctl.providers.smtp.settings import SmtpSettings
from sendctl.states import AttemptOutcome

_CURES = {
    "dns": 'is "host" written right, and does this machine resolve names?',
    "connect": 'are "host" and "port" right, and does a firewall let this machine out?',
    "tls": "mend the certificate, its name or the time; verification is never turned off.",
    "auth": 'mend "username" or the password that the section refers to.',
}
_WAYS = {"starttls": "STARTTLS", "tls": "TLS", "none": "no TLS"}


async def relay_checked(settings: SmtpSettings, senders: Sequence[str]) -> AsyncIterator[Checked]:
    """See `Provider.check`."""
    try:
        connection = await open_connection(settings, tls_context(settings) if settings.tls != "none" else None)
    except SetupFailed as problem:
        outcome = problem.outcome
        passing = outcome.kind is not AttemptOutcome.HALTED
        yield failed("connection", outcome.text, _CURES.get(outcome.error_class, ""), passing=passing)
        return
    try:
        login = f"as {settings.username}" if settings.username else "without a login"
        yield ok("connection", f"{settings.host} port {settings.port}, {_WAYS[settings.tls]}, {login}")
        for sender in senders:
            yield await _sender(connection, sender, settings.reply_timeout_s)
    except (Dropped, ProtocolViolation, TimeoutError) as error:
        yield failed("connection", f"it broke while senders were asked about: {error}", passing=True)
    finally:
        connection.quit()  # within two seconds it is closed, whether it is answered or not
        await connection.closed


async def _sender(connection: Connection, sender: str, reply_timeout_s: float) -> Checked:
    """What the relay says to MAIL. Raises Dropped, ProtocolViolation, TimeoutError."""
    if not is_mailbox(sender):
        return failed(about(sender), "it cannot stand in an envelope")
    if not sender.isascii() and "SMTPUTF8" not in connection.extensions:
        return failed(about(sender), "it is not ASCII, and the relay does not offer SMTPUTF8")
    parameter = "" if sender.isascii() else " SMTPUTF8"
    said = await _asked(connection, f"MAIL FROM:<{sender}>{parameter}", reply_timeout_s)
    await _asked(connection, "RSET", reply_timeout_s)
    if said.code // 100 == 5:
        return failed(about(sender), said.text, "have the relay accept it for this login, or use another `from`.")
    if said.code // 100 != 2:
        return cannot_tell(about(sender), said.text)
    # Postfix, for one, judges senders with the first recipient (smtpd_delay_reject).
    return cannot_tell(
        about(sender), "the relay takes MAIL FROM; whether it lets it pass, it may say with a recipient only",
        "`sendctl test-send` shows it.",
    )  # fmt: skip


async def _asked(connection: Connection, line: str, reply_timeout_s: float) -> Reply:
    connection.write(line.encode() + b"\r\n")
    return await connection.reply(connection.in_s(reply_timeout_s))
