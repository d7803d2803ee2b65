"""The files in an experiment's output folder."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from recursive_expand.archives.atomic import write_atomic

CONFIG = "experiment.yaml"
"""The resolved configuration, in the output folder."""
CONFIG_0_1 = "study.yaml"
"""Its name in version 0.1.0."""
DATA = "data.csv"
"""Slices by class and data set, in the output folder."""
RESULT = "result.json"
"""In a run's folder, written last: a run with this file is done."""
PATIENTS, SLICES, ROUNDS, VERDICTS = "patients.csv", "slices.csv.gz", "rounds.csv", "verdicts.csv"
"""The tables in a run's folder."""
TABLES = (PATIENTS, SLICES, ROUNDS, VERDICTS)
PEERS, PEER = "peers", "peer.json"
"""What is measured beside the presets, in the output folder; and in its folder, written last."""
MEASURED = "measured"
"""In a run's folder: what was measured of each model, so that an interrupted measurement goes on."""

Rows = list[dict[str, Any]]


def config_file(folder: Path) -> Path | None:
    """The configuration in an output folder, also one of version 0.1.0; None without."""
    return next((folder / name for name in (CONFIG, CONFIG_0_1) if (folder / name).is_file()), None)


def write_csv(path: Path, rows: Rows, columns: Sequence[str] | None = None) -> None:
    """Write rows as CSV, compressed if the name ends in .gz; equal rows give equal files.

    Args:
        path: the file.
        rows: one dictionary per row.
        columns: the columns; needed if there may be no rows.
    """
    content = pd.DataFrame(rows, columns=columns).to_csv(index=False, float_format="%.6g").encode()
    # A time stamp or a file name in the gzip header would give equal tables different hashes.
    write_atomic(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
