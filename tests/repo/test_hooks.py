"""The hooks of .pre-commit-config.yaml are the commands of `make lint`, by the same programs."""

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
HOOKS: list[dict[str, Any]] = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
LINT = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split("\n\t")


def test_nothing_comes_from_elsewhere() -> None:
    """The one repository is this one: a hook of another has its own version of a tool."""
    repos = YAML(typ="safe").load(ROOT / ".pre-commit-config.yaml")["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["language"] for hook in HOOKS} == {"system"}


def test_each_hook_is_a_line_of_lint() -> None:
    """In the same order. A hook that takes names of files takes those that the line's pattern names."""
    lines = [line.strip() for line in LINT]
    assert len(HOOKS) == len(lines)
    for hook, line in zip(HOOKS, lines, strict=True):
        command = hook["entry"].removeprefix(".venv/bin/")
        assert command != hook["entry"]
        if not hook.get("pass_filenames", True):
            assert command == line
            continue
        assert line.startswith(command)
        named = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(line.removeprefix(command).strip())]
        assert named
        every = [path.relative_to(ROOT).as_posix() for path in (ROOT / ".github").rglob("*.yml")]
        assert sorted(named) == sorted(path for path in every if re.search(hook["files"], path))
