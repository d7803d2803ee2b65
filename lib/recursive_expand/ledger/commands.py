"""The command line of the ledger: `recursive-expand ledger ...`."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from recursive_expand.console import errors, lines_for_errors, output
from recursive_expand.errors import InputError
from recursive_expand.ledger.ledger import Ledger
from recursive_expand.ledger.records import Actor

PLACES = ("ledger.sqlite", ".recursive/ledger.sqlite")
"""Where a ledger lies in a workspace, and in a folder of studies that holds its workspace."""

ledger_app = typer.Typer(help="Check what a ledger has recorded.", no_args_is_help=True)

WorkspaceFolder = Annotated[
    Path,
    typer.Argument(
        metavar="WORKSPACE", help="The workspace, the folder of studies that holds it, or the ledger's file."
    ),
]


@ledger_app.command("verify")
def verify_command(workspace: WorkspaceFolder) -> None:
    """Replay the ledger's events against its tables; exit code 1 where they differ."""
    with lines_for_errors(), _opened(workspace) as ledger:
        difference = ledger.audit.verify()
        seq, sha256 = ledger.audit.head()
    if difference is not None:
        errors.print(f"[red]{escape(str(difference))}")
        raise typer.Exit(1)
    output.print(f"the ledger is as it was recorded: {seq} events, the last one {sha256[:12]}", highlight=False)


@ledger_app.command("accept")
def accept_command(
    workspace: WorkspaceFolder,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it may stay as it is; kept for good.")],
    reviewer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who says so; else the name you are logged in with.")
    ] = None,
) -> None:
    """Take the tables as they are now, though the events say otherwise; who and why is recorded."""
    with lines_for_errors(), _opened(workspace) as ledger:
        if not reason.strip():
            raise InputError("--reason", "is empty; say why the ledger may stay as it is")
        difference = ledger.audit.verify()
        if difference is None:
            output.print("the ledger is as it was recorded: there is nothing to accept", highlight=False)
            return
        rows = ledger.audit.accept(Actor(reviewer or getpass.getuser(), "command line"), reason)
    line = f"accepted: {difference.what} {difference.found}, but {difference.recorded}; {rows} rows recorded anew"
    output.print(escape(line), highlight=False)


@contextmanager
def _opened(workspace: Path) -> Iterator[Ledger]:
    """The ledger of a workspace, as it is: a mistyped folder makes none, and one of an earlier version stays so.

    Raises:
        InputError: there is none.
        RecursiveExpandError: it is of another version.
    """
    places = [workspace, *(workspace / place for place in PLACES)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(
            workspace.name or str(workspace), "holds no ledger.sqlite; name the workspace or the folder of studies"
        )
    ledger = Ledger(found, upgrade=False)
    try:
        yield ledger
    finally:
        ledger.close()
