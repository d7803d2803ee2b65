"""The files of an experiment's output folder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from recursive_expand.experiment.layout import CONFIG, CONFIG_0_1, config_file, write_csv


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_equal_rows_are_equal_files(tmp_path: Path, name: str) -> None:
    rows = [{"case_id": "a", "dice": 1 / 3}, {"case_id": "b", "dice": None}]
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        write_csv(tmp_path / folder / name, rows)
    assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    assert pd.read_csv(tmp_path / "first" / name).dice[0] == pytest.approx(1 / 3, abs=1e-6)


def test_no_rows_still_have_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "rows.csv", [], ["a", "b"])
    assert (tmp_path / "rows.csv").read_text() == "a,b\n"


def test_the_configuration_of_0_1_0_is_found_where_there_is_no_newer_one(tmp_path: Path) -> None:
    assert config_file(tmp_path) is None
    (tmp_path / CONFIG_0_1).touch()
    assert config_file(tmp_path) == tmp_path / "study.yaml"
    (tmp_path / CONFIG).touch()
    assert config_file(tmp_path) == tmp_path / "experiment.yaml"
