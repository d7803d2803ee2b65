"""The machine: what the computer can bear. Nothing here changes a result."""

from __future__ import annotations

import os

from pydantic import Field

from recursive_expand.settings.section import Section


class Machine(Section):
    """Limits of the computer that serves and trains."""

    threads: int = Field(default=0, ge=0)
    """CPU threads of training and proposing; 0: all cores."""
    max_case_bytes: int = Field(default=2 * 1024**3, ge=1)
    """A scan or a mask that would take more memory than this, in bytes, is not read."""

    @property
    def cores(self) -> int:
        """CPU cores that may work at once."""
        return self.threads or available_cores()


def available_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
