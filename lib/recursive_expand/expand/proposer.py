"""Learn: f, then g, over undecided cases; each proposal is frozen as it is made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.expand.constraints import allowed_classes, is_clean
from recursive_expand.expand.frozen import freeze_files, frozen_label
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.expand.triage import triage_features
from recursive_expand.expand.unchanged import unchanged_slices
from recursive_expand.ledger import (
    CaseRecord,
    OutdatedDraft,
    ProposalDraft,
    ProposalRecord,
    ProposedSlice,
    RoundRecord,
    VerdictRecord,
)
from recursive_expand.segment.constrain import AllowedClasses
from recursive_expand.segment.predict import Predictor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """What f and g made of a case in a round: plain values, which another process or machine can send.

    Attributes:
        case_id: the case.
        round_index: the round.
        model_sha256: of the weights.
        label: the mask.
        ignore: (slices, rows, columns) bool: the ignore band.
        confidence: (slices,) float32, mean probability of each slice's mask; nan where it is empty.
        flip_dice: (slices,) float32, see `Prediction`.
    """

    case_id: str
    round_index: int
    model_sha256: str
    label: LabelMap
    ignore: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    flip_dice: NDArray[np.float32]


@dataclass(frozen=True)
class Unreadable:
    """A case whose image could not be read, and why."""

    case_id: str
    reason: str


class Proposer:
    """Makes and freezes the proposals of one round.

    Args:
        recursion: under the round's settings.
        round_index: the round that the proposals belong to.
        model_sha256: the hash of the predictor's weights.
        predictor: f and g.
    """

    def __init__(self, recursion: Recursion, round_index: int, model_sha256: str, predictor: Predictor) -> None:
        self._recursion = recursion
        self.round_index = round_index
        self.model_sha256 = model_sha256
        self._predictor = predictor

    @classmethod
    def of(cls, recursion: Recursion, round_: RoundRecord) -> Proposer:
        """The proposer of a round that has its model."""
        assert round_.model is not None
        under = recursion.under(round_)
        predictor = Predictor(under.settings, under.network(round_.model), choose_device())
        return cls(under, round_.round, round_.model, predictor)

    def make(self, case: CaseRecord) -> Made:
        """Predict one case; nothing is stored.

        Raises:
            InputError: its image cannot be read.
        """
        made = next(iter(self.make_all([case])))
        if isinstance(made, Unreadable):
            raise InputError(case.case_id, made.reason)
        return made

    def make_all(self, cases: Iterable[CaseRecord]) -> Iterator[Made | Unreadable]:
        """Predict many cases, a few at a time; nothing is stored.

        Yields:
            What was made of each case, in their order; cases that cannot be read come as soon as that is known.
        """
        unreadable: list[Unreadable] = []
        volumes: dict[str, Volume] = {}
        allowed: dict[str, AllowedClasses] = {}

        def read() -> Iterator[tuple[str, Volume]]:
            for case in cases:
                try:
                    volume = self._recursion.volume(case.case_id)
                except InputError as error:
                    unreadable.append(Unreadable(case.case_id, str(error)))
                    continue
                volumes[case.case_id] = volume
                if self._recursion.settings.method.use_image_labels:
                    allowed[case.case_id] = allowed_classes(case.image_labels, case.slices)
                yield case.case_id, volume

        classes = self._recursion.settings.task.classes
        for case_id, prediction in self._predictor.propose_volumes(read(), allowed):
            while unreadable:
                yield unreadable.pop(0)
            geometry = volumes.pop(case_id).geometry
            allowed.pop(case_id, None)
            yield Made(
                case_id=case_id,
                round_index=self.round_index,
                model_sha256=self.model_sha256,
                label=LabelMap.from_slices(prediction.mask, geometry, classes),
                ignore=prediction.ignore,
                confidence=prediction.confidence,
                flip_dice=prediction.flip_dice,
            )
        yield from unreadable

    def predict(self, volume: Volume) -> LabelMap:
        """f's and g's mask of any image, whatever is known of it; nothing is stored."""
        prediction = self._predictor.predict(volume)
        return LabelMap.from_slices(prediction.mask, volume.geometry, self._recursion.settings.task.classes)

    def freeze(self, made: Made, *, serve: bool = False) -> ProposalRecord:
        """Freeze what was made, with regard to what experts said of the case, also while it was made.

        Args:
            made: from `make`, here or elsewhere.
            serve: queue it at once (outside a round's bulk proposing).

        Returns:
            The case's proposal of this round: this one, or the one that another process froze first.
        """
        while True:
            try:
                return self._freeze(made, serve=serve)
            except OutdatedDraft:
                continue

    def propose(
        self, cases: Iterable[CaseRecord], *, progress: Progress | None = None, serve: bool = False
    ) -> Iterator[ProposalRecord]:
        """Make and freeze a proposal for each case; one that cannot be read is set aside and the rest goes on.

        Args:
            cases: what to propose for.
            progress: shows the slices proposed; its stage has begun.
            serve: as in `freeze`.

        Yields:
            Each proposal once it is durable.
        """
        done = 0
        for made in self.make_all(cases):
            if isinstance(made, Unreadable):
                logger.warning("Set aside %s", made.reason)
                self._recursion.ledger.cases.set_aside(made.case_id, made.reason)
                continue
            yield self.freeze(made, serve=serve)
            done += len(made.ignore)
            if progress is not None:
                progress.step(done, "slices")

    def _freeze(self, made: Made, *, serve: bool) -> ProposalRecord:
        ledger = self._recursion.ledger
        existing = ledger.proposals.of_round(made.case_id, made.round_index)
        if existing is not None:
            return existing
        verdicts = ledger.judgements.of_case(made.case_id)
        label, whole, same = self._without_what_was_judged(made, verdicts)
        marked = _marked(label, made.confidence)
        confidence = _mean_confidence(marked)
        draft = ProposalDraft(
            case_id=made.case_id,
            sha256=label.sha256,
            model_sha256=made.model_sha256,
            file=freeze_files(self._recursion.workspace, label, made.ignore),
            marked=marked,
            confidence=confidence,
            unchanged_slices=same,
            unchanged=whole,
            features=triage_features(label, flip_dice=made.flip_dice),
        )
        judged = [verdict.verdict_id for verdict in verdicts]
        return ledger.proposals.freeze(made.round_index, draft, serve=serve, judged=judged)

    def _without_what_was_judged(
        self, made: Made, verdicts: Sequence[VerdictRecord]
    ) -> tuple[LabelMap, bool, tuple[int, ...]]:
        """Empty the slices that were accepted before, or hardly differ from what was rejected.

        Returns:
            (the mask, whether all of it is unchanged, numbers of the slices that are).
        """
        recursion, rejected = self._recursion, []
        by_round = {}
        if verdicts:
            by_round = {proposal.round: proposal for proposal in recursion.ledger.proposals.of_case(made.case_id)}
        accepted = [number for verdict in verdicts for number in verdict.accepted_slices]
        # Most cases were never judged: a copy of 8 MB for nothing takes as long as reading the image.
        label = made.label.emptied(accepted) if accepted else made.label
        for verdict in verdicts:
            if verdict.rejected_slices:
                proposal = by_round[verdict.round]
                judged = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes)
                rejected.append((judged.slices, verdict.rejected_slices))
        whole, same = unchanged_slices(label.slices, rejected, dice=recursion.settings.method.unchanged_dice)
        return label.emptied(same) if same and not whole else label, whole, same


def cases_to_propose(recursion: Recursion, round_index: int) -> Iterator[CaseRecord]:
    """Every case of which something is undecided and that has no proposal of this round yet.

    With `review: once`, those that were accepted whole too: f may find more in their other slices.
    """
    proposed = recursion.ledger.proposals.proposed_in(round_index)
    unsettled = recursion.settings.method.review == "every_round"
    for case in recursion.ledger.cases.iterate(roles=[Role.IMAGE, Role.UNLABELLED], unsettled=unsettled):
        if case.case_id in proposed:
            continue
        labelled_clean = is_clean(allowed_classes(case.image_labels, case.slices))
        if not (recursion.settings.method.use_image_labels and labelled_clean):
            yield case


def _marked(label: LabelMap, confidence: NDArray[np.float32]) -> tuple[ProposedSlice, ...]:
    """What a mask marks, class by class."""
    marked = [
        ProposedSlice(number, name, voxels, None if np.isnan(confidence[number]) else float(confidence[number]))
        for number, by_class in label.slice_voxels().items()
        for name, voxels in by_class.items()
    ]
    return tuple(sorted(marked, key=lambda one: (label.classes.index(one.class_name), one.slice)))


def _mean_confidence(marked: Sequence[ProposedSlice]) -> float:
    """The mean of the slices' confidence, weighted by their voxels; 0 for an empty mask."""
    by_slice: dict[int, tuple[float, int]] = {}
    for one in marked:
        known = by_slice.get(one.slice, (0.0, 0))
        by_slice[one.slice] = (one.confidence or 0.0, known[1] + one.voxels)
    if not by_slice:
        return 0.0
    values, weights = zip(*(by_slice[number] for number in sorted(by_slice)), strict=True)
    return float(np.average(np.array(values, np.float32), weights=np.array(weights, np.int64)))
