"""Folders of images that cost no space: further names of files that are there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system knows no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_all(source: Path, target: Path) -> None:
    """Every image of a folder, in another."""
    for path in source.glob("*.nii.gz"):
        link(path, target / path.name)
