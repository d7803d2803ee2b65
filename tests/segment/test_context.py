"""Tests of context: f sees the slices beside a slice, by position, in training as in proposing."""

import pickle

import numpy as np
import pytest
import torch

from recursive_expand.segment.augment import augment
from recursive_expand.segment.batches import make_batch
from recursive_expand.segment.box import Box
from recursive_expand.segment.checkpoint import fingerprint
from recursive_expand.segment.context import repeated, seen_slices
from recursive_expand.segment.examples import Example
from recursive_expand.segment.network import build_network, input_channels
from recursive_expand.segment.plain import predict_plain
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.train import train
from recursive_expand.segment.windows import apply_windows


@pytest.mark.parametrize(
    ("number", "slices", "context", "seen"),
    [(0, 5, 1, (0, 0, 1)), (2, 5, 1, (1, 2, 3)), (4, 5, 2, (2, 3, 4, 4, 4)), (0, 1, 1, (0, 0, 0)), (3, 5, 0, (3,))],
)
def test_neighbours_are_by_position_and_the_ends_repeat(number, slices, context, seen):
    assert seen_slices(number, slices, context) == seen


def test_a_batch_holds_the_neighbours_moved_alike(make_settings):
    rng = np.random.default_rng(0)
    hu = [rng.integers(-900, 900, (32, 32)).astype(np.int16) for _ in range(3)]
    target = (hu[1] > 0).astype(np.uint8)
    example = Example("a:1", hu[1], target, True, neighbours=(hu[0], hu[2]))
    alone = Example("a:1", hu[1], target, True)
    boxes = [Box(4, 28, 0, 32)]
    settings = make_settings(context=1)
    batch = make_batch([example], boxes, settings, round_index=0, epoch=0)
    assert torch.equal(batch.hu[0], torch.from_numpy(np.stack(hu)[:, 4:28]))
    batch = make_batch([alone], boxes, settings, round_index=0, epoch=0)
    assert all(torch.equal(batch.hu[0, n], torch.from_numpy(hu[1][4:28])) for n in range(3))
    stack = torch.from_numpy(np.stack([hu[1]] * 3))
    for seed in range(8):
        moved, mask = augment(stack, torch.from_numpy(target), np.random.default_rng(seed))
        assert mask.shape == target.shape
        # All planes go the same way: only their noise differs.
        assert (moved.float() - moved[0].float()).abs().mean() < 8


def test_windows_come_slice_by_slice(settings):
    hu = torch.randint(-1000, 1000, (2, 3, 4, 5), dtype=torch.int16)
    images = apply_windows(hu, settings.task.windows)
    assert images.shape[1] == input_channels(settings.changed(context=1)) == 6
    for number in range(3):
        assert torch.equal(images[:, 2 * number : 2 * number + 2], apply_windows(hu[:, number], settings.task.windows))
    plane = hu[:, 0]
    assert repeated(plane, 0) is plane and torch.equal(repeated(plane, 1)[:, 2], plane)


def test_a_pickled_example_knows_the_places_of_its_neighbours(tmp_path):
    np.save(tmp_path / "case.npy", np.arange(4 * 60 * 50, dtype=np.int16).reshape(4, 60, 50))
    volume = np.load(tmp_path / "case.npy", mmap_mode="r")
    example = Example("case:2", volume[2], np.zeros((60, 50), np.uint8), True, neighbours=(volume[1], volume[3]))
    pickled = pickle.dumps(example)
    assert len(pickled) < 60 * 50 + 2000  # the target alone
    assert all(np.array_equal(a, b) for a, b in zip(pickle.loads(pickled).seen(1), volume[1:4], strict=True))


@pytest.fixture(scope="module")
def stacked(make_settings, make_head, make_volume):
    """A network that has learned to mark a slice's blood only where the slice before it has some too."""
    settings = make_settings(context=1, batch_size=4, threads=1)
    torch.manual_seed(0)
    network = build_network(settings)
    rng = np.random.default_rng(0)
    examples = []
    for number in range(16):
        place = tuple(int(n) for n in rng.integers(13, 19, 2))
        hu, mask = make_head(32, bleed=place, seed=number)
        before = make_head(32, bleed=place if number % 2 else None, seed=100 + number)[0]
        target = mask if number % 2 else np.zeros_like(mask)
        examples.append(Example(f"{number}", hu, target, True, neighbours=(before, hu)))
    train(settings, network, examples, epochs=30, learning_rate=1e-2, round_index=0)
    bleed, clean = make_head(32, bleed=(15, 16), seed=50)[0], make_head(32, seed=51)[0]
    return settings, network, make_volume(clean, bleed, bleed, clean, mm=6.0)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_f_sees_the_slice_before(stacked, batch_size):
    settings, network, volume = stacked
    mask = Predictor(settings, network, half=False, batch_size=batch_size).predict(volume).mask
    marked = (mask > 0).sum(axis=(1, 2))
    assert marked[2] > 8 and marked[1] < marked[2] / 4, marked
    seen = [volume.hu[list(seen_slices(n, 4, 1))] for n in range(4)]
    plain = np.stack([predict_plain(settings, network, hu).argmax(0) for hu in seen])
    assert (mask == plain).mean() >= 0.999


def test_a_checkpoint_of_another_context_is_of_another_training(make_settings, examples, network):
    def identity(settings):
        return fingerprint(settings, network, examples, epochs=1, learning_rate=0.1, round_index=0, world_size=1)

    assert identity(make_settings(context=1)) != identity(make_settings())
