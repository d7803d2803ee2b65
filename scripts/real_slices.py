"""What f reaches on real slices: without one real mask, and tuned on the other patients'.

    python scripts/real_slices.py [--leave-one-out] [--round] [--conf KEY VALUE ...] [--weights FILE] [--csv FILE]

With `--clean-head halved` every second slice of the clean head is known to be clean when f is tuned: bleeds are painted
and pasted into it as `painted_share` and `pasted_share` say, and with `--negatives` it joins as background as
`clean_share` and `clean_slices` say. The other half measures false positives then: of the same head, so that little
follows for other heads. With `--masked N`, N of the patients that f is tuned on have masks, of the others the labels
of their slices are known (`slice_label_weight`, `slice_label_share`).

It takes the 36 slices of CT-ICH 1.0.0 and the clean head of `../shared/data` (--data). Patients and types of the
regions are those of docs/measured/ct_ich_v1.csv, told by eye: the data set has neither. It runs in the environment of
`scripts/test.py`; the start from synthetic heads is taken from the user's cache, or made.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy import ndimage
from torch import nn

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "lib"))

from recursive_expand.archives.images import read_volume  # noqa: E402
from recursive_expand.cases import Volume  # noqa: E402
from recursive_expand.expand.labelled_slices import MINED_FROM  # noqa: E402
from recursive_expand.expand.unchanged import class_dice  # noqa: E402
from recursive_expand.experiment.expert import judge  # noqa: E402
from recursive_expand.importers.dicom import DicomImporter  # noqa: E402
from recursive_expand.importers.head_size import spacing_of_heads  # noqa: E402
from recursive_expand.importers.pictures import read_binary_mask, read_grey  # noqa: E402
from recursive_expand.importers.runner import run_import  # noqa: E402
from recursive_expand.segment.as_precise import as_precise  # noqa: E402
from recursive_expand.segment.cleaned import cleaned  # noqa: E402
from recursive_expand.segment.composites import CleanSlice, painted_examples, pasted_examples  # noqa: E402
from recursive_expand.segment.examples import IGNORE, LABELLED, Example  # noqa: E402
from recursive_expand.segment.metrics import Counts  # noqa: E402
from recursive_expand.segment.network import build_network  # noqa: E402
from recursive_expand.segment.predict import Predictor  # noqa: E402
from recursive_expand.segment.pretrain import pretrained  # noqa: E402
from recursive_expand.segment.regions.registry import region_named  # noqa: E402
from recursive_expand.segment.replay import replay_examples, replay_heads  # noqa: E402
from recursive_expand.segment.second_chance import Kind, second_chance  # noqa: E402
from recursive_expand.segment.slice_volume import slice_volume  # noqa: E402
from recursive_expand.segment.train import train  # noqa: E402
from recursive_expand.segment.weights import keep_share  # noqa: E402
from recursive_expand.settings import Settings, load_settings  # noqa: E402

WINDOW = (40, 120)
"""Level and width of the pictures, HU."""
TAU = 0.35
"""Largest share of wrong voxels in a mask that an expert accepts."""
SPLITS = (("patient-1", "patient-3", "patient-5"), ("patient-1", "patient-2", "patient-3", "patient-4"))
"""Patients on whose slices f proposes in `after_a_round`; the others are measured on."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class RealSlice:
    """One picture.

    Attributes:
        name: its file's.
        patient: told by eye.
        volume: (1, rows, columns) HU.
        mask: (rows, columns) uint8 class values.
    """

    name: str
    patient: str
    volume: Volume
    mask: NDArray[np.uint8]


def read_slices(folder: Path, classes: Sequence[str], spacing: float | None) -> list[RealSlice]:
    """The slices of `images/` and `masks/`; mm between pixels as given or as their heads tell."""
    known = pd.read_csv(REPOSITORY / "docs" / "measured" / "ct_ich_v1.csv", dtype={"slice": str})
    level, width = WINDOW
    hu = {
        path.stem: np.rint(level - width / 2 + read_grey(path) * width).astype(np.int16)
        for path in sorted((folder / "images").glob("*.jpg"))
    }
    mm = spacing or spacing_of_heads(hu.values()) or math.nan
    print(f"{len(hu)} slices, {mm:g} mm between pixels")
    found = []
    for name, image in hu.items():
        marked = read_binary_mask(folder / "masks" / f"{name}.png")
        regions = known[known["slice"] == name]
        volume = slice_volume(image, (mm, mm))
        found.append(RealSlice(name, regions["patient"].iloc[0], volume, _typed(marked, regions, classes)))
    return found


