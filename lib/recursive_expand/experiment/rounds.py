"""The rounds of a run, one row per round."""

from __future__ import annotations

import json
from collections.abc import Sequence

from recursive_expand.experiment.layout import Rows
from recursive_expand.experiment.ledger_reading import RunRound

_NOTHING: dict[str, float | None] = {"accepted_of_patients": None}


def round_rows(rounds: Sequence[RunRound]) -> Rows:
    """Training slices, validation, verdicts, seconds and hashes of every round.

    Args:
        rounds: the run's rounds that published a model, in order.

    Returns:
        The rows of `rounds.csv`; `verdicts_before` is the number of verdicts that the round's model could learn from.
        `verdicts` are all of the round's, `second_verdicts` those of them on second looks; accepted and rejected slices
        are those of first looks, `second_` those of second ones.
    """
    rows: Rows = []
    before = 0
    for one in rounds:
        record, report = one.record, one.record.report
        validation = report.get("validation") or {}
        observed = one.observed or {"judged": _NOTHING, "random": _NOTHING}
        training = report.get("training_slices") or {}
        second = one.second["accept"] + one.second["reject"]
        verdicts = one.accepted + one.rejected + second
        rows.append(
            {
                "round": one.index,
                "state": record.state,
                "promoted": record.promoted,
                "averaged": report.get("averaged", False),
                **{
                    f"trained_{source}": training.get(source, 0)
                    for source in ("pixel", "accepted", "joined", "clean", "new")
                },
                **{f"validation_{name}": validation.get(name) for name in ("dice", "iou", "precision", "recall")},
                "validation_held_out": validation.get("held_out"),
                "proposed_cases": one.proposed,
                "foretold_slices": report.get("foretold_slices"),
                "thresholds": None if record.thresholds is None else json.dumps(record.thresholds),
                "min_area": (record.operating_point or {}).get("min_area"),
                "promised": (record.operating_point or {}).get("promised"),
                "observed_of_patients": observed["judged"]["accepted_of_patients"],
                "observed_random": observed["random"]["accepted_of_patients"],
                "verdicts_before": before,
                "verdicts": verdicts,
                "accepted_slices": one.accepted_slices,
                "rejected_slices": one.rejected_slices,
                "second_verdicts": second,
                "second_accepted_slices": one.second["accepted_slices"],
                "second_rejected_slices": one.second["rejected_slices"],
                "train_seconds": report.get("train_seconds"),
                "propose_seconds": report.get("propose_seconds"),
                "model_sha256": one.model,
                "trained_model_sha256": record.trained_model,
                "training_set_sha256": record.training_set_sha256,
                "config_sha256": record.config_sha256,
            }
        )
        before += verdicts
    return rows
