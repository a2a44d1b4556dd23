"""Settings: where they are found, what wins, each mistake with its place, and that no secret shows."""

import os
from pathlib import Path

import pytest

from sendctl.durations import Rate
from sendctl.errors import BadConfig, ExitCode
from sendctl.settings import (
    ProviderTable,
    ReconcileSettings,
    SendSettings,
    Settings,
    check_sending,
    load_settings,
    sample_config,
)

STORE = '[store]\nurl = "sqlite:///shop.db"\n'
SMTP = STORE + "[providers.a]\ntype = 'smtp'\nhost = 'mx.shop.example'\n"
SENTINEL = "s3ntinel-passw0rd"


def load(folder: Path, text: str | None = None, **environ: str) -> Settings:
    """The settings of a host whose current folder is `folder` and holds `text` as its sendctl.toml."""
    if text is not None:
        (folder / "sendctl.toml").write_text(text)
    return load_settings(None, environ, folder)


def problems(folder: Path, text: str | None = None, **environ: str) -> list[str]:
    """The problems of a configuration as "line:column: text" or "$VARIABLE: text"."""
    with pytest.raises(BadConfig) as caught:
        load(folder, text, **environ)
    assert caught.value.exit_code is ExitCode.BAD_CONFIG
    lines = str(caught.value).split("\n")
    found = [line.strip().removeprefix(f"{folder}/sendctl.toml:") for line in (lines[1:] if len(lines) > 1 else lines)]
    assert len(lines) == 1 or lines[0] == f"{len(found)} problems in the configuration"
    return found


def test_the_least_configuration_is_a_store_and_sends_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path, STORE)
    assert settings.path == tmp_path / "sendctl.toml"
    assert settings.store.url == f"sqlite:///{tmp_path}/shop.db"
    assert settings.send == SendSettings()
    assert not settings.send.enabled
    assert settings.providers == {}
    assert settings.reconcile == ReconcileSettings()
    assert settings.journal.path == tmp_path / "sendctl-journal"


def test_every_section_is_read(tmp_path: Path) -> None:
    text = STORE + (
        '[send]\nenabled = true\nproviders = ["relay", "local"]\nmax_seconds = 0\nworkers = 3\ndeadline_s = 20.5\n'
        'claim_s = 90\n[providers.relay]\ntype = "smtp"\nhost = "h"\nport = 25\nrate = "14/s"\nca_file = "ca.pem"\n'
        'username = "u"\npassword_file = "/run/x"\n[providers.local]\ntype = "maildir"\npath = "out"\n'
        '[journal]\npath = "j"\n'
        '[reconcile]\noverdue_grace_s = 60\nretry_failed_after_s = 3600\nmax_total_attempts = 9\nmta = "exim"\n'
        'mta_logs = ["/var/log/exim4/mainlog*", "logs/*.gz"]\n'
    )
    settings = load(tmp_path, text)
    assert settings.send == SendSettings(True, ("relay", "local"), None, 3, 20.5, 90.0)
    assert settings.providers == {
        "relay": ProviderTable(
            "relay",
            "smtp",
            {"host": "h", "port": 25, "username": "u", "ca_file": f"{tmp_path}/ca.pem", "password_file": "/run/x"},
            Rate(14, 1),
        ),
        "local": ProviderTable("local", "maildir", {"path": f"{tmp_path}/out"}),
    }
    assert settings.journal.path == tmp_path / "j"
    assert settings.reconcile == ReconcileSettings(
        60.0, 3600.0, 9, "exim", ("/var/log/exim4/mainlog*", f"{tmp_path}/logs/*.gz")
    )


