"""The stock path over a study, from its files to labels in MONAI Label's own datastore."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _bench import stock_app
from _bench.files import link_all
from _bench.material import FOLDER, fresh_folder
from _bench.stock_app.main import MODEL, StockApp
from _bench.timing import seconds
from recursive_expand.archives.images import read_geometry, read_label


def make_app_folder() -> Path:
    """The stock app in a folder that MONAI Label may write into."""
    folder = FOLDER / "stock_app"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(stock_app.__file__).with_name("main.py"), folder / "main.py")
    return folder


class StockPath:
    """Batch inference over the same images, with MONAI Label's own code.

    Args:
        heads: the images.
        weights: the model's file, named by its SHA-256.
        threads: CPU threads.
        every_slice: whether g cuts slices without any mask too.
    """

    def __init__(self, heads: Path, weights: Path, threads: int, *, every_slice: bool) -> None:
        self._studies = fresh_folder("propose_stock_every" if every_slice else "propose_stock_masked")
        link_all(heads, self._studies)
        logging.getLogger("monailabel").setLevel(logging.WARNING)
        felzenszwalb = "every" if every_slice else "masked"
        conf = {"weights": str(weights), "threads": str(threads), "felzenszwalb": felzenszwalb}
        self._app = StockApp(str(make_app_folder()), str(self._studies), conf)

    def run(self) -> float:
        """Seconds of `batch_infer` over the study."""
        shutil.rmtree(self._studies / "labels" / "original", ignore_errors=True)
        request = {"model": MODEL, "device": "cpu", "multi_gpu": False, "logging": "WARNING"}
        return seconds(lambda: self._app.batch_infer(request))

    def masks(self) -> dict[str, NDArray[np.uint8]]:
        """Case id to the (S, R, C) mask that was saved."""
        found = {}
        for image in sorted(self._studies.glob("*.nii.gz")):
            native = read_label(self._studies / "labels" / "original" / image.name).native
            found[image.name.removesuffix(".nii.gz")] = read_geometry(image).orientation.to_slices(native)
        return found
