"""What one [providers.NAME] section says of its webhooks: their secrets, followed once, and a certificate of Amazon's.

A section that says nothing refuses the envelope; a secret that cannot be had now leaves it for another time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sendctl.errors import BadConfig, Unreachable
from sendctl.providers.hooks.envelope import Refused
from sendctl.settings import ProviderTable, resolve_secret

CERTIFICATE_CAP_BYTES = 65536

Fetch = Callable[[str], bytes]


class SecretMissing(BadConfig):
    """What the section names for checking signatures cannot be had, or is not what it should be."""


class CertificateAway(Unreachable):
    """The certificate that a service signs with cannot be fetched."""


class Section:
    """One account at a service. `fetched` is for certificates, by their addresses; several sections share it."""

    def __init__(self, table: ProviderTable, environ: Mapping[str, str], fetched: Fetch) -> None:
        self.name = table.name
        self.fetched = fetched
        self._options = table.options
        self._environ = environ
        self._secrets: dict[str, str] = {}

    def secret(self, key: str) -> str:
        """Raises Refused where the section does not name it, SecretMissing where it cannot be had."""
        if key not in self._secrets:
            try:
                found = resolve_secret(self._options, key, self._environ)
            except BadConfig as error:
                raise SecretMissing(f"[providers.{self.name}]: {error}", hint=error.hint) from error
            if found is None:
                raise Refused(
                    f"nothing unsigned is read: set {key}_env, {key}_file or {key}_credential in {self._place}"
                )
            self._secrets[key] = found
        return self._secrets[key]

    def text(self, key: str) -> str:
        """Raises Refused where the section does not say it."""
        found = self._options.get(key)
        if not found:
            raise Refused(f"nothing unsigned is read: set {key} in {self._place}")
        return str(found)

    def file(self, key: str) -> bytes | None:
        """What is in the file that the section names, or None. Raises SecretMissing."""
        if not self._options.get(key):
            return None
        path = Path(self.text(key))
        try:
            with path.open("rb") as file:
                return file.read(CERTIFICATE_CAP_BYTES)
        except OSError as error:
            raise SecretMissing(f'cannot read {path} named by "{key}" in {self._place}: {error.strerror}') from error

    def unusable(self, key: str, problem: str) -> SecretMissing:
        """The error for a key or secret that is no such thing. `problem` does not repeat it."""
        return SecretMissing(f'"{key}" in {self._place} {problem}')

    @property
    def _place(self) -> str:
        return f"[providers.{self.name}]"


def fetch(url: str) -> bytes:
    """What is at an https address, which must be one that the caller trusts.

    Raises Refused where there is nothing, so that nobody who makes an address up holds a file back; CertificateAway.
    """
    from sendctl.providers.http.api import Api, Declined  # noqa: PLC0415  slow to import, and nothing else goes out
    from sendctl.providers.http.settings import HttpSettings  # noqa: PLC0415

    try:
        found = Api(HttpSettings("certificates", url), {}).fetch("GET", "").body
    except Declined as error:
        status = error.reply.status
        if 400 <= status < 500:
            raise Refused(f"there is nothing at {url}: HTTP {status}") from None
        raise CertificateAway(f"{url} cannot be fetched: HTTP {status}") from None
    except OSError as error:
        raise CertificateAway(f"{url} cannot be fetched: {error.strerror or error}") from None
    if len(found) > CERTIFICATE_CAP_BYTES:
        raise CertificateAway(f"{url} has more than {CERTIFICATE_CAP_BYTES} bytes")
    return found
