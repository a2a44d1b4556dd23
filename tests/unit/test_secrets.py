"""Secrets by reference: each kind of reference, what is wrong with one, and redaction."""

from pathlib import Path

import pytest

from sendctl.errors import BadConfig
from sendctl.settings import redact, resolve_secret
from sendctl.settings.secret import is_secret_key


def test_a_secret_comes_from_a_variable_a_file_or_a_credential(tmp_path: Path) -> None:
    (tmp_path / "smtp").write_bytes("pä ss\n\r\n".encode())
    environ = {"PW": "from variable", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve_secret({"password_env": "PW"}, "password", environ) == "from variable"
    assert resolve_secret({"password_file": str(tmp_path / "smtp")}, "password", {}) == "pä ss\n"
    assert resolve_secret({"password_credential": "smtp"}, "password", environ) == "pä ss\n"
    assert resolve_secret({"username": "u"}, "password", environ) is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"password": "x"}, '"password" is given literally'),
        ({"password_env": "NOPE"}, r'the environment variable \$NOPE named by "password_env" is not set'),
        ({"password_env": "EMPTY"}, r"\$EMPTY .* is not set or empty"),
        ({"password_env": 3}, '"password_env" must be text'),
        ({"password_file": "/nowhere/x"}, 'cannot read /nowhere/x named by "password_file": No such file'),
        ({"password_file": "/dev/null"}, "is empty"),
        ({"password_file": "/dev/zero"}, "larger than"),
        ({"password_credential": "smtp"}, r'"password_credential" needs \$CREDENTIALS_DIRECTORY'),
        ({"password_env": "A", "password_file": "B"}, "several references: keep one of password_env, password_file"),
    ],
)
def test_a_secret_that_cannot_be_had_is_bad_configuration(options: dict[str, object], reason: str) -> None:
    with pytest.raises(BadConfig, match=reason):
        resolve_secret(options, "password", {"EMPTY": ""})


@pytest.mark.parametrize("name", ["../etc/passwd", "/etc/passwd", "..", "a/b"])
def test_a_credential_is_a_name_and_no_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadConfig, match="not a path"):
        resolve_secret({"token_credential": name}, "token", {"CREDENTIALS_DIRECTORY": str(tmp_path)})


def test_a_secret_that_is_not_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfes3ntinel")
    with pytest.raises(BadConfig, match="is not UTF-8 text") as caught:
        resolve_secret({"api_key_file": str(tmp_path / "key")}, "api_key", {})
    assert "s3ntinel" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://u:p@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:p@ss:w/rd@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u@h:5432/d", "postgresql://u@h:5432/d"),
        ("postgresql://h/d?user=u&password=p&x=1", "postgresql://h/d?user=u&password=***&x=1"),
        ("sqlite:////srv/a.db", "sqlite:////srv/a.db"),
        ("cannot reach smtp://u:p@h and http://:x@y", "cannot reach smtp://u:***@h and http://:***@y"),
    ],
)
def test_passwords_in_urls_are_redacted(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_keys_that_hold_secrets_are_known_by_their_names() -> None:
    secret = ["password", "api_key", "apikey", "token", "auth_token", "webhook_secret", "PASSWORD", "private_key"]
    plain = ["password_env", "password_file", "username", "path", "host", "token_url", "keyspace", "tokens_per_s"]
    assert all(is_secret_key(key) for key in secret)
    assert not any(is_secret_key(key) for key in plain)
