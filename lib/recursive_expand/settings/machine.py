"""The machine: what the computer can bear. Nothing here changes a result."""

from __future__ import annotations

from pydantic import Field

from recursive_expand.settings.section import Section


class Machine(Section):
    """Limits of the computer that serves and trains."""

    threads: int = Field(default=0, ge=0)
    """CPU threads of training and proposing; 0: all cores."""
    max_case_bytes: int = Field(default=2 * 1024**3, ge=1)
    """A scan or a mask that would take more memory than this, in bytes, is not read."""
