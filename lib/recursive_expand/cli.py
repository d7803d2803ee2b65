"""The command line: `recursive-expand ...`."""

from __future__ import annotations

import typer

from recursive_expand.experiment.cli import app as experiment_app
from recursive_expand.importers.commands import import_app
from recursive_expand.ledger.commands import ledger_app

app = typer.Typer(
    help="Train, learn, expand, repeat: recursive training of a segmentation model from accepted proposals.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(import_app, name="import")
app.add_typer(ledger_app, name="ledger")
app.add_typer(experiment_app, name="experiment")
app.add_typer(experiment_app, name="study", hidden=True)  # its name in 0.1.0


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    help="Serve a folder of scans: --studies DIR [--host --port --conf KEY VALUE ... --app DIR --allow-origin ORIGIN].",
)
def serve(context: typer.Context) -> None:
    """Hand the options to the server, whose own parser takes pairs, which typer's does not."""
    # Imported here: the other commands need no server.
    from recursive_expand.server.serve import main as start

    start(context.args)


@app.callback()
def main() -> None:
    """Keep commands below their names, also while there is only one."""
