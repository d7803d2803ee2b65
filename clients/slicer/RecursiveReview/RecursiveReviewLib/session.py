"""A reader's session: the case on the screen, verdicts and their undoing, and the next case fetched ahead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .background import Background
from .case import Case, Fetched, UnreadableImage
from .client import Client, Item, ServerError, State
from .fetching import fetch, waiting
from .grid import NotOnTheGrid
from .nrrd import UnreadableMask
from .reading import Reading, make_id

LOOK_AGAIN_SECONDS = 5.0
"""How often the server is asked while nothing waits."""
LEASE_SHARE = 3
"""A lease is lengthened when a third of it is over."""
UNUSABLE = (UnreadableImage, UnreadableMask, NotOnTheGrid)
"""What is wrong with a case that cannot be shown."""


@dataclass(frozen=True)
class Ahead:
    """What was found while the reader was busy.

    Attributes:
        state: where the review stands; `counted`: verdicts of this session that it knows.
        fetched: the next case, if there is one.
    """

    state: State
    counted: int
    fetched: Fetched | None


@dataclass(frozen=True)
class Given:
    """A verdict that can be taken back."""

    verdict_id: str
    item: Item


class Session:
    """A reader's session with a server.

    Args:
        client: of the reader; it is signed in where that is needed.
        folder: for files that are on their way into the scene.
        now: seconds since the epoch.

    Attributes:
        state: where the review stood when it was last asked.
        case: on the screen; None while there is none.
        wrong: numbers of its slices that the reader rejects.
        given: verdicts of this session, oldest first.
        message: what the reader should know now.
    """

    def __init__(self, client: Client, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._client, self._folder, self._now = client, folder, now
        self._id = make_id()
        self._window: tuple[float, float] | None = None
        self._passed: set[str] = set()
        self._shown = 0
        self._away = False
        self._looked = self._held = 0.0
        self._reading: Reading | None = None
        self._verdict_id = ""
        self._ahead: Background[Ahead] | None = None
        self._beat: tuple[str, Background[str]] | None = None
        self.state = client.state()
        self.case: Case | None = None
        self.wrong: set[int] = set()
        self.given: list[Given] = []
        self._counted = 0  # verdicts that `state` knew
        self.message = self.state.message
        self._look_ahead()

    @property
    def progress(self) -> tuple[int, int]:
        """(verdicts of this session, those and what still waits)."""
        remaining = max(0, self.state.remaining - (len(self.given) - self._counted))
        return len(self.given), len(self.given) + remaining

    @property
    def preloaded(self) -> str | None:
        """The case that can be shown without a wait; nobody has leased it yet."""
        if self._ahead is None or not self._ahead.wait(0):
            return None
        with contextlib.suppress(ServerError, *UNUSABLE):
            ahead = self._ahead.result()
            return ahead.fetched.item.case_id if ahead is not None and ahead.fetched is not None else None
        return None

    def next(self) -> Case | None:
        """Show the next case that waits; the one on the screen goes back into the queue.

        A case is leased when it is shown, not before. One that another reader took meanwhile is left out.

        Raises:
            ServerError: the server does not answer.
        """
        if self.case is not None:
            self._passed.add(self.case.item.case_id)
        unusable: list[str] = []
        fetched = self._take_ahead(unusable)
        while fetched is not None:
            try:
                if self._show(fetched):
                    break
            except UNUSABLE as error:
                unusable.append(str(error))
            self._passed.add(fetched.item.case_id)
            fetched = self._find(unusable)
        else:
            self._leave()
        self._look_ahead()
        self.message = "; ".join(unusable) or ("" if self.case is not None else self._nothing())
        return self.case

    def accept(self, *, comment: str = "", by_key: bool = True) -> None:
        """Accept the proposal, but for the slices that were marked as wrong; then show the next case.

        Raises:
            ServerError: the verdict was not taken; the case stays, and the same again is the same verdict.
        """
        self._judge("accept", sorted(self.wrong), None, comment, by_key)

    def reject(self, reason: str | None = None, *, comment: str = "", by_key: bool = True) -> None:
        """Reject the proposal, all of it; then show the next case.

        Raises:
            ServerError: as `accept`.
        """
        self._judge("reject", [], reason, comment, by_key)

    def toggle_slice(self) -> None:
        """Mark the slice on the screen as wrong, or take the mark off; `accept` then takes the others."""
        if self.case is None or self._reading is None:
            return
        self._reading.touch()
        number = self.case.slice_shown
        if number is None or number not in self.case.item.slices:
            self.message = "nothing is marked on this slice"
            return
        self.wrong ^= {number}
        self.message = ""

    def undo(self) -> Case | None:
        """Take this session's last verdict back and show its case again.

        Raises:
            ServerError: the round is closed, or the server does not answer; only what the server refuses is forgotten.
        """
        if not self.given:
            self.message = "there is nothing to undo in this session"
            return self.case
        last = self.given[-1]
        try:
            self._client.take_back(last.verdict_id)
        except ServerError as error:
            if error.status is not None and error.status < 500 and error.status != 401:
                self.given.pop()
            raise
        self.given.pop()
        shown = self._show(fetch(self._client, self._folder, last.item))
        self.message = "" if shown else f"another reader has case {last.item.case_id} now"
        return self.case

    def set_window(self, level: float, width: float) -> None:
        """Show this case and the following ones in a display window, in HU."""
        self._window = (level, width)
        if self.case is not None:
            self.case.show_window(level, width)
        if self._reading is not None:
            self._reading.touch()

    def looked(self, *, by_hand: bool = True) -> None:
        """The view changed: another slice, or the outline was switched.

        Args:
            by_hand: whether the reader did it.
        """
        if self.case is None or self._reading is None:
            return
        if by_hand:
            self._reading.touch()
        number = self.case.slice_shown
        if number is not None:
            self._reading.see(number)
        self._reading.overlay(self.case.outlined)

    def here(self, here: bool) -> None:
        """The reader left for another module, or came back. The case stays theirs until its lease ends."""
        self._away = not here
        if here:
            self._held = 0.0  # it is asked at once whether the case is theirs still
        if self._reading is not None:
            self._reading.here(here)

    def tick(self, seconds: float = 0.005) -> bool:
        """Let the work beside go on for a while; to be called all the time.

        Returns:
            Whether something changed that the panel shows.
        """
        if self.case is not None and not self.case.in_scene:
            # The user closed the scene.
            self._leave()
            self.message = "the scene was closed; Next shows a case again"
            return True
        return self._keep_lease(seconds) or self._look(seconds)

    def close(self) -> None:
        """Give the case back and take it out of the scene."""
        self._ahead = self._beat = None
        self._leave()

    def _judge(self, verdict: str, rejected: list[int], reason: str | None, comment: str, by_key: bool) -> None:
        if self.case is None or self._reading is None:
            return
        level, width = self._window = self.case.window
        facts = self._reading.facts(
            session=self._id, seed=self.state.seed, level=level, width=width, zoom=self.case.zoom, by_key=by_key
        )
        item = self.case.item
        taken = self._client.give(
            {
                "id": self._verdict_id,
                "case_id": item.case_id,
                "proposal": item.proposal,
                "verdict": verdict,
                "rejected_slices": rejected,
                "reason": reason,
                "comment": comment.strip() or None,
                "reading": facts,
            }
        )
        self.given.append(Given(self._verdict_id, item))
        self._forget()
        self.next()
        if taken["rejected_slices"] != (list(item.slices) if verdict == "reject" else rejected):
            # The answer to an earlier key was lost on its way; what the server took counts.
            self.message = (
                f"the server has your earlier verdict on {item.case_id} ({taken['verdict']}); undo takes it back"
            )

    def _show(self, fetched: Fetched) -> bool:
        """Lease a case and put it on the screen in place of what is there; False where another reader was faster."""
        item = fetched.item
        try:
            if self._client.hold(item.case_id) != "held":
                return False
            self._held = self._now()
            self._leave(unless=item.case_id)
            self.case = Case(fetched, self.state.classes)
        except UNUSABLE:
            self._client.release(item.case_id)
            raise
        finally:
            fetched.file.unlink()
        self._verdict_id = make_id()
        self.case.show_window(*(self._window or (self.state.level, self.state.width)))
        self.case.go_to(item.slices[len(item.slices) // 2])
        self._reading = Reading(self._shown, now=self._now)
        self._shown += 1
        self.looked(by_hand=False)
        return True

    def _leave(self, *, unless: str | None = None) -> None:
        """The case on the screen goes back into the queue, unless it is the one that is shown next."""
        if self.case is None:
            return
        case_id = self.case.item.case_id
        self._forget()
        if case_id != unless:
            # Where the server is away the lease ends by itself.
            with contextlib.suppress(ServerError):
                self._client.release(case_id)

    def _forget(self) -> None:
        if self.case is not None:
            self.case.remove()
        self.case = self._reading = None
        self.wrong = set()

    def _look_ahead(self) -> None:
        passed = set(self._passed)
        if self.case is not None:
            passed.add(self.case.item.case_id)
        self._looked = self._now()
        self._ahead = Background(lambda: self._search(passed))

    def _search(self, passed: set[str]) -> Ahead:
        """Where the review stands and the next case, fetched; nothing is leased. It runs in a thread of its own."""
        counted, state = len(self.given), self._client.state()
        found, _ = waiting(self._client, passed)
        return Ahead(state, counted, fetch(self._client, self._folder, found[0]) if found else None)

    def _take_ahead(self, unusable: list[str]) -> Fetched | None:
        ahead, self._ahead = self._ahead, None
        try:
            found = ahead.result() if ahead is not None else None
        except (ServerError, *UNUSABLE):
            found = None  # it is tried again here, where it can be said
        if found is None or found.fetched is None:
            return self._find(unusable)
        self.state, self._counted = found.state, found.counted
        return found.fetched

    def _find(self, unusable: list[str]) -> Fetched | None:
        """The next case, fetched now; those that were passed come again when nothing else is left."""
        self.state, self._counted = self._client.state(), len(self.given)
        found, again = waiting(self._client, self._passed)
        if not found and not unusable:
            self._passed.clear()
            found = again
        for item in found:
            try:
                return fetch(self._client, self._folder, item)
            except UNUSABLE as error:
                unusable.append(str(error))
                self._passed.add(item.case_id)
        return None

    def _keep_lease(self, seconds: float) -> bool:
        if self._beat is not None and self._beat[1].wait(seconds):
            (case_id, beat), self._beat = self._beat, None
            with contextlib.suppress(ServerError):
                if beat.result() != "held" and self.case is not None and self.case.item.case_id == case_id:
                    self.message = "this case is no longer yours: it was judged, or another reader has it; press Next"
                    return True
        elif (
            self.case is not None
            and not self._away
            and self._now() - self._held > self.state.lease_seconds / LEASE_SHARE
        ):
            self._held = self._now()
            case_id = self.case.item.case_id
            self._beat = case_id, Background(lambda: self._client.hold(case_id))
        return False

    def _look(self, seconds: float) -> bool:
        if self._ahead is not None and not self._ahead.wait(seconds):
            return False
        if self.case is not None or self._now() - self._looked < LOOK_AGAIN_SECONDS:
            return False
        try:
            found = self._ahead.result() if self._ahead is not None else None
        except (ServerError, *UNUSABLE) as error:
            self.message = str(error)
        else:
            if found is not None:
                self.state, self._counted = found.state, found.counted
                self.message = self._nothing() if found.fetched is None else "Proposals wait: press Next"
                if found.fetched is not None:
                    self._looked = self._now()
                    return True
        self._look_ahead()
        return True

    def _nothing(self) -> str:
        return self.state.message or "Nothing waits for a verdict."
