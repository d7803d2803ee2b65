"""What a reader can do, under which key, and why a proposal is rejected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    """One thing that a reader does.

    Attributes:
        name: of the button in the panel, and of what the panel does then.
        text: on the button; `key`, in Qt's spelling, stands behind it.
        reason: with which it rejects, as the server keeps it.
    """

    name: str
    text: str
    key: str
    reason: str | None = None

    @property
    def label(self) -> str:
        """What the button says."""
        return f"{self.text} ({self.key.upper()})"


ACTIONS = (
    Action("accept", "Accept", "a"),
    Action("reject", "Reject", "x"),
    Action("reason1", "Bone, calcification", "1", "bone_or_calcification"),
    Action("reason2", "Artefact", "2", "artefact"),
    Action("reason3", "Wrong class", "3", "wrong_class"),
    Action("reason4", "Misses most", "4", "misses_most"),
    Action("reason5", "Not sure", "5", "not_sure"),
    Action("reason6", "Other", "6", "other"),
    Action("slice", "This slice is wrong", "s"),
    Action("undo", "Undo", "u"),
    Action("next", "Next", "n"),
    Action("window", "Next window", "w"),
    Action("comment", "Comment", "c"),
)


@dataclass(frozen=True)
class Window:
    """A display window in HU."""

    name: str
    level: float
    width: float


WINDOWS = (
    Window("Brain", 40, 80),
    Window("Subdural", 80, 200),
    Window("Stroke", 32, 8),
    Window("Bone", 600, 2800),
)
"""Presets, as the review desk in the browser has them."""
