"""Settings of the PACS, as `--conf` gives them."""

from __future__ import annotations

from pathlib import Path

import pytest

from recursive_expand.errors import InputError
from recursive_expand.settings import load_settings

TASK_FILE = Path(__file__).parents[2] / "apps" / "recursive_ich" / "task.yaml"


def pacs(**conf):
    return load_settings(TASK_FILE, conf).pacs


@pytest.mark.parametrize("dates", ["20240131", "20240101-20240131", "20240101-", "-20240131", ""])
def test_dates_are_taken_as_they_are_written(dates):
    assert pacs(dicomweb_dates=dates).dicomweb_dates == (dates or "")


@pytest.mark.parametrize("dates", ["2024-01-31", "yesterday", "202401"])
def test_other_dates_are_refused(dates):
    with pytest.raises(InputError, match="dicomweb_dates"):
        pacs(dicomweb_dates=dates)


def test_uids_are_separated_by_commas():
    assert pacs(dicomweb_series="1.2.3, 1.2.4").dicomweb_series == ("1.2.3", "1.2.4")
    assert pacs(dicomweb_studies="1.2").dicomweb_studies == ("1.2",)
    assert pacs(dicomweb_description="*HEAD*").dicomweb_description == "*HEAD*"


def test_what_is_written_is_one_of_three():
    assert pacs(pacs_write="none").pacs_write == "none"
    with pytest.raises(InputError, match="pacs_write"):
        pacs(pacs_write="everything")


def test_the_pacs_changes_no_round():
    assert "pacs" not in load_settings(TASK_FILE, {"pacs_write": "seg"}).round_config()
    assert "codes" not in load_settings(TASK_FILE).round_config()["task"]
