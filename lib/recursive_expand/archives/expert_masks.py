"""The masks in labels/final that experts drew, told from those that verdicts left there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

from recursive_expand.archives.bounded import read_bounded
from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_info
from recursive_expand.archives.scan import SetAside
from recursive_expand.errors import InputError

MAX_INFO = 2**20
"""Longest file beside a label, in bytes."""


def file_signature(path: Path) -> str:
    """What changes when a file does: its size and its time of modification in nanoseconds.

    Raises:
        OSError: where it is not there.
    """
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def info_file(label: Path) -> Path:
    """The JSON file beside a label: where the label comes from."""
    parts = split_name(label.name)
    return label.with_name(f"{parts[0] if parts else label.stem}.json")


class ExpertMasks:
    """Looks into label files and beside them, and remembers what it saw in those that have not changed."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._seen: dict[Path, tuple[str, bool]] = {}
        self._lock = threading.Lock()

    def left_by_verdict(self, label: Path) -> bool:
        """Whether a label file is what a verdict left: the file itself says so, or the one beside it.

        Raises:
            InputError: the file beside it cannot be read, so that nobody knows.
        """
        return "verdict" in _read_info_file(label) or self._says_inside(label)

    def find(self, folder: Path, cases: Collection[str]) -> tuple[dict[str, Path], list[SetAside]]:
        """Look through a folder of labels that lies inside its archive.

        Args:
            folder: labels/final; need not exist.
            cases: ids of the cases that are there.

        Returns:
            Expert masks by case id, and labels of no use.
        """
        if not folder.is_dir():
            return {}, []
        set_aside: list[SetAside] = []
        masks: dict[str, Path] = {}
        double: set[str] = set()
        root = folder.resolve().parent.parent
        with os.scandir(folder) as entries:
            ordered = sorted(entries, key=lambda entry: entry.name)
        for entry in ordered:
            parts = split_name(entry.name)
            if parts is None or entry.name.startswith("."):
                continue
            case_id, file, path = parts[0], f"labels/final/{entry.name}", folder / entry.name
            if case_id not in cases:
                reason = "belongs to no case of this folder (case ids are compared letter by letter)"
                set_aside.append(SetAside(None, file, reason, "row"))
            elif (entry.is_symlink() and not inside(path, root)) or not entry.is_file():
                set_aside.append(SetAside(case_id, file, "is no file inside the studies folder; not used", "row"))
            elif case_id in masks:
                double.add(case_id)
                reason = f"case {case_id} has another mask, {masks[case_id].name}; remove one"
                set_aside.append(SetAside(case_id, file, reason))
            else:
                masks[case_id] = path
        for case_id, path in list(masks.items()):
            try:
                if self.left_by_verdict(path):
                    del masks[case_id]
            except InputError as error:
                # Whether an expert drew the mask cannot be told: do not learn from it as if one had.
                reason = f"{error.reason}; the mask of case {case_id} is not used as an expert's"
                set_aside.append(SetAside(case_id, f"labels/final/{error.source}", reason, "row"))
                del masks[case_id]
        return {case_id: path for case_id, path in masks.items() if case_id not in double}, set_aside

    def _says_inside(self, label: Path) -> bool:
        try:
            stamp = file_signature(label)
        except OSError:
            return False
        with self._lock:
            seen = self._seen.get(label)
        if seen is None or seen[0] != stamp:
            seen = (stamp, "verdict" in read_info(label))
            with self._lock:
                self._seen[label] = seen
        return seen[1]


def inside(path: Path, root: Path) -> bool:
    """Whether a path, links followed, lies in a folder."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a loop of links
        return False


def _read_info_file(label: Path) -> dict[str, Any]:
    path = info_file(label)
    try:
        info = json.loads(read_bounded(path, MAX_INFO))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(path.name, "is not readable as JSON") from error
    return info if isinstance(info, dict) else {}
