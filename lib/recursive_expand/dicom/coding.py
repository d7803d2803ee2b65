"""What DICOM calls the classes: SNOMED CT codes and colours, and UIDs made from content."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from highdicom.sr import CodedConcept

from recursive_expand.errors import InputError

_NAMESPACE = uuid.UUID("5f0c1b52-93a8-5d0e-9a52-1c3c2f6b7d10")

# PS3.3 C.10.7.1.1: L, a, b scaled to 16 bits. Red, blue, yellow, magenta, green: told apart on grey, also when printed.
_COLOURS = (
    (34892, 53473, 50210),
    (21167, 53213, 5160),
    (63636, 27213, 56926),
    (39518, 58020, 17222),
    (57505, 10765, 54161),
    (59720, 20574, 29188),
)


@dataclass(frozen=True)
class Code:
    """A coded concept.

    Attributes:
        value: the code.
        meaning: what it says, for people.
        scheme: SCT is SNOMED CT.
    """

    value: str
    meaning: str
    scheme: str = "SCT"

    @property
    def concept(self) -> CodedConcept:
        """As highdicom takes it."""
        return CodedConcept(self.value, self.scheme, self.meaning)


@dataclass(frozen=True)
class Coding:
    """The codes of a task's classes.

    Attributes:
        classes: class names; class k is segment k + 1, which is its mask value.
        types: what each class is.
        category: what all of them are.
        region: where they are.
    """

    classes: tuple[str, ...]
    types: tuple[Code, ...]
    category: Code
    region: Code

    def __post_init__(self) -> None:
        if len(self.types) != len(self.classes):
            raise ValueError(f"{len(self.types)} codes for {len(self.classes)} classes")


@dataclass(frozen=True)
class Origin:
    """Where a mask and its judgement come from; with the content this makes the UIDs: repeating changes nothing.

    Attributes:
        case_id: whose they are.
        round: the round that proposed the mask.
        verdict: what names the newest verdict behind it.
        model_sha256: the weights that proposed it; None for untrained ones.
        ts: when the verdict was given, ISO 8601.
        version: of this software.
        expert: an expert drew the mask; else a verdict left it.
        tool: who made the mask, where it was imported: `model_sha256` is then that of the file.
    """

    case_id: str
    round: int
    verdict: str
    model_sha256: str | None
    ts: str
    version: str
    expert: bool = False
    tool: str | None = None


def uid_of(*parts: object) -> str:
    """A UID that these parts make: always the same one (PS3.5 B.2)."""
    return f"2.25.{uuid.uuid5(_NAMESPACE, '|'.join(map(str, parts))).int}"


def colour(value: int) -> list[int]:
    """RecommendedDisplayCIELabValue of a mask value (1 and more)."""
    return list(_COLOURS[(value - 1) % len(_COLOURS)])


def coding_of(classes: Sequence[str], codes: Mapping[str, Any]) -> Coding:
    """The codes that task.yaml gives its classes.

    Args:
        classes: class names.
        codes: by class name, and `category` and `region`: objects with value, meaning and scheme.

    Raises:
        InputError: where one is missing.
    """
    missing = [name for name in (*classes, "category", "region") if name not in codes]
    if missing:
        raise InputError("task.yaml", f"codes: names none for {', '.join(missing)}; DICOM objects need one each")
    made = {name: Code(code.value, code.meaning, code.scheme) for name, code in codes.items()}
    return Coding(tuple(classes), tuple(made[name] for name in classes), made["category"], made["region"])
