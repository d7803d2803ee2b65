"""3D Slicer with its stock MONAI Label module, without a screen: real MRML nodes, real requests, no Qt.

The module's source is the one that the monailabel wheel installs, unmodified. `slicer-core` brings MRML and its
modules' logic; what Slicer's Qt application adds around them (loading, saving, dialogs) stands here.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import requests
from numpy.typing import NDArray

from .qt_without_screen import Settings, ctk_module, qt_module, widgets_of

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
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.messages: list[str] = []
        self._url = url
        Settings.values = {"MONAILabel/clientId": client_id}
        self.module = _load_module()
        self._slicer = _application(self, folder)
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
def _load_module() -> ModuleType:
    import slicer
    import slicer_core.vtkSegmentationCore

    stubs = {
        "qt": qt_module(),
        "ctk": ctk_module(),
        "SampleData": SimpleNamespace(SampleDataLogic=_SampleDataLogic),
        "sitkUtils": SimpleNamespace(PushVolumeToSlicer=_push_volume),
        "DICOMLib": MagicMock(name="DICOMLib"),
        "vtkSegmentationCore": slicer_core.vtkSegmentationCore,
        "slicer.i18n": SimpleNamespace(tr=lambda text: text, translate=lambda _context, text: text),
        "slicer.ScriptedLoadableModule": _scripted_loadable_module(),
    }
    sys.modules.update(stubs)  # for good: slicer.util imports qt when it is called
    slicer.app = MagicMock(name="slicer.app")
    sys.path.append(str(PLUGIN))  # MONAILabelLib, the module's own copy of the client
    spec = importlib.util.spec_from_file_location("MONAILabel", PLUGIN / "MONAILabel.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _application(dialogs: StockSlicer, folder: Path) -> ModuleType:
    """Give the package `slicer` a fresh scene and what its Qt application would put around it."""
    import slicer
    import slicer.util
    import vtk

    vtk.vtkObject.GlobalWarningDisplayOff()  # each volume warns that colour tables are missing: slicer-core has none
    scene = slicer.vtkMRMLScene()
    volumes, segmentations = slicer.vtkSlicerVolumesLogic(), slicer.vtkSlicerSegmentationsModuleLogic()
    for logic in (volumes, segmentations):
        logic.SetMRMLScene(scene)
    slicer.mrmlScene = scene
    slicer.modules = SimpleNamespace(
        volumes=SimpleNamespace(logic=lambda: volumes), segmentations=SimpleNamespace(logic=lambda: segmentations)
    )

    def display(kept: list[str]) -> Any:
        return lambda text, *_, detailedText="", **__: kept.append(f"{text}\n{detailedText}")

    def load_volume(filename: str, *_: object, **__: object) -> Any:
        node = volumes.AddArchetypeVolume(str(filename), Path(filename).name.split(".")[0])
        if node is None:
            raise RuntimeError(f"Failed to load {filename}")
        return node

    def save_node(node: Any, filename: str, *_: object, **__: object) -> bool:
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        storage.SetFileName(str(filename))
        return bool(storage.WriteData(node))

    util: Any = slicer.util
    util.errorDisplay = display(dialogs.errors)
    util.warningDisplay = display(dialogs.warnings)
    util.infoDisplay = display(dialogs.messages)
    util.confirmOkCancelDisplay = lambda *_, **__: True
    util.createProgressDialog = lambda *_, **__: MagicMock(name="progress")
    util.mainWindow = lambda: None
    util.tempDirectory = lambda key="", *_, **__: tempfile.mkdtemp(prefix=key, dir=folder)
    util.loadUI = lambda path: MagicMock(widgets=widgets_of(path))
    util.childWidgetVariables = lambda widget: widget.widgets
    util.loadVolume = load_volume
    util.saveNode = save_node
    return slicer


def _scripted_loadable_module() -> ModuleType:
    """Slicer's base classes of scripted modules, without their Qt."""
    import slicer

    class ScriptedLoadableModule:
        def __init__(self, parent: Any) -> None:
            self.parent = parent

    class ScriptedLoadableModuleWidget:
        def __init__(self, parent: Any) -> None:
            self.parent = parent
            self.layout = MagicMock(name="layout")

        def setup(self) -> None:
            pass

        def resourcePath(self, name: str) -> Path:  # noqa: N802
            return PLUGIN / "Resources" / name

    class ScriptedLoadableModuleLogic:
        def getParameterNode(self) -> Any:  # noqa: N802
            node = slicer.mrmlScene.GetSingletonNode("MONAILabel", "vtkMRMLScriptedModuleNode")
            if node is None:
                node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
                node.UnRegister(None)
                node.SetSingletonTag("MONAILabel")
                node = slicer.mrmlScene.AddNode(node)
            return node

    module = ModuleType("slicer.ScriptedLoadableModule")
    module.__dict__.update(
        ScriptedLoadableModule=ScriptedLoadableModule,
        ScriptedLoadableModuleWidget=ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic=ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest=object,
    )
    return module


class _SampleDataLogic:
    """Slicer's SampleData: downloads an image when the server's path does not exist on this machine."""

    def downloadFromURL(  # noqa: N802
        self, *, nodeNames: str, fileNames: str, uris: str, checksums: str | None
    ) -> list[Any]:
        import slicer

        answer = requests.get(uris, timeout=60)
        answer.raise_for_status()
        path = Path(tempfile.mkdtemp()) / fileNames
        path.write_bytes(answer.content)
        node = slicer.util.loadVolume(str(path))
        node.SetName(nodeNames)
        return [node]


def _push_volume(image: Any, _target: None, *, className: str) -> Any:
    """sitkUtils.PushVolumeToSlicer: a SimpleITK image (LPS) as a new MRML volume (RAS)."""
    import SimpleITK as sitk
    import slicer

    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    ijk_to_lps[:3, 3] = image.GetOrigin()
    ijk_to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ijk_to_lps
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), ijk_to_ras, nodeClassName=className)
