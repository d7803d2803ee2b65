"""A running server over sixty proposals, and Slicer without a screen in front of it."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import pytest

from ..server.conftest import AppServer, make_app, routes, serve_app
from ..server.desk.conftest import desk, sixty, sixty_folder
from .qt_without_screen import MainWindow, Settings

__all__ = ["desk", "make_app", "routes", "serve_app", "sixty", "sixty_folder"]

EXTENSION = Path(__file__).parents[2] / "clients" / "slicer"


def library(name: str) -> ModuleType:
    """A file of the module's library, as the module imports it."""
    folder = str(EXTENSION / "RecursiveReview")
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module(f"RecursiveReviewLib.{name}")


@functools.cache
def review_module() -> ModuleType:
    """Our module, as Slicer loads it."""
    from .slicer_application import load_module

    return load_module(EXTENSION / "RecursiveReview" / "RecursiveReview.py")


class Radiologist:
    """A person in front of Slicer with our module open.

    Attributes:
        widget: the module's.
        slicer: the application.
    """

    def __init__(self, url: str, folder: Path, name: str = "ann") -> None:
        from .slicer_application import Dialogs, start

        Settings.values = {"RecursiveReview/address": url, "RecursiveReview/reviewer": name}
        self.module = review_module()
        self.slicer: Any = start(Dialogs(), folder)
        self.window: MainWindow = self.slicer.util.mainWindow()
        self.widget = self.module.RecursiveReviewWidget(MagicMock(name="parent"))
        self.widget.setup()
        self.widget.enter()

    @property
    def session(self) -> Any:
        return self.widget.session

    @property
    def case(self) -> Any:
        return self.session.case

    @property
    def message(self) -> str:
        return str(self.widget.ui.message.text)

    def connect(self) -> None:
        self.widget.ui.connectButton.click()

    def press(self, key: str) -> str | None:
        """Press a key; the case that it was pressed on."""
        before = self.case.item.case_id if self.case is not None else None
        assert self.window.press(key) == 1
        return before


@pytest.fixture
def radiologist(desk: AppServer, tmp_path: Path) -> Iterator[Callable[..., Radiologist]]:
    """Sit down at Slicer, connected; one at a time, for the scene is the application's."""
    opened: list[Radiologist] = []

    def _radiologist(name: str = "ann", *, connect: bool = True) -> Radiologist:
        opened.append(Radiologist(desk.url, tmp_path, name))
        if connect:
            opened[-1].connect()
        return opened[-1]

    yield _radiologist
    for each in opened:
        each.widget.cleanup()
