"""3D Slicer with its stock MONAI Label module, without a screen: real MRML nodes, real requests, no Qt.

The module's source is the one that the monailabel wheel installs, unmodified.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
from numpy.typing import NDArray

from ..clients.qt_without_screen import Settings
from ..clients.slicer_application import Dialogs, load_module, start

PLUGIN = Path(sys.prefix) / "monailabel" / "plugins" / "slicer" / "MONAILabel"


class StockSlicer:
    """One radiologist's Slicer. Only one exists at a time: the scene is the application's.

    Args:
        url: the MONAI Label server.
        folder: where Slicer keeps its temporary files.
        client_id: the user's name in Slicer's settings.

    Attributes:
        errors, warnings, messages: texts of the dialogs that Slicer showed, each with its details.
        widget: the stock module's widget.
    """

    def __init__(self, url: str, folder: Path, client_id: str = "radiologist") -> None:
        dialogs = Dialogs()
        self.errors, self.warnings, self.messages = dialogs.errors, dialogs.warnings, dialogs.messages
        self._url = url
        Settings.values = {"MONAILabel/clientId": client_id}
        self.module = _stock_module()
        self._slicer = start(dialogs, folder)
        self.widget = self.module.MONAILabelWidget(MagicMock(name="parent"))
        self.widget.setup()

    def __enter__(self) -> StockSlicer:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave Slicer: a widget that still observed its scene would be called after its end."""
        self.widget.cleanup()

    def connect(self) -> None:
        """Enter the server's address and press the button beside it."""
        self.widget.ui.serverComboBox.currentText = self._url
        self._watched(self.widget.onClickFetchInfo)

    def next_sample(self) -> str | None:
        """Press Next Sample, which also runs inference as the module's default settings have it.

        Returns:
            The id of the case shown, None when the server has none left.
        """
        self._watched(self.widget.onNextSampleButton)
        sample = self.widget.current_sample
        return sample["id"] if sample else None

    def run_inference(self) -> None:
        """Press Run in the section Auto Segmentation."""
        self._watched(self.widget.onClickSegmentation)

    def submit(self) -> None:
        """Press Submit Label."""
        self._watched(self.widget.onSaveLabel)

    @property
    def volume(self) -> NDArray:
        """Voxels of the volume shown, (k, j, i)."""
        return self._slicer.util.arrayFromVolume(self.widget._volumeNode)

    @property
    def segments(self) -> dict[str, NDArray[np.bool_]]:
        """Segment name to its voxels on the volume's grid, (k, j, i), in the order of the segments' list."""
        segmentation = self.widget._segmentNode.GetSegmentation()
        ids = [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]
        return {segmentation.GetSegment(i).GetName(): self._voxels(i) > 0 for i in ids}

    def set_segment(self, name: str, voxels: NDArray[np.bool_]) -> None:
        """Draw a segment anew, by the function through which the segment editor's effects do.

        Args:
            name: the segment's name.
            voxels: (k, j, i) on the volume's grid.
        """
        slicer, node = self._slicer, self.widget._segmentNode
        segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
        drawn = slicer.modules.volumes.logic().CreateAndAddLabelVolume(self.widget._volumeNode, "drawn")
        slicer.util.updateVolumeFromArray(drawn, voxels.astype(np.uint8))
        logic = slicer.vtkSlicerSegmentationsModuleLogic
        labelmap = logic.CreateOrientedImageDataFromVolumeNode(drawn)
        slicer.mrmlScene.RemoveNode(drawn)
        labelmap.UnRegister(None)
        assert logic.SetBinaryLabelmapToSegment(labelmap, node, segment_id, logic.MODE_REPLACE), f"{name} is not drawn"

    def clear_segments(self) -> None:
        """Empty every segment; the segments stay in the list."""
        for name, voxels in self.segments.items():
            self.set_segment(name, np.zeros_like(voxels))

    def clear_slice(self, k: int) -> None:
        """Erase every segment on one slice of the volume's third axis."""
        for name, voxels in self.segments.items():
            kept = voxels.copy()
            kept[k] = False
            if (kept != voxels).any():
                self.set_segment(name, kept)

    def _voxels(self, segment_id: str) -> NDArray[np.uint8]:
        util, widget = self._slicer.util, self.widget
        return util.arrayFromSegmentBinaryLabelmap(widget._segmentNode, segment_id, widget._volumeNode)

    def _watched(self, press: Any) -> None:
        """Run a button's handler; VTK only prints what an observer raises, so that is kept as an error here."""
        hook = sys.excepthook
        sys.excepthook = lambda kind, error, _: self.errors.append(f"{kind.__name__} in an observer: {error}")
        try:
            press()
        finally:
            sys.excepthook = hook


@functools.cache
def _stock_module() -> ModuleType:
    return load_module(PLUGIN / "MONAILabel.py")
