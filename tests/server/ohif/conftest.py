"""A real Orthanc with small series whose first review is open, and the server that OHIF is opened from."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from recursive_expand.cases import LabelMap
from recursive_expand.dicom.frames import MULTI_FRAME_CT
from recursive_expand.expand.frozen import freeze_files, frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import ProposalDraft, ProposedSlice
from recursive_expand.phantom import CLASSES, make_head, write_dicom_series, write_scout

from ...dicom.sources import multi_frame
from ...pacs import orthanc as debian
from .radiologist import Radiologist

SIZE, SLICES = 64, 5
USER, PASSWORD = "gate", "s3cret-of-the-pacs"
SERIES: dict[str, tuple[dict[str, Any], dict[int, tuple[int, ...]]]] = {
    "five": ({"tilt_degrees": 15.0}, {1: (1, 2, 3), 3: (4, 5)}),
    "one": ({}, {2: (2,)}),
    "two slices": ({"missing_slice": 2}, {0: (5,), 3: (5,)}),
    "deflated": ({"transfer_syntax": "1.2.840.10008.1.2.1.99"}, {1: (1,)}),
    "big-endian": ({}, {1: (3,)}),
    "jpeg 2000": ({}, {1: (2,)}),
    "frames": ({}, {1: (1,), 4: (3,)}),
    "parts": ({}, {0: (4,), 3: (2, 5)}),
    "none": ({}, {}),
}
"""By name: how the series is written, and the classes that its proposal marks, by slice."""
MULTI_FRAME = {"frames": {"order": -1}, "parts": {"parts": 2, "sop_class": MULTI_FRAME_CT[0]}}
"""One image whose frames are from superior to inferior; two whose frames lie between each other's."""
CONVERTED = {"big-endian": ("dcmconv", "+tb"), "jpeg 2000": ("gdcmconv", "--j2k")}


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[debian.Orthanc]:
    """With the series, their scouts, and a study that has nothing but a scout.

    `cases` and `images` are by name; `images`: (SOPInstanceUID, frame from 1, file) by slice number.
    """
    if not debian.installed():
        pytest.skip(f"Orthanc is not installed: {debian.INSTALL}")
    folder = tmp_path_factory.mktemp("ohif")
    server = debian.Orthanc(folder / "orthanc", users={USER: PASSWORD}).start()
    server.cases, server.images = {}, {}
    for number, (name, (options, _)) in enumerate(SERIES.items()):
        head = make_head(number, size=SIZE, slices=SLICES)
        files = write_dicom_series(folder / name, head, seed=number, patient_id=f"SHOWN-{number}", **options)
        if name == "one":
            for path in files:
                # Not the task's window.
                dataset = pydicom.dcmread(path)
                dataset.WindowCenter, dataset.WindowWidth = 600, 2800
                dataset.save_as(path)
        if name in CONVERTED:
            files = [_converted(path, *CONVERTED[name]) for path in files]
        if name in MULTI_FRAME:
            files = multi_frame(files, folder / name / "multi", **MULTI_FRAME[name])
        server.cases[name] = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
        server.images[name] = _images(files)
        server.load([*files, write_scout(folder / name, head, seed=number, patient_id=f"SHOWN-{number}")])
    head = make_head(99, size=SIZE, slices=SLICES)
    server.hidden = write_scout(folder / "hidden", head, seed=99, patient_id="HIDDEN-99")
    server.load([server.hidden])
    yield server
    server.kill()


