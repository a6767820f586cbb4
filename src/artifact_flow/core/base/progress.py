"""Progress: what a long step shows on stderr. Stages pass these functions to code that itself shows nothing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as Line
from rich.text import Text


@contextmanager
def shown_steps(title: str) -> Iterator[Callable[[int, int], object]]:
    """Yield a function to call with the steps done and their total; it draws a bar, but only on a terminal."""
    console = Console(stderr=True)
    columns = TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        line = progress.add_task("", total=None)
        yield lambda done, total: progress.update(line, completed=done, total=total)


@contextmanager
def shown_download(title: str, folder: Path) -> Iterator[None]:
    """Show, while the block runs, how many megabytes have arrived in `folder`; without a terminal, print one line."""
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"{title} into {folder}", soft_wrap=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), _Arrived(folder), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        progress.add_task(title, total=None)
        yield


class _Arrived(ProgressColumn):
    """The number of megabytes by which a folder has grown."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.before = folder, self._size(folder)

    def render(self, task: Line) -> Text:
        return Text(f"{(self._size(self.folder) - self.before) / 1e6:.1f} MB")

    @staticmethod
    def _size(folder: Path) -> int:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
