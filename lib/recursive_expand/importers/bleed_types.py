"""The five types of intracranial bleed by the names that data sets give them."""

from __future__ import annotations

from collections.abc import Sequence

from recursive_expand.errors import InputError

OUTSIDE_IN = ("epidural", "subdural", "subarachnoid", "intraparenchymal", "intraventricular")
"""From the skull inwards."""

ABBREVIATIONS = {
    "EDH": "epidural",
    "IPH": "intraparenchymal",
    "IVH": "intraventricular",
    "SAH": "subarachnoid",
    "SDH": "subdural",
}


def check_types(classes: Sequence[str]) -> None:
    """Refuse a task that does not know the five types.

    Raises:
        InputError: naming those that are missing.
    """
    missing = [name for name in sorted(OUTSIDE_IN) if name not in classes]
    if missing:
        raise InputError("--task", f"has no class {', '.join(missing)}; this data set is labelled with all five types")
