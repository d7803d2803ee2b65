"""The task: what is segmented, and in which part of a slice."""

from __future__ import annotations

from pydantic import Field, field_validator

from recursive_expand.settings.section import Section


class Window(Section):
    """A CT display window, in HU: values from level - width / 2 to level + width / 2 map to 0..1."""

    level: float
    width: float = Field(gt=0)


class Code(Section):
    """A SNOMED CT code, as DICOM objects carry it."""

    value: str = Field(min_length=1, max_length=16)
    meaning: str = Field(min_length=1, max_length=64)
    scheme: str = Field(default="SCT", min_length=1, max_length=16)


class Task(Section):
    """What is segmented: the classes, the windows that show them and the region that holds them."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    """The model's name for MONAI Label's clients."""
    title: str
    description: str = ""
    classes: tuple[str, ...] = Field(min_length=1, max_length=253)
    """K class names; class k has mask value k + 1, background is 0."""
    windows: tuple[Window, ...] = Field(min_length=1)
    """The network's input channels; g sees the first."""
    region: str = "body"
    """Where the classes can lie, by a name of `segment.regions`: f sees that part of a slice alone."""

    codes: dict[str, Code] = Field(default_factory=dict)
    """What each class is, by its name; and `category` and `region`, what all are and where. Only a PACS needs them."""

    @field_validator("classes")
    @classmethod
    def _names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(classes)) != len(classes) or "background" in classes:
            raise ValueError(f"class names must differ from each other and from 'background': {', '.join(classes)}")
        return classes

    @property
    def label_names(self) -> dict[str, int]:
        """Class name to mask value (1..K)."""
        return {name: value for value, name in enumerate(self.classes, start=1)}
