"""The recursion at run time: settings over one archive, with its ledger, voxel cache and workspace."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recursive_expand import __version__
from recursive_expand.archives.archive import Archive
from recursive_expand.archives.cache import VoxelCache
from recursive_expand.archives.dicomweb import DicomwebArchive
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.credentials import Credentials
from recursive_expand.archives.pacs.objects import LabelObjects, Written
from recursive_expand.archives.pacs.removal import Remover
from recursive_expand.cases import LabelMap, Volume
from recursive_expand.dicom.coding import coding_of
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.upgrade import count_frozen_masks
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import CaseRecord, Ledger, RoundRecord
from recursive_expand.segment.regions.registry import region_named
from recursive_expand.settings import Settings, load_settings

if TYPE_CHECKING:  # PyTorch is imported where a network is needed: a review of other tools' masks needs none
    import torch

LOCKS = 64
"""Cases that may be written at once without sharing a lock; a lock a case would grow with the cases."""


@dataclass(frozen=True)
class Recursion:
    """What every part of the recursion works on.

    Attributes:
        settings: what is segmented, how it is learned, and how it is reviewed.
        archive: where scans and label objects live.
        ledger: what happened.
        cache: decoded voxels.
        workspace: where the rest is kept.
    """

    settings: Settings
    archive: Archive
    ledger: Ledger
    cache: VoxelCache
    workspace: Workspace
    _locks: tuple[threading.Lock, ...] = field(default_factory=lambda: tuple(threading.Lock() for _ in range(LOCKS)))

    def under(self, round_: RoundRecord) -> Recursion:
        """The same under a round's settings: a round goes on with those that it began with, and with those
        that it chose for its proposals."""
        return replace(self, settings=self.settings.under(round_.config, round_.proposes_at))

    def lock(self, case_id: str) -> threading.Lock:
        """Held while a case's label objects are written."""
        return self._locks[hash(case_id) % len(self._locks)]

    def volume(self, case_id: str) -> Volume:
        """A case's voxels, from the cache; decoded once.

        Raises:
            InputError: the image cannot be used.
        """
        read = partial(self.archive.read_volume, case_id)
        return self.cache.load(case_id, self.archive.signature(case_id), read)

    def expert_label(self, case: CaseRecord) -> LabelMap:
        """The expert mask of a pixel or test case.

        Raises:
            RecursiveExpandError: there is none.
            InputError: the mask cannot be used.
        """
        if not case.has_expert_mask:
            raise RecursiveExpandError(f"case {case.case_id!r} has no expert mask")
        return self.archive.read_expert_label(case.case_id)

    def network(self, model_sha256: str | None) -> torch.nn.Module:
        """The network with these published weights, or freshly seeded ones.

        Raises:
            RecursiveExpandError: the weights' file is missing or is not what the ledger recorded.
        """
        import torch

        from recursive_expand.segment.network import build_network
        from recursive_expand.segment.weights import load_weights

        torch.manual_seed(self.settings.method.seed)
        network = build_network(self.settings)
        if model_sha256 is not None:
            load_weights(network, self.workspace.model(model_sha256), model_sha256)
        return network


def open_recursion(studies: str, task_file: Path, conf: Mapping[str, str]) -> Recursion:
    """Open (or begin) the recursion over this archive.

    Args:
        studies: a folder of images, or the address of a PACS's DICOMweb.
        task_file: task.yaml.
        conf: the server's `--conf` values; `workspace` and `ledger` say where those are kept.

    Raises:
        RecursiveExpandError: a setting does not fit, or what is there was begun under another one.
    """
    settings = load_settings(task_file, conf)
    region_named(settings.task.region)  # a wrong name is refused now, not in the first round
    workspace = Workspace.of(studies, override=conf.get("workspace"))
    workspace.root.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(conf.get("ledger") or workspace.ledger)
    begun = ledger.rounds.current()
    if begun is not None:
        classes = settings.under(begun.config).task.classes
        if classes != settings.task.classes:
            raise RecursiveExpandError(
                f"this recursion was begun with the classes {', '.join(classes)}; {task_file.name} has "
                f"{', '.join(settings.task.classes)}: restore them, or give another --conf workspace DIR"
            )
        count_frozen_masks(ledger, workspace, classes)
    return Recursion(
        settings=settings,
        archive=open_archive(studies, settings, workspace),
        ledger=ledger,
        cache=VoxelCache(workspace.cache, _most_voxels(studies, settings)),
        workspace=workspace,
    )


def open_archive(studies: str, settings: Settings, workspace: Workspace) -> Archive:
    """The archive that an address names: a PACS for http(s), else a folder.

    Raises:
        InputError: no such folder, an unusable address, credentials or codes.
    """
    classes, limit = settings.task.classes, settings.machine.max_case_bytes
    if not studies.startswith(("http://", "https://")):
        return FolderArchive(Path(studies), classes, max_case_bytes=limit)
    pacs, chosen = Pacs(studies, Credentials.from_environment()), settings.pacs
    coding = coding_of(classes, settings.task.codes)
    written = Written(chosen.pacs_write, chosen.reader_organization)
    objects = LabelObjects(
        pacs, coding, written, Remover(pacs, chosen.pacs_kind), __version__, workspace.pacs / "objects"
    )
    return DicomwebArchive(
        pacs, workspace.pacs, coding, objects, chosen, cache_bytes=chosen.pacs_cache_gb * 5e8, max_case_bytes=limit
    )


def _most_voxels(studies: str, settings: Settings) -> float:
    """Bytes of decoded voxels that are kept: half of a PACS's `pacs_cache_gb`; the other half are clients' images."""
    return settings.pacs.pacs_cache_gb * 5e8 if studies.startswith(("http://", "https://")) else math.inf


def choose_device() -> torch.device:
    """The first GPU, or the CPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
