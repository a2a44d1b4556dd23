"""Secrets by reference: each kind of reference, what is wrong with one, and redaction."""

from pathlib import Path

import pytest

from sendctl.errors import BadConfig
from sendctl.settings import redact, resolve_secret
from sendctl.settings.secret import is_secret_key


def test_a_secret_comes_from_a_variable_a_file_or_a_credential(tmp_path: Path) -> None:
    (tmp_path / "smtp").write_bytes("pä ss \n\r\n".encode())
    environ = {"PW": "from variable", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert resolve_secret({"password_env": "PW"}, "password", environ) == "from variable"
    assert resolve_secret({"password_file": str(tmp_path / "smtp")}, "password", {}) == "pä ss "
    assert resolve_secret({"password_credential": "smtp"}, "password", environ) == "pä ss "
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


@pytest.mark.parametrize("around", ["{}", "{}\n", "{}\n\r\n", " {}\t", "\r\n{}"])
def test_white_space_around_a_key_is_not_part_of_it(tmp_path: Path, around: str) -> None:
    (tmp_path / "key").write_text(around.format("re_1+/="))
    assert resolve_secret({"api_key_file": str(tmp_path / "key")}, "api_key", {}) == "re_1+/="
    assert resolve_secret({"api_key_env": "KEY"}, "api_key", {"KEY": around.format("re_1+/=")}) == "re_1+/="


@pytest.mark.parametrize("inside", [" ", "\n", "\0", "\x7f", "ü", "\u200b", "\udcff"])
@pytest.mark.parametrize("name", ["api_key", "server_token", "session_token", "webhook_secret"])
def test_a_key_has_none_but_visible_ascii_characters(name: str, inside: str) -> None:
    with pytest.raises(BadConfig, match=r"\$KEY .* has a blank, a line end or a character beyond ASCII") as caught:
        resolve_secret({f"{name}_env": "KEY"}, name, {"KEY": f"s3ntinel{inside}s3ntinel"})
    assert "s3ntinel" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("inside", ["\n", "\0", "\x7f", "\udcff"])
@pytest.mark.parametrize("name", ["password", "webhook_password"])
def test_a_password_may_have_blanks_and_any_letters_but_no_control_characters(name: str, inside: str) -> None:
    assert resolve_secret({f"{name}_env": "PW"}, name, {"PW": " pä ss\u00a0"}) == " pä ss\u00a0"
    with pytest.raises(BadConfig, match="control character") as caught:
        resolve_secret({f"{name}_env": "PW"}, name, {"PW": f"s3ntinel{inside}s3ntinel"})
    assert "s3ntinel" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n\n", " \n"])
def test_an_empty_key_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(BadConfig, match='key named by "api_key_file" is empty'):
        resolve_secret({"api_key_file": str(tmp_path / "key")}, "api_key", {})


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
