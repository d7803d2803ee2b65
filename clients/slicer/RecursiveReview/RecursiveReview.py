"""The module in Slicer: its panel, its keys, and the session behind them."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer
import vtk
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

from RecursiveReviewLib.actions import ACTIONS, WINDOWS
from RecursiveReviewLib.case import Case, Fetched, red_slice
from RecursiveReviewLib.client import Client, Item, ServerError
from RecursiveReviewLib.nrrd import Mask
from RecursiveReviewLib.session import UNUSABLE, Session
from RecursiveReviewLib.shortcuts import Shortcuts

SETTINGS = "RecursiveReview"
"""Where the address and the reader's name are kept; a password never is."""
FIELDS = ("address", "reviewer", "user", "password")
"""Lines that say who reads where."""
TICK_MILLISECONDS = 20


class RecursiveReview(ScriptedLoadableModule):
    """The module's description."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "Recursive Review"
        parent.categories = ["Active Learning"]
        parent.dependencies = ["Segmentations", "Volumes"]
        parent.contributors = ["Recursive ICH contributors"]
        parent.helpText = (
            "Accept or reject the masks that a Recursive ICH server proposes, one key each. Not for clinical use."
        )
        parent.acknowledgementText = "The method is that of Parida et al., 2020: Train, Learn, Expand, Repeat."


class RecursiveReviewWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel. What it does is in `RecursiveReviewLib.session`; here it is tied to buttons and keys."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.session: Session | None = None
        self._folder: Path | None = None
        self._signing_in = False

    def setup(self) -> None:
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/RecursiveReview.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        settings = qt.QSettings()
        self.ui.address.setText(settings.value(f"{SETTINGS}/address") or "http://127.0.0.1:8000")
        self.ui.reviewer.setText(settings.value(f"{SETTINGS}/reviewer") or "")
        self._show_sign_in(False)
        self.ui.connectButton.clicked.connect(lambda *_: self.connect_to_server())
        for name in FIELDS:
            getattr(self.ui, name).returnPressed.connect(lambda: self.connect_to_server())
        for action in ACTIONS:
            button = getattr(self.ui, action.name)
            button.setText(action.label)
            button.clicked.connect(lambda *_, name=action.name: self.act(name, by_key=False))
        for number, window in enumerate(WINDOWS, start=1):
            button = getattr(self.ui, f"preset{number}")
            button.setText(window.name)
            button.setToolTip(f"level {window.level:g}, width {window.width:g} HU")
            button.clicked.connect(lambda *_, window=window: self._set_window(window.level, window.width))
        self.ui.commentText.returnPressed.connect(lambda: self.ui.commentText.clearFocus())
        self._window = 0
        self.shortcuts = Shortcuts(
            slicer.util.mainWindow(),
            {action.key: lambda name=action.name: self.act(name, by_key=True) for action in ACTIONS},
        )
        self._timer = qt.QTimer()
        self._timer.setInterval(TICK_MILLISECONDS)
        self._timer.timeout.connect(self.tick)
        self._update()

    def enter(self) -> None:
        """The module is opened: its keys are listened to."""
        self.shortcuts.install()
        self._timer.start()
        if self.session is not None:
            self.session.here(True)

    def exit(self) -> None:
        """Another module is opened: the keys are Slicer's again."""
        self.shortcuts.release()
        if self.session is not None:
            self.session.here(False)

    def cleanup(self) -> None:
        """The module is unloaded, or Slicer ends: nothing of it stays."""
        self.shortcuts.release()
        self._timer.stop()
        self._end_session()

    def connect_to_server(self) -> None:
        """Begin a session; where the server has accounts, ask for one first."""
        reviewer = _text(self.ui.user if self._signing_in else self.ui.reviewer)
        with self._told():
            client = Client(_text(self.ui.address), reviewer)
            if client.needs_sign_in():
                if not self._signing_in or not reviewer:
                    self._show_sign_in(True)
                    raise ServerError("This server has accounts: give your user name and password, then Connect again.")
                client.sign_in(reviewer, _text(self.ui.password))
            else:
                if self._signing_in:
                    self._show_sign_in(False)
                    client.reviewer = reviewer = _text(self.ui.reviewer)
                if not reviewer:
                    raise ServerError("Who reads? Give your name: it goes with each verdict.")
            self._end_session()
            self._folder = Path(tempfile.mkdtemp(prefix="recursive-review-"))
            self.session = Session(client, self._folder)
            settings = qt.QSettings()
            settings.setValue(f"{SETTINGS}/address", client.url)
            if not self._signing_in:
                settings.setValue(f"{SETTINGS}/reviewer", client.reviewer)
            self._timer.start()
            self.ui.password.setText("")
            for name in FIELDS:
                # A line that kept the focus would swallow the keys.
                getattr(self.ui, name).clearFocus()
            self._show(self.session.next())
        self._update()

    def act(self, name: str, *, by_key: bool) -> None:
        """Do what a button or a key says; see `actions.ACTIONS`."""
        session = self.session
        if session is None or (session.case is None and name not in ("next", "undo")):
            return
        reason = next(action.reason for action in ACTIONS if action.name == name)
        before = session.case
        with self._told():
            if name == "accept":
                session.accept(comment=self._comment(), by_key=by_key)
            elif name == "reject" or reason is not None:
                session.reject(reason, comment=self._comment(), by_key=by_key)
            elif name == "slice":
                session.toggle_slice()
            elif name == "undo":
                session.undo()
            elif name == "next":
                session.next()
            elif name == "window":
                self._window = (self._window + 1) % len(WINDOWS)
                self._set_window(WINDOWS[self._window].level, WINDOWS[self._window].width)
            elif name == "comment":
                self.ui.commentText.setFocus()
        if session.case is not before:
            self._show(session.case)
        self._update()

    def tick(self) -> None:
        """Let the work beside go on."""
        if self.session is not None and self.session.tick():
            self._update()

    def _show(self, case: Case | None) -> None:
        self.removeObservers()
        self.ui.commentText.setText("")
        if case is None:
            return
        slicer.util.setSliceViewerLayers(background=case.volume, fit=True)
        # To fit the views moves them.
        case.go_to(case.item.slices[len(case.item.slices) // 2])
        for node in (red_slice(), case.segmentation.GetDisplayNode()):
            if node is not None:
                self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._on_view)

    def _on_view(self, *_: object) -> None:
        if self.session is not None:
            self.session.looked()
            self._update_slice()

    def _set_window(self, level: float, width: float) -> None:
        if self.session is not None:
            self.session.set_window(level, width)

    def _comment(self) -> str:
        return _text(self.ui.commentText)

    def _show_sign_in(self, shown: bool) -> None:
        self._signing_in = shown
        for name in ("user", "password"):
            getattr(self.ui, name).setVisible(shown)
            getattr(self.ui, f"{name}Label").setVisible(shown)
        for name in ("reviewer", "reviewerLabel"):
            getattr(self.ui, name).setVisible(not shown)

    def _end_session(self) -> None:
        self.removeObservers()
        if self.session is not None:
            self.session.close()
        self.session = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the server refuses stands in the panel; no dialog is in the way of the next key."""
        try:
            yield
        except (ServerError, *UNUSABLE) as error:
            if getattr(error, "status", None) == 401:
                self._show_sign_in(True)
            if self.session is not None:
                self.session.message = str(error)
            else:
                self.ui.message.setText(str(error))

    def _update(self) -> None:
        session = self.session
        for action in ACTIONS:
            idle = session is None or (session.case is None and action.name not in ("next", "undo"))
            getattr(self.ui, action.name).setEnabled(not idle)
        if session is None:
            return
        done, total = session.progress
        self.ui.progress.setMaximum(max(total, 1))
        self.ui.progress.setValue(done)
        self.ui.message.setText(session.message)
        self._update_slice()

    def _update_slice(self) -> None:
        session = self.session
        case = session.case if session is not None else None
        if session is None or case is None:
            self.ui.caseFacts.setText("")
            return
        item = case.item
        lines = [f"{item.case_id} · round {item.round} · {', '.join(item.classes)}"]
        number = case.slice_shown
        if number is not None:
            marked = "marked" if number in item.slices else "nothing marked"
            lines.append(f"slice {number} · {'wrong' if number in session.wrong else marked}")
            said = item.image_labels.get(str(number), item.image_labels.get("case"))
            if said is not None:
                lines.append(f"labelled: {', '.join(said) or 'no bleed'}")
        if session.wrong:
            lines.append(f"wrong: slices {', '.join(map(str, sorted(session.wrong)))}; Accept takes the others")
        self.ui.caseFacts.setText("\n".join(lines))


class RecursiveReviewTest(ScriptedLoadableModuleTest):
    """Slicer's own test of the module: a proposal becomes a segmentation on its scan, without a server."""

    def setUp(self) -> None:
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self, *_: object, **__: object) -> None:
        """Run all."""
        self.setUp()
        self.test_a_proposal_lies_on_its_scan()

    def test_a_proposal_lies_on_its_scan(self) -> None:
        """Values, names and voxels."""
        hu = np.zeros((3, 8, 8), np.int16)
        drawn = slicer.util.addVolumeFromArray(hu)
        folder = Path(tempfile.mkdtemp())
        slicer.util.saveNode(drawn, str(folder / "scan.nrrd"))
        slicer.mrmlScene.RemoveNode(drawn)
        voxels = np.zeros((8, 8, 3), np.uint8)
        voxels[2:4, 3:5, 1] = 2
        item = Item("scan", "0" * 64, 0, (1,), ("b",), {})
        case = Case(Fetched(item, folder / "scan.nrrd", Mask(voxels, None)), ("a", "b"))
        segment = case.segmentation.GetSegmentation().GetSegment("b")
        self.assertEqual((segment.GetName(), segment.GetLabelValue()), ("b", 2))
        shown = slicer.util.arrayFromSegmentBinaryLabelmap(case.segmentation, "b", case.volume)
        np.testing.assert_array_equal(shown > 0, voxels.transpose(2, 1, 0) > 0)
        case.remove()
        shutil.rmtree(folder)


def _text(field: Any) -> str:
    """What stands in a line."""
    return str(field.text).strip()
