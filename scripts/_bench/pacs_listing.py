"""How soon the first case of a large PACS is there, and what its listing needs of memory: in a process of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psutil
import pydicom

from _bench.material import fresh_folder
from recursive_expand.phantom import make_head, write_dicom_series

SLICES, SIDE = 3, 64
MAX_SECONDS = 300.0
LISTED = "listing.json"


@dataclass(frozen=True)
class Listed:
    """What was measured.

    Attributes:
        first_seconds: from the start to the first case in the ledger.
        listed_seconds: to the end of the listing.
        mib: resident memory of the process then.
    """

    first_seconds: float
    listed_seconds: float
    mib: float


def list_series(count: int) -> Listed:
    """Measure with a simulated PACS of so many series."""
    workspace = fresh_folder(f"pacs_listing_{count}")
    with _simulated(count) as url:
        command = [sys.executable, "-m", "_bench.pacs_listing", url, str(workspace)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=MAX_SECONDS)
    return Listed(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def _simulated(count: int) -> Iterator[str]:
    """A DICOMweb of so many series, all of them one small head under other UIDs."""
    slices = [
        pydicom.dcmread(path)
        for path in write_dicom_series(
            fresh_folder("pacs_listing_head"), make_head(1, size=SIDE, slices=SLICES), seed=1
        )
    ]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            path, query = parts.path.split("/"), parse_qs(parts.query)
            kind, body = "application/dicom+json", b"[]"
            if path[-1] == "series" and query["Modality"] == ["CT"]:
                begin = int(query["offset"][0])
                entries = [_entry(number) for number in range(begin, min(begin + int(query["limit"][0]), count))]
                body = json.dumps(entries).encode()
            elif path[-1] == "instances":
                entries = [{"00080018": {"vr": "UI", "Value": [f"{path[-2]}.{n}"]}} for n in range(SLICES)]
                body = json.dumps(entries).encode()
            elif path[-2] == "series" and path[-1] != "series":
                kind, body = 'multipart/related; type="application/dicom"; boundary=x', _multipart(slices, path[-1])
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *arguments: object) -> None:
            """A client that ends leaves its connections as they are."""

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        server.server_close()


def _entry(number: int) -> dict[str, object]:
    """A series as a PACS lists it."""
    values = {
        "0020000D": ("UI", f"2.25.1{number // 2:06d}"),
        "0020000E": ("UI", f"2.25.2{number:06d}"),
        "0008103E": ("LO", "HEAD 5.0 H31s" if number % 4 else "Topogram 0.6 T20f"),
        "00100020": ("LO", f"P{number // 2:06d}"),
        "00201209": ("IS", SLICES),
    }
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items()}


def _multipart(slices: list[pydicom.FileDataset], series: str) -> bytes:
    body = io.BytesIO()
    for number, dataset in enumerate(slices):
        dataset.SeriesInstanceUID, dataset.SOPInstanceUID = series, f"{series}.{number}"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        part = io.BytesIO()
        dataset.save_as(part)
        body.write(b"--x\r\nContent-Type: application/dicom\r\n\r\n" + part.getvalue() + b"\r\n")
    body.write(b"--x--\r\n")
    return body.getvalue()


def _main(url: str, workspace: Path) -> None:
    """Register what a PACS has until its listing is complete; print what that took."""
    from _bench.recursion import open_bench_recursion
    from recursive_expand.expand.registration import register_cases

    recursion = open_bench_recursion(url, {"workspace": str(workspace)})
    began = time.perf_counter()
    threading.Thread(target=register_cases, args=(recursion,), daemon=True).start()
    first = listed = 0.0
    while not (first and listed):
        time.sleep(0.01)
        if not first and recursion.ledger.cases.ids():
            first = time.perf_counter() - began
        if not listed and (workspace / "pacs" / LISTED).exists():
            listed = time.perf_counter() - began
    print(
        json.dumps(
            {"first_seconds": first, "listed_seconds": listed, "mib": psutil.Process().memory_info().rss / 2**20}
        )
    )
    sys.stdout.flush()
    os._exit(0)  # the other cases are not read


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]))
