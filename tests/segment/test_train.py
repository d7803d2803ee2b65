"""Tests of training: it learns, repeats itself to the bit and resumes to the bit."""

import copy
import dataclasses

import numpy as np
import pytest
import torch

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.segment import train as train_module
from recursive_expand.segment.examples import IGNORE, LABELLED
from recursive_expand.segment.losses import dice_loss
from recursive_expand.segment.train import train
from recursive_expand.segment.weights import weights_bytes

RUN = {"learning_rate": 1e-2, "round_index": 0}


class Interrupted(Exception):
    """The process was killed."""


def test_the_loss_falls(settings, network, examples):
    losses = train(settings, network, examples, epochs=6, **RUN)
    assert len(losses) == 6
    assert losses[-1] < losses[0] / 2
    assert not network.training


def test_the_same_inputs_give_the_same_bits(make_settings, network, examples):
    settings = make_settings(training={"augment": True})
    twin, other = copy.deepcopy(network), copy.deepcopy(network)
    first = train(settings, network, examples, epochs=2, **RUN)
    assert train(settings, twin, examples, epochs=2, **RUN) == first
    assert weights_bytes(twin) == weights_bytes(network)
    train(make_settings(training={"augment": True}, seed=1), other, examples, epochs=2, **RUN)
    assert weights_bytes(other) != weights_bytes(network)


