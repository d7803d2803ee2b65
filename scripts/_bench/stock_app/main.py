"""The app: MONAI Label's own datastore, batch inference and `BasicInferTask`, over our network and weights."""

from __future__ import annotations

from pathlib import Path

import torch
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.tasks.infer_v2 import InferTask

from _bench.material import bench_settings, load_network
from _bench.stock_infer import StockInfer

MODEL = "stock"


class StockApp(MONAILabelApp):
    """One infer task; everything else is MONAI Label's.

    Args:
        app_dir: the app's folder.
        studies: a folder of images.
        conf: `weights` (a file named by its SHA-256), `threads`, and `felzenszwalb` (`every` slice or only `masked`).
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self._threads = int(conf["threads"])
        self._weights = Path(conf["weights"])
        self._every_slice = conf.get("felzenszwalb", "every") == "every"
        super().__init__(app_dir=app_dir, studies=studies, conf=conf, name="stock")

    def init_infers(self) -> dict[str, InferTask]:
        """The network and g, as transforms."""
        torch.set_num_threads(self._threads)
        settings = bench_settings(self._threads)
        network = load_network(settings, self._weights, self._weights.stem)
        return {MODEL: StockInfer(settings, network, every_slice=self._every_slice)}
