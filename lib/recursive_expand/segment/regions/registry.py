"""The regions by name."""

from __future__ import annotations

from recursive_expand.errors import InputError
from recursive_expand.segment.regions.body import Body
from recursive_expand.segment.regions.head import Head
from recursive_expand.segment.regions.intracranial import Intracranial
from recursive_expand.segment.regions.region import Region
from recursive_expand.segment.regions.whole import Whole

REGIONS: dict[str, Region] = {"body": Body(), "head": Head(), "intracranial": Intracranial(), "whole": Whole()}
"""Names that `Task.region` can take."""


def region_named(name: str) -> Region:
    """A region by its name in task.yaml.

    Raises:
        InputError: for a name that is none.
    """
    try:
        return REGIONS[name]
    except KeyError:
        known = ", ".join(REGIONS)
        raise InputError("task.yaml", f"there is no region {name!r}; choose one of {known}") from None