@pytest.mark.parametrize(("stop_after", "schedule"), [(1, "constant"), (2, "constant"), (3, "constant"), (2, "cosine")])
def test_an_interrupted_training_ends_with_the_same_bits(
    monkeypatch, make_settings, network, examples, tmp_path, stop_after, schedule
):
    monkeypatch.setattr(train_module, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    settings = make_settings(training={"augment": True, "later_schedule": schedule})
    first, checkpoint = copy.deepcopy(network), tmp_path / "round.safetensors"
    later = {"learning_rate": 1e-2, "round_index": 1}
    expected = train(settings, network, examples, epochs=3, **later)

    def interrupt(epoch, epochs, loss):
        if epoch == stop_after:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(settings, copy.deepcopy(first), examples, epochs=3, checkpoint=checkpoint, on_epoch=interrupt, **later)
    epochs_told = []
    losses = train(
        settings,
        first,
        examples,
        epochs=3,
        checkpoint=checkpoint,
        on_epoch=lambda *told: epochs_told.append(told[:2]),
        **later,
    )
    assert losses == expected
    assert epochs_told == [(epoch, 3) for epoch in range(stop_after + 1, 4)]
    assert weights_bytes(first) == weights_bytes(network)
    assert not first.training


def test_every_epoch_sees_other_synthetic_slices_after_an_interruption_too(
    monkeypatch, make_settings, network, examples, tmp_path
):
    monkeypatch.setattr(train_module, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    settings = make_settings(pretrain="synthetic", replay_share=0.5)
    real, made = (
        examples[:1],
        [dataclasses.replace(one, key=f"s{n}", synthetic=True) for n, one in enumerate(examples[1:3])],
    )
    seen = []
    make_batch = train_module.make_batch
    monkeypatch.setattr(
        train_module,
        "make_batch",
        lambda ones, *a, **k: (seen.append({one.key for one in ones}), make_batch(ones, *a, **k))[1],
    )

    def interrupt(epoch, epochs, loss):
        raise Interrupted

    arguments = {"epochs": 2, "checkpoint": tmp_path / "round.safetensors", **RUN}
    with pytest.raises(Interrupted):
        train(settings, copy.deepcopy(network), [*real, *made], on_epoch=interrupt, **arguments)
    train(settings, network, [*real, *made], **arguments)
    assert seen == [{real[0].key, "s0"}, {real[0].key, "s1"}]


def test_a_pretrained_f_rests_on_the_batch_statistics_of_the_last_epochs(
    monkeypatch, make_settings, network, examples, tmp_path
):
    monkeypatch.setattr(train_module, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    settings, first = make_settings(pretrain="synthetic"), copy.deepcopy(network)
    settings_of_fresh = make_settings(pretrain="none")

    def interrupt(epoch, epochs, loss):
        if epoch == 7:
            raise Interrupted

    arguments = {"epochs": 8, "learning_rate": 1e-2, "round_index": 1}
    with pytest.raises(Interrupted):
        train(
            settings,
            copy.deepcopy(first),
            examples,
            checkpoint=tmp_path / "c.safetensors",
            on_epoch=interrupt,
            **arguments,
        )
    resumed, fresh = copy.deepcopy(first), copy.deepcopy(first)
    train(settings, resumed, examples, checkpoint=tmp_path / "c.safetensors", **arguments)
    train(settings, network, examples, **arguments)
    assert weights_bytes(resumed) == weights_bytes(network)
    train(settings_of_fresh, fresh, examples, **arguments)
    weights, without = network.state_dict(), fresh.state_dict()
    assert all(torch.equal(weights[name], without[name]) for name, _ in network.named_parameters())
    steps = {int(value) for name, value in weights.items() if name.endswith("num_batches_tracked")}
    assert steps == {2 * -(-len(examples) // settings.method.training.batch_size)}  # of the last two epochs
    assert not all(torch.equal(weights[name], without[name]) for name in weights if name.endswith("running_mean"))


def test_the_learning_rate_of_later_rounds_falls_along_half_a_cosine(monkeypatch, make_settings, network, examples):
    rates = []

    class Watched(torch.optim.Adam):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    monkeypatch.setattr(torch.optim, "Adam", Watched)
    settings = make_settings(training={"later_schedule": "cosine"})
    train(settings, network, examples, epochs=4, learning_rate=1e-2, round_index=1)
    assert list(dict.fromkeys(rates)) == pytest.approx([1e-2, 1e-2 * 0.853553, 1e-2 * 0.5, 1e-2 * 0.146447], rel=1e-5)
    rates.clear()
    train(settings, network, examples, epochs=2, learning_rate=1e-2, round_index=0)
    assert set(rates) == {1e-2}


def test_a_broken_or_foreign_checkpoint_is_ignored(settings, network, examples, tmp_path):
    checkpoint = tmp_path / "round.safetensors"
    first, twin = copy.deepcopy(network), copy.deepcopy(network)
    expected = train(settings, network, examples, epochs=1, checkpoint=checkpoint, **RUN)
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    assert train(settings, first, examples, epochs=1, checkpoint=checkpoint, **RUN) == expected
    assert checkpoint.read_bytes() == content
    fewer = [dataclasses.replace(examples[0], with_dice=False), *examples[1:]]
    assert train(settings, twin, fewer, epochs=1, checkpoint=checkpoint, **RUN) != expected
    assert checkpoint.read_bytes() != content


def test_whole_slices_can_be_trained_on(make_settings, network, examples):
    settings = make_settings(training={"crop_to_region": False})
    assert train(settings, network, examples, epochs=1, **RUN)[0] > 0


def test_nothing_to_train_on_is_said(settings, network):
    with pytest.raises(ValueError, match="no examples"):
        train(settings, network, [], epochs=1, **RUN)


def test_the_settings_of_torch_are_put_back(settings, network, examples):
    train(settings, network, examples, epochs=1, **RUN)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_no_number_ends_training_with_the_mend(settings, network, examples):
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    with pytest.raises(RecursiveExpandError, match="the loss became nan in epoch 1; lower --conf learning_rate"):
        train(settings, network, examples, epochs=3, **RUN)


def _published_loss(logits, target, with_dice, **_):
    """Equation 1 and Dice as they were before any further ingredient could be switched on."""
    per_pixel = torch.nn.functional.cross_entropy(logits, target.long(), ignore_index=255, reduction="none")
    loss = (per_pixel.flatten(1).sum(1) / (target != 255).flatten(1).sum(1).clamp(min=1)).mean()
    if bool(with_dice.all()):
        return loss + dice_loss(logits, target)
    if bool(with_dice.any()):
        chosen = with_dice.nonzero().flatten()
        loss = loss + dice_loss(logits[chosen], target[chosen]) * float(with_dice.float().mean())
    return loss


@pytest.mark.parametrize("augment", [False, True])
def test_with_further_ingredients_off_the_weights_are_the_published_ones(
    monkeypatch, make_settings, network, examples, augment
):
    settings, twin = make_settings(training={"augment": augment}), copy.deepcopy(network)
    examples = [dataclasses.replace(example, accepted=not example.with_dice) for example in examples]
    train(settings, network, examples, epochs=2, **RUN)
    monkeypatch.setattr(train_module, "segmentation_loss", _published_loss)
    train(settings, twin, examples, epochs=2, **RUN)
    assert weights_bytes(twin) == weights_bytes(network)


@pytest.mark.parametrize("kind", ["symmetric", "generalised", "lopsided"])
def test_an_ingredient_reaches_the_weights(make_settings, network, examples, kind):
    examples = [dataclasses.replace(example, accepted=not example.with_dice) for example in examples]
    twin = copy.deepcopy(network)
    train(make_settings(), network, examples, epochs=1, **RUN)
    train(make_settings(training={"accepted_loss": kind}), twin, examples, epochs=1, **RUN)
    assert weights_bytes(twin) != weights_bytes(network)


def test_slice_labels_are_learnt_where_there_are_some(make_settings, network, examples):
    settings = make_settings(training={"slice_label_weight": 1.0})
    without, with_labels, plain = (copy.deepcopy(network) for _ in range(3))
    train(make_settings(), plain, examples, epochs=1, **RUN)
    train(settings, without, examples, epochs=1, **RUN)
    # Exactly 0 is added.
    assert weights_bytes(without) == weights_bytes(plain)
    target = np.where(np.arange(64) > 20, LABELLED, IGNORE).astype(np.uint8)
    labelled = dataclasses.replace(
        examples[0], key="l", target=np.broadcast_to(target, (64, 64)), with_dice=False, labels=(False, True)
    )
    train(settings, with_labels, [*examples[:4], labelled], epochs=1, **RUN)
    other = dataclasses.replace(labelled, labels=(True, False))
    twin = copy.deepcopy(network)
    train(settings, twin, [*examples[:4], other], epochs=1, **RUN)
    assert weights_bytes(twin) != weights_bytes(with_labels)
