"""How a proposal is read: what goes to the server with each verdict."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

VERSION = "slicer-0.1.0"
"""Of this client, as verdicts carry it."""


def make_id() -> str:
    """An id that nobody else makes."""
    return secrets.token_hex(16)


class Reading:
    """The clock of one proposal on the screen; it starts when it is made.

    Args:
        position: place in the session, from 0.
        now: seconds since the epoch.
    """

    def __init__(self, position: int, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._position = position
        self._first_paint = self._since = now()
        self._first_input: float | None = None
        self._visible = self._overlay_off = 0.0
        self._here, self._overlay = True, True
        self._slices: set[int] = set()

    def touch(self) -> None:
        """The reader did something that is no verdict."""
        if self._first_input is None:
            self._first_input = self._now()

    def see(self, number: int) -> None:
        """A slice was drawn."""
        self._slices.add(number)

    def overlay(self, shown: bool) -> None:
        """The segmentation was shown or hidden."""
        self._count()
        self._overlay = shown

    def here(self, here: bool) -> None:
        """The reader left for another module, or came back."""
        self._count()
        self._here = here

    def facts(
        self, *, session: str, seed: int, level: float, width: float, zoom: float, by_key: bool
    ) -> dict[str, Any]:
        """The fields of `reading` in POST /recursive/desk/verdicts.

        Args:
            session: id of this run of the module.
            seed: what the queue's order rests on.
            level, width: the display window, in HU.
            zoom: 1 where the image fills its view.
            by_key: whether a key gave the verdict; else the mouse.
        """
        self._count()
        return {
            "session": session,
            "seed": seed,
            "position": self._position,
            "first_paint": self._first_paint,
            "first_input": self._first_input,
            "decided": self._since,
            "visible_seconds": self._visible,
            "slices_seen": sorted(self._slices),
            "window_level": level,
            "window_width": max(width, 1e-3),
            "zoom": zoom,
            "overlay": self._overlay,
            "overlay_off_seconds": self._overlay_off,
            "view": "case",
            "input_device": "keyboard" if by_key else "mouse",
            "client_version": VERSION,
        }

    def _count(self) -> None:
        # The clock of a machine may be set back; no time is negative.
        now = max(self._now(), self._since)
        if self._here:
            self._visible += now - self._since
            self._overlay_off += 0.0 if self._overlay else now - self._since
        self._since = now
