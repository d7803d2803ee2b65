"""Names of settings: where each belongs, what an old one is called now, which one a wrong one is nearest to."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from recursive_expand.settings.machine import Machine
from recursive_expand.settings.method import Method
from recursive_expand.settings.network import Network
from recursive_expand.settings.pacs import PacsSettings
from recursive_expand.settings.refinement import Refinement
from recursive_expand.settings.review import Review
from recursive_expand.settings.section import Section
from recursive_expand.settings.task import Task
from recursive_expand.settings.training import Training

RENAMED = {"crop_to_head": "crop_to_region", "min_agreement": "min_dice"}
"""Names of version 0.1.0 that are still taken from task.yaml, `--conf` and recorded rounds."""

SECTIONS: dict[str, type[Section]] = {"network": Network, "refinement": Refinement, "training": Training}
"""Sections of task.yaml; they belong to the method."""

_PARTS: dict[str, type[Section]] = {
    "task": Task,
    "method": Method,
    "review": Review,
    "machine": Machine,
    "pacs": PacsSettings,
}

PLACES: dict[str, tuple[str, ...]] = {
    **{name: (part,) for part, model in _PARTS.items() for name in model.model_fields if name not in SECTIONS},
    **{name: ("method", section) for section, model in SECTIONS.items() for name in model.model_fields},
}
"""A setting's name to where it is in `Settings`: `epochs` to ("method", "training"). No two settings share a name."""


def nest(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Put settings where they belong.

    Args:
        values: names, old ones too, to values; or one of `SECTIONS` to a mapping of its settings.

    Returns:
        {"task": ..., "method": ..., "review": ..., "machine": ..., "pacs": ...}, as `Settings` takes it. Settings of a
        section
        that the section does not have stay in it: its own check names them.

    Raises:
        KeyError: for a name that is no setting; its argument is the name.
    """
    nested: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for given, value in values.items():
        name = RENAMED.get(given, given)
        if name in SECTIONS:
            inner = nested["method"].get(name) or {}
            mapping = isinstance(value, Mapping)
            nested["method"][name] = inner | {RENAMED.get(k, k): v for k, v in value.items()} if mapping else value
        elif name in PLACES:
            part, *section = PLACES[name]
            place = nested[part].setdefault(section[0], {}) if section else nested[part]
            place[name] = value
        else:
            raise KeyError(given)
    return nested


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the settings of `over` in place of its own.

    Parts and sections are merged; a setting is replaced whole, one with names in it (`foreground_threshold`) too.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key) if key in _PARTS or key in SECTIONS else None
        merged[key] = merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def no_setting(name: str, *, also: frozenset[str] = frozenset()) -> str:
    """Say that a name is no setting, and which it is nearest to.

    Args:
        name: the wrong name.
        also: names besides the settings' that may have been meant.

    Returns:
        A clause for an error message.
    """
    near = difflib.get_close_matches(name, [*PLACES, *RENAMED, *also], n=1)
    if near:
        return f"is no setting; did you mean {RENAMED.get(near[0], near[0])}?"
    return "is no setting; docs/ml-engineer.md lists them"
