"""OHIF's way to the PACS: searches, headers and frames of the studies' own series, read only."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from monailabel.config import RBAC_USER
from requests import RequestException

from recursive_expand.archives.dicomweb import DicomwebArchive
from recursive_expand.archives.pacs.connection import CONNECT_SECONDS, PAGE, Gone, Pacs, Refused
from recursive_expand.archives.pacs.listing import text_of
from recursive_expand.dicom.stored_frame import frame_bytes
from recursive_expand.errors import InputError, Unreachable
from recursive_expand.server.desk.api import NOT_KEPT
from recursive_expand.server.ohif.source import dicomweb_archive
from recursive_expand.server.roles import USER

SECONDS = 60.0
"""Longest answer, from the first byte asked for to the last one sent."""
SILENT_SECONDS = 20.0
"""How long the PACS may say nothing."""
AT_ONCE = 12
"""Requests that wait for the PACS at one time: they have threads of their own, and a slow PACS holds up no verdict."""
CHUNK = 1 << 18
MOST, MOST_PAGES = 10_000, 2_000
"""Longest list that a search answers, and how far it looks for that."""
HEADERS = NOT_KEPT | {"X-Content-Type-Options": "nosniff"}
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
"""Frames as they are stored: OHIF decodes them."""

_UID = r"[0-9][0-9.]{0,63}"
_SEARCH = re.compile(rf"studies(?:/(?P<study>{_UID})(?:/series/(?P<series>{_UID})/instances|/series|/instances))?")
_METADATA = re.compile(rf"studies/(?P<study>{_UID})/series/(?P<series>{_UID})/metadata")
_FRAME = re.compile(
    rf"studies/(?P<study>{_UID})/series/(?P<series>{_UID})/instances/(?P<instance>{_UID})/frames/(?P<frame>[0-9]{{1,6}})"
)
STUDY, SERIES, INSTANCE = "0020000D", "0020000E", "00080018"
_ADDRESSES = ("00081190", "0008119A")
"""RetrieveURL: the PACS's own address, which the browser is not to ask."""

T = TypeVar("T")
_limiter = anyio.CapacityLimiter(AT_ONCE)

router = APIRouter(prefix="/proxy/dicom", include_in_schema=False, dependencies=[USER])


@router.get("/qido/{path:path}", summary=f"{RBAC_USER}The PACS for OHIF: the studies' own series, read only")
@router.get("/wado/{path:path}", summary=f"{RBAC_USER}The PACS for OHIF: the studies' own series, read only")
async def get_dicomweb(path: str, request: Request) -> Response:
    """QIDO-RS of studies, series and instances; WADO-RS of a series' metadata and of one frame.

    What is no case of this server is left out of an answer, or 404. A frame that the PACS cannot send is decoded here.
    """
    archive = dicomweb_archive()
    if match := _SEARCH.fullmatch(path):
        where, query = (match["study"], match["series"]), request.url.query
        found = await _in_thread(lambda: _search(archive, path, *where, query))
        return JSONResponse(found, headers=HEADERS, media_type="application/dicom+json")
    if match := _METADATA.fullmatch(path):
        _check(archive, match["study"], match["series"])
        found = await _in_thread(lambda: _metadata(archive.pacs, path))
        return JSONResponse(found, headers=HEADERS, media_type="application/dicom+json")
    if match := _FRAME.fullmatch(path):
        _check(archive, match["study"], match["series"])
        uids = (match["study"], match["series"], match["instance"])
        kind, parts = await _in_thread(lambda: _frame(archive.pacs, path, *uids, int(match["frame"])))
        return StreamingResponse(_sent(parts), media_type=kind, headers=HEADERS)
    raise HTTPException(403, "only searches, series' metadata and frames are passed on to the PACS")


def _search(
    archive: DicomwebArchive, path: str, study: str | None, series: str | None, query: str
) -> list[dict[str, Any]]:
    """One search, its `limit` and `offset` counted over what may be seen."""
    counts = {"limit": MOST, "offset": 0}
    filters: list[tuple[str, str]] = []
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in counts:
            if not (value.isascii() and value.isdigit() and len(value) < 10):
                raise InputError(f"{name}={value[:20]!a}", "is no number")
            counts[name] = int(value)
        else:
            filters.append((name, value))
    cases = archive.case_studies()
    if study is None:
        seen, tag = set(cases.values()), STUDY
        if all(name != "ModalitiesInStudy" for name, _ in filters):
            filters.append(("ModalitiesInStudy", archive.modality))
    else:
        seen, tag = {uid for uid, of in cases.items() if of == study}, SERIES
        if not seen or (series is not None and series not in seen):
            return []
    key = {"studies": STUDY, "series": SERIES, "instances": INSTANCE}[path.rsplit("/", 1)[-1]]
    ends = time.monotonic() + SECONDS
    found: dict[str, dict[str, Any]] = {}
    wanted = counts["offset"] + min(counts["limit"], MOST)
    for page in _pages(archive.pacs, path, filters):
        # Some PACS leave the series out of an answer that was asked for by series.
        found |= {text_of(entry, key): _own(entry) for entry in page if (text_of(entry, tag) or series) in seen}
        if len(found) >= wanted:
            break
        if time.monotonic() > ends:
            raise Unreachable(f"{archive.name} did not answer in time (a search)")
    return list(found.values())[counts["offset"] : wanted]


