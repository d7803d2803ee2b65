"""A study of ours with a published model, made through the library's own functions."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from _bench.material import CONF, TASK_FILE
from recursive_expand.expand.ordering import queue_order
from recursive_expand.expand.study import Study, open_study
from recursive_expand.expand.training_set import build_training_set


def link(source: Path, target: Path) -> None:
    """A second name for a file, or a copy where the file system knows no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def link_all(source: Path, target: Path) -> None:
    """Every image of a folder, in another."""
    for path in source.glob("*.nii.gz"):
        link(path, target / path.name)


def open_bench_study(studies: Path, conf: dict[str, str]) -> Study:
    """The study over a folder, under the app's own settings."""
    return open_study(str(studies), TASK_FILE, {**CONF, **conf})


def publish(study: Study, weights: Path, sha256: str) -> None:
    """Begin round 0 and publish its model, as if it had been trained."""
    training_set = build_training_set(study.ledger, study.settings, 0)
    study.ledger.start_round(
        0,
        base_model=None,
        config=study.settings.round_config(),
        config_sha256="0" * 64,
        training_set=training_set.to_json(),
        training_set_sha256=training_set.sha256,
        verdict_ids=[],
        report={},
    )
    study.workspace.models.mkdir(parents=True, exist_ok=True)
    link(weights, study.workspace.model(sha256))
    study.ledger.publish_model(0, trained_model=sha256, model=sha256, promoted=True, report={})


def open_review(study: Study) -> None:
    """Open round 0's review over the proposals there are."""
    candidates = study.ledger.open_candidates()
    order = queue_order((one.proposal_id, one.leading_class, one.confidence) for one in candidates)
    study.ledger.open_review(0, order=order, report={})
