"""The module's keys in Slicer's main window, while the module is open and not longer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import qt


class Shortcuts:
    """Keys of the main window.

    Slicer's modules stay alive when another one is opened: keys that were not released would still judge.

    Args:
        window: Slicer's main window.
        actions: what is done, by key in Qt's spelling.
    """

    def __init__(self, window: Any, actions: Mapping[str, Callable[[], None]]) -> None:
        self._window, self._actions = window, dict(actions)
        self._installed: list[Any] = []

    @property
    def installed(self) -> bool:
        """Whether the keys are listened to."""
        return bool(self._installed)

    def install(self) -> None:
        """Listen to the keys; again is harmless."""
        if self._installed or self._window is None:
            return
        for key, act in self._actions.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), self._window)
            # A key that is held judges once.
            shortcut.setAutoRepeat(False)
            shortcut.activated.connect(act)
            self._installed.append(shortcut)

    def release(self) -> None:
        """Leave the keys to Slicer again."""
        for shortcut in self._installed:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._installed.clear()
