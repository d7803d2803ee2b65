"""What an archive does: it finds cases, reads their scans and keeps their label objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from recursive_expand.archives.scan import FoundCase, Scan
from recursive_expand.cases import LabelMap, SeriesReference, Volume

FINAL = "final"
"""Tag of the masks that count: experts', and what reviewers accepted."""
REJECTED = "rejected"
"""Tag of what reviewers rejected."""
TAGS = (FINAL, REJECTED)
"""Label tags that an archive holds; proposals are in the workspace."""


class Archive(Protocol):
    """Where scans and label objects live. A case is named by its id; nobody else knows where its files are.

    Every method that takes a case id raises InputError for a text that can be none and for a case that is not there.
    """

    @property
    def name(self) -> str:
        """What people call it: a folder's name, a PACS's."""

    @property
    def immediate(self) -> bool:
        """Whether label objects are written at once, while a reader waits; else later, by the conductor."""

    def scan(self, on_found: Callable[[list[FoundCase]], None] | None = None) -> Scan:
        """Look for cases: names, sizes, tables; no voxels. What cannot be used is set aside, with the reason.

        Args:
            on_found: called, where a look takes long, with cases of which nothing that is still to be found can change
                what is said of them. They are in the scan as well.
        """

    def signature(self, case_id: str) -> str:
        """What changes when the case's image does; asks for no voxels. A cache of voxels is keyed by it."""

    def read_volume(self, case_id: str) -> Volume:
        """Read the case's voxels.

        Raises:
            InputError: the image cannot be used.
        """

    def image_file(self, case_id: str) -> Path:
        """The case's image as a file that a client can be sent."""

    def read_expert_label(self, case_id: str) -> LabelMap:
        """Read the case's expert mask, held against its image: shape, axes and class values.

        Raises:
            InputError: there is none, it does not fit, or it is what a verdict left.
        """

    def reference(self, case_id: str) -> SeriesReference | None:
        """The DICOM series that the case's image was made from; None where that is not known.

        Raises:
            InputError: what is known of it cannot be read.
        """

    def put_label(self, case_id: str, tag: str, label: LabelMap, info: Mapping[str, Any]) -> None:
        """Store a label object; repeating it changes nothing. An expert's mask is never replaced by a verdict's.

        Args:
            case_id: whose it is.
            tag: one of `TAGS`.
            label: on the image's grid.
            info: where it comes from; with a key `verdict` it does not count as an expert's mask.

        Raises:
            InputError: for another tag, and where an expert's mask is in its place.
        """

    def remove_label(self, case_id: str, tag: str) -> None:
        """Remove a label object that `put_label` stored; a missing one is no error, and an expert's mask stays.

        Raises:
            InputError: for another tag.
        """

    def label_file(self, case_id: str, tag: str) -> Path:
        """A label object as a file that a client can be sent.

        Raises:
            InputError: for another tag, and where the case has no such label.
        """

    def labelled(self, tag: str) -> set[str]:
        """Ids of the cases that have a label object with this tag, whoever made it."""

    def add_image(self, case_id: str, source: Path) -> None:
        """Take an image file in as a new case.

        Raises:
            InputError: for an id that is taken or not plain, and a file that is no image.
        """

    def remarks(self, case_id: str) -> list[str]:
        """One clause for each thing in the case's image that is not as usual, and is kept as it is."""

    def remarked(self) -> dict[str, list[str]]:
        """The remarks of all cases of a PACS that have any, by case id; read quickly."""

    def fetching(self) -> dict[str, tuple[int, int]]:
        """Images that are on their way from elsewhere: (parts that have come, parts in all) by case id."""

    def remove_image(self, case_id: str) -> None:
        """Remove the case's image; its labels stay. A missing one is no error."""

    def sweep(self) -> int:
        """Remove what a killed process left half-written; only while nobody writes. Returns how many there were."""


def check_case(
    archive: Archive, found: FoundCase, *, read: Callable[[], Volume] | None = None
) -> tuple[Volume, LabelMap | None]:
    """Read a case and its expert mask, held against each other.

    Args:
        archive: where it is.
        found: from `archive.scan`.
        read: how its voxels are read, where not from the archive (through a cache, say).

    Returns:
        The volume, and the expert mask if the case has one.

    Raises:
        InputError: the image or the mask cannot be used, or they do not fit.
    """
    volume = archive.read_volume(found.case_id) if read is None else read()
    return volume, None if found.expert_label is None else archive.read_expert_label(found.case_id)