@pytest.fixture(scope="session")
def proposed_folder(
    orthanc: debian.Orthanc, reopen: Callable[..., Recursion], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A workspace over it with a proposal for each series."""
    workspace = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as environment:
        log_in(environment)
        recursion = reopen(orthanc.url, workspace=workspace, dicomweb_series=_series_of(orthanc))
    register_cases(recursion)
    ledger = recursion.ledger
    ledger.rounds.start(
        0, base_model=None, config=recursion.settings.round_config(), config_sha256="c" * 64,
        training_set={"pixel": []}, training_set_sha256="t" * 64, known=ledger.judgements.watermark(), report={},
    )  # fmt: skip
    ledger.rounds.publish_model(0, trained_model="m" * 64, model="m" * 64, promoted=True, report={"losses": [1.0]})
    for name, case_id in orthanc.cases.items():
        _freeze(recursion, case_id, SERIES[name][1])
    order = sorted(one.proposal_id for one in ledger.queue.candidates(round_index=0))
    ledger.rounds.open_review(0, order=order, report={})
    ledger.close()
    return workspace


@pytest.fixture
def over_pacs(
    orthanc: debian.Orthanc, proposed_folder: Path, tmp_path: Path, reopen: Callable[..., Recursion],
    make_app: Callable[..., Any], monkeypatch: pytest.MonkeyPatch,
) -> Recursion:  # fmt: skip
    """A recursion of its own over that workspace; the application is over it, too."""
    log_in(monkeypatch)
    shutil.copytree(proposed_folder, tmp_path / "workspace")
    conf = {"workspace": str(tmp_path / "workspace"), "dicomweb_series": _series_of(orthanc)}
    recursion = reopen(orthanc.url, **conf)
    make_app(recursion, **conf)
    return recursion


@pytest.fixture
def server(over_pacs: Recursion, serve_app: Callable[[], Any]) -> Iterator[Any]:
    """The application on a port of loopback."""
    started = serve_app()
    yield started
    started.stop()


@pytest.fixture
def radiologist(browser: Any, server: Any) -> Iterator[Callable[..., Radiologist]]:
    """Open OHIF as a person does."""
    opened: list[Radiologist] = []

    def _radiologist(**options: Any) -> Radiologist:
        opened.append(Radiologist(browser, server, **options))
        return opened[-1]

    yield _radiologist
    for each in opened:
        each.context.close()


@pytest.fixture
def proposed_mask(orthanc: debian.Orthanc, over_pacs: Recursion) -> Callable[[str], tuple[str, NDArray[np.uint8]]]:
    """The SHA-256 and the frozen mask (column, row, image) of a series' proposal, by its name."""

    def _proposed(name: str) -> tuple[str, NDArray[np.uint8]]:
        (proposal,) = over_pacs.ledger.proposals.of_case(orthanc.cases[name])
        return proposal.sha256, frozen_label(over_pacs.workspace, proposal, CLASSES).native

    return _proposed


def _freeze(recursion: Recursion, case_id: str, marks: dict[int, tuple[int, ...]]) -> None:
    geometry = recursion.volume(case_id).geometry
    native = np.zeros(geometry.native_shape, np.uint8)
    for image, values in marks.items():
        for value in values:
            # Unlike in each direction, and another place for each class: a mask that is turned shows.
            native[10 + 3 * value : 18 + 4 * value, 8 * value : 8 * value + 5, image] = value
    label = LabelMap(native, geometry, CLASSES)
    marked = tuple(
        ProposedSlice(number, name, voxels, 0.9)
        for number, by_class in label.slice_voxels().items()
        for name, voxels in by_class.items()
    )
    draft = ProposalDraft(
        case_id=case_id, sha256=label.sha256, model_sha256="m" * 64,
        file=freeze_files(recursion.workspace, label, np.zeros(label.slices.shape, np.bool_)),
        marked=marked, confidence=0.9 if marked else 0.0,
    )  # fmt: skip
    recursion.ledger.proposals.freeze(0, draft, serve=True)


def _series_of(orthanc: debian.Orthanc) -> str:
    return ",".join(orthanc.cases.values())


def log_in(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("RECURSIVE_PACS_USER", USER)
    environment.setenv("RECURSIVE_PACS_PASSWORD", PASSWORD)


def _images(files: list[Path]) -> list[tuple[str, int, Path]]:
    """From inferior to superior, which is the order of slice numbers."""
    found = []
    for path in files:
        header = pydicom.dcmread(path, stop_before_pixels=True)
        groups = header.get("PerFrameFunctionalGroupsSequence") or [None]
        for number, group in enumerate(groups, start=1):
            plane = header if group is None else group.PlanePositionSequence[0]
            found.append((plane.ImagePositionPatient[2], str(header.SOPInstanceUID), number, path))
    return [tuple(image) for _, *image in sorted(found)]


def _converted(path: Path, *command: str) -> Path:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: {debian.INSTALL}")
    into = path.with_suffix(".packed")
    subprocess.run([*command, path, into], check=True)
    return into
