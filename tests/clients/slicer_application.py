"""3D Slicer without a screen: real MRML nodes and modules' logic of `slicer-core`, and what its Qt application adds.

Loading, saving, dialogs and the base classes of scripted modules stand here; Qt itself is in `qt_without_screen`.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import requests

from .qt_without_screen import MainWindow, ctk_module, qt_module, widgets_of


@dataclass
class Dialogs:
    """Texts of the dialogs that Slicer showed, each with its details."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)


def load_module(file: Path) -> ModuleType:
    """A scripted module's file as Slicer's Python would run it; its folder is on the path, for its library.

    Modules are loaded once in a process: give the result to `functools.cache`.
    """
    _install()
    sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _install() -> None:
    """Put the stand-ins into `sys.modules`, once and for good: `slicer.util` imports qt when it is called."""
    if "qt" in sys.modules:
        return
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
    sys.modules.update(stubs)
    slicer.app = MagicMock(name="slicer.app")
    slicer.qMRMLSegmentEditorWidget = MagicMock(name="slicer.qMRMLSegmentEditorWidget")


def start(dialogs: Dialogs, folder: Path) -> ModuleType:
    """Give the package `slicer` a fresh scene, with one axial view, and what its Qt application would put around it.

    Args:
        dialogs: what is shown to the user goes there.
        folder: for temporary files.
    """
    import slicer
    import slicer.util
    import vtk

    vtk.vtkObject.GlobalWarningDisplayOff()  # each volume warns that colour tables are missing: slicer-core has none
    scene = slicer.vtkMRMLScene()
    volumes, segmentations = slicer.vtkSlicerVolumesLogic(), slicer.vtkSlicerSegmentationsModuleLogic()
    for logic in (volumes, segmentations):
        logic.SetMRMLScene(scene)
    slicer.mrmlScene = scene
    red = slicer.vtkMRMLSliceNode()
    red.SetLayoutName("Red")
    red.SetSingletonTag("Red")
    scene.AddNode(red)
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

    def load_segmentation(filename: str, *_: object, **__: object) -> Any:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", Path(filename).name.split(".")[0])
        storage = node.CreateDefaultStorageNode()
        storage.SetFileName(str(filename))
        if not storage.ReadData(node):
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
    window = MainWindow()
    util.mainWindow = lambda: window
    util.setSliceViewerLayers = lambda *_, **__: None
    util.tempDirectory = lambda key="", *_, **__: tempfile.mkdtemp(prefix=key, dir=folder)
    util.loadUI = lambda path: MagicMock(widgets=widgets_of(path))
    util.childWidgetVariables = lambda widget: widget.widgets
    util.loadVolume = load_volume
    util.loadSegmentation = load_segmentation
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
            self.moduleName = type(self).__name__.removesuffix("Widget")
            self.layout = MagicMock(name="layout")

        def setup(self) -> None:
            pass

        def resourcePath(self, name: str) -> Path:  # noqa: N802
            return Path(sys.modules[self.moduleName].__file__ or "").parent / "Resources" / name

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
        ScriptedLoadableModuleTest=unittest.TestCase,
    )
    return module


class _SampleDataLogic:
    """Slicer's SampleData: downloads an image when the server's path does not exist on this machine."""

    def downloadFromURL(  # noqa: N802
        self, *, nodeNames: str, fileNames: str, uris: str, checksums: str | None = None
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
