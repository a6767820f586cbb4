"""docs/doctor.md is what the code says: its checks, and the exit codes of every command."""

import argparse
import re
from pathlib import Path

from shipped import needs_shipped

from artifact_flow.cli import COMMANDS
from artifact_flow.doctor.examination import CHECKS

PAGE = Path(__file__).resolve().parents[2] / "docs/doctor.md"


def rows(title: str) -> list[list[str]]:
    """Return the cells of the page's table with this head."""
    table = PAGE.read_text().partition(f"| {title} |")[2].partition("\n\n")[0]
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]


def test_the_page_has_every_check_in_its_order() -> None:
    """A new check needs its row."""
    needs_shipped()
    assert [row[0] for row in rows("check")] == [f"`{check.name}`" for check in CHECKS]


def test_the_page_has_the_exit_codes_of_every_command() -> None:
    """The codes are those in the command's description, where it has any beyond 0 and 1 for an error."""
    needs_shipped()
    commands = argparse.ArgumentParser().add_subparsers()
    for module in COMMANDS:
        module.add(commands)
    expected = []
    for name, parser in commands.choices.items():
        found = re.search(r"Exit code (\d: .*)\.$", parser.description or "")
        expected.append([f"`{name}`", found[1] if found else "0: done; 1: an error"])
    assert rows("command") == expected
