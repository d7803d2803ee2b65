"""Rounds as the status page and `GET /recursive/rounds` show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recursive_expand.expand.observed import observed_acceptance
from recursive_expand.ledger import Ledger


def iter_round_reports(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Each round with its training set by source, losses, validation, verdicts, hashes and seconds, oldest first.

    Proposals and verdicts are those of first looks; those of second chances are in `second_chances`.
    """
    for round_ in ledger.rounds.all():
        counts, second = (ledger.judgements.count(round_.round, chance=chance) for chance in (0, 1))
        report = round_.report
        yield {
            "round": round_.round,
            "state": round_.state,
            "error": round_.error,
            "started": round_.started,
            "finished": round_.finished,
            "training_slices": report.get("training_slices"),
            "losses": report.get("losses", []),
            "validation": report.get("validation"),
            "accepted_validation": report.get("accepted_validation"),
            "promoted": round_.promoted,
            "averaged": report.get("averaged", False),
            "proposals": ledger.proposals.count(round_.round),
            "accepted": counts["accept"],
            "rejected": counts["reject"],
            "accepted_slices": counts["accepted_slices"],
            "rejected_slices": counts["rejected_slices"],
            "second_chances": {"proposals": ledger.proposals.count_second(round_.round), **second},
            **ledger.readings.flagged(round_.round),
            "foretold": report.get("foretold_slices"),
            "operating_point": round_.operating_point,
            "observed": observed_acceptance(ledger, round_),
            "new": report.get(
                "expanded_slices",
                counts["accepted_slices"] + second["accepted_slices"] + ledger.propagation.count(round_.round),
            ),
            "model_sha256": round_.model,
            "trained_model_sha256": round_.trained_model,
            "base_model_sha256": round_.base_model,
            "training_set_sha256": round_.training_set_sha256,
            "config_sha256": round_.config_sha256,
            "machine": report.get("machine"),
            "audit_head": round_.head,
            "seconds": {
                "training": report.get("train_seconds"),
                "proposing": report.get("propose_seconds"),
            },
        }
