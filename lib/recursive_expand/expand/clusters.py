"""Clusters of alike proposals: readers verify a few of each, and the others follow if all of those are accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import Candidate, Cluster, ProposalRecord, RoundRecord
from recursive_expand.settings.review import FEWEST as FEWEST

VERIFIED = 3
"""Members of a cluster that readers are asked about (Papadopoulos et al., 2021)."""
LEAST_SCORE = 0.7
"""Predicted acceptance from which on a proposal may be in a cluster. On phantoms 13 % of round 1's proposals that
followed were wrong without a limit, 3 % with this one; in round 0, whose predictions rest on few slices, it keeps
nothing out (docs/experiment.md)."""


def form_clusters(
    recursion: Recursion, round_: RoundRecord, candidates: Sequence[Candidate], scores: Mapping[int, float]
) -> None:
    """Form the clusters of a round whose review is about to open, if `Review.propagate` asks for them.

    Args:
        recursion: under the round's settings.
        round_: the round.
        candidates: its proposals that will be served.
        scores: their predicted acceptance, by proposal id; without, nothing is in a cluster.
    """
    size, method = recursion.settings.review.propagate, recursion.settings.method
    if not size or method.review == "once":  # then nothing is asked twice, and what follows would be proposed anew
        return
    members: dict[str, list[tuple[int, list[float]]]] = {}
    for one in sorted(candidates, key=lambda one: one.proposal_id):
        if one.slices != 1 or one.features is None or scores.get(one.proposal_id, 0.0) < LEAST_SCORE:
            continue
        proposal = recursion.ledger.proposals.get(one.proposal_id)
        if not proposal.unchanged_slices:  # of those the case has more to show
            row = [one.confidence, one.features.log_area, one.features.components, *_place(recursion, proposal)]
            members.setdefault(one.leading_class, []).append((one.proposal_id, row))
    rng = np.random.default_rng([method.seed, 4, round_.round])
    clusters = []
    for _, likely in sorted(members.items()):
        for group in alike(np.array([row for _, row in likely]), size):
            ids = [likely[i][0] for i in rng.permutation(group)]
            clusters.append(Cluster(tuple(ids[:VERIFIED]), tuple(ids[VERIFIED:])))
    recursion.ledger.propagation.form(round_.round, clusters)


def alike(rows: NDArray[np.float64], size: int) -> list[list[int]]:
    """Group rows that are near to each other (Ward's method over standardised columns).

    Args:
        rows: (n, columns), one for each proposal.
        size: members of a group on average.

    Returns:
        The groups of `FEWEST` rows or more, as row numbers; equal rows give equal groups.
    """
    if len(rows) < FEWEST:
        return []
    # Only here, as in triage.py.
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.preprocessing import StandardScaler

    labels = AgglomerativeClustering(max(1, len(rows) // size)).fit_predict(StandardScaler().fit_transform(rows))
    groups = [np.flatnonzero(labels == label).tolist() for label in range(labels.max() + 1)]
    return sorted(group for group in groups if len(group) >= FEWEST)


def _place(recursion: Recursion, proposal: ProposalRecord) -> list[float]:
    """Where in its slice a mask lies, as shares of rows and columns."""
    mask = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes).slices
    _, *places = np.nonzero(mask)
    return [float(place.mean()) / length for place, length in zip(places, mask.shape[1:], strict=True)]
