"""How far the work is: shown in the terminal and in the status."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from recursive_expand.archives.atomic import atomic_path

SECONDS_BETWEEN_LINES = 2.0
"""A line in the terminal at most this often, besides the first and the last of a stage."""


@dataclass
class Progress:
    """Counts steps of a stage and estimates the time left.

    Args:
        file: where the newest state is kept, as JSON, for the server to read.
        round_index: the round shown.
    """

    file: Path
    round_index: int | None = None
    _stage: str = ""
    _total: int = 0
    _started: float = 0.0
    _first: int = 0
    _shown: float = field(default=float("-inf"))

    def begin(self, stage: str, total: int, *, done: int = 0) -> None:
        """A stage begins.

        Args:
            stage: what is done, in the reader's words: "reading cases", "training", "proposing".
            total: number of steps.
            done: steps done before an interruption; they don't count for the speed.
        """
        self._stage, self._total, self._first = stage, total, done
        self._started, self._shown = time.monotonic(), float("-inf")
        self.step(done)

    def step(self, done: int, detail: str = "") -> None:
        """This many steps are done; `detail` says what a step is."""
        now = time.monotonic()
        last = done >= self._total
        if not last and now - self._shown < SECONDS_BETWEEN_LINES:
            return
        self._shown = now
        fresh = done - self._first
        left = (now - self._started) / fresh * (self._total - done) if fresh > 0 else None
        state = ProgressState(
            round=self.round_index,
            stage=self._stage,
            done=done,
            total=self._total,
            detail=detail,
            seconds_left=None if left is None else round(left, 1),
        )
        with atomic_path(self.file, fsync=False) as temporary:
            temporary.write_text(json.dumps(asdict(state)), encoding="utf-8")
        print(state.line(), flush=True)

    def say(self, text: str) -> None:
        """One line in the terminal, outside any stage."""
        print(text if self.round_index is None else f"round {self.round_index} | {text}", flush=True)


@dataclass(frozen=True)
class ProgressState:
    """One look at the progress; see `Progress`."""

    round: int | None
    stage: str
    done: int
    total: int
    detail: str
    seconds_left: float | None

    def line(self) -> str:
        """One line for a terminal."""
        parts = [f"{self.stage} {self.done}/{self.total}"]
        if self.round is not None:
            parts.insert(0, f"round {self.round}")
        if self.detail:
            parts.append(self.detail)
        if self.seconds_left and self.done < self.total:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            parts.append(f"{minutes}:{seconds:02d} left")
        return " | ".join(parts)


def read_progress(file: Path) -> ProgressState | None:
    """The newest progress, or None before any."""
    try:
        return ProgressState(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
