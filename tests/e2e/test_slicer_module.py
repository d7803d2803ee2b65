"""The unmodified Slicer module against a running server: what a radiologist does, and what the server makes of it."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import requests
from numpy.typing import NDArray

pytest.importorskip("slicer_core", reason="needs 3D Slicer's libraries: pip install slicer-core")

from recursive_expand.phantom import CLASSES

from .server import Server
from .stock_slicer import PLUGIN, StockSlicer

pytestmark = pytest.mark.skipif(not PLUGIN.is_dir(), reason=f"no Slicer module in {PLUGIN}: pip install monailabel")


@pytest.fixture
def slicer(reviewing: Server, tmp_path: Path) -> Iterator[StockSlicer]:
    """A connected Slicer, always of the same radiologist: what one test leaves undecided the next one gets again."""
    with StockSlicer(reviewing.url, tmp_path) as slicer:
        slicer.connect()
        yield slicer


def test_connect_offers_the_recursion(slicer: StockSlicer) -> None:
    assert slicer.errors == []
    ui = slicer.widget.ui
    assert ui.strategyBox.currentText == "recursive_expand"
    assert ui.segmentationModelSelector.currentText == "recursive_ich"
    assert ui.trainerBox.currentText == "recursive_ich"


def test_next_sample_shows_the_scan(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    native = np.asarray(_image(reviewing, case_id).dataobj)
    assert np.array_equal(slicer.volume, _as_shown(native, case_id, reviewing))


def test_the_proposal_arrives_under_the_right_names(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    proposal = _as_shown(_proposal(reviewing, case_id), case_id, reviewing)
    # What makes this hard: Slicer pairs names with values by position, and three of the five classes are missing.
    assert proposal.any() and set(np.unique(proposal)) <= {0, 2, 5}
    assert list(slicer.segments) == list(CLASSES)
    for value, name in enumerate(CLASSES, start=1):
        assert np.array_equal(slicer.segments[name], proposal == value), name


def test_an_unchanged_submission_accepts(slicer: StockSlicer, reviewing: Server) -> None:
    handedness: set[bool] = set()
    while len(handedness) < 2:  # Slicer turns left-handed volumes round: both kinds must be recognised as unchanged
        case_id = _next(slicer)
        handedness.add(_left_handed(case_id, reviewing))
        proposal = _proposal(reviewing, case_id)
        slicer.submit()
        assert slicer.errors == []
        assert any("Label-Mask saved" in message for message in slicer.messages)
        assert _info(reviewing, case_id, "final")["verdict"] == "accept"
        assert np.array_equal(_label(reviewing, case_id, "final"), proposal)


def test_who_accepted_what_is_on_the_label(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    slicer.submit()
    info = _info(reviewing, case_id, "final")
    assert info["client"] and info["reviewer"] and info["ts"]
    assert info["round"] == 0
    [round_0] = [entry for entry in reviewing.get("/recursive/rounds") if entry["round"] == 0]
    assert info["model_sha256"] == round_0["model_sha256"]
    assert len(info["proposal_sha256"]) == 64


def test_an_emptied_submission_rejects(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    proposal = _proposal(reviewing, case_id)
    slicer.clear_segments()
    slicer.submit()
    assert slicer.errors == []
    assert _info(reviewing, case_id, "rejected")["verdict"] == "reject"
    assert np.array_equal(_label(reviewing, case_id, "rejected"), proposal)
    assert not _has_label(reviewing, case_id, "final")


def test_an_emptied_slice_is_rejected_alone(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    proposal = _proposal(reviewing, case_id)
    marked = np.flatnonzero(_as_shown(proposal, case_id, reviewing).any(axis=(1, 2)))
    assert marked.size > 1, "the study's proposals must cover several slices"
    slicer.clear_slice(int(marked[0]))
    slicer.submit()
    assert slicer.errors == []
    rejected = proposal.shape[2] - 1 - marked[0] if _left_handed(case_id, reviewing) else marked[0]
    expected = proposal.copy()
    expected[:, :, rejected] = 0
    assert _info(reviewing, case_id, "final")["verdict"] == "accept"
    assert np.array_equal(_label(reviewing, case_id, "final"), expected)


def test_an_edit_is_refused_with_a_sentence(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    voxels = slicer.segments["subdural"]
    voxels[0, :2, :3] = True
    slicer.set_segment("subdural", voxels)
    slicer.submit()
    [error] = slicer.errors
    assert "Status: 409" in error
    assert "6 voxels differ" in error
    assert not slicer.messages
    assert not _has_label(reviewing, case_id, "final")


def test_a_mask_moved_to_another_class_is_an_edit(slicer: StockSlicer, reviewing: Server) -> None:
    case_id = _next(slicer)
    present = [name for name, voxels in slicer.segments.items() if voxels.any()]
    voxels = slicer.segments[present[-1]]
    slicer.set_segment(present[-1], np.zeros_like(voxels))
    slicer.set_segment("subarachnoid", voxels)
    slicer.submit()
    assert "Status: 409" in slicer.errors[0]
    assert not _has_label(reviewing, case_id, "final")


def _next(slicer: StockSlicer) -> str:
    case_id = slicer.next_sample()
    assert slicer.errors == []
    assert case_id is not None, "the queue is empty"
    return case_id


def _proposal(server: Server, case_id: str) -> NDArray[np.uint8]:
    return _label(server, case_id, "version_0")


def _label(server: Server, case_id: str, tag: str) -> NDArray[np.uint8]:
    """A label's voxels in native axes, as any client downloads it."""
    answer = requests.get(f"{server.url}/datastore/label", params={"label": case_id, "tag": tag}, timeout=30)
    answer.raise_for_status()
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(answer.content)).dataobj, np.uint8)


def _has_label(server: Server, case_id: str, tag: str) -> bool:
    query = {"label": case_id, "tag": tag}
    return requests.get(f"{server.url}/datastore/label", params=query, timeout=30).status_code == 200


def _info(server: Server, case_id: str, tag: str) -> dict[str, Any]:
    return server.get("/datastore/label/info", label=case_id, tag=tag)


def _image(server: Server, case_id: str) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_filename(Path(server.studies) / f"{case_id}.nii.gz")


def _left_handed(case_id: str, server: Server) -> bool:
    return bool(np.linalg.det(_image(server, case_id).affine[:3, :3]) < 0)


def _as_shown(native: NDArray, case_id: str, server: Server) -> NDArray:
    """A native array as Slicer shows it, (k, j, i): of a left-handed volume it turns the third axis round."""
    return (native[:, :, ::-1] if _left_handed(case_id, server) else native).T
