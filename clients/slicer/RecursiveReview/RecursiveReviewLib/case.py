"""One case in Slicer's scene: the scan, and its proposal as a segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk

from .client import Item
from .grid import Grid
from .nrrd import Mask

COLOURS = ("#e69f00", "#56b4e9", "#2ee6a8", "#f0e442", "#ff6fae", "#c9a3ff", "#ff8a5c", "#9be564")
"""Of the classes in turn, the review desk's: told apart by the colour-blind too, and seen on grey."""
LABELMAP = "Binary labelmap"
"""Slicer's name for voxels as a segment's form."""
RED_SLICE = "vtkMRMLSliceNodeRed"
"""The view that slices are judged in."""


class UnreadableImage(ValueError):
    """Slicer cannot read the image's file."""


@dataclass(frozen=True)
class Fetched:
    """A case as it came from the server, before it is in the scene.

    Attributes:
        item: the proposal.
        file: the image's file; it is removed once it is read.
        mask: the proposal's voxels.
    """

    item: Item
    file: Path
    mask: Mask


class Case:
    """A case in the scene.

    Args:
        fetched: what came from the server.
        classes: the task's classes; class k, counted from 1, has the mask value k.

    Raises:
        UnreadableImage: as its name says.
        NotOnTheGrid: the mask does not lie on the image.

    Attributes:
        item: the proposal.
        grid: how its slices lie in the volume.
        volume, segmentation: nodes of the scene.
    """

    def __init__(self, fetched: Fetched, classes: Sequence[str]) -> None:
        self.item = fetched.item
        self.volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(fetched.file), fetched.item.case_id)
        if self.volume is None:
            raise UnreadableImage(f"Slicer cannot read the image of case {fetched.item.case_id}")
        self.segmentation = None
        try:
            ijk_to_ras = matrix_of(self.volume)
            shape = self.volume.GetImageData().GetDimensions()
            self.grid = Grid.of(fetched.mask, shape, ijk_to_ras, fetched.item.slices)
            self.segmentation = _segmentation(self.grid.to_volume(fetched.mask.voxels), self.volume, classes)
        except Exception:
            self.remove()
            raise

    @property
    def in_scene(self) -> bool:
        """Whether the scene still holds it: a user may close the scene at any time."""
        return self.volume.GetScene() is not None and self.segmentation.GetScene() is not None

    def remove(self) -> None:
        """Take it out of the scene, with all that came with it."""
        for node in (self.segmentation, self.volume):
            if node is None:
                continue
            belongings = [node.GetNthDisplayNode(i) for i in range(node.GetNumberOfDisplayNodes())]
            for each in (*belongings, node.GetStorageNode(), node):
                if each is not None and each.GetScene() is not None:
                    slicer.mrmlScene.RemoveNode(each)

    def show_window(self, level: float, width: float) -> None:
        """Show the scan in a display window, in HU."""
        display = self.volume.GetDisplayNode()
        display.SetAutoWindowLevel(0)
        display.SetWindowLevel(width, level)

    @property
    def window(self) -> tuple[float, float]:
        """(level, width) in HU, as shown now."""
        display = self.volume.GetDisplayNode()
        return display.GetLevel(), display.GetWindow()

    @property
    def outlined(self) -> bool:
        """Whether the proposal is shown."""
        return bool(self.segmentation.GetDisplayNode().GetVisibility())

    def go_to(self, number: int) -> None:
        """Show a slice, by the server's number, in its own plane."""
        view = red_slice()
        if view is None:
            return
        view.RotateToVolumePlane(self.volume)
        place = matrix_of(self.volume) @ [*self.grid.centre(number), 1.0]
        view.JumpSliceByOffsetting(*place[:3])

    @property
    def slice_shown(self) -> int | None:
        """The server's number of the slice in the red view; None where it lies beside the image."""
        view = red_slice()
        if view is None:
            return None
        to_ras = view.GetSliceToRAS()
        # Where the plane crosses the image's middle: it may be shown off the centre.
        normal = np.array([to_ras.GetElement(row, 2) for row in range(3)])
        origin = np.array([to_ras.GetElement(row, 3) for row in range(3)])
        matrix = matrix_of(self.volume)
        middle = (matrix @ [*self.grid.centre(0), 1.0])[:3]
        along = matrix[:3, self.grid.slice_axis]
        across = float(normal @ along)
        if abs(across) < 1e-6 * float(np.linalg.norm(along)):
            return None
        place = middle + along * float(normal @ (origin - middle)) / across
        return self.grid.number((np.linalg.inv(matrix) @ [*place, 1.0])[:3])

    @property
    def zoom(self) -> float:
        """How much larger than filling the red view the image is; 1 where it fills it."""
        view, bounds = red_slice(), [0.0] * 6
        if view is None or not view.GetFieldOfView()[0] > 0:
            return 1.0
        self.volume.GetRASBounds(bounds)
        return max(float(bounds[1] - bounds[0]), 1e-3) / float(view.GetFieldOfView()[0])


def red_slice() -> object | None:
    """The red slice view's node; None without one."""
    return slicer.mrmlScene.GetNodeByID(RED_SLICE)


def matrix_of(volume: object) -> np.ndarray:
    """(4, 4) float64: a volume's voxel indices to RAS millimetres."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _segmentation(voxels: np.ndarray, volume: object, classes: Sequence[str]) -> object:
    """A segmentation of (k, j, i) class values on a volume's grid: one segment a class that is there.

    All segments share one image of voxels, and each segment's value in it is its class's.
    """
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*reversed(voxels.shape))
    image.SetImageToWorldMatrix(matrix)
    scalars = numpy_to_vtk(voxels.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    image.GetPointData().SetScalars(scalars)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"{volume.GetName()} proposal")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    for value in (int(each) for each in np.unique(voxels) if each):
        name = classes[value - 1] if value <= len(classes) else str(value)
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetLabelValue(value)
        segment.SetColor(*_rgb(COLOURS[(value - 1) % len(COLOURS)]))
        segment.AddRepresentation(LABELMAP, image)
        node.GetSegmentation().AddSegment(segment, name)
    display = node.GetDisplayNode()
    display.SetOpacity2DFill(0.15)
    display.SetOpacity2DOutline(1.0)
    return node


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue
