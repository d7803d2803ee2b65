"""The models and strategies that a request may name."""

from __future__ import annotations

from typing import Literal

from fastapi import HTTPException
from monailabel.interfaces.utils.app import app_instance


def check_offered(name: str, section: Literal["models", "trainers", "strategies"]) -> None:
    """Refuse a name that GET /info/ does not list.

    Raises:
        HTTPException: 404.
    """
    # Not by info(): it counts and reads for every caller.
    offered = getattr(app_instance(), {"models": "_infers"}.get(section, f"_{section}"))
    if name not in offered:
        raise HTTPException(404, f"there is no {name[:40]!a} among the {section}; GET /info/ lists them")