def test_the_first_place_that_has_a_file_is_read_and_no_other(tmp_path: Path) -> None:
    work, home, xdg = tmp_path / "work", tmp_path / "home", tmp_path / "xdg"
    places = [
        (work / "named.toml", {"SENDCTL_CONFIG": "named.toml"}),
        (work / "sendctl.toml", {}),
        (xdg / "sendctl/sendctl.toml", {"XDG_CONFIG_HOME": str(xdg)}),
        (home / ".config/sendctl/sendctl.toml", {}),
    ]
    for path, _ in places:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STORE)
    explicit = work / "explicit.toml"
    explicit.write_text(STORE)
    assert load_settings(Path("explicit.toml"), {"SENDCTL_CONFIG": "named.toml"}, work).path == explicit
    for path, environ in places:
        assert load_settings(None, {"HOME": str(home), **environ}, work).path == path
        path.unlink()


@pytest.mark.parametrize("by_option", [True, False])
def test_a_named_file_that_is_missing_is_an_error_even_if_another_is_there(tmp_path: Path, by_option: bool) -> None:
    (tmp_path / "sendctl.toml").write_text(STORE)
    environ = {} if by_option else {"SENDCTL_CONFIG": "nope.toml"}
    with pytest.raises(BadConfig, match=r"nope\.toml: cannot be read: No such file or directory"):
        load_settings(Path("nope.toml") if by_option else None, environ, tmp_path)


def test_a_file_that_is_found_but_unusable_is_not_skipped(tmp_path: Path) -> None:
    (tmp_path / "sendctl.toml").mkdir()
    with pytest.raises(BadConfig, match=r"sendctl\.toml: is not a regular file"):
        load_settings(None, {"SENDCTL_STORE_URL": "x.db"}, tmp_path)


