"""Section `pacs`: fetching, reviewing and listing studies of a PACS, an Orthanc on this machine."""

from __future__ import annotations

import itertools
import logging
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from dicomweb_client import DICOMwebClient

from _bench.files import link
from _bench.material import APP, CONF, bench_settings, fresh_folder, weights
from _bench.pacs_listing import list_series
from _bench.pacs_series import COMPRESSED, BenchSeries, write_noisy
from _bench.recursion import open_bench_recursion, open_review, propose_all, publish
from _bench.report import Section, at_least, at_most
from _bench.scale import FULL, Scale
from _bench.server import Server, serve
from _bench.timing import in_turn, ratio, seconds
from _pacs_demo import INSTALL, load, orthanc_program, start_orthanc
from recursive_expand.archives.images import read_geometry, read_volume
from recursive_expand.expand.registration import register_cases

FETCHES = {True: 9, False: 3}
SERIES_LISTED = {True: (250, 20_000), False: (250, 5_000)}
CASES = 3


def measure_pacs(scale: Scale, threads: int) -> Section:
    """First fetch against the stock datastore's, review of cached cases against a folder's, and the listing."""
    section = Section(
        "pacs",
        f"An Orthanc on loopback; series of 512x512x{scale.slices} with noise over the whole field; medians of "
        f"{FETCHES[scale == FULL]} first fetches in turn, and of {scale.requests} samples in turn. "
        "Listing: a simulated PACS.",
    )
    if orthanc_program() is None:
        section.about = f"Not measured: Orthanc is missing ({INSTALL})."
        return section
    logging.getLogger("monailabel").setLevel(logging.ERROR)
    logging.getLogger("dicomweb_client").setLevel(logging.ERROR)
    with _orthanc() as (root, series):
        plain = series(0, scale.slices)
        url = f"{root}/dicom-web"
        _fetch(section, url, plain, scale)
        for number, syntax in enumerate(COMPRESSED, start=1):
            packed = series(number, scale.slices, syntax)
            took = statistics.median(_Ours(url, packed).run() for _ in range(scale.repeats))
            section.add(f"first fetch, {syntax}, exact", scale.slices / took, f"{scale.slices / took:.0f} slices/s")
    with _orthanc() as (root, series):
        for number in range(CASES):
            series(number, scale.slices)
        _review(section, f"{root}/dicom-web", scale, threads)
    _listing(section, scale)
    return section


def _fetch(section: Section, url: str, series: BenchSeries, scale: Scale) -> None:
    ours, stock = _Ours(url, series), _Stock(url, series)
    sides = {"ours": ours.run, "stock": stock.run}
    in_turn(sides, 1)  # warm up: modules are loaded
    found = in_turn(sides, FETCHES[scale == FULL])
    for name, times in found.items():
        section.add(f"first fetch to a NIfTI that can be read, uncompressed: {name}", *_seconds(times))
    faster = ratio(found["stock"], found["ours"])
    section.add("first fetch: stock / ours", faster, f"{faster:.1f}x", at_least(3))


class _Ours:
    """First fetches by our archive, each in a workspace of its own."""

    def __init__(self, url: str, series: BenchSeries) -> None:
        self._url, self._series = url, series

    def run(self) -> float:
        """Seconds to an image file, which is held against what was written."""
        conf = {"workspace": str(fresh_folder("pacs_fetch")), "dicomweb_series": self._series.uid}
        recursion = open_bench_recursion(self._url, conf)
        recursion.archive.scan()
        files: list[Path] = []
        took = seconds(lambda: files.append(recursion.archive.image_file(self._series.uid)))
        if not np.array_equal(read_volume(files[0]).hu, self._series.hu):
            raise RuntimeError("the series that was fetched is not the one that was stored")
        recursion.ledger.close()
        return took


class _Stock:
    """First fetches by MONAI Label's datastore, each with a cache of its own."""

    def __init__(self, url: str, series: BenchSeries) -> None:
        self._client, self._series, self._folder = DICOMwebClient(url), series, fresh_folder("pacs_stock")

    def run(self) -> float:
        """Seconds to an image file."""
        from monailabel.datastore.dicom import DICOMWebDatastore

        cache = tempfile.mkdtemp(dir=self._folder)  # another one each time: it watches it from a thread to the end
        datastore = DICOMWebDatastore(self._client, {"Modality": "CT"}, cache)
        files: list[str] = []
        took = seconds(lambda: files.append(datastore.get_image_uri(self._series.uid)))
        if read_geometry(Path(files[0])).shape[0] != len(self._series.hu):
            raise RuntimeError("the stock datastore lost slices")
        return took


