"""Section `propose`: a study from its files to frozen proposals, ours against the stock path and the plain forward."""

from __future__ import annotations

import statistics

import torch

from _bench.agreement import foreground_dice, voxel_agreement
from _bench.bare import BareForward
from _bench.material import FOLDER, TRAINING_EPOCHS, bench_settings, heads, load_network, weights
from _bench.ours import OurPath
from _bench.plain import PlainForward, plain_masks, volumes
from _bench.report import Section, at_least
from _bench.scale import Scale
from _bench.stock import StockPath
from _bench.timing import in_turn, ratio, seconds
from _bench.tricks import propose_in_memory, trick_ratios
from recursive_expand.segment.predict import Predictor


def measure_propose(scale: Scale, threads: int) -> Section:
    """All paths in turn, over the same heads with the same weights."""
    settings = bench_settings(threads)
    folder = heads(scale.volumes, scale.slices)
    file, sha256 = weights(settings)
    network = load_network(settings, file, sha256)
    ours = OurPath(folder, file, sha256, threads)
    stock = StockPath(folder, file, threads, every_slice=True)
    masked = StockPath(folder, file, threads, every_slice=False)
    plain = PlainForward(settings, network, folder, threads)
    loaded = [volume for _, volume in volumes(folder)]
    bare, predictor = BareForward(settings, network, loaded, threads), Predictor(settings, network)
    ours.cold()  # warm up
    paths = {
        "ours": ours.cold,
        "ours, read before": ours.warm,
        "f and g in memory": lambda: seconds(lambda: propose_in_memory(predictor, loaded)),
        f"bare forward on the head's boxes, {bare.precision}": bare.run,
        "plain forward": plain.run,
        "stock": stock.run,
        "stock, empty slices left out": masked.run,
    }
    found = in_turn(paths, scale.repeats)
    slices = scale.volumes * scale.slices
    section = Section(
        "propose",
        f"{scale.volumes} phantom heads of 512x512x{scale.slices} as .nii.gz; the app's own network, trained for "
        f"{TRAINING_EPOCHS} epochs on slices of other heads (kept in {file.parent.relative_to(FOLDER.parent)}); "
        f"medians of {scale.repeats}, all paths in turn. Ours: reading with an empty cache, f, g, freezing (files and "
        "ledger synced). Stock: BatchInferTask over a BasicInferTask, Felzenszwalb on whole slices, LocalDatastore. "
        f"Plain forward: float32, whole slices, batches of {plain.batch}, nothing else. Bare forward: what f sees, as "
        f"{bare.precision}, {bare.way}; no windows, no cutting, no decisions.",
    )
    for name, times in found.items():
        rate = slices / statistics.median(times)
        section.add(f"{name}: slices per second", rate, f"{rate:.1f}")
    section.add("ours / stock", *_times(ratio(found["stock"], found["ours"])), at_least(10))
    spared = ratio(found["stock, empty slices left out"], found["ours"])
    section.add("ours / stock whose g leaves empty slices out", *_times(spared))
    section.add("ours / plain forward", *_times(ratio(found["plain forward"], found["ours"])), at_least(1))
    limit = f"bare forward on the head's boxes, {bare.precision}"
    bars = {"ours, read before": at_least(0.6)}
    for name in ("ours", "ours, read before", "f and g in memory"):
        share = ratio(found[limit], found[name])
        section.add(f"{name} / bare forward on the head's boxes", *_times(share), bars.get(name))
    torch.set_num_threads(threads)
    truth, made = plain_masks(settings, network, folder), ours.masks()
    agreement = 100 * voxel_agreement(made, truth)
    section.add("voxels as by plain f, g and specks dropped", agreement, f"{agreement:.4f} %", at_least(99.9, " %"))
    dice = foreground_dice(made, truth)
    section.add("Dice of their foregrounds", dice, f"{dice:.4f}")
    dice = foreground_dice(made, stock.masks())
    section.add("Dice of the foreground, ours and stock", dice, f"{dice:.4f}")
    trick_repeats = scale.repeats + 2
    for name, times_longer in trick_ratios(settings, network, loaded, trick_repeats).items():
        section.add(f"f and g without / with (best of {trick_repeats}): {name}", *_times(times_longer))
    return section


def _times(value: float) -> tuple[float, str]:
    return value, f"{value:.1f}x" if value >= 10 else f"{value:.2f}x"
