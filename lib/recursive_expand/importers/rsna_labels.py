"""The table of RSNA 2019: from one row a type to one set of types an image."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from recursive_expand.importers.bleed_types import OUTSIDE_IN
from recursive_expand.importers.label_csv import Row, read_pairs
from recursive_expand.importers.report import OnProgress

TABLE = "stage_2_train.csv"

_IMAGE = re.compile("ID_[0-9a-zA-Z]+")
_PLAIN = ("0", "1")


@dataclass
class RsnaLabels:
    """Types by image.

    Attributes:
        types: by image id (`ID_12cadc6af`); empty is clean.
        left_out: why, by image id, for images whose rows cannot be used.
        repeated: number of rows that say once more what another one said.
    """

    types: dict[str, frozenset[str]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    repeated: int = 0


def read_rsna_labels(path: Path, on_progress: OnProgress) -> RsnaLabels:
    """Read `ID,Label` with rows `ID_12cadc6af_epidural,0`, six an image: the five types and `any`.

    The table repeats some rows, as distributed; rows that contradict each other cost the image.

    Raises:
        InputError: where the table cannot be read, or a label is neither 0 nor 1.
    """
    on_progress("reading labels", 0, 1)
    labels = RsnaLabels()
    bits = {name: bit for bit, name in enumerate((*OUTSIDE_IN, "any"))}
    every = (1 << len(bits)) - 1
    # Four and a half million rows: two small integers an image instead of six cells.
    said: dict[str, int] = {}
    present: dict[str, int] = {}
    for line, name, label in read_pairs(path, "ID", "Label"):
        image, _, kind = name.rpartition("_")
        bit = bits.get(kind)
        if bit is None or not _IMAGE.fullmatch(image):
            labels.left_out.setdefault(name, f"{path.name} line {line}: is no image and type")
            continue
        # Nearly all are plain; a spreadsheet's 1.0 is a flag too.
        flag = label == "1" if label in _PLAIN else Row(f"{path.name} line {line}", {"label": label}).flag("Label")
        seen = said.get(image, 0)
        if seen >> bit & 1:
            if (present.get(image, 0) >> bit & 1) != flag:
                reason = f"has two labels for {kind} that contradict each other"
                labels.left_out.setdefault(image, reason)
            else:
                labels.repeated += 1
            continue
        said[image] = seen | 1 << bit
        present[image] = present.get(image, 0) | flag << bit
    for image, seen in said.items():
        types = frozenset(name for name in OUTSIDE_IN if present[image] >> bits[name] & 1)
        if seen != every:
            missing = ", ".join(name for name, bit in bits.items() if not seen >> bit & 1)
            labels.left_out.setdefault(image, f"has no label for {missing}")
        elif bool(types) != bool(present[image] >> bits["any"] & 1):
            labels.left_out.setdefault(image, "its label for any contradicts those for the types")
        if image not in labels.left_out:
            labels.types[image] = types
    on_progress("reading labels", 1, 1)
    return labels
