"""Completion: the script by which a shell completes commands, options and files."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints a shell's script and ends the program."""
    parser.add_argument(
        "--print-completion",
        action=_PrintCompletion,
        choices=SHELLS,
        help="print the script that completes this command's arguments in a shell, and exit",
    )


class _PrintCompletion(argparse.Action):
    """Prints the script for the parser with all its commands; shtab is imported only then."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Print the script for the shell in `values`, and exit with code 0."""
        import shtab

        for action in _list_actions(parser):
            if action.type is Path:
                action.complete = shtab.FILE  # type: ignore[attr-defined] # where shtab looks for it
        print(shtab.complete(parser, values))
        parser.exit()


def _list_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _list_actions(command)
