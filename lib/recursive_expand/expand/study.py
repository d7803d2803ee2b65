"""A study: one task over one archive, with its ledger, cache and workspace."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recursive_expand.archives.cache import VoxelCache
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_mask
from recursive_expand.cases import Volume
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import CaseRecord, Ledger, RoundRecord
from recursive_expand.segment.network import build_network
from recursive_expand.segment.weights import load_weights
from recursive_expand.task import Task, load_task


@dataclass(frozen=True)
class Study:
    """What every part of the recursion works on.

    Attributes:
        task: what is segmented, and how.
        archive: where scans and label objects live.
        ledger: what happened.
        cache: decoded voxels.
        workspace: where the rest is kept.
    """

    task: Task
    archive: FolderArchive
    ledger: Ledger
    cache: VoxelCache
    workspace: Workspace

    def under(self, round_: RoundRecord) -> Study:
        """The same study under a round's settings: a round goes on with those that it began with."""
        return replace(self, task=Task.model_validate(round_.config))

    def volume(self, case: CaseRecord) -> Volume:
        """A case's voxels, from the cache; decoded once.

        Raises:
            InputError: the image cannot be used.
        """
        return self.cache.load(case.case_id, Path(case.uri))

    def pixel_mask(self, case: CaseRecord) -> NDArray[np.uint8]:
        """(slices, rows, columns): the expert mask of a pixel or test case.

        Raises:
            InputError: the mask cannot be used.
        """
        if case.pixel_label is None:
            raise RecursiveExpandError(f"case {case.case_id!r} has no expert mask")
        return self.volume(case).geometry.orientation.to_slices(read_mask(Path(case.pixel_label)))

    def network(self, model_sha256: str | None) -> torch.nn.Module:
        """The network with these published weights, or freshly seeded ones.

        Raises:
            RecursiveExpandError: the weights' file is missing or is not what the ledger recorded.
        """
        torch.manual_seed(self.task.seed)
        network = build_network(self.task)
        if model_sha256 is not None:
            load_weights(network, self.workspace.model(model_sha256), model_sha256)
        return network


def open_study(studies: str, task_file: Path, conf: Mapping[str, str]) -> Study:
    """Open (or begin) the study over this archive.

    Args:
        studies: a folder of images. (A DICOMweb URL names a PACS.)
        task_file: task.yaml.
        conf: the server's `--conf` values; `workspace` and `ledger` say where those are kept.

    Raises:
        RecursiveExpandError: a setting does not fit, or the archive is of a kind that is not supported.
    """
    if studies.startswith(("http://", "https://")):
        raise RecursiveExpandError(
            f"{studies}: studies over DICOMweb are not supported yet; import the series into a folder with "
            "`recursive-expand import dicom` and give that folder"
        )
    task = load_task(task_file, conf)
    workspace = Workspace.of(studies, override=conf.get("workspace"))
    workspace.root.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(conf.get("ledger") or workspace.ledger)
    begun = ledger.current_round()
    if begun is not None and begun.config["classes"] != list(task.classes):
        raise RecursiveExpandError(
            f"this study was begun with the classes {', '.join(begun.config['classes'])}; {task_file.name} has "
            f"{', '.join(task.classes)}: restore them, or give another --conf workspace DIR"
        )
    return Study(
        task=task,
        archive=FolderArchive(Path(studies), task.classes),
        ledger=ledger,
        cache=VoxelCache(workspace.cache),
        workspace=workspace,
    )


def choose_device() -> torch.device:
    """The first GPU, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
