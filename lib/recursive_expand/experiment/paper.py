"""The paper's experiment on the data sets themselves: import, presets and seeds, as one experiment."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.errors import InputError
from recursive_expand.experiment.config import APP, ExperimentConfig, parse_config
from recursive_expand.experiment.recursion import OnMessage
from recursive_expand.importers.cq500 import Cq500Importer
from recursive_expand.importers.importer import Importer
from recursive_expand.importers.physionet import PAPER_CLEAN, PhysionetImporter
from recursive_expand.importers.report import OnProgress, no_progress
from recursive_expand.importers.rsna import RsnaImporter, Sampling
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.typed_masks import Multi
from recursive_expand.settings import load_settings, preset_names
from recursive_expand.settings.machine import available_cores

PER_CLASS, NONE = 1497, 300
"""Slices of RSNA of each class and without blood (appendix A, Table 2)."""
STUDIES, CQ500, IMPORTED = "studies", "cq500", "imported.json"
"""What an output folder's `data/` holds: D_pix and D_img, the test set, and what they were imported from."""
SMALL_PRESET, CORES_FOR_PAPER = "paper-small", 4
"""With fewer cores, and no GPU, the published method runs with narrow channels, if task.yaml has that preset."""


@dataclass(frozen=True)
class PaperSources:
    """The data sets as they are distributed.

    Attributes:
        physionet: PhysioNet CT-ICH, D_pix: the paper's 393 slices of it.
        rsna: RSNA 2019, D_img.
        cq500: CQ500, the test set.
        masks: its masks, named for the patients.
        per_class, none: slices of RSNA of each class and without blood.
        seed: of the choice of these slices.
    """

    physionet: Path
    rsna: Path
    cq500: Path
    masks: Path
    per_class: int = PER_CLASS
    none: int = NONE
    seed: int = 0


def import_sources(
    sources: PaperSources,
    data: Path,
    *,
    app: Path = APP,
    on_message: OnMessage,
    on_progress: OnProgress = no_progress,
) -> None:
    """Import what is not there yet; an interrupted import goes on.

    Args:
        sources: the data sets.
        data: the folder of the imported studies.
        app: whose task.yaml names the classes.
        on_message: called with each line of progress.
        on_progress: told of the cases.

    Raises:
        InputError: a source is another one, holds nothing that can be used, or `data` holds those of other sources.
    """
    done = data / IMPORTED
    given = {name: str(value.resolve()) if isinstance(value, Path) else value for name, value in vars(sources).items()}
    begun: dict[str, Any] = json.loads(done.read_bytes()) if done.is_file() else {"sources": given, "done": []}
    if begun["sources"] != given:
        raise InputError(str(data), "holds scans of other sources or another choice; give another --output")
    data.mkdir(parents=True, exist_ok=True)
    classes = load_settings(app / "task.yaml").task.classes
    sampling = Sampling(single_class=True, per_class=sources.per_class, none=sources.none, seed=sources.seed)
    importers: Sequence[tuple[Importer, Path]] = (
        (PhysionetImporter(sources.physionet, classes, Multi.OUTERMOST, PAPER_CLEAN, sources.seed), data / STUDIES),
        (RsnaImporter(sources.rsna, classes, "slices", sampling), data / STUDIES),
        (Cq500Importer(sources.cq500, classes, masks=sources.masks), data / CQ500),
    )
    for importer, studies in importers:
        if importer.name in begun["done"]:
            continue
        write_atomic(done, json.dumps(begun).encode())
        report = run_import(importer, studies, on_progress=on_progress)
        if not report.imported and not report.skipped:
            why = f"; the first line: {report.left_out[0]}" if report.left_out else ""
            raise InputError(importer.name, f"nothing could be imported{why}")
        on_message(
            f"{importer.name}: {len(report.imported) + len(report.skipped)} cases, {len(report.left_out)} lines left "
            f"out, see {studies / f'import-{importer.name}.csv'}"
        )
        begun["done"].append(importer.name)
        write_atomic(done, json.dumps(begun).encode())


def paper_config(
    data: Path,
    output: Path,
    *,
    presets: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    truth: Path | None = None,
    tests: Mapping[str, Path] | None = None,
    conf: Mapping[str, Any] | None = None,
    tau: float = 0.2,
    max_rounds: int = 6,
    app: Path = APP,
) -> ExperimentConfig:
    """The paper's experiment on imported studies.

    Args:
        data: what `import_sources` made.
        output: where the results go.
        presets: names from task.yaml; none: `default_presets`.
        seeds: of the runs.
        truth: true masks of RSNA's slices, for a simulated expert; None: people review, as in the paper.
        tests: further test sets: folders of studies by name (the paper's in-house set).
        conf: `--conf` settings for all presets.
        tau: of the simulated expert.
        max_rounds: recursions after round 0.
        app: the app whose task.yaml is used.

    Raises:
        InputError: something does not fit.
    """
    raw: dict[str, Any] = {
        "title": "Train, learn, expand, repeat: PhysioNet CT-ICH, RSNA 2019, CQ500",
        "studies": {"folder": str(data / STUDIES)} | ({} if truth is None else {"truth": str(truth)}),
        "tests": {
            "CQ 500": str(data / CQ500),
            # The paper's third row: what f was trained on.
            "PhysioNet (learned from)": {
                "images": str(data / STUDIES),
                "masks": str(data / STUDIES / "labels" / "final"),
            },
            **{name: str(folder) for name, folder in (tests or {}).items()},
        },
        "presets": list(presets or default_presets(app)),
        "seeds": list(seeds),
        "reviewers": "people" if truth is None else "simulated",
        "expert": {"tau": tau},
        "conf": dict(conf or {}),
        "max_rounds": max_rounds,
        "app": str(app),
        "output": str(output),
    }
    return parse_config(raw, source="experiment paper", folder=Path.cwd())


def default_presets(app: Path = APP) -> tuple[str, ...]:
    """The published method as this machine can bear it, and `default`, as far as task.yaml has them."""
    known = preset_names(app / "task.yaml")
    able = torch.cuda.is_available() or available_cores() >= CORES_FOR_PAPER
    published = SMALL_PRESET if SMALL_PRESET in known and not able else "paper"
    return tuple(name for name in (published, "default") if name in known)