def _typed(marked: NDArray[np.bool_], regions: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Each marked region with the class of the nearest one that the table tells."""
    labels, number = ndimage.label(marked, np.ones((3, 3)))
    mask = np.zeros(marked.shape, np.uint8)
    for value, (row, column) in enumerate(ndimage.center_of_mass(marked, labels, range(1, number + 1)), start=1):
        nearest = np.hypot(regions["row"] - row, regions["column"] - column).to_numpy().argmin()
        mask[labels == value] = list(classes).index(regions["class"].iloc[nearest]) + 1
    return mask


def measured(settings: Settings, network: nn.Module, slices: Iterable[RealSlice]) -> list[dict[str, object]]:
    """One row a slice: Dice, precision and recall of any bleed, and voxels."""
    predictor, rows = Predictor(settings, network), []
    for one in slices:
        prediction = predictor.predict(one.volume)
        found, true = prediction.mask[0] > 0, one.mask > 0
        both = int(np.count_nonzero(found & true))
        counts = Counts(both, int(found.sum()) - both, int(true.sum()) - both)
        rows.append(
            {
                "slice": one.name,
                "patient": one.patient,
                "dice": counts.dice,
                "true": int(true.sum()),
                "marked": int(found.sum()),
                "both": both,
                "confidence": float(prediction.confidence[0]),
            }
        )
    return rows


def told(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """A line of a table: means over slices and patients, all voxels, and what an expert accepts."""
    table = pd.DataFrame(rows)
    patients = table.groupby("patient")["dice"].mean()
    both, marked, true = (int(table[name].sum()) for name in ("both", "marked", "true"))
    proposed = table[table["marked"] > 0]
    accepted = int((1 - proposed["both"] / proposed["marked"] <= TAU).sum())
    return (
        f"{title}: Dice {table['dice'].mean():.3f} ({table['dice'].median():.3f}) over {len(table)} slices, "
        f"{patients.mean():.3f} over {len(patients)} patients ({', '.join(f'{dice:.3f}' for dice in patients)}); "
        f"precision {both / max(1, marked):.2f}, recall {both / true:.2f}; "
        f"{accepted} of {len(proposed)} proposals acceptable at {TAU}, "
        f"mean confidence {proposed['confidence'].mean():.2f}"
    )


def second_looks(settings: Settings, network: nn.Module, slices: Sequence[RealSlice], kind: Kind) -> str:
    """A line of a table: what of the rejected proposals comes once more, and what an expert accepts of it then."""
    predictor, refinement = Predictor(settings, network), settings.method.refinement
    rejected, there, masks = 0, 0, []
    for one in slices:
        prediction = predictor.predict(one.volume)
        first, true = prediction.mask[0], one.mask > 0
        marked, spacing = np.count_nonzero(first), one.volume.geometry.spacing[1:]
        if not marked or np.count_nonzero((first > 0) & ~true) / marked <= TAU:
            continue
        rejected, there = rejected + 1, there + np.count_nonzero((first > 0) & true)
        mask = second_chance(first, prediction.ignore[0], kind)
        mask = cleaned(mask, one.volume.hu[0], spacing, refinement)
        if mask.any() and class_dice(mask, first) < settings.method.unchanged_dice:
            masks.append((np.count_nonzero(mask), np.count_nonzero((mask > 0) & true)))
    accepted = [(marked, right) for marked, right in masks if 1 - right / marked <= TAU]
    won, wrong = sum(right for _, right in accepted), sum(marked - right for marked, right in accepted)
    return (
        f"second chance, {kind}: {rejected} rejected with {there} true voxels, {len(masks)} come once more, "
        f"{len(accepted)} accepted: {won} true voxels, {wrong} wrong ones"
    )


def tuned(
    settings: Settings, start: nn.Module | None, slices: Sequence[RealSlice], more: Sequence[Example]
) -> nn.Module:
    """Round 0 as the product trains it, without the locked share, with these examples besides."""
    training = settings.method.training
    epochs = training.epochs if start is None else training.tune_epochs
    return _taught(settings, start, [*masked(slices), *more], epochs, 0)


def _taught(
    settings: Settings, start: nn.Module | None, examples: Sequence[Example], epochs: int, round_index: int
) -> nn.Module:
    """f after a round on these examples and the replay."""
    torch.manual_seed(settings.method.seed + round_index)
    network, training = build_network(settings), settings.method.training
    if start is not None:
        network.load_state_dict(start.state_dict())
    replay = replay_examples(settings, replay_heads(settings, len(examples), epochs), round_index)
    train(
        settings,
        network,
        [*examples, *replay],
        epochs=epochs,
        learning_rate=training.learning_rate if start is None else training.tune_learning_rate,
        round_index=round_index,
    )
    if training.base_share and start is not None:
        keep_share(network, start.state_dict(), training.base_share)
    return network


def after_a_round(settings: Settings, start: nn.Module, slices: Sequence[RealSlice]) -> list[str]:
    """Lines of a table: f before and after a round of what an expert accepts, on other patients and on the same ones.

    f proposes on the slices of some patients with their labels; what has at most TAU wrong voxels, the type counts, is
    accepted. Both splits of `SPLITS` together; with `operating_point: steady` the round's own thresholds.
    """
    rows: dict[str, list[dict[str, object]]] = {}
    for asked in SPLITS:
        same = [one for one in slices if one.patient in asked]
        others = [one for one in slices if one.patient not in asked]
        network = _taught(settings, start, accepted(settings, start, same), settings.method.training.later_epochs, 1)
        then = settings
        if settings.method.operating_point == "steady":
            thresholds, _ = as_precise(settings, network, start, CPU)
            then = settings.changed(foreground_threshold=thresholds)
            print(f"thresholds {sorted(set(thresholds.values()))}")
        for when, under, f in (("before", settings, start), ("after", then, network)):
            rows.setdefault(f"others, {when}", []).extend(measured(under, f, others))
            rows.setdefault(f"the same, {when}", []).extend(measured(under, f, same))
    return [told(title, rows[title]) for title in sorted(rows, reverse=True)]


def accepted(settings: Settings, network: nn.Module, slices: Iterable[RealSlice]) -> list[Example]:
    """What an expert accepts of f's proposals, as the product learns from it."""
    predictor, classes, found = Predictor(settings, network), settings.task.classes, []
    for one in slices:
        names = frozenset(classes[value - 1] for value in np.unique(one.mask) if value)
        prediction = predictor.predict(one.volume, [names])
        if prediction.mask.any() and judge(one.mask[None], prediction.mask, tau=TAU).verdict == "accept":
            target = np.where(prediction.ignore[0], np.uint8(IGNORE), prediction.mask[0])
            spacing = one.volume.geometry.spacing[1:]
            found.append(
                Example(f"{one.name}:0", one.volume.hu[0], target, with_dice=False, spacing=spacing, accepted=True)
            )
    print(f"{len(found)} accepted")
    return found


def masked(slices: Iterable[RealSlice]) -> list[Example]:
    """Slices with their expert masks."""
    return [
        Example(f"{one.name}:0", one.volume.hu[0], one.mask, with_dice=True, spacing=one.volume.geometry.spacing[1:])
        for one in slices
    ]


def labelled(settings: Settings, slices: Sequence[RealSlice], most: int) -> list[Example]:
    """Slices of which only their labels are told."""
    examples = []
    order = np.random.default_rng([settings.method.seed, 4]).permutation(len(slices))[:most]
    for one in (slices[i] for i in order):
        hu, spacing = one.volume.hu[0], one.volume.geometry.spacing[1:]
        inside = region_named(settings.task.region).inside(hu, spacing)
        where = np.full(hu.shape, True) if inside is None else inside
        target = np.where(where, LABELLED, IGNORE).astype(np.uint8)
        labels = tuple(bool((one.mask == value).any()) for value in range(1, len(settings.task.classes) + 1))
        examples.append(Example(f"{one.name}:0", hu, target, with_dice=False, spacing=spacing, labels=labels))
    return examples


def with_clean_slices(
    settings: Settings,
    start: nn.Module | None,
    slices: Sequence[RealSlice],
    clean: Sequence[CleanSlice],
    negatives: bool,
) -> list[Example]:
    """What the settings make of slices without blood."""
    training, number = settings.method.training, len(slices)
    examples = list(painted_examples(settings, clean, int(training.painted_share * number), 0))
    examples += pasted_examples(settings, clean, masked(slices), int(training.pasted_share * number), 0)
    if not negatives:
        return examples
    most = int(training.clean_share * number)
    order = np.random.default_rng([settings.method.seed, 2]).permutation(len(clean)).tolist()
    if training.clean_slices == "false_positives":
        assert start is not None, "mined negatives want a start that marks something"
        predictor, order = Predictor(settings, start), order[: MINED_FROM * most]
        marked = {
            i: np.count_nonzero(predictor.predict(slice_volume(clean[i].hu, clean[i].spacing)).mask) for i in order
        }
        order.sort(key=lambda i: -marked[i])
    return examples + [
        Example(
            clean[i].key, clean[i].hu, np.zeros(clean[i].hu.shape, np.uint8), with_dice=False, spacing=clean[i].spacing
        )
        for i in order[:most]
    ]


def clean_head(folder: Path) -> Volume:
    """The head without blood."""
    with tempfile.TemporaryDirectory() as studies:
        run_import(DicomImporter(folder), Path(studies))
        volume = read_volume(next(Path(studies).rglob("*.nii.gz")))
        return Volume(np.array(volume.hu), volume.geometry)


def marked_ml(settings: Settings, network: nn.Module, volume: Volume, slices: slice) -> float:
    """What is marked in these slices of a head without blood, mL."""
    mask = Predictor(settings, network).predict(volume).mask[slices]
    return np.count_nonzero(mask) * math.prod(volume.geometry.spacing) / 1000


def _shown(done: int, total: int, loss: float) -> None:
    print(f"\r{done}/{total} synthetic slices, loss {loss:.3f} ", end="\n" if done == total else "", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=REPOSITORY.parent / "shared" / "data")
    parser.add_argument("--leave-one-out", action="store_true", help="tune on all patients but one, in turn")
    parser.add_argument("--round", action="store_true", help="what a round of accepted slices teaches")
    parser.add_argument("--patients", nargs="+", help="leave out these alone")
    parser.add_argument("--masked", type=int, help="patients with masks among those that are tuned on")
    parser.add_argument("--clean-head", choices=["measured", "halved"], default="measured", help="what it is for")
    parser.add_argument("--negatives", action="store_true", help="known clean slices join as background")
    parser.add_argument("--second-chance", action="store_true", help="what comes once more, and is accepted then")
    parser.add_argument("--conf", nargs=2, action="append", default=[], metavar=("KEY", "VALUE"))
    parser.add_argument("--weights", type=Path, help="f's start; default: from synthetic heads, as pretrain says")
    parser.add_argument("--spacing", type=float, help="mm between pixels; default: what fits the heads")
    parser.add_argument("--csv", type=Path, help="write one row a slice")
    asked = parser.parse_args()
    settings = load_settings(REPOSITORY / "apps" / "recursive_ich" / "task.yaml", dict(asked.conf))
    slices = read_slices(asked.data / "ct_ich_v1_slices", settings.task.classes, asked.spacing)
    start = None
    if asked.weights:
        start = build_network(settings)
        start.load_state_dict(load_file(asked.weights))
    elif settings.method.pretrain != "none":
        start = pretrained(settings, CPU, on_step=_shown)
    head = clean_head(asked.data / "ge_head_ct")
    halved = asked.clean_head == "halved"
    unknown = slice(1, None, 2) if halved else slice(None)
    spacing = head.geometry.spacing[1:]
    known = [CleanSlice(f"clean:{n}", head.hu[n], spacing) for n in range(0, len(head.hu), 2)] if halved else []
    if start is not None:
        rows = measured(settings, start, slices)
        print(told("no real mask", rows))
        print(f"clean head: {marked_ml(settings, start, head, unknown):.1f} mL marked", flush=True)
        if asked.second_chance:
            print(*(second_looks(settings, start, slices, kind) for kind in get_args(Kind)), sep="\n")
    if asked.round and start is not None:
        print(*after_a_round(settings, start, slices), sep="\n", flush=True)
    if asked.leave_one_out:
        rows, marked, began = [], [], time.process_time()
        patients = sorted({one.patient for one in slices})
        for patient in asked.patients or patients:
            place = patients.index(patient)
            others = [name for name in patients[place:] + patients[:place] if name != patient]
            with_masks = [one for one in slices if one.patient in others[: asked.masked]]
            rest = [one for one in slices if one.patient in others and one.patient not in others[: asked.masked]]
            more = with_clean_slices(settings, start, with_masks, known, asked.negatives)
            if settings.method.training.slice_label_weight:
                more += labelled(settings, rest, int(settings.method.training.slice_label_share * len(with_masks)))
            network = tuned(settings, start, with_masks, more)
            rows += measured(settings, network, [one for one in slices if one.patient == patient])
            marked.append(marked_ml(settings, network, head, unknown))
            print(f"{patient} left out: {time.process_time() - began:.0f} CPU s", flush=True)
        print(told("one patient left out", rows))
        print(f"clean head: {np.mean(marked):.1f} mL marked, the mean of {len(marked)}")
    if asked.csv:
        pd.DataFrame(rows).to_csv(asked.csv, index=False, float_format="%.4f")


if __name__ == "__main__":
    main()
