"""A folder study that trains in a second, before its first round and after it: what tests of the recursion share."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from recursive_expand.archives.images import write_label, write_volume
from recursive_expand.cases import Geometry, LabelMap, Volume
from recursive_expand.expand.frozen import freeze_files
from recursive_expand.expand.recursion import Recursion, open_recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.rounds import run_round
from recursive_expand.ledger import ProposalDraft, ProposalRecord, ProposedSlice

TASK_FILE = Path(__file__).parents[1] / "apps" / "recursive_ich" / "task.yaml"
CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
BLEED = 2
"""All bleeds of the tiny study are intraparenchymal."""
GEOMETRY = Geometry.of((48, 48, 3), np.diag([-4.0, -4.0, 5.0, 1.0]))
"""Native axes column, row, slice; three slices."""
ROLES = {"p0": "pixel", "p1": "pixel", "p2": "pixel", "i0": "image", "i1": "image", "u0": "unlabelled", "t0": "test"}
CONF: dict[str, str] = {
    "channels": "[4, 8]",
    "epochs": "12",
    "later_epochs": "1",
    "learning_rate": "0.02",
    "later_learning_rate": "0.001",
    "batch_size": "3",
    "augment": "false",
    "threads": "1",
    "mode": "off",
    "pretrain": "none",
}


def _head(seed: int, *, bleeds: tuple[int, ...] = (0, 1, 2)) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """(3, 48, 48): skull and brain in air, with a round bleed somewhere in each of these slices; HU and mask."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :48]
    radius = np.hypot((rows - 24) / 1.2, columns - 24)
    hu = np.full((3, 48, 48), -1000, np.int16)
    hu[:, radius < 17] = 1000
    hu[:, radius < 15] = 35
    mask = np.zeros(hu.shape, np.uint8)
    for number in bleeds:
        centre = rng.integers(18, 31, 2)
        mask[number, np.hypot(rows - centre[0], columns - centre[1]) < 5] = BLEED
    hu[mask == BLEED] = 72
    return hu + rng.normal(0, 3, hu.shape).round().astype(np.int16), mask


def _write_studies(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Seven heads in the roles of `ROLES`; i0's slice 2 is labelled clean. Returns the true masks, by case."""
    (folder / "labels" / "final").mkdir(parents=True)
    truth = {}
    for seed, (case_id, role) in enumerate(ROLES.items()):
        hu, mask = _head(seed, bleeds=(0, 1) if case_id == "i0" else (0, 1, 2))
        truth[case_id] = mask
        write_volume(folder / f"{case_id}.nii.gz", Volume(hu, GEOMETRY), fsync=False)
        if role in ("pixel", "test"):
            label = LabelMap.from_slices(mask, GEOMETRY)
            write_label(folder / "labels" / "final" / f"{case_id}.nii.gz", label, fsync=False)
    _write_csv(folder / "cases.csv", [("case_id", "role"), *ROLES.items()])
    labels = [
        (case_id, number, *(int(value in truth[case_id][number]) for value in range(1, len(CLASSES) + 1)))
        for case_id in ("i0", "i1")
        for number in range(3)
    ]
    _write_csv(folder / "image_labels.csv", [("case_id", "slice", *CLASSES), *labels])
    return truth


def _write_csv(path: Path, rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def _open(folder: Path, **conf: object) -> Recursion:
    return open_recursion(str(folder), TASK_FILE, CONF | {key: str(value) for key, value in conf.items()})


def _freeze(
    recursion: Recursion,
    case_id: str,
    mask: NDArray[np.uint8],
    *,
    round_index: int = 0,
    geometry: Geometry = GEOMETRY,
) -> ProposalRecord:
    """Freeze this mask (slices, rows, columns) as a case's proposal, as `Proposer` does, and queue it."""
    label = LabelMap.from_slices(mask, geometry, CLASSES)
    marked = tuple(
        ProposedSlice(number, name, voxels, 0.9)
        for number, by_class in label.slice_voxels().items()
        for name, voxels in by_class.items()
    )
    draft = ProposalDraft(
        case_id=case_id,
        sha256=label.sha256,
        model_sha256="m" * 64,
        file=freeze_files(recursion.workspace, label, np.zeros(mask.shape, np.bool_)),
        marked=marked,
        confidence=0.9 if marked else 0.0,
    )
    return recursion.ledger.proposals.freeze(round_index, draft, serve=True)


@pytest.fixture(scope="session")
def make_head() -> Callable[..., tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    return _head


@pytest.fixture(scope="session")
def write_studies() -> Callable[[Path], dict[str, NDArray[np.uint8]]]:
    return _write_studies


@pytest.fixture(scope="session")
def reopen() -> Callable[..., Recursion]:
    """Open a studies folder under `CONF` and what is given."""
    return _open


@pytest.fixture(scope="session")
def conf() -> dict[str, str]:
    """`--conf` values under which a round takes a second."""
    return dict(CONF)


@pytest.fixture(scope="session")
def freeze() -> Callable[..., ProposalRecord]:
    return _freeze


@pytest.fixture
def recursion(tmp_path: Path) -> Recursion:
    """The tiny recursion before anything looked at its studies."""
    _write_studies(tmp_path / "studies")
    return _open(tmp_path / "studies")


@pytest.fixture(scope="session")
def after_round_0(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny studies with their first review open; copy them before changing them."""
    folder = tmp_path_factory.mktemp("round_0") / "studies"
    _write_studies(folder)
    recursion = _open(folder)
    run_round(recursion)
    recursion.ledger.close()
    return folder


@pytest.fixture
def reviewing(after_round_0: Path, tmp_path: Path) -> Recursion:
    """A recursion of its own whose first review is open."""
    shutil.copytree(after_round_0, tmp_path / "studies")
    recursion = _open(tmp_path / "studies")
    register_cases(recursion)  # copying changed the images' times
    return recursion
