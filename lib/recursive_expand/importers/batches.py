"""Cases on their way into a folder of studies, written in batches so that a crash never leaves a case half there.

Files are made in a folder of their own, and are on disk, while the next case is read. A batch then comes in in this
order: its rows in the tables, masks and geometry into place, and last the images, which say that a case is there.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from recursive_expand.archives.atomic import sync_folder
from recursive_expand.archives.images import write_label, write_volume
from recursive_expand.importers.importer import CaseContent
from recursive_expand.importers.study_tables import LabelRows, RoleRows

MOST_CASES = 64
MOST_BYTES = 256 << 20
"""A batch ends with so many cases or so many bytes of voxels, whichever comes first."""

WRITERS = 2
"""Threads that compress and write; neither needs Python's lock."""

MOST_WAITING = 4
"""Cases in memory that are not written yet."""

_MAKING = ".recursive-import"


@dataclass(frozen=True)
class _Made:
    """Files of a case that are made, and where they go; the image is the last one."""

    case_id: str
    what: str
    files: tuple[tuple[Path, Path], ...]


class Batches:
    """Writes cases; `done` is called with the id and the clause of each one that is in place.

    Args:
        studies: the folder, whose lock is held.
        roles: cases.csv.
        labels: image_labels.csv.
        done: called after a case has come in.
    """

    def __init__(self, studies: Path, roles: RoleRows, labels: LabelRows, done: Callable[[str, str], None]) -> None:
        self._studies, self._roles, self._labels, self._done = studies, roles, labels, done
        self._making = studies / _MAKING
        shutil.rmtree(self._making, ignore_errors=True)  # of a run that was killed
        self._making.mkdir()
        self._folders = [studies / "labels" / "final", studies / "geometry", studies]
        self._pool = ThreadPoolExecutor(WRITERS, "import-writer")
        self._batch: list[Future[_Made]] = []
        self._bytes = 0

    def add(self, case_id: str, content: CaseContent) -> None:
        """Write a case; its rows are in the tables (`put`), not on disk yet.

        Raises:
            OSError: where the studies cannot be written; the batch is still open.
        """
        waiting = [future for future in self._batch if not future.done()]
        if len(waiting) >= MOST_WAITING:
            waiting[0].result()
        self._batch.append(self._pool.submit(self._make, case_id, content))
        self._bytes += content.volume.hu.nbytes
        if len(self._batch) >= MOST_CASES or self._bytes >= MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Bring all cases that are made into place.

        Raises:
            OSError: where the studies cannot be written; what could be made is in place nevertheless, if anything can.
        """
        batch, self._batch, self._bytes = self._batch, [], 0
        made: list[_Made] = []
        failures: list[OSError] = []
        for future in batch:
            try:
                made.append(future.result())
            except OSError as error:
                failures.append(error)
        self._roles.flush()
        self._labels.flush()
        for case in made:
            for source, target in case.files[:-1]:
                source.replace(target)
        for folder in self._folders[:-1]:
            if folder.is_dir():
                sync_folder(folder)
        for case in made:
            source, target = case.files[-1]
            source.replace(target)
        sync_folder(self._studies)
        for case in made:
            self._done(case.case_id, case.what)
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Give the folder back; what is not in place is dropped."""
        self._pool.shutdown(cancel_futures=True)
        shutil.rmtree(self._making, ignore_errors=True)

    def _make(self, case_id: str, content: CaseContent) -> _Made:
        masks, geometries, _ = self._folders
        files = []
        if content.mask is not None:
            files.append((self._making / f"{case_id}.mask.nii.gz", masks / f"{case_id}.nii.gz"))
            write_label(files[-1][0], content.mask, fsync=False)
        geometry = geometries / f"{case_id}.geometry.json"
        if content.facts:
            geometries.mkdir(exist_ok=True)
            files.append((self._making / geometry.name, geometry))
            files[-1][0].write_text(json.dumps(dict(content.facts), indent=1))
        elif geometry.exists():
            geometry.unlink()  # of an earlier image of this case
        files.append((self._making / f"{case_id}.image.nii.gz", self._studies / f"{case_id}.nii.gz"))
        write_volume(files[-1][0], content.volume, fsync=False)
        for source, _ in files:
            _sync(source)
        return _Made(case_id, content.what, tuple(files))


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
