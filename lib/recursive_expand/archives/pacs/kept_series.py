"""Series of a PACS as they are kept here: an image for clients, where its slices lie, and what is unusual in it."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.images import write_volume
from recursive_expand.archives.kept_files import KeptFiles
from recursive_expand.archives.pacs.connection import Pacs
from recursive_expand.archives.pacs.listing import ListedSeries
from recursive_expand.archives.pacs.pixels import fetch_series
from recursive_expand.cases import SeriesReference
from recursive_expand.errors import InputError, Unreachable

REMARKS = "remarks.jsonl"
"""A line for each series of which there is something to say, as it is read: a table would be written anew each time."""
FETCHES_AT_ONCE = 16
"""Requests that wait for series at one time: threads that answer readers are more, so that verdicts find a free one."""


class KeptSeries:
    """What was fetched. All of it can be fetched again, so that nothing here waits for the disk.

    Args:
        pacs: the PACS.
        folder: where it is kept; made if missing.
        most_bytes: of images, apart from those in use.
        max_case_bytes: of a series' voxels; larger ones are refused.
    """

    def __init__(self, pacs: Pacs, folder: Path, most_bytes: float, max_case_bytes: int) -> None:
        self._pacs, self._folder, self._max_bytes = pacs, folder, max_case_bytes
        self._images = KeptFiles(folder / "images", most_bytes)
        (folder / "series").mkdir(exist_ok=True)
        self._fetching: dict[str, tuple[int, int]] = {}
        self._remarks = _read_remarks(folder / REMARKS)
        self._remarking = threading.Lock()
        self._locks = tuple(threading.Lock() for _ in range(64))
        self._room = threading.BoundedSemaphore(FETCHES_AT_ONCE)

    @property
    def folders(self) -> tuple[Path, Path]:
        """Where files are written."""
        return self._images.folder, self._folder / "series"

    def image_file(self, entry: ListedSeries) -> Path:
        """The series as NIfTI, fetched on first use.

        Raises:
            InputError: the series cannot be used, with the reason.
            Unreachable: it is not kept, and cannot be fetched now.
        """
        kept = self._kept(entry)
        if kept is not None:  # a reader of this one does not wait for the fetching of another
            return kept
        if not self._room.acquire(blocking=False):
            raise Unreachable(f"{FETCHES_AT_ONCE} other series are on their way from {self._pacs.name}; try again")
        try:
            with self._locks[hash(entry.uid) % len(self._locks)]:
                return self._kept(entry) or self._fetched(entry)
        except OSError as error:
            what = error.strerror or type(error).__name__
            raise Unreachable(f"the images of {self._pacs.name} cannot be kept here ({what}); make room") from error
        finally:
            self._fetching.pop(entry.uid, None)
            self._room.release()

    def reference(self, uid: str) -> SeriesReference | None:
        """Where its slices lie, as it was when its image was made; None before."""
        content = self._known(uid).get("series")
        return None if content is None else SeriesReference.from_json(content)

    def order(self, uid: str) -> Sequence[str] | None:
        """SOP Instance UIDs in the order of its slices, where headers alone were asked for."""
        return self._known(uid).get("order")

    def put_order(self, uid: str, order: Sequence[str]) -> None:
        """Keep the order of its slices until its image is made."""
        write_atomic(self._facts(uid), json.dumps({"order": order}).encode(), fsync=False)

    def remarks(self, uid: str) -> list[str]:
        """What is unusual in a series that was read."""
        return self._remarks.get(uid, [])

    def remarked(self) -> dict[str, list[str]]:
        """Of all that were read."""
        return {uid: said for uid, said in dict(self._remarks).items() if said}

    def fetching(self) -> dict[str, tuple[int, int]]:
        """Series that somebody waits for: how many instances have come, of how many."""
        return dict(self._fetching)

    def _fetched(self, entry: ListedSeries) -> Path:
        def came(count: int) -> None:
            self._fetching[entry.uid] = count, max(count, entry.instances)

        came(0)
        series = fetch_series(self._pacs, entry.study, entry.uid, came)
        volume = series.volume
        if volume.hu.nbytes > self._max_bytes:
            raise InputError("series", f"has {volume.hu.nbytes} bytes; no more than {self._max_bytes} are read")
        assert volume.series is not None
        image = self._image(entry.uid)
        write_volume(image, volume, fsync=False)
        facts = {"signature": entry.signature, "bytes": image.stat().st_size, "series": volume.series.to_json()}
        write_atomic(self._facts(entry.uid), json.dumps(facts).encode(), fsync=False)
        self._remark(entry.uid, [*volume.series.remarks, *series.left_out])
        self._images.added(image.name)
        return image

    def _remark(self, uid: str, remarks: list[str]) -> None:
        with self._remarking:
            if remarks != self._remarks.get(uid, []):
                self._remarks[uid] = remarks
                with (self._folder / REMARKS).open("a", encoding="utf-8") as file:
                    file.write(json.dumps({uid: remarks}) + "\n")

    def _kept(self, entry: ListedSeries) -> Path | None:
        """The image, unless it is of fewer instances than there are now, or was cut when the machine lost its power."""
        kept, known = self._images.get(self._image(entry.uid).name), self._known(entry.uid)
        if kept is None or known.get("signature") != entry.signature:
            return None
        return kept if known.get("bytes") == kept.stat().st_size else None

    def _known(self, uid: str) -> dict[str, Any]:
        try:
            return dict(json.loads(self._facts(uid).read_bytes()))
        except (OSError, ValueError):
            return {}

    def _image(self, uid: str) -> Path:
        return self._images.folder / f"{uid}.nii.gz"

    def _facts(self, uid: str) -> Path:
        return self._folder / "series" / f"{uid}.json"


def _read_remarks(path: Path) -> dict[str, list[str]]:
    """The last that was said of each series; a line that a power cut left half-written says nothing."""
    found: dict[str, list[str]] = {}
    if path.exists():
        for line in path.read_text("utf-8", "replace").splitlines():
            with suppress(ValueError, TypeError):
                found |= json.loads(line)
    return found
