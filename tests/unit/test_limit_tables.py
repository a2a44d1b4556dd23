"""[limits] and [accounts.NAME]: forms, bounds, the environment, and mistakes with their places."""

from __future__ import annotations

import tomllib
from datetime import time
from pathlib import Path

import pytest

from sendctl.definition import Window
from sendctl.durations import Rate
from sendctl.settings import AccountTable, LimitsSettings, Settings
from sendctl.settings.loading import read_settings
from sendctl.tomlfile import Document, Findings, TomlError


def settings(text: str, **environ: str) -> Settings:
    whole = f'[store]\nurl = "x.db"\n{text}'
    findings = Findings(Document(Path("sendctl.toml"), whole, tomllib.loads(whole)))
    read = read_settings(findings, environ, Path("/srv"))
    findings.check()
    return read


def problem(text: str, **environ: str) -> tuple[str, str]:
    with pytest.raises(TomlError) as caught:
        settings(text, **environ)
    (found,) = caught.value.found
    return found


def test_limits_are_read_from_the_file_and_the_environment() -> None:
    read = settings('[limits]\nper_person = "3/week"\ndistance = "12h"\nquiet = "21:00-08:00"\n')
    assert read.limits == LimitsSettings(Rate(3, 7 * 86400), 43200, Window(time(21), time(8)))
    assert (read.limits.counts, read.limits.reach_s) == (True, 7 * 86400)
    nothing = settings("").limits
    assert (nothing, nothing.counts, nothing.reach_s) == (LimitsSettings(), False, 0)
    over = settings('[limits]\nper_person = "3/week"\n', SENDCTL_LIMITS_PER_PERSON="2/month")
    assert over.limits == LimitsSettings(Rate(2, 30 * 86400))


def test_accounts_are_read_from_the_file_and_the_environment() -> None:
    text = '[accounts.shop]\nallowance = "10000/month"\n[accounts.big-one]\n'
    read = settings(text, SENDCTL_ACCOUNTS_BIG_ONE_ALLOWANCE="7/day", SENDCTL_ACCOUNTS_NEW_ONE_ALLOWANCE="1/year")
    assert read.accounts == {
        "shop": AccountTable("shop", 10000, "month"), "big-one": AccountTable("big-one", 7, "day"),
        "new-one": AccountTable("new-one", 1, "year"),
    }  # fmt: skip
    assert settings("[accounts.agency]\n").accounts == {"agency": AccountTable("agency")}


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[limits]\nper_person = "3/fortnight"', "4:14", 'is no share: want a number per week, hour, day, month'),
        ('[limits]\nper_person = "0/week"', "4:14", "must be from 1"),
        ('[limits]\ndistance = "400d"', "4:12", "is outside 1s to 366d"),
        ('[limits]\ndistance = "0s"', "4:12", "leave the key out"),
        ('[limits]\nquiet = "21-8"', "4:9", "is no window"),
        ('[limits]\nquiet = "08:00-08:00"', "4:9", "leave the key out"),
        ('[limits]\nper_persons = "3/week"', "4:1", 'did you mean "per_person"?'),
        ('[accounts.shop]\nallowance = "10/hour"', "4:13", "want a number per month, day, week, year"),
        ("[accounts.shop]\nallowance = 10", "4:13", "want text in quotes"),
        ('[accounts.shop]\nallowence = "10/month"', "4:1", 'did you mean "allowance"?'),
        ("[accounts]\nshop = 5", "4:8", "want a section: [accounts.shop]"),
        ('[accounts."my shop"]', "3:1", "is no name"),
    ],
)  # fmt: skip
def test_mistakes_name_their_place(text: str, place: str, words: str) -> None:
    where, what = problem(text)
    assert where == f"sendctl.toml:{place}"
    assert words in what


def test_a_variable_of_no_account_is_named() -> None:
    assert problem("", SENDCTL_ACCOUNTS_SHOP="1/day") == (
        "$SENDCTL_ACCOUNTS_SHOP", 'want SENDCTL_ACCOUNTS_<NAME>_ALLOWANCE, such as "10000/month"'
    )  # fmt: skip
