"""What maildirs and files of texts tell of themselves: a look, which makes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sendctl.providers.checks import Checked, domain_of, is_within, unusable_folder
from sendctl.providers.maildir import MaildirProvider
from sendctl.providers.registry import build_provider
from sendctl.providers.sms_file import SmsFileProvider
from sendctl.settings import ProviderTable
from sendctl.settings.provider_options import OPTIONS

KINDS: dict[str, Callable[[str, Path], Any]] = {"maildir": MaildirProvider, "file": SmsFileProvider}
by_kind = pytest.mark.parametrize("kind", KINDS)
OPTIONS_OF = {
    "smtp": {"host": "localhost", "port": 1, "tls": "none"}, "maildir": {"path": "x"}, "file": {"path": "x"},
    "mailgun": {"domain": "mg.shop.example"}, "ses": {"region": "r", "access_key_id": "A"},
    "twilio": {"account_sid": "AC1"},
}  # fmt: skip


def checked(kind: str, path: Path) -> Checked:
    async def asked() -> list[Checked]:
        return [line async for line in KINDS[kind]("out", path).check(["news@shop.example"])]

    before = sorted(path.parent.rglob("*")) if path.parent.exists() else []
    (line,) = asyncio.run(asked())
    assert (sorted(path.parent.rglob("*")) if path.parent.exists() else []) == before, "it made something"
    return line


def test_every_type_can_be_asked() -> None:
    for kind in OPTIONS:
        assert callable(build_provider(ProviderTable("p", kind, OPTIONS_OF.get(kind, {})), {}).check), kind


@by_kind
def test_what_is_not_there_yet_will_be_made(tmp_path: Path, kind: str) -> None:
    line = checked(kind, tmp_path / "out")
    assert (line.standing, line.said) == ("ok", f"{tmp_path / 'out'}, which the first message makes")


@by_kind
def test_what_has_nowhere_to_be_made_is_failed(tmp_path: Path, kind: str) -> None:
    line = checked(kind, tmp_path / "nowhere" / "out")
    assert (line.standing, line.said) == ("failed", f"the folder {tmp_path / 'nowhere'} does not exist")


def test_what_is_there_is_well(tmp_path: Path) -> None:
    for folder in ("tmp", "new"):
        (tmp_path / "maildir" / folder).mkdir(parents=True)
    (tmp_path / "file").touch()
    for kind in KINDS:
        assert checked(kind, tmp_path / kind) == (kind, "ok", str(tmp_path / kind), "", False)


def test_what_is_something_else_is_failed(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    (tmp_path / "maildir").touch()
    for kind in KINDS:
        assert checked(kind, tmp_path / kind).standing == "failed"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "letter").touch()
    assert "neither a maildir nor empty" in checked("maildir", tmp_path / "other").said
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for kind in KINDS:
        assert checked(kind, tmp_path / "link").standing == "failed"


def test_folders_that_nobody_can_write_into_are_said(tmp_path: Path) -> None:
    assert unusable_folder(tmp_path) == ""
    assert unusable_folder(tmp_path / "none") == f"the folder {tmp_path / 'none'} does not exist"
    (tmp_path / "plain").touch()
    assert unusable_folder(tmp_path / "plain") == f"{tmp_path / 'plain'} is no folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_of_another_mode_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert unusable_folder(tmp_path) == f"this user cannot write into {tmp_path}"


def test_domains_lie_within_each_other() -> None:
    assert domain_of("Ana@Shop.Example") == "shop.example"
    assert [is_within(one, "shop.example") for one in ("shop.example", "a.shop.example", "ashop.example")] == [
        True, True, False,
    ]  # fmt: skip