def _review(section: Section, url: str, scale: Scale, threads: int) -> None:
    """Next sample, image and proposal of cases that were read, over HTTP: of the PACS, and of the same in a folder."""
    file, sha256 = weights(bench_settings(threads))
    workspace, folder = fresh_folder("pacs_workspace"), fresh_folder("pacs_folder")
    conf: dict[str, object] = {**CONF, "threads": threads}
    sides: dict[str, tuple[Path | str, dict[str, object]]] = {
        "PACS": (url, conf | {"workspace": workspace, "pacs_write": "none"}),
        "folder": (folder, conf),
    }
    for name, (studies, given) in sides.items():
        recursion = open_bench_recursion(studies, {key: str(value) for key, value in given.items()})
        register_cases(recursion)
        publish(recursion, file, sha256)
        propose_all(recursion)
        open_review(recursion)
        if name == "PACS":
            for case_id in recursion.ledger.cases.ids():
                link(recursion.archive.image_file(case_id), folder / f"{case_id}.nii.gz")
        recursion.ledger.close()
    logs = folder.parent
    with (
        serve(APP, url, sides["PACS"][1], logs / "pacs.log") as pacs,
        serve(APP, folder, sides["folder"][1], logs / "pacs_folder.log") as plain,
    ):
        asking = {"PACS": _asking(pacs), "folder": _asking(plain)}
        for server in (pacs, plain):
            server.wait(lambda status: status["undecided"] > 0)
            server.settle()
        in_turn(asking, 2)  # warm up
        found = in_turn(asking, scale.requests)
    for name, times in found.items():
        section.add(f"next sample, image and infer of a cached case: {name}", *_milliseconds(times))
    longer = ratio(found["PACS"], found["folder"])
    section.add("next sample, image and infer: PACS / folder", longer, f"{longer:.2f}x", at_most(1.5))


def _asking(server: Server):
    def ask() -> None:
        case_id = server.next_sample()
        server.session.get(f"{server.url}/datastore/image", params={"image": case_id}, timeout=600).raise_for_status()
        server.infer("recursive_ich", case_id)

    return lambda: seconds(ask)


def _listing(section: Section, scale: Scale) -> None:
    counts = SERIES_LISTED[scale == FULL]
    found = [[list_series(count) for count in counts] for _ in range(scale.repeats)]
    few, many = zip(*found, strict=True)
    for count, side in zip(counts, (few, many), strict=True):
        section.add(f"first case of {count:,} series", *_seconds([one.first_seconds for one in side]))
        section.add(f"all {count:,} series listed", *_seconds([one.listed_seconds for one in side]))
        mib = statistics.median(one.mib for one in side)
        section.add(f"memory, {count:,} series listed", mib, f"{mib:,.0f} MiB")
    longer = ratio([one.first_seconds for one in many], [one.first_seconds for one in few])
    more = ratio([one.mib for one in many], [one.mib for one in few])
    named = f"{counts[1]:,} / {counts[0]:,} series"
    section.add(f"time to the first case: {named}", longer, f"{longer:.2f}x", at_most(1.5))
    section.add(f"memory: {named}", more, f"{more:.3f}x", at_most(1.1))


@contextmanager
def _orthanc() -> Iterator:
    """An empty Orthanc: its address, and what writes a series and loads it."""
    folder = fresh_folder("pacs_orthanc")
    root, process = start_orthanc(folder)
    numbers = itertools.count()

    def series(seed: int, slices: int, syntax: str = "uncompressed") -> BenchSeries:
        made = write_noisy(folder / f"series_{next(numbers)}", seed, slices, syntax)
        load(root, made.files)
        return made

    try:
        yield root, series
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _seconds(times: list[float]) -> tuple[float, str]:
    median = statistics.median(times)
    return median, f"{median:.2f} s"


def _milliseconds(times: list[float]) -> tuple[float, str]:
    median = statistics.median(times) * 1000
    return median, f"{median:,.0f} ms"
