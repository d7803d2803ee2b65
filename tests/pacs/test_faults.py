"""What a PACS and a disk do to a running recursion: nothing is lost, nobody waits, and what is wrong is said."""

from __future__ import annotations

import resource
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import requests

from recursive_expand.archives.pacs.objects import Written
from recursive_expand.dicom.seg import read_seg
from recursive_expand.dicom.sr import assessments
from recursive_expand.errors import InputError, Unreachable
from recursive_expand.phantom import make_head, write_dicom_series

from ..dicom.sources import CODING, Source
from .test_dicomweb import INFO, archive_of, stored


@pytest.fixture
def between(fake, orthanc):
    """The fake in front of a real Orthanc: passes on what it is asked, unless it is told to fail."""

    def pass_on(path, query):
        method, _, headers = fake.asked[-1]
        kept = {key: value for key, value in headers.items() if key in ("Accept", "Content-Type")}
        url = orthanc.root + path
        answer = requests.request(method, url, params=query, headers=kept, data=fake.body, timeout=30)
        return answer.status_code, answer.headers.get("Content-Type", ""), answer.content

    fake.pass_on = fake.answer = pass_on
    return fake


@pytest.fixture
def source(orthanc, tmp_path):
    files = write_dicom_series(tmp_path / "dicom", make_head(3, size=48, slices=5), seed=1)
    orthanc.load(files)
    return Source(files)


@pytest.fixture
def archive(between, source, tmp_path):
    archive = archive_of(between, tmp_path / "workspace", written=Written("seg"))
    archive.scan()
    return archive


FAILING = [  # each status alone: test_connection.py
    *((status, "text/plain", b"SECRET of the PACS") for status in (404, 503)),
    (200, "text/html", b"<html>SECRET: log in</html>"),
    (200, "application/dicom+json", b'[{"00080018"', 500),
]


@pytest.mark.parametrize("answer", FAILING, ids=lambda answer: f"{answer[0]} {answer[1]}")
def test_what_fails_now_is_done_later_and_once(between, archive, source, orthanc, answer):
    case_id = source.series.series_instance_uid
    between.answer = lambda *_: answer
    for act in (
        lambda: archive.image_file(case_id),
        lambda: archive.put_label(case_id, "final", source.label, INFO),
    ):
        with pytest.raises((Unreachable, InputError)) as raised:
            act()
        assert "SECRET" not in str(raised.value)
    scan = archive.scan() if answer[0] != 404 else None
    assert scan is None or [case.case_id for case in scan.cases] == [case_id]
    between.answer = between.pass_on
    assert np.array_equal(archive.read_volume(case_id).hu, source.volume.hu)
    for _ in range(2):
        archive.put_label(case_id, "final", source.label, INFO)
    assert len(stored(orthanc, "SEG")) == 1


def test_a_store_whose_answer_is_lost_is_not_done_twice(between, archive, source, orthanc):
    case_id = source.series.series_instance_uid

    def lost(path, query):
        answer = between.pass_on(path, query)
        return (503, "text/plain", b"") if between.asked[-1][0] == "POST" else answer

    between.answer = lost
    with pytest.raises(Unreachable, match="503"):
        archive.put_label(case_id, "final", source.label, INFO)
    between.answer = between.pass_on
    archive.put_label(case_id, "final", source.label, INFO)
    assert len(stored(orthanc, "SEG")) == 1
    assert sum(method == "POST" and "studies" in path for method, path, _ in between.asked) == 1


@pytest.mark.parametrize("when", ["before it has the objects", "before it says so"])
def test_a_pacs_that_dies_while_it_stores_has_each_object_once_in_the_end(between, source, orthanc, tmp_path, when):
    archive = archive_of(between, tmp_path / "workspace")
    archive.scan()
    case_id = source.series.series_instance_uid

    def dies(path, query):
        if between.asked[-1][0] != "POST":
            return between.pass_on(path, query)
        if when == "before it says so":
            between.pass_on(path, query)
        orthanc.kill()
        return 200, "application/dicom+json", b"", 100  # the connection breaks off

    between.answer = dies
    try:
        with pytest.raises(Unreachable):
            archive.put_label(case_id, "final", source.label, INFO)
        between.answer = lambda *_: (503, "text/plain", b"")  # as the proxy before a PACS that starts
        with pytest.raises(Unreachable, match="503"):
            archive.put_label(case_id, "final", source.label, INFO)
    finally:
        orthanc.start()
    between.answer = between.pass_on
    for _ in range(2):
        archive.put_label(case_id, "final", source.label, INFO)
    (seg,), (report,) = stored(orthanc, "SEG"), stored(orthanc, "SR")
    assert read_seg(seg, source.series, source.label.geometry, CODING).sha256 == source.label.sha256
    assert {number for number, _ in assessments(report)} == set(source.label.values)


def test_half_a_series_is_completed_one_by_one(between, archive, source):
    def half(path, query):
        status, kind, content = between.pass_on(path, query)
        whole = path.endswith(source.series.series_instance_uid)
        return (status, kind, content[: len(content) // 2], len(content)) if whole else (status, kind, content)

    between.answer = half
    assert np.array_equal(archive.read_volume(source.series.series_instance_uid).hu, source.volume.hu)
    assert sum("/instances/" in path for _, path, _ in between.asked) > 0


def test_while_one_series_comes_its_progress_is_known_and_others_are_read(between, archive, source, orthanc, tmp_path):
    other = Source(write_dicom_series(tmp_path / "other", make_head(4, size=48, slices=4), seed=2))
    orthanc.load(other.files)
    archive.scan()
    slow, quick = source.series.series_instance_uid, other.series.series_instance_uid
    archive.image_file(quick)
    waits, goes_on = threading.Event(), threading.Event()

    def slowly(path, query):
        if path.endswith(slow):
            waits.set()
            goes_on.wait(30)
        return between.pass_on(path, query)

    between.answer = slowly
    reader = threading.Thread(target=archive.image_file, args=(slow,))
    reader.start()
    assert waits.wait(30)
    assert archive.fetching() == {slow: (0, 5)}
    assert archive.read_volume(quick).hu.shape[0] == 4
    goes_on.set()
    reader.join(30)
    assert archive.fetching() == {}


@contextmanager
def full_disk(most):
    """No file grows beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_is_said_in_one_line_and_mended_by_room(archive, source):
    case_id = source.series.series_instance_uid
    with full_disk(2000), pytest.raises(Unreachable, match=r"cannot be kept here.*make room"):
        archive.image_file(case_id)
    assert [path.name for path in archive._kept.folders[0].iterdir() if not path.name.startswith(".")] == []
    assert np.array_equal(archive.read_volume(case_id).hu, source.volume.hu)
