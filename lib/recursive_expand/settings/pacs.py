"""The PACS: which series are cases, what is written back, how often it is looked at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from recursive_expand.settings.section import Section


class PacsSettings(Section):
    """Studies over DICOMweb. Credentials are none of these: they come from the environment or from files."""

    dicomweb_modality: str = "CT"
    """Modality of the series that are cases."""
    dicomweb_body_part: str = ""
    """BodyPartExamined, as the PACS matches it; empty: any."""
    dicomweb_description: str = ""
    """SeriesDescription with `*` and `?`, as the PACS matches it; empty: any."""
    dicomweb_dates: str = Field(default="", pattern=r"^(\d{8}(-(\d{8})?)?|-\d{8})?$")
    """StudyDate: 20240131, 20240101-20240131, 20240101- or -20240131; empty: any."""
    dicomweb_studies: tuple[str, ...] = ()
    """StudyInstanceUIDs, separated by commas: no other study is looked at."""
    dicomweb_series: tuple[str, ...] = ()
    """SeriesInstanceUIDs, separated by commas: no other series is looked at."""
    pacs_write: Literal["seg+sr", "seg", "sr", "none", "all"] = "seg+sr"
    """What is stored for an accepted case: mask and report, one of them, or nothing; all: both, and for rejects too."""
    pacs_poll_seconds: float = Field(default=300.0, ge=5)
    """How often the PACS is asked for new studies."""
    pacs_cache_gb: float = Field(default=50.0, gt=0)
    """Decoded voxels and clients' images, half each, in 10^9 bytes: the least recently used go, to be fetched again."""
    pacs_kind: Literal["auto", "orthanc", "dcm4chee", "dicomweb", "plain"] = "auto"
    """How superseded objects are removed: Orthanc's REST, dcm4chee's rejection, DICOMweb's DELETE; auto: find out."""
    reader_organization: str = ""
    """The readers' organisation, as reports that are verified name it."""

    @field_validator("dicomweb_dates", "dicomweb_body_part", "dicomweb_description", "dicomweb_modality", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """YAML makes a number of 20240131, and nothing of an empty text."""
        if value is None:
            return ""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("dicomweb_studies", "dicomweb_series", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """`--conf` gives one text; a lone UID may have been read as a number by YAML."""
        if isinstance(value, str | int | float):
            return tuple(part.strip() for part in str(value).split(",") if part.strip())
        return value
