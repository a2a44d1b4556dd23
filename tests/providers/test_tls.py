"""Whom connections trust, and that nobody writes down what they are sealed with."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from sendctl.providers.smtp.handshake import tls_context
from sendctl.providers.smtp.settings import SmtpSettings
from sendctl.providers.tls import verifying_context
from tests.smtp_double.certificates import write_certificates


def test_no_keys_are_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for context in (verifying_context(), tls_context(SmtpSettings("relay", "smtp.shop.example", 587))):
        assert context.keylog_filename is None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not (tmp_path / "keys").exists()


def test_authorities_are_the_systems_or_the_environments_and_those_of_the_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, own = (write_certificates(folder).ca_file for folder in (tmp_path / "named", tmp_path / "own"))
    monkeypatch.setenv("SSL_CERT_FILE", str(named))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert len(verifying_context().get_ca_certs()) == 1
    assert len(verifying_context(str(own)).get_ca_certs()) == 2
    with pytest.raises(OSError):
        verifying_context(str(tmp_path / "none"))
