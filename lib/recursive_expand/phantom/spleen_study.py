"""A folder study of abdomens, for the app apps/spleen_demo."""

from __future__ import annotations

from pathlib import Path

from recursive_expand.cases import Role
from recursive_expand.phantom.abdomen import SPLEEN, Abdomen, make_abdomen
from recursive_expand.phantom.streams import stream
from recursive_expand.phantom.studies import StudyTruth, write_cases


def write_spleen_study(
    folder: Path,
    *,
    pixel: int = 6,
    image: int = 8,
    unlabelled: int = 1,
    test: int = 1,
    size: int = 96,
    slices: int = 8,
    seed: int = 0,
    shifted: bool = True,
) -> StudyTruth:
    """Write a folder study, laid out as `write_study` does.

    Args:
        folder: made if missing; files of the same names are replaced.
        pixel: cases with expert masks.
        image: cases with image-level labels.
        unlabelled: cases with no labels.
        test: held-out cases.
        size: rows and columns.
        slices: per case; the spleen is on some of them.
        seed: 0 or more.
        shifted: all cases but the pixel ones come from the other scanner ("sharp").

    Returns:
        The true masks of all cases.
    """
    counts = {Role.PIXEL: pixel, Role.IMAGE: image, Role.UNLABELLED: unlabelled, Role.TEST: test}
    cases: dict[str, tuple[Role, Abdomen]] = {}
    for role, count in counts.items():
        for number in range(count):
            drawn = int(stream(seed, f"abdomen {role}", number).integers(2**31))
            abdomen = make_abdomen(
                drawn, size=size, slices=slices, domain="sharp" if shifted and role is not Role.PIXEL else "thick"
            )
            cases[f"{role}-{number + 1:03d}"] = role, abdomen
    return write_cases(folder, cases, (SPLEEN,))
