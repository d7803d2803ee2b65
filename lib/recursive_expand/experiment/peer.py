"""A peer beside our presets: nnU-Net v2, trained on the same pixel set and measured on the same test sets."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment import nnunet_driver
from recursive_expand.experiment.config import ExperimentConfig, slug
from recursive_expand.experiment.data import ExperimentData, prepare_data
from recursive_expand.experiment.evaluation import measure
from recursive_expand.experiment.layout import PATIENTS, PEER, PEERS, write_csv
from recursive_expand.experiment.nnunet_format import PredictionFiles, images_folder, write_raw
from recursive_expand.experiment.recursion import OnMessage
from recursive_expand.settings import load_settings

NNUNET = "nnunet"
"""Its folder in `peers/`."""


def run_nnunet(
    config: ExperimentConfig, *, minutes: float, python: Path = Path(sys.executable), on_message: OnMessage
) -> None:
    """Train and measure nnU-Net's 2-D configuration once for each seed; what is done is skipped.

    Args:
        config: the experiment's: its data, test sets and seeds.
        minutes: of CPU time for training, without nnU-Net's preprocessing and predicting.
        python: of an environment with nnunetv2.
        on_message: called with each line of progress.

    Raises:
        InputError: the data cannot be used.
        RecursiveExpandError: nnU-Net failed.
    """
    for seed in config.seeds:
        settings = load_settings(config.app / "task.yaml", config.conf_of(config.presets[0], seed))
        classes = settings.task.classes
        data = prepare_data(config, classes, seed)
        folder = config.output / PEERS / NNUNET / f"seed-{seed}"
        identity = {
            "data_sha256": data.sha256,
            "minutes": minutes,
            "surface_tolerance": config.surface_tolerance,
            "tests": sorted(config.tests),
        }
        if _is_done(folder, identity):
            on_message(f"nnU-Net, seed {seed}: done already")
            continue
        shutil.rmtree(folder, ignore_errors=True)
        on_message(f"nnU-Net, seed {seed}: converting")
        root = write_raw(data, classes, folder / "raw")
        pairs = [(root / images_folder(name), folder / "predictions" / slug(name)) for name in config.tests]
        on_message(f"nnU-Net, seed {seed}: training for {minutes:g} minutes of CPU time")
        threads = settings.machine.cores
        said = _drive(python, folder, seed, minutes, threads, pairs)
        rows = _measured(config, data, classes, folder)
        write_csv(folder / PATIENTS, rows)
        digest = hashlib.sha256((folder / PATIENTS).read_bytes()).hexdigest()
        done = {
            "name": f"nnU-Net {said['nnunetv2']}, 2-D",
            "seed": seed,
            **identity,
            **said,
            "files": {PATIENTS: digest},
        }
        write_atomic(folder / PEER, json.dumps(done, indent=1).encode())
        shutil.rmtree(folder / "preprocessed", ignore_errors=True)
        on_message(f"nnU-Net, seed {seed}: {said['iterations']} steps in {said['cpu_seconds']:.0f} s of CPU time")


def _is_done(folder: Path, identity: dict[str, Any]) -> bool:
    if not (folder / PEER).is_file():
        return False
    before = json.loads((folder / PEER).read_bytes())
    return {name: before.get(name) for name in identity} == identity


def _drive(
    python: Path, folder: Path, seed: int, minutes: float, threads: int, pairs: list[tuple[Path, Path]]
) -> dict[str, Any]:
    arguments = [str(folder), str(seed), str(minutes), str(threads), *(str(path) for pair in pairs for path in pair)]
    log = folder / "nnunet.log"
    with log.open("wb") as out:
        # Isolated: the driver's own folder holds modules named as some of Python's.
        command = [str(python), "-I", str(nnunet_driver.__file__), *arguments]
        done = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)
    lines = log.read_text(errors="replace").splitlines()
    if done.returncode != 0 or not lines:
        last = lines[-1] if lines else "it said nothing"
        mend = "; give --python of an environment with nnunetv2" if "No module named 'nnunetv2'" in last else ""
        raise RecursiveExpandError(f"nnU-Net failed ({last}){mend}; its log is {log}")
    return json.loads(lines[-1])


def _measured(config: ExperimentConfig, data: ExperimentData, classes: tuple[str, ...], folder: Path) -> list[dict]:
    rows = []
    for name, cases in data.tests.items():
        masks = PredictionFiles(folder / "predictions" / slug(name))
        found = measure(masks, cases, classes, tolerance=config.surface_tolerance)
        hashes = data.patients[name]
        rows += [{"test_set": name, "patient_sha256": hashes[row["patient"]], **row} for row in found.patients]
    return rows
