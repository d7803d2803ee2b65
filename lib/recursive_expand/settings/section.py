"""What every section of the settings is: an immutable model that refuses fields it does not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Base of the settings' sections. A changed copy is made by `Settings.changed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
