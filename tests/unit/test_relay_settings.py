"""A relay's section: hosts that no resolver knows, and certificates that are not there, are found before sending."""

from __future__ import annotations

from pathlib import Path

import pytest

from sendctl.errors import BadConfig
from sendctl.settings import check_sending, load_settings

RELAY = '[store]\nurl = "sqlite:///shop.db"\n[providers.relay]\ntype = "smtp"\nhost = "{host}"\n{more}'


def load(folder: Path, host: str = "mx.shop.example", more: str = "", **environ: str) -> None:
    """Read the configuration as `send-due` does."""
    (folder / "sendctl.toml").write_text(RELAY.format(host=host, more=more))
    check_sending(load_settings(None, environ, folder), environ)


@pytest.mark.parametrize(
    "host",
    ["mx.shop.example", "mx.shop.example.", "mx_1", "localhost", "127.0.0.1", "::1", "fe80::1%eth0", "bücher.example"],
)
def test_names_and_addresses_are_hosts(tmp_path: Path, host: str) -> None:
    load(tmp_path, host)


@pytest.mark.parametrize(
    "host",
    ["smtp://a:25/", "mx.shop.example:25", "a b", "-x", "a..b", "user@host", "[::1]", "a/b", "x" * 300, "\\u001b[2J"],
)
def test_what_is_no_host_is_refused_when_the_file_is_read(tmp_path: Path, host: str) -> None:
    with pytest.raises(BadConfig, match=r'sendctl.toml:5:8: "host" is ".*", no host name and no address') as caught:
        load(tmp_path, host)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, 'cannot read .*ca.pem named by "ca_file": No such file or directory'),
        ("not one", 'ca.pem named by "ca_file" has no certificate in PEM form'),
        ("", "has no certificate"),
    ],
)
def test_missing_certificate_is_found_before_anything_is_claimed(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content)
    with pytest.raises(BadConfig, match=rf"sendctl.toml:6:11: .*{problem}"):
        load(tmp_path, more='ca_file = "ca.pem"\n')


def test_file_with_a_certificate_is_taken(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("# ours\n-----BEGIN CERTIFICATE-----\n")
    load(tmp_path, more='ca_file = "ca.pem"\n')


def test_key_that_a_variables_relay_lacks_is_named_at_that_variable(tmp_path: Path) -> None:
    with pytest.raises(BadConfig) as caught:
        load(tmp_path, SENDCTL_PROVIDERS_OTHER_TYPE="smtp")
    assert str(caught.value).startswith('$SENDCTL_PROVIDERS_OTHER_TYPE: missing key "host" in [providers.other]')


def test_bounds_are_written_as_people_write_numbers(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match=r"want a number from 0 to 31622400$"):
        load(tmp_path, more="[send]\nmax_seconds = -1\n")
