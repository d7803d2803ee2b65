"""Tests of the fast path: it agrees with the plain one, obeys labels and does not depend on company."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from recursive_expand.segment.plain import predict_plain
from recursive_expand.segment.predict import Predictor

BLEEDS = [(30, 34), (26, 30), (36, 36)]


@pytest.fixture(scope="module")
def volume(make_head, make_volume):
    heads = [make_head(128, bleed=(2 * r, 2 * c), seed=90 + r)[0] for r, c in BLEEDS]
    return make_volume(np.full((128, 128), -1000, np.int16), *heads, mm=1.5)


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("half", [False, None])
def test_masks_agree_with_the_plain_path(trained, volume, half, batch_size):
    settings, network = trained
    predicted = Predictor(settings, network, half=half, batch_size=batch_size).predict(volume)
    plain = np.stack([predict_plain(settings, network, hu).argmax(0) for hu in volume.hu])
    assert (plain > 0).any()
    assert (predicted.mask == plain).mean() >= 0.999
    assert predicted.mask.dtype == np.uint8 and predicted.mask.shape == volume.hu.shape


def test_slices_without_brain_are_background(trained, volume):
    settings, network = trained
    predicted = Predictor(settings, network).predict(volume)
    assert not predicted.mask[0].any() and not predicted.ignore[0].any()
    assert np.isnan(predicted.confidence[0])


def test_confidence_and_ignore_band_are_of_the_mask(trained, volume):
    settings, network = trained
    predicted = Predictor(settings, network, half=False).predict(volume)
    for number in range(1, 4):
        foreground = 1 - predict_plain(settings, network, volume.hu[number])[0]
        mask = predicted.mask[number] > 0
        expected = np.where(mask, foreground <= 0.7, foreground >= 0.3)
        assert (predicted.ignore[number] == expected).mean() > 0.99
        assert predicted.confidence[number] == pytest.approx(foreground[mask].mean(), abs=0.05)


def test_image_level_labels_are_obeyed(trained, volume):
    settings, network = trained
    allowed = [None, frozenset(), frozenset({"epidural"}), frozenset({"epidural", "subdural"})]
    free = Predictor(settings, network).predict(volume)
    bound = Predictor(settings, network).predict(volume, allowed)
    assert not bound.mask[1].any()
    assert set(np.unique(bound.mask[2])) == {0, 1}
    assert np.array_equal(bound.mask[2] > 0, free.mask[2] > 0)
    assert np.array_equal(bound.mask[3], free.mask[3])


def test_what_f_marks_outside_the_region_is_dropped(trained, make_head, make_volume):
    settings, network = trained
    hu, mask = make_head(128, bleed=(60, 60), seed=5)
    hu[20:30, 4:14] = 70  # as dense as blood, but outside the skull
    volume = make_volume(hu, mm=1.5)
    everywhere = Predictor(settings, network).predict(volume).mask[0]
    inside = Predictor(settings.changed(region="intracranial"), network).predict(volume).mask[0]
    assert everywhere[:, :20].any() and not inside[:, :20].any()
    assert np.array_equal(inside[mask > 0], everywhere[mask > 0])


def test_the_threshold_is_of_a_pretrained_start(trained, volume):
    """An f that knows a few scans alone marks noise at a threshold that suits one from synthetic heads."""
    settings, network = trained
    found = {
        pretrain: Predictor(settings.changed(pretrain=pretrain, foreground_threshold=0.01), network)
        .predict(volume)
        .mask
        for pretrain in ("none", "synthetic", "0" * 64)
    }
    assert np.array_equal(found["none"], Predictor(settings, network).predict(volume).mask)
    assert np.count_nonzero(found["synthetic"]) > np.count_nonzero(found["none"])
    by_class = dict.fromkeys(settings.task.classes, 0.01)
    own = Predictor(settings.changed(pretrain="none", foreground_threshold=by_class), network).predict(volume).mask
    assert np.array_equal(own, found["synthetic"])
    assert np.array_equal(found["synthetic"], found["0" * 64])


def test_a_case_is_the_same_in_any_company(monkeypatch, trained, volume, make_head, make_volume):
    monkeypatch.setattr("recursive_expand.segment.predict.SLICES_PER_WINDOW", 3)
    settings, network = trained
    others = [make_volume(make_head(64, bleed=(30, 30), seed=n)[0]) for n in range(4)]
    cases = [("a", others[0]), ("b", volume), ("c", others[1]), ("d", others[2]), ("e", others[3])]
    proposed = list(Predictor(settings, network).propose_volumes(iter(cases)))
    assert [case_id for case_id, _ in proposed] == list("abcde")
    alone = Predictor(settings, network).predict(volume)
    assert np.array_equal(dict(proposed)["b"].mask, alone.mask)
    assert np.array_equal(dict(proposed)["b"].ignore, alone.ignore)


def test_a_coarser_working_grid_returns_native_masks(make_settings, trained, volume):
    settings, network = trained
    coarse = settings.changed(working_spacing=3.0)
    predicted = Predictor(coarse, network, half=False).predict(volume)
    assert predicted.mask.shape == volume.hu.shape
    plain = np.stack([predict_plain(coarse, network, hu, (1.5, 1.5)).argmax(0) for hu in volume.hu])
    assert (plain > 0).any()
    assert (predicted.mask == plain).mean() > 0.99


def test_volumes_are_taken_as_memory_allows(monkeypatch, trained, make_head, make_volume):
    monkeypatch.setattr("recursive_expand.segment.predict.SLICES_PER_WINDOW", 2)
    taken = []

    def volumes():
        for number in range(12):
            taken.append(number)
            yield str(number), make_volume(make_head(seed=number)[0])

    proposals = Predictor(*trained).propose_volumes(volumes())
    next(proposals)
    assert len(taken) <= 4
    assert len(list(proposals)) == 11


def test_clean_cases_do_not_pile_up(monkeypatch, trained, make_head, make_volume):
    monkeypatch.setattr("recursive_expand.segment.predict.SLICES_PER_WINDOW", 2)
    taken = []

    def volumes():
        for number in range(12):
            taken.append(number)
            yield str(number), make_volume(make_head(seed=number)[0])

    proposals = Predictor(*trained).propose_volumes(volumes(), {str(n): [frozenset()] for n in range(12)})
    assert not next(proposals)[1].mask.any()
    assert len(taken) <= 4


def test_constraints_must_be_one_for_each_slice(trained, volume):
    with pytest.raises(ValueError, match="2 image-level constraints for 4 slices"):
        Predictor(*trained).predict(volume, [None, None])


@pytest.mark.parametrize("batch_size", [1, 2])
def test_flips_average_the_probabilities_of_both_sides(trained, volume, batch_size):
    settings, network = trained
    flipping = settings.changed(flips=True)
    predicted = Predictor(flipping, network, half=False, batch_size=batch_size).predict(volume)
    one_sided = Predictor(settings, network, half=False).predict(volume)
    for number in range(1, 4):
        hu = volume.hu[number]
        plain = predict_plain(settings, network, hu)
        mirrored = predict_plain(settings, network, np.ascontiguousarray(hu[:, ::-1]))[:, :, ::-1]
        mean = (plain + mirrored) / 2
        mask = predicted.mask[number]
        assert (mask == mean.argmax(0)).mean() >= 0.999
        assert predicted.confidence[number] == pytest.approx(1 - mean[0][mask > 0].mean(), abs=0.05)
        # g is off here, so f's masks are the proposals.
        a, b = mask > 0, one_sided.mask[number] > 0
        assert predicted.flip_dice[number] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()), abs=1e-6)
    assert np.isnan(predicted.flip_dice[0])


def test_without_flips_there_is_no_flip_dice(trained, volume):
    assert np.isnan(Predictor(*trained).predict(volume).flip_dice).all()


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("flips", [False, True])
def test_snapshots_tell_how_sure_a_mask_is_and_do_not_change_it(trained, volume, batch_size, flips):
    settings, network = trained
    settings = settings.changed(flips=flips)
    snapshots = [copy.deepcopy(network) for _ in range(2)]
    with torch.no_grad():
        for snapshot, bias in zip(snapshots, (0.5, -0.5), strict=True):
            list(snapshot.parameters())[-1][2] += bias
    made = {"half": False, "batch_size": batch_size}
    predicted = Predictor(settings, network, **made, snapshots=snapshots).predict(volume)
    alone = [Predictor(settings, network, **made).predict(volume)]
    alone += [Predictor(settings.changed(flips=False), snapshot, **made).predict(volume) for snapshot in snapshots]
    for name in ("mask", "ignore", "confidence", "flip_dice"):
        assert np.array_equal(getattr(predicted, name), getattr(alone[0], name), equal_nan=True)
    for number in range(1, 4):
        masks = [one.mask[number] > 0 for one in alone]  # g is off here
        pairs = [(masks[0], masks[1]), (masks[0], masks[2]), (masks[1], masks[2])]
        dice = [2 * (a & b).sum() / (a.sum() + b.sum()) for a, b in pairs]
        assert len(set(dice)) > 1
        assert predicted.snapshot_dice[number] == pytest.approx(np.mean(dice), abs=1e-6)
    assert np.isnan(predicted.snapshot_dice[0])
    assert np.isnan(alone[0].snapshot_dice).all()


def test_snapshots_are_compared_inside_the_region(trained, make_head, make_volume):
    settings, network = trained
    hu = make_head(128, bleed=(60, 60), seed=5)[0]
    hu[20:30, 4:14] = 70  # as dense as blood, but outside the skull
    volume, everything = make_volume(hu, mm=1.5), _AllOfOneClass()
    dice = {}
    for region in ("head", "intracranial"):
        inside = settings.changed(region=region)
        dice[region] = Predictor(inside, network, snapshots=[everything]).predict(volume).snapshot_dice[0]
        a, b = (Predictor(inside, one).predict(volume).mask > 0 for one in (network, everything))
        assert dice[region] == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()), abs=1e-6)
    assert dice["intracranial"] != dice["head"]


def test_a_mirrored_slice_gets_the_mirrored_mask_with_flips(trained, make_head, make_volume):
    settings, network = trained
    hu = make_head(64, bleed=(30, 34), seed=7)[0]
    predictor = Predictor(settings.changed(flips=True), network, half=False)
    both = predictor.predict(make_volume(hu, np.ascontiguousarray(hu[:, ::-1])))
    assert both.mask[0].any()
    assert np.array_equal(both.mask[0], both.mask[1][:, ::-1])


def test_the_region_decides_which_slices_are_looked_at(monkeypatch, trained, volume):
    settings, network = trained
    empty = volume.hu[0].copy()
    empty[60:70, 60:70] = 1200  # an object, but no soft tissue
    looked_at = []
    for region in ("head", "body"):
        predictor = Predictor(settings.changed(region=region), network, half=False)
        monkeypatch.setattr(
            predictor, "_logits", lambda *a, p=predictor, r=region: looked_at.append(r) or Predictor._logits(p, *a)
        )
        predictor.predict(dataclasses.replace(volume, hu=np.stack([empty, *volume.hu[1:]])))
    assert (looked_at.count("head"), looked_at.count("body")) == (3, 4)


class _AllOfOneClass(torch.nn.Module):
    def forward(self, images):
        logits = torch.zeros(len(images), 3, *images.shape[2:], dtype=images.dtype)
        logits[:, 2] = 5
        return logits


def test_without_cropping_f_proposes_on_the_whole_of_every_slice_as_it_is_trained(make_settings, volume):
    """Of `volume`, slice 0 is air."""
    whole = make_settings(training={"crop_to_region": False})
    assert (Predictor(whole, _AllOfOneClass()).predict(volume).mask == 2).all()
    for cropped in (make_settings(), whole.changed(proposing_area="region")):
        mask = Predictor(cropped, _AllOfOneClass()).predict(volume).mask
        assert not mask[0].any() and mask[1].any()


def test_after_the_review_means_not_before(make_settings, make_head, make_volume):
    """f marks the left half of the head's box, and g grows that into the brain's other half."""

    class LeftHalf(torch.nn.Module):
        def forward(self, images):
            logits = _AllOfOneClass()(images)
            logits[..., images.shape[-1] // 2 :] *= -1
            return logits

    settings = make_settings(refinement={"mode": "grow", "overlap": 0.2, "min_dice": 0})
    volume = make_volume(make_head(64)[0])
    f_alone = Predictor(settings.changed(mode="off"), LeftHalf()).predict(volume).mask
    assert not np.array_equal(Predictor(settings, LeftHalf()).predict(volume).mask, f_alone)
    after = settings.changed(refine="after_review")
    assert np.array_equal(Predictor(after, LeftHalf()).predict(volume).mask, f_alone)
