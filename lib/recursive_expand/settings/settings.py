"""The settings of a recursion: task, method, review, machine and PACS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError, model_validator

from recursive_expand.errors import InputError
from recursive_expand.settings.machine import Machine
from recursive_expand.settings.method import Method
from recursive_expand.settings.names import merge, nest, no_setting
from recursive_expand.settings.pacs import PacsSettings
from recursive_expand.settings.review import Review
from recursive_expand.settings.section import Section
from recursive_expand.settings.task import Task

_TEXTS = ("title", "description", "codes")


class Settings(Section):
    """Everything that says what is segmented and how the recursion runs.

    Examples:
        settings = load_settings(Path("apps/recursive_ich/task.yaml"), {"epochs": "30"})
        settings.method.training.epochs  # 30
        settings.changed(mode="off").method.refinement.mode  # "off"
    """

    task: Task
    method: Method
    review: Review = Review()
    machine: Machine = Machine()
    pacs: PacsSettings = PacsSettings()

    def changed(self, **values: Any) -> Settings:
        """A copy with some settings changed.

        Args:
            values: settings by their own names, as `--conf` takes them: `changed(epochs=3, flips=True)`.

        Raises:
            InputError: for a name that is no setting or a value that does not fit.
        """
        return _validated(merge(self.model_dump(), _nested(values, "settings")), "settings")

    def round_config(self) -> dict[str, Any]:
        """What a round records of its settings: the task without its texts, and the method.

        Only this changes weights or proposals.

        Returns:
            {"task": ..., "method": ...}, plain JSON.
        """
        return {
            "task": self.task.model_dump(mode="json", exclude=set(_TEXTS)),
            "method": self.method.model_dump(mode="json"),
        }

    @model_validator(mode="after")
    def _known_classes(self) -> Settings:
        threshold = self.method.foreground_threshold
        unknown = set(threshold) - set(self.task.classes) if isinstance(threshold, Mapping) else set()
        if unknown:
            known = ", ".join(self.task.classes)
            raise ValueError(f"foreground_threshold names {', '.join(sorted(unknown))}; classes are {known}")
        return self

    def under(self, config: Mapping[str, Any], chosen: Mapping[str, Any] | None = None) -> Settings:
        """These settings, with a recorded round's task and method in place of their own.

        Texts, review and machine stay these.

        Args:
            config: what `round_config` gave, or the flat settings that version 0.1.0 recorded: there, settings of
                the review and the machine are passed over; it knew one region, the head. Before `proposing_area` was
                recorded, proposals were made in the region's box.
            chosen: the settings that the round chose for its proposals, by their names, if it did.

        Raises:
            InputError: for settings that do not fit.
        """
        source = "the round's recorded settings"
        flat = {**config.get("task", {}), **config["method"]} if "method" in config else config
        recorded = _nested({name: value for name, value in flat.items() if name not in _TEXTS}, source)
        own = self.model_dump()
        task = {**{name: own["task"][name] for name in _TEXTS}, "region": "head", **recorded["task"]}
        method = recorded["method"]
        if not method.get("training", {}).get("crop_to_region", True):
            method = {"proposing_area": "region", **method}
        settings = _validated({**own, "task": task, "method": method}, source)
        return settings.changed(**chosen) if chosen else settings


def reason(error: ValidationError) -> str:
    """What is wrong with the first setting that does not fit, as one clause."""
    first = error.errors()[0]
    path = first["loc"][1:]  # task.yaml and --conf do not name the part
    where = ".".join(map(str, path))
    if not path:  # of several settings together
        return first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"setting {where!r} is missing"
    if first["type"] == "extra_forbidden":
        return f"{where!r} {no_setting(str(path[-1]))}"
    return f"setting {where!r} = {first.get('input')!r}: {first['msg']}"


def _nested(values: Mapping[str, Any], source: str) -> dict[str, dict[str, Any]]:
    try:
        return nest(values)
    except KeyError as error:
        raise InputError(source, f"{error.args[0]!r} {no_setting(str(error.args[0]))}") from error


def _validated(nested: Mapping[str, Any], source: str) -> Settings:
    try:
        return Settings.model_validate(nested)
    except ValidationError as error:
        raise InputError(source, reason(error)) from error
