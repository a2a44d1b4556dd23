"""Whose journal folder it is: root's own files in it would shut its user out."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from sendctl.errors import BadConfig
from sendctl.journal.owner import check_user, unusable

NOBODY = 4242424  # a user without a name


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder that is not root's."""
    folder = tmp_path / "journal"
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


def as_user(monkeypatch: pytest.MonkeyPatch, user_id: int) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user_id)


def test_root_runs_no_pass_in_the_folder_of_another_user(others: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    with pytest.raises(BadConfig, match=r"root would shut .* out: the journal folder"):
        check_user(others, None)
    with pytest.raises(BadConfig, match=r"root would shut .* out: the store"):
        check_user(others.parent / "missing", others / "store.db")


def test_whoever_is_not_root_runs_where_files_let_them(others: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, NOBODY)
    check_user(others, others / "store.db")


def test_root_runs_no_pass_on_the_store_file_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store.db"
    store.touch()
    if os.geteuid() == 0:
        os.chown(store, NOBODY, NOBODY)
    as_user(monkeypatch, 0)
    with pytest.raises(BadConfig, match=r"root would shut .* out: the store .*store\.db"):
        check_user(tmp_path / "missing", store)


def test_root_runs_in_what_is_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    check_user(Path("/"), Path("/", "store.db"))  # root's on every machine


def test_root_runs_where_nothing_is_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    as_user(monkeypatch, 0)
    check_user(tmp_path / "missing", None)


def test_a_folder_that_can_be_used_or_will_be_made_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "run1.lock").touch()
    assert unusable(tmp_path) == unusable(tmp_path / "missing") == ""


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal").touch()
    assert "cannot be used" in unusable(tmp_path / "journal")


def test_files_of_several_users_are_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def owned_by(user_id: int) -> Callable[..., os.stat_result]:
        return lambda **_options: SimpleNamespace(st_uid=user_id)  # type: ignore[return-value]

    mine = tmp_path.stat().st_uid
    entries = [SimpleNamespace(stat=owned_by(user_id)) for user_id in (mine, NOBODY)]
    monkeypatch.setattr(os, "scandir", lambda _path: nullcontext(entries))
    assert f"has files of #{NOBODY}. Give them back: chown -R" in unusable(tmp_path)


def test_a_folder_of_another_user_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_given: False)
    as_user(monkeypatch, NOBODY)
    assert f"and #{NOBODY} cannot use it" in unusable(tmp_path)
