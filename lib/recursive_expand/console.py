"""What commands say: lines for results and errors, bars for progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from recursive_expand.errors import RecursiveExpandError

output = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)


@contextmanager
def lines_for_errors() -> Iterator[None]:
    """Expected failures end the command with one line instead of a traceback."""
    try:
        yield
    except RecursiveExpandError as error:
        errors.print(f"[red]{escape(str(error))}")
        raise typer.Exit(2) from error


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each stage, on standard error; yields what is called as (stage, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True) as bar:
        bars = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in bars:
                bars[stage] = bar.add_task(stage, total=total)
            bar.update(bars[stage], completed=done, total=total)

        yield advance
