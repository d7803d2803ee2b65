"""Draw the Slicer extension's icon and pictures (needs slicer-core; the panel, which PySide6 draws, with `--panel`)."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
EXTENSION = REPOSITORY / "clients" / "slicer"
MODULE = EXTENSION / "RecursiveReview"
CASE_SEED, SIZE, SLICES = 8, 256, 14


def draw_icon(path: Path) -> None:
    """A slice of a head with an outlined bleed, and the tick that accepts it: 128 x 128."""
    from PIL import Image, ImageDraw

    scale = 8
    image = Image.new("RGBA", (128 * scale, 128 * scale))
    draw = ImageDraw.Draw(image)

    def at(*numbers: float) -> list[float]:
        return [number * scale for number in numbers]

    draw.ellipse(at(16, 4, 112, 124), fill="#e8ebf0")
    draw.ellipse(at(22, 10, 106, 118), fill="#39414f")
    draw.line(at(64, 14, 64, 114), fill="#566072", width=2 * scale)
    draw.ellipse(at(30, 34, 60, 70), fill="#b4bcc9", outline="#e69f00", width=4 * scale)
    draw.line(at(58, 88, 76, 106, 116, 58), fill="#6fd58f", width=11 * scale, joint="curve")
    image.resize((128, 128), Image.Resampling.LANCZOS).save(path, optimize=True)


def draw_proposal(path: Path) -> None:
    """What the module puts into the scene, read out of its nodes and drawn: scan, window, outlines, names, colours."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    import slicer
    import vtk
    from matplotlib import pyplot

    from recursive_expand.archives.images import write_volume
    from recursive_expand.cases import Geometry, Volume
    from recursive_expand.phantom import CLASSES, make_head

    sys.path.insert(0, str(MODULE))
    vtk.vtkObject.GlobalWarningDisplayOff()
    scene = slicer.vtkMRMLScene()
    logics = {"volumes": slicer.vtkSlicerVolumesLogic(), "segmentations": slicer.vtkSlicerSegmentationsModuleLogic()}
    for logic in logics.values():
        logic.SetMRMLScene(scene)
    application: Any = slicer
    application.mrmlScene = scene
    application.modules = SimpleNamespace(
        **{name: SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    )
    from RecursiveReviewLib.case import Case, Fetched
    from RecursiveReviewLib.client import Item
    from RecursiveReviewLib.nrrd import Mask

    head = make_head(CASE_SEED, size=SIZE, slices=SLICES, bleeds=["intraparenchymal", "subdural"])
    affine = np.diag([-head.spacing[2], -head.spacing[1], head.spacing[0], 1.0])
    native = np.ascontiguousarray(head.mask.transpose(2, 1, 0))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "head.nii.gz"
        columns, rows, slices = native.shape
        geometry = Geometry.of((columns, rows, slices), affine)
        volume = Volume(geometry.orientation.to_slices(head.hu.transpose(2, 1, 0)), geometry)
        write_volume(file, volume, fsync=False)
        marked = tuple(int(number) for number in np.flatnonzero(native.any(axis=(0, 1))))
        item = Item("head", "0" * 64, 0, marked, (), {})
        case = Case(Fetched(item, file, Mask(native, affine)), CLASSES)
    case.show_window(40, 80)
    level, width = case.window
    best = max(marked, key=lambda number: np.count_nonzero(native[:, :, number]))
    chosen = [number for number in (best - 1, best, best + 1) if number in marked]
    figure, axes = pyplot.subplots(1, len(chosen), figsize=(4 * len(chosen), 4.3), facecolor="black", squeeze=False)
    segmentation = case.segmentation.GetSegmentation()
    hu = slicer.util.arrayFromVolume(case.volume)
    for axis, number in zip(axes[0], chosen, strict=True):
        axis.imshow(hu[number], cmap="gray", vmin=level - width / 2, vmax=level + width / 2)
        for index in range(segmentation.GetNumberOfSegments()):
            segment = segmentation.GetNthSegment(index)
            name = segmentation.GetNthSegmentID(index)
            voxels = slicer.util.arrayFromSegmentBinaryLabelmap(case.segmentation, name, case.volume)[number]
            if voxels.any():
                axis.contour(voxels > 0, levels=[0.5], colors=[segment.GetColor()], linewidths=1.5)
            axis.plot([], [], color=segment.GetColor(), label=segment.GetName())
        axis.set_title(f"slice {number}", color="white", fontsize=10)
        axis.axis("off")
    axes[0][0].legend(loc="lower left", fontsize=9, framealpha=0.6)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def draw_panel(path: Path) -> None:
    """The module's panel, drawn by Qt from its .ui file with the texts that the module sets; no window of Slicer's."""
    from PySide6 import QtCore, QtUiTools, QtWidgets

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path.insert(0, str(MODULE))
    from RecursiveReviewLib.actions import ACTIONS, WINDOWS

    application = QtWidgets.QApplication([])
    application.setStyle("Fusion")

    class Loader(QtUiTools.QUiLoader):
        """Slicer's own widgets as Qt's nearest."""

        def createWidget(self, kind: str, parent: Any = None, name: str = "") -> Any:  # noqa: N802
            known = {"qMRMLWidget": "QWidget", "ctkCollapsibleButton": "QGroupBox"}
            return super().createWidget(known.get(kind, kind), parent, name)

    content = (MODULE / "Resources" / "UI" / "RecursiveReview.ui").read_text(encoding="utf-8")
    # A QGroupBox has a title where ctk's button has a text.
    for name in ("Server", "Reading"):
        content = content.replace(
            f'<property name="text"><string>{name}</string></property>',
            f'<property name="title"><string>{name}</string></property>',
        )
    device = QtCore.QBuffer()
    device.setData(content.encode())
    panel = Loader().load(device)
    find = panel.findChild
    for action in ACTIONS:
        button = find(QtWidgets.QPushButton, action.name)
        button.setText(action.label)
        button.setEnabled(True)
    for number, window in enumerate(WINDOWS, start=1):
        find(QtWidgets.QPushButton, f"preset{number}").setText(window.name)
    for name in ("user", "password"):
        find(QtWidgets.QLineEdit, name).hide()
        find(QtWidgets.QLabel, f"{name}Label").hide()
    find(QtWidgets.QLineEdit, "address").setText("http://127.0.0.1:8000")
    find(QtWidgets.QLineEdit, "reviewer").setText("ann")
    find(QtWidgets.QLabel, "caseFacts").setText("head-08 · round 0 · intraparenchymal, subdural\nslice 7 · marked")
    progress = find(QtWidgets.QProgressBar, "progress")
    progress.setMaximum(24)
    progress.setValue(5)
    panel.resize(420, 560)
    panel.grab().save(str(path))


def main() -> None:
    """Draw the icon and the proposal, or the panel."""
    (EXTENSION / "Screenshots").mkdir(exist_ok=True)
    if "--panel" in sys.argv:
        draw_panel(EXTENSION / "Screenshots" / "panel.png")
        return
    draw_icon(MODULE / "Resources" / "Icons" / "RecursiveReview.png")
    draw_proposal(EXTENSION / "Screenshots" / "proposal.png")


if __name__ == "__main__":
    main()