def _pages(pacs: Pacs, path: str, filters: list[tuple[str, str]]) -> Iterator[list[dict[str, Any]]]:
    query = urlencode(filters, quote_via=quote, safe=",")
    for offset in range(0, MOST_PAGES * PAGE, PAGE):
        address = f"{pacs.url}/{path}?{query}&limit={PAGE}&offset={offset}"
        answer = pacs.request("GET", address, **_options("application/dicom+json"))
        page = answer.json() if answer.content else []
        yield page
        if len(page) < PAGE:
            return


def _metadata(pacs: Pacs, path: str) -> list[dict[str, Any]]:
    answer = pacs.request("GET", f"{pacs.url}/{path}", **_options("application/dicom+json"))
    return [_own(entry) for entry in answer.json()]


def _frame(pacs: Pacs, path: str, study: str, series: str, instance: str, frame: int) -> tuple[str, Iterator[bytes]]:
    """A frame's media type, and its multipart body as it comes."""
    try:
        answer = pacs.request("GET", f"{pacs.url}/{path}", stream=True, **_options(FRAMES))
    except (Gone, Refused):
        raise
    except Unreachable:
        # Orthanc answers 500 for deflated and big-endian series.
        dataset = pacs.instance(study, series, instance)
        uids = tuple(str(dataset.get(name)) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))
        if uids != (study, series, instance):
            raise Gone(pacs.name, "does not have it in this series") from None
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1\r\n\r\n"
        kind = f'multipart/related; type="application/octet-stream"; boundary={boundary}'
        return kind, iter([head.encode(), frame_bytes(dataset, frame), f"\r\n--{boundary}--\r\n".encode()])
    kind = answer.headers.get("Content-Type", "")
    if not answer.ok or not kind.lower().startswith("multipart/related"):
        answer.close()
        raise Unreachable(f"{pacs.name} answered a frame with something else")
    return kind, answer.iter_content(CHUNK)


async def _sent(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The parts, each waited for in a thread of its own; cut where that takes too long."""
    ends = time.monotonic() + SECONDS
    try:
        while (part := await run_sync(next, parts, None, limiter=_limiter)) is not None:
            if time.monotonic() > ends:
                raise TimeoutError("the PACS sent a frame too slowly")
            yield part
    finally:
        close = getattr(parts, "close", None)
        if close is not None:
            close()


async def _in_thread(act: Callable[[], T]) -> T:
    """What waits for the PACS; its refusals as HTTP errors, none of which is the reader's own (401, 403)."""
    try:
        return await run_sync(act, limiter=_limiter)
    except Gone as error:
        raise HTTPException(404, str(error)) from error
    except InputError as error:
        raise HTTPException(422, str(error)) from error
    except Unreachable as error:
        raise HTTPException(502 if isinstance(error, Refused) else 503, str(error)) from error
    except (RequestException, ValueError) as error:
        raise HTTPException(502, "the PACS answered with something else") from error


def _check(archive: DicomwebArchive, study: str, series: str) -> None:
    if archive.study_of(series) != study:
        raise HTTPException(404, "this server's studies have no such series")


def _options(accept: str) -> dict[str, Any]:
    return {
        "headers": {"Accept": accept},
        "timeout": (CONNECT_SECONDS, SILENT_SECONDS),
        # Wherever the PACS would send us, the credentials are for itself.
        "allow_redirects": False,
    }


def _own(entry: dict[str, Any]) -> dict[str, Any]:
    """Without the PACS's addresses: of itself, and of values that are fetched apart, also inside sequences."""
    return {
        tag: {**value, "Value": [_own(item) for item in value["Value"]]}
        if value.get("vr") == "SQ" and "Value" in value
        else value
        for tag, value in entry.items()
        if tag not in _ADDRESSES and "BulkDataURI" not in value
    }
