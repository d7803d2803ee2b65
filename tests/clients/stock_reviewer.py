"""3D Slicer with its MONAILabelReviewer, without a screen: the source in the monailabel wheel, unmodified."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from numpy.typing import NDArray

from .qt_without_screen import Settings
from .slicer_application import Dialogs, load_module, start

PLUGIN = Path(sys.prefix) / "monailabel" / "plugins" / "slicer" / "MONAILabelReviewer"


@functools.cache
def reviewer_module() -> ModuleType:
    """The module, as Slicer loads it."""
    return load_module(PLUGIN / "MONAILabelReviewer.py")


class StockReviewer:
    """A reviewer's Slicer.

    Args:
        url: the server.
        folder: for temporary files.
        name: what the reviewer types into the field Reviewer.
    """

    def __init__(self, url: str, folder: Path, name: str) -> None:
        Settings.values = {"MONAILabel/serverUrlHistory": url}
        dialogs = Dialogs()
        self.warnings = dialogs.warnings
        self.slicer: Any = start(dialogs, folder)
        self.widget = reviewer_module().MONAILabelReviewerWidget(MagicMock(name="parent"))
        self.widget.setup()
        self.ui = self.widget.ui
        self.ui.btn_reviewers_mode.click()
        self.ui.comboBox_reviewers.currentText = name
        self.ui.btn_connect_monai.click()
        self.ui.comboBox_clients.currentText = "All"
        self.ui.btn_load.click()

    @property
    def cases(self) -> list[str]:
        """Ids of the case list, in order."""
        return [case.getName() for case in self.widget.listImageData]

    @property
    def case(self) -> str:
        """The case on the screen."""
        return str(self.widget.currentImageData.getName())

    @property
    def label(self) -> str:
        """The label version on the screen."""
        return str(self.ui.comboBox_label_version.currentText)

    def voxels(self) -> NDArray[np.bool_]:
        """(k, j, i): where the shown mask has anything, on the shown scan."""
        scene, util = self.slicer.mrmlScene, self.slicer.util
        volume = scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
        node = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
        segmentation = node.GetSegmentation()
        found = np.zeros(volume.GetImageData().GetDimensions()[::-1], bool)
        for number in range(segmentation.GetNumberOfSegments()):
            segment_id = segmentation.GetNthSegmentID(number)
            found |= util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume) > 0
        return found
