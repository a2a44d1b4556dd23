"""The examples, followed from their README word by word: configuration, commands and what they print."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.docs.test_runbooks import ROOT, follow, host

EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/README.md"))


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_example_does_what_its_readme_says(
    name: str, database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = "sqlite:///sendctl.db" if database == "sqlite" else request.getfixturevalue("pg_database")
    with host(tmp_path, url) as world:
        for path in (ROOT / "examples" / name).iterdir():
            shutil.copy(path, tmp_path)
        (settings,) = re.findall(r"^```toml\n(.*?)^```", (tmp_path / "README.md").read_text(), re.DOTALL | re.MULTILINE)
        config = tmp_path / "sendctl.toml"
        config.touch(mode=0o600)
        config.write_text(settings.replace("sqlite:///sendctl.db", url))
        follow(world, ROOT / "examples" / name / "README.md")