def test_no_configuration_at_all_names_init(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no configuration") as caught:
        load(tmp_path)
    assert "sendctl init" in caught.value.hint


def test_the_environment_alone_is_enough(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        SENDCTL_STORE_URL="sqlite:///shop.db",
        SENDCTL_SEND_ENABLED="yes",
        SENDCTL_SEND_PROVIDERS="relay-eu, spare",
        SENDCTL_PROVIDERS_RELAY_EU_TYPE="smtp",
        SENDCTL_PROVIDERS_RELAY_EU_HOST="mx",
        SENDCTL_PROVIDERS_RELAY_EU_PORT="2525",
        SENDCTL_PROVIDERS_RELAY_EU_USERNAME='"007"',
        SENDCTL_PROVIDERS_RELAY_EU_PASSWORD="x",
        SENDCTL_PROVIDERS_SPARE_TYPE="maildir",
        SENDCTL_PROVIDERS_SPARE_PATH="out",
    )
    assert settings.path is None
    assert settings.store.url == f"sqlite:///{tmp_path}/shop.db"
    assert settings.send.enabled
    assert settings.send.providers == ("relay-eu", "spare")
    assert settings.providers["relay-eu"].options == {
        "host": "mx", "port": 2525, "username": "007", "password_env": "SENDCTL_PROVIDERS_RELAY_EU_PASSWORD",
    }  # fmt: skip
    assert settings.providers["spare"].options == {"path": f"{tmp_path}/out"}


def test_a_variable_wins_over_the_file_and_an_empty_one_is_none(tmp_path: Path) -> None:
    text = STORE + '[send]\nworkers = 2\nclaim_s = 130\n[providers.a-b]\ntype = "smtp"\nhost = "x"\nrate = "1/s"\n'
    settings = load(
        tmp_path,
        text,
        SENDCTL_SEND_WORKERS="5",
        SENDCTL_SEND_CLAIM_S="",
        SENDCTL_STORE_URL_FILE="",
        SENDCTL_PROVIDERS_A_B_HOST="y",
        SENDCTL_PROVIDERS_A_B_RATE="2/min",
    )
    assert settings.send.workers == 5
    assert settings.send.claim_s == 130
    assert settings.providers["a-b"].options == {"host": "y"}
    assert settings.providers["a-b"].rate == Rate(2, 60)


def test_the_longest_provider_name_takes_a_variable(tmp_path: Path) -> None:
    text = STORE + '[providers.relay]\ntype = "smtp"\n[providers.relay-eu]\ntype = "smtp"\n'
    settings = load(tmp_path, text, SENDCTL_PROVIDERS_RELAY_EU_HOST="eu", SENDCTL_PROVIDERS_RELAY_HOST="any")
    assert settings.providers["relay-eu"].options == {"host": "eu"}
    assert settings.providers["relay"].options == {"host": "any"}


MISTAKES = [
    ("[store\n", "1:7: not TOML: "),
    ("[store]\n", '1:1: missing key "url" in [store]'),
    ("", '1:1: missing key "url" in [store]'),
    ("[store]\nurl = 3\n", '2:7: "url" is a number; want text in quotes'),
    ('[store]\nurl = "mysql://h/d"\n', '2:7: "url": "mysql://h/d" is no store'),
    ('[store]\nurl = "sqlite://"\n', '2:7: "url": "sqlite://" is no SQLite URL'),
    ('[store]\nurl = "sqlite:///"\n', '2:7: "url": "sqlite:///" names no file'),
    ('[store]\nurl = "sqlite:///:memory:"\n', '2:7: "url": "sqlite:///:memory:" names no file'),
    (
        '[store]\nurl = "sqlite:///x.db?mode=ro"\n',
        '2:7: "url": "sqlite:///x.db?mode=ro": a SQLite URL takes a file name',
    ),
    ('[store]\nurl = "db.shop.example:5432/shop"\n', '2:7: "url": no scheme'),
    ('[store]\nurl = "x.db"\nurl_env = "X"\n', "3:11: several places for the URL: keep one of url, url_env"),
    ('[store]\nurl_env = "X"\n', "2:11: the environment variable $X named by"),
    ('[store]\nurl_file = "none"\n', "2:12: cannot read /"),
    ('[store]\nuri = "x"\nurl = "x.db"\n', '2:1: unknown key "uri" in [store]; did you mean "url"?'),
    (STORE + "[send]\nworker = 1\n", '4:1: unknown key "worker" in [send]; did you mean "workers"?'),
    (STORE + "[send]\nenabled = 1\n", '4:11: "enabled" is a number; want true or false'),
    (STORE + '[send]\nenabled = "true"\n', '4:11: "enabled" is text; want true or false'),
    (STORE + "[send]\nworkers = 65\n", '4:11: "workers" is 65; want a whole number from 1 to 64'),
    (STORE + "[send]\nworkers = true\n", '4:11: "workers" is true or false; want a whole number'),
    (STORE + "[send]\nmax_seconds = nan\n", '4:15: "max_seconds" is nan; want a number'),
    (STORE + "[send]\nmax_seconds = -1\n", '4:15: "max_seconds" is -1; want a number'),
    (STORE + "[send]\nclaim_s = 60\n", "4:11: claim_s (60) must be at least twice deadline_s (60)"),
    (STORE + "[send]\ndeadline_s = 301\n", "4:14: claim_s (300) must be at least twice deadline_s (301)"),
    (
        STORE + '[send]\nproviders = ["rely"]\n[providers.relay]\ntype = "smtp"\nhost = "h"\n',
        '4:13: "providers" names "rely", which no section defines; did you mean "relay"?',
    ),
    (STORE + "[sned]\nenabled = true\n", '3:1: unknown key "sned"; did you mean "send"?'),
    (STORE + "enabled = true\n", '3:1: unknown key "enabled" in [store]; it belongs in [send]'),
    (STORE + "[providers.a]\nhost = 'x'\n", '3:1: missing key "type" in [providers.a]'),
    (STORE + "[providers]\na = 'x'\n", '4:5: "a" is text; want a section: [providers.a]'),
    (STORE + "[providers.'a b']\ntype = 'maildir'\npath = 'x'\n", '3:1: "a b" is no name'),
    (SMTP + "rate = '1/x'\n", '6:8: "rate": "1/x" is no rate'),
    (SMTP + "password = 'x'\n", '6:12: "password" is a secret written in the file'),
    (SMTP + "auth_token = 'x'\n", '6:14: "auth_token" is a secret written in the file'),
    (STORE + "[providers.a]\ntype = 'maildirr'\n", '4:8: "type" is "maildirr"; did you mean "maildir"?'),
    (STORE + "[providers.a]\ntype = 'pigeon'\n", '4:8: "type" is "pigeon"; known types: smtp, maildir'),
    (STORE + "[providers.a]\ntype = 7\n", '4:8: "type" is a number; want text in quotes'),
    (STORE + "[providers.a]\ntype = 'smtp'\n", '3:1: missing key "host" in [providers.a]: such as "smtp.shop.example"'),
    (STORE + "[providers.a]\ntype = 'maildir'\n", '3:1: missing key "path" in [providers.a]'),
    (STORE + "[providers.a]\ntype = 'maildir'\npath = ''\n", '5:8: "path" is empty'),
    (STORE + "[providers.a]\ntype = 'maildir'\npath = 'x'\nfsync = 'no'\n", '6:9: "fsync" is text; want true or false'),
    (STORE + "[providers.a]\ntype = 'maildir'\npath = 'x'\nhost = 'h'\n", '6:1: unknown key "host" in [providers.a]'),
    (SMTP + "prot = 25\n", '6:1: unknown key "prot" in [providers.a]; did you mean "port"?'),
    (SMTP + "pasword_env = 'X'\n", '6:1: unknown key "pasword_env" in [providers.a]; did you mean "password_env"?'),
    (SMTP + "port = '25'\n", '6:8: "port" is text; want a whole number from 1 to 65535'),
    (SMTP + "port = 70000\n", '6:8: "port" is 70000; want a whole number from 1 to 65535'),
    (SMTP + "tls = 'ssl'\n", '6:7: "tls" is "ssl"; want one of starttls, tls, none'),
    (SMTP + "connections = 0\n", '6:15: "connections" is 0; want a whole number from 1 to 1000'),
    (SMTP + "reply_timeout_s = 0\n", '6:19: "reply_timeout_s" is 0; want a number from 0.1 to 3600'),
    (SMTP + "connect_timeout_s = '1s'\n", '6:21: "connect_timeout_s" is text; want a number'),
    (SMTP + "local_hostname = 'a b'\n", '6:18: "local_hostname" is no host name'),
    (SMTP + "username = 'u'\n", '6:12: "username" has no password: add password_env'),
    (SMTP + 'username = "u\\u0000v"\npassword_env = "X"\n', '6:12: "username" holds a NUL character'),
    (SMTP + "password_env = 'X'\n", "6:16: a password without a username"),
    (
        SMTP + "username = 'u'\npassword_env = 'X'\npassword_file = 'y'\n",
        '8:17: several references to "password": keep one of password_env, password_file',
    ),
    (SMTP + "username = 'u'\npassword_env = 'X'\ntls = 'none'\n", '8:7: "tls" is "none" with a username: '),
    (
        STORE + "[reconcile]\nmta = 'sendmail'\nmta_logs = ['x']\n",
        '4:7: "mta" is "sendmail"; want one of postfix, exim',
    ),
    (STORE + "[reconcile]\nmta = 'exim'\n", '4:7: "mta" needs "mta_logs" beside it'),
    (STORE + "[reconcile]\nmta_logs = ['x']\n", '4:12: "mta_logs" needs "mta" beside it'),
    (SMTP + "[reconcile]\nmta_providers = ['a']\n", '7:17: "mta_providers" needs "mta" beside it'),
    (
        SMTP + "[reconcile]\nmta = 'exim'\nmta_logs = ['x']\nmta_providers = ['a', 'relay']\n",
        '9:17: "mta_providers" names "relay", which no section defines; write a section [providers.relay]',
    ),
    (STORE + "[reconcile]\nretry_failed_after_s = 1\n", '4:24: "retry_failed_after_s" is 1; want a number from 60'),
    (STORE + "[journal]\npaht = 'x'\n", '4:1: unknown key "paht" in [journal]; did you mean "path"?'),
]


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_a_mistake_in_the_file_is_named_with_line_and_column(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(tmp_path, text)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found


VARIABLE_MISTAKES = [
    ({"SENDCTL_STORE_URI": "x"}, '$SENDCTL_STORE_URI: no key "uri" in [store]; did you mean "url"?'),
    ({"SENDCTL_SEND_ENABLD": "1"}, '$SENDCTL_SEND_ENABLD: no key "enabld" in [send]; did you mean "enabled"?'),
    ({"SENDCTL_SEND": "1"}, '$SENDCTL_SEND: no key "" in [send]; known keys: '),
    ({"SENDCTL_SEND_ENABLED": "maybe"}, "$SENDCTL_SEND_ENABLED: want true or false"),
    ({"SENDCTL_SEND_WORKERS": "two"}, "$SENDCTL_SEND_WORKERS: want a whole number from 1 to 64"),
    ({"SENDCTL_SEND_WORKERS": "0"}, '$SENDCTL_SEND_WORKERS: "workers" is 0; want a whole number from 1 to 64'),
    ({"SENDCTL_SEND_PROVIDERS": "a"}, '$SENDCTL_SEND_PROVIDERS: "providers" names "a", which no section defines'),
    (
        {"SENDCTL_PROVIDERS_A_TYPE": "smtp", "SENDCTL_PROVIDERS_A_HOST": "h", "SENDCTL_PROVIDERS_A_PORT": "x"},
        "$SENDCTL_PROVIDERS_A_PORT: want a whole number from 1 to 65535",
    ),
    (
        {"SENDCTL_PROVIDERS_A_TYPE": "smtp", "SENDCTL_PROVIDERS_A_HOST": "h", "SENDCTL_PROVIDERS_A_PROT": "25"},
        '$SENDCTL_PROVIDERS_A_PROT: no key "prot" in [providers.a]; did you mean "port"?',
    ),
    (
        {"SENDCTL_PROVIDERS_A_TYPE": "smtp", "SENDCTL_PROVIDERS_A_HOST": "h", "SENDCTL_PROVIDERS_A_PASSWORD": "x"},
        "$SENDCTL_PROVIDERS_A_PASSWORD: a password without a username",
    ),
    ({"SENDCTL_PROVIDERS_A_HOST": "x"}, "$SENDCTL_PROVIDERS_A_HOST: no provider of that name; none known"),
    ({"SENDCTL_STORE_URL_ENV": "X", "SENDCTL_STORE_URL": "x.db"}, "$SENDCTL_STORE_URL_ENV: several places"),
    ({"SENDCTL_RECONCILE_MTA": "exim"}, '$SENDCTL_RECONCILE_MTA: "mta" needs "mta_logs" beside it'),
]


@pytest.mark.parametrize(("environ", "expected"), VARIABLE_MISTAKES)
def test_a_mistake_in_a_variable_is_named_with_the_variable(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    found = problems(tmp_path, STORE, **environ)
    assert len(found) == 1, found
    assert found[0].startswith(expected), found


def test_variables_that_are_not_keys_are_left_alone(tmp_path: Path) -> None:
    text = '[store]\nurl_env = "SENDCTL_STORE_DSN"\n'
    settings = load(
        tmp_path,
        text,
        SENDCTL_STORE_DSN="x.db",
        SENDCTL_FAILPOINT="x",
        SENDCTL_TEST_PG_URL="x",
        SENDCTL_SMTP_PASSWORD="x",
    )
    assert settings.store.url == f"sqlite:///{tmp_path}/x.db"


def test_all_mistakes_of_all_providers_come_in_one_error(tmp_path: Path) -> None:
    text = SMTP + "port = 0\ntsl = 'none'\nusername = 'u'\n[providers.b]\ntype = 'maildirr'\npath = 7\n"
    text += "[providers.c]\ntype = 'maildir'\n[providers.d]\nhost = 'h'\n"
    found = problems(tmp_path, text)
    assert [line.split(": ")[0] for line in found] == ["6:8", "7:1", "8:12", "10:8", "12:1", "14:1"]


def test_a_literal_secret_inside_another_table_is_found_as_well(tmp_path: Path) -> None:
    assert [line.split(": ")[0] for line in problems(tmp_path, SMTP + "h.auth_token = 'x'\n")] == ["6:1", "6:16"]


def test_a_host_that_sends_needs_a_provider(tmp_path: Path) -> None:
    settings = load(tmp_path, STORE + "[send]\nenabled = true\n")
    with pytest.raises(BadConfig, match="sending is enabled, and no provider is configured on this host"):
        check_sending(settings, {})


def test_a_host_that_sends_needs_every_secret_and_others_none(tmp_path: Path) -> None:
    text = SMTP + "username = 'u'\npassword_env = 'MAIL_PASSWORD'\n[providers.b]\ntype = 'smtp'\nhost = 'h'\n"
    text += "username = 'u'\npassword_file = 'none'\n[providers.c]\ntype = 'smtp'\nhost = 'h'\n"
    settings = load(tmp_path, text)
    with pytest.raises(BadConfig) as caught:
        check_sending(settings, {})
    place = f"{tmp_path}/sendctl.toml"
    assert str(caught.value).splitlines() == [
        "2 problems in the configuration",
        f'  {place}:7:16: the environment variable $MAIL_PASSWORD named by "password_env" is not set or empty',
        f'  {place}:12:17: cannot read {tmp_path}/none named by "password_file": No such file or directory',
    ]
    (tmp_path / "none").write_text(SENTINEL)
    check_sending(settings, {"MAIL_PASSWORD": SENTINEL})


def test_all_mistakes_come_in_one_error_the_file_first(tmp_path: Path) -> None:
    found = problems(tmp_path, STORE + "[send]\nworkers = 0\nx = 1\n", SENDCTL_SEND_CLAIM_S="x")
    assert [line.split(": ")[0] for line in found] == ["4:11", "5:1", "$SENDCTL_SEND_CLAIM_S"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sqlite:///a/b.db", "sqlite:///{cwd}/a/b.db"),
        ("sqlite:////srv/b.db", "sqlite:////srv/b.db"),
        ("b.db", "sqlite:///{cwd}/b.db"),
        ("/srv/b.db", "sqlite:////srv/b.db"),
        ("postgres://u@h:5433/d?sslmode=require", "postgresql+psycopg://u@h:5433/d?sslmode=require"),
        ("postgresql://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg://u:p%40w@h/d", "postgresql+psycopg://u:p%40w@h/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql+psycopg:///d?host=/run/postgresql"),
    ],
)
def test_store_urls_take_one_form(tmp_path: Path, url: str, expected: str) -> None:
    assert load(tmp_path, SENDCTL_STORE_URL=url, HOME="/home/u").store.url == expected.format(cwd=tmp_path)


def test_the_journal_of_a_postgres_store_goes_to_the_state_folder(tmp_path: Path) -> None:
    url = "postgres://h/d"
    assert load(tmp_path, SENDCTL_STORE_URL=url, XDG_STATE_HOME="/s").journal.path == Path("/s/sendctl/journal")
    default = load(tmp_path, SENDCTL_STORE_URL=url, HOME="/home/u").journal.path
    root = os.geteuid() == 0
    assert default == Path("/var/lib/sendctl/journal" if root else "/home/u/.local/state/sendctl/journal")


@pytest.mark.parametrize("url", [f"postgresql://u:{SENTINEL}@h/d", f"postgresql://h/d?user=u&password={SENTINEL}"])
def test_a_password_in_the_file_needs_a_private_file(tmp_path: Path, url: str) -> None:
    path = tmp_path / "sendctl.toml"
    path.write_text(f'[store]\nurl = "{url}"\n')
    path.chmod(0o640)
    found = problems(tmp_path)
    assert len(found) == 1
    assert found[0].startswith('2:7: "url" has a password and others may read')
    path.chmod(0o600)
    assert SENTINEL in load(tmp_path).store.url


def test_a_store_url_may_come_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"postgresql://u:{SENTINEL}@h/d\n")
    settings = load(tmp_path, '[store]\nurl_file = "url"\n')
    assert settings.store.url == f"postgresql+psycopg://u:{SENTINEL}@h/d"


def test_no_secret_shows_in_a_repr_or_an_error(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[store]\nurl_env = "DSN"\n[providers.a]\ntype = "smtp"\nhost = "h"\nusername = "u"\npassword_file = "x"\n',
        DSN=f"postgres://u:{SENTINEL}@h/d",
        SENDCTL_PROVIDERS_A_PASSWORD=SENTINEL,
    )
    assert settings.providers["a"].options["password_env"] == "SENDCTL_PROVIDERS_A_PASSWORD"
    assert "password_file" not in settings.providers["a"].options
    assert SENTINEL not in repr(settings)
    wrong = [
        ('[store]\nurl_env = "DSN"\n', {"DSN": f"mysql://u:{SENTINEL}@h/d"}),
        ('[store]\nurl_env = "DSN"\n', {"DSN": f"u:{SENTINEL}@h/d"}),
        (f'[store]\nurl = "mysql://u:{SENTINEL}@h/d"\n', {}),
        (STORE, {"SENDCTL_STORE_URL": f"oracle://u:{SENTINEL}@x@h/d"}),
        (STORE + f'[providers.a]\ntype = "x"\npassword = "{SENTINEL}"\n', {}),
        (STORE + f'[providers.a]\ntype = "x"\nsmtp = {{ api_key = "{SENTINEL}" }}\n', {}),
    ]
    for text, environ in wrong:
        assert SENTINEL not in "\n".join(problems(tmp_path, text, **environ))


def test_the_sample_configuration_loads_and_sends_nothing(tmp_path: Path) -> None:
    settings = load(tmp_path, sample_config("sqlite:///sendctl.db"))
    assert settings.store.url == f"sqlite:///{tmp_path}/sendctl.db"
    assert settings.send == SendSettings(enabled=False, providers=("local",))
    assert settings.providers["local"].type == "maildir"
    assert load(tmp_path, sample_config('odd "name".db')).store.url == f'sqlite:///{tmp_path}/odd "name".db'


def test_what_vouches_for_a_store_does_not_lie_with_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fallback = Path(f"/var/tmp/sendctl-{os.geteuid()}")
    beside = load(tmp_path, SENDCTL_STORE_URL=f"sqlite:///{tmp_path}/store/s.db", HOME=str(home))
    assert beside.journal.witnesses == (home / ".local/state/sendctl/witness", fallback)
    inside = load(tmp_path, SENDCTL_STORE_URL=f"sqlite:///{home}/s.db", HOME=str(home))
    assert inside.journal.witnesses == (fallback,)
    journals = {"SENDCTL_STORE_URL": "postgresql://h/d", "SENDCTL_JOURNAL_PATH": str(home)}
    assert load(tmp_path, **journals, HOME=str(home)).journal.witnesses == (fallback,)
    told = load(tmp_path, **journals, SENDCTL_JOURNAL_WITNESS="/w", HOME=str(home))
    assert told.journal.witnesses == (Path("/w"),)
