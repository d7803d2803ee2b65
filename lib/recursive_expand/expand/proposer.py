"""Learn: f, then g, over undecided cases; each proposal is frozen as it is made."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from recursive_expand.cases import LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.expand.constraints import allowed_classes, is_clean
from recursive_expand.expand.freezing import Made, freeze
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.snapshots import round_predictor
from recursive_expand.ledger import CaseRecord, ProposalRecord, RoundRecord
from recursive_expand.segment.constrain import AllowedClasses
from recursive_expand.segment.predict import Predictor

logger = logging.getLogger(__name__)


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
        return cls(under, round_.round, round_.model, round_predictor(under, round_))

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
                snapshot_dice=prediction.snapshot_dice,
            )
        yield from unreadable

    def predict(self, volume: Volume) -> LabelMap:
        """f's and g's mask of any image, whatever is known of it; nothing is stored."""
        prediction = self._predictor.predict(volume)
        return LabelMap.from_slices(prediction.mask, volume.geometry, self._recursion.settings.task.classes)

    def freeze(self, made: Made, *, serve: bool = False) -> ProposalRecord:
        """`freezing.freeze` of what was made, here or elsewhere."""
        return freeze(self._recursion, made, serve=serve)

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
