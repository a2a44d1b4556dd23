"""The keys in docs/, in the sample configuration and in the code are the same, in both directions."""

import re
import tomllib
from pathlib import Path

import pytest

from sendctl.inputs.campaign_file import read_definition
from sendctl.providers.smtp import settings_from_table
from sendctl.settings import sample_config
from sendctl.settings.loading import read_settings
from sendctl.settings.provider_options import OPTIONS, secret_keys
from sendctl.tomlfile import Document, Findings

DOCS = Path(__file__).parents[2] / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text(encoding="utf-8")


def documented(text: str) -> dict[str, set[str]]:
    """Section header -> the keys in its table's first column."""
    keys: dict[str, set[str]] = {}
    for part in re.split(r"\n###? ", text)[1:]:
        title, _, body = part.partition("\n")
        if title.startswith("["):
            keys[title] = set(re.findall(r"^\| `(\w+)` \|", body, re.MULTILINE))
    return keys


def known_settings(text: str) -> dict[str, set[str]]:
    findings = Findings(Document(Path("sendctl.toml"), text, tomllib.loads(text)))
    read_settings(findings, {}, Path("/srv"))
    whole = ("", "[providers]", "[accounts]")
    return {section: keys for section, keys in findings.known.items() if section not in whole}


def uncommented(sample: str) -> str:
    lines = [re.sub(r"^# (?=\[\w|\w+ = )", "", line) for line in sample.splitlines()]
    return "\n".join(line for line in lines if not line.startswith(("url_", "rate")))


@pytest.mark.parametrize("kind", OPTIONS)
def test_documented_settings_are_those_that_are_read(kind: str) -> None:
    keys = documented(CONFIGURATION)
    keys["[providers.NAME]"] |= keys[f'[providers.NAME], type = "{kind}"']
    known = known_settings(f'[store]\nurl = "x"\n[providers.NAME]\ntype = "{kind}"\n[accounts.NAME]\n')
    known["[providers.NAME]"] -= {"password", *(name for name in secret_keys(kind))}  # only in the environment
    known["[letters]"] -= {"key", "previous_key"}
    assert {section: found for section, found in keys.items() if "type = " not in section} == known


def test_documented_campaign_keys_are_those_that_are_read() -> None:
    text = "[campaign]\n[controls]\n[[steps]]\n[stop]\n[trigger]\n"
    findings = Findings(Document(Path("campaign.toml"), text, tomllib.loads(text)))
    read_definition(findings)
    known = {section: keys for section, keys in findings.known.items() if section}
    assert documented((DOCS / "campaign-file.md").read_text(encoding="utf-8")) == known


def test_the_sample_shows_every_key_and_no_other() -> None:
    sample = sample_config("sqlite:///x.db")
    shown = {
        f"[{name}]": set(table)
        for name, table in tomllib.loads(uncommented(sample)).items()
        if name not in ("providers", "accounts")
    }
    shown["[store]"] |= {"url_env", "url_file", "url_credential"}
    shown["[letters]"] |= {f"{key}_{kind}" for key in ("key", "previous_key") for kind in ("env", "credential")}
    keys = documented(CONFIGURATION)
    assert shown == {section: found for section, found in keys.items() if "NAME" not in section}
    others = ["url_env", "url_file", "url_credential", "rate", "allowance"]
    assert all(re.search(rf"^# {key} = ", sample, re.MULTILINE) for key in others)


def test_the_sample_shows_the_defaults() -> None:
    text = uncommented(sample_config("sqlite:///x.db"))
    findings = Findings(Document(Path("sendctl.toml"), text, tomllib.loads(text)))
    everything = read_settings(findings, {}, Path("/srv"))
    findings.check()
    least = '[store]\nurl = "x.db"\n[send]\nproviders = ["local"]\n[providers.local]\ntype = "maildir"\npath = "x"\n'
    defaults = read_settings(Findings(Document(None, least, tomllib.loads(least))), {}, Path("/srv"))
    assert everything.send == defaults.send
    assert everything.store == defaults.store
    assert everything.journal.path == defaults.journal.path
    assert everything.reconcile.max_total_attempts == defaults.reconcile.max_total_attempts
    assert everything.reconcile.overdue_grace_s == defaults.reconcile.overdue_grace_s
    assert everything.reconcile.retry_failed_after_s == defaults.reconcile.retry_failed_after_s


def test_the_commented_smtp_section_is_one_that_its_adapter_takes() -> None:
    text = uncommented(sample_config("sqlite:///x.db"))
    findings = Findings(Document(Path("sendctl.toml"), text, tomllib.loads(text)))
    relay = read_settings(findings, {}, Path("/srv")).providers["relay"]
    smtp = settings_from_table(relay.name, relay.options, "resolved")
    assert (smtp.host, smtp.port, smtp.tls, smtp.connections) == ("smtp.shop.example", 587, "starttls", 4)
