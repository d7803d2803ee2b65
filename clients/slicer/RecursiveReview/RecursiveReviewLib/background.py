"""One piece of work beside the application's own, which takes its turn when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Background(Generic[T]):
    """A function in a thread of its own; it is begun when this is made.

    Between events Slicer's application holds Python's lock, and threads stand still. They run while the application
    waits for them here: a timer that calls `wait` lets them.

    Args:
        work: what is done. It must not touch the scene: that is the main thread's.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._found: T | None = None
        self._error: Exception | None = None
        # As a daemon it does not keep Slicer from ending.
        self._thread = threading.Thread(target=self._run, daemon=True, name="RecursiveReview")
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Let the work go on for a while; whether it is done."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self, seconds: float | None = None) -> T | None:
        """What was found, once it is done; what the work raised is raised here."""
        self.wait(seconds) if seconds is not None else self._thread.join()
        if self._error is not None:
            raise self._error
        return self._found

    def _run(self) -> None:
        try:
            self._found = self._work()
        except Exception as error:
            self._error = error
