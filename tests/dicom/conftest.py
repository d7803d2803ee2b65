"""Small DICOM CT series for the tests of this room."""

from __future__ import annotations

import pytest

from .series_writer import SeriesWriter


@pytest.fixture
def source(tmp_path):
    return tmp_path / "dicom"


@pytest.fixture
def make_series(source):
    def make(name="series", **options):
        return SeriesWriter(source / name, **options)

    return make
