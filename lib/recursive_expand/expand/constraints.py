"""Image-level labels as constraints: which classes may a slice of a case hold?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from recursive_expand.cases import ImageLabels

if TYPE_CHECKING:  # it imports PyTorch
    from recursive_expand.segment.constrain import AllowedClasses


def allowed_classes(image_labels: Mapping[int | None, ImageLabels], slices: int) -> tuple[frozenset[str] | None, ...]:
    """The classes that each slice may hold.

    Args:
        image_labels: by slice number; None is the whole case.
        slices: number of slices.

    Returns:
        One entry a slice: None where nothing is known, else the classes said to be present (empty: clean). A
        slice's own label wins over the whole case's, which bounds every slice.
    """
    whole = image_labels.get(None)
    everywhere = whole.present if whole is not None else None
    return tuple(image_labels[n].present if n in image_labels else everywhere for n in range(slices))


def is_clean(allowed: AllowedClasses) -> bool:
    """Whether every slice is known to be clean: there is nothing to propose."""
    return all(names is not None and not names for names in allowed)
