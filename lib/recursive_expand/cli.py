"""The command line: `recursive-expand ...`."""

from __future__ import annotations

import typer

from recursive_expand.importers.commands import import_app
from recursive_expand.ledger.commands import ledger_app
from recursive_expand.study.cli import app as study_app

app = typer.Typer(
    help="Train, learn, expand, repeat: recursive training of a segmentation model from accepted proposals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(import_app, name="import")
app.add_typer(ledger_app, name="ledger")
app.add_typer(study_app, name="study")


@app.callback()
def main() -> None:
    """Keep commands below their names, also while there is only one."""
