"""Train nnU-Net v2 in 2-D for a budget of CPU time and predict folders; run by path, in an environment with nnunetv2.

    python nnunet_driver.py ROOT SEED MINUTES THREADS [IMAGES OUTPUT]...

ROOT holds nnU-Net's three folders `raw`, `preprocessed` and `results`. It imports nothing of ours, so that nnU-Net's
environment needs none of our packages. The last line of its output is JSON: iterations, CPU seconds, version.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from pathlib import Path

DATASET_ID, FOLD, TRAINER = 501, "all", "nnUNetTrainer_1epoch"


def main(root: Path, seed: int, minutes: float, threads: int, predicted: list[tuple[str, str]]) -> None:
    """Plan, preprocess, train until the budget is spent, predict."""
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(root / name)
    os.environ |= {"nnUNet_n_proc_DA": "1", "nnUNet_compile": "f", "nnUNet_def_n_proc": "1"}

    # After the environment, which nnU-Net reads as it is imported.
    import importlib.metadata

    import numpy
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints, plan_experiments, preprocess
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.paths import nnUNet_preprocessed
    from nnunetv2.run.run_training import get_trainer_from_args
    from nnunetv2.utilities.dataset_name_id_conversion import maybe_convert_to_dataset_name

    torch.set_num_threads(threads)
    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    device = torch.device("cpu")
    extract_fingerprints([DATASET_ID], num_processes=1)
    plan_experiments([DATASET_ID])
    preprocess([DATASET_ID], configurations=["2d"], num_processes=[1])
    folder = Path(str(nnUNet_preprocessed)) / maybe_convert_to_dataset_name(DATASET_ID)
    dataset = json.loads((folder / "dataset.json").read_text())

    # Batches are made in this process, so that its CPU time counts; planning takes the same number for torch's threads.
    os.environ |= {"nnUNet_n_proc_DA": "0"}
    torch.set_num_threads(threads)
    trainer = get_trainer_from_args(str(DATASET_ID), "2d", FOLD, TRAINER, device=device)
    trainer.on_train_start()
    trainer.on_epoch_start()
    trainer.on_train_epoch_start()
    began = time.process_time()
    outputs: list[dict] = []
    while not outputs or time.process_time() - began < 60 * minutes:
        outputs.append(trainer.train_step(next(trainer.dataloader_train)))
    spent = time.process_time() - began
    trainer.on_train_epoch_end(outputs)

    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    predictor = nnUNetPredictor(
        tile_step_size=0.5, use_mirroring=True, perform_everything_on_device=False, device=device
    )
    predictor.manual_initialization(
        trainer.network,
        trainer.plans_manager,
        trainer.configuration_manager,
        [trainer.network.state_dict()],
        dataset,
        type(trainer).__name__,
        trainer.inference_allowed_mirroring_axes,
    )
    for images, output in predicted:
        Path(output).mkdir(parents=True, exist_ok=True)
        predictor.predict_from_files_sequential(images, output)
    said = {
        "iterations": len(outputs),
        "batch_size": trainer.batch_size,
        "cpu_seconds": round(spent, 1),
        "nnunetv2": importlib.metadata.version("nnunetv2"),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    given = sys.argv[5:]
    pairs = list(zip(given[::2], given[1::2], strict=True))
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), pairs)
