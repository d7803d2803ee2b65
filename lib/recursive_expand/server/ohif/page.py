"""OHIF under /ohif/: MONAI Label's build of it, our configuration, and our module."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path, PurePosixPath

import monailabel
from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, RedirectResponse
from monailabel.config import settings

import recursive_expand
from recursive_expand.server.desk.page import HEADERS
from recursive_expand.server.ohif.source import dicomweb_archive

BUILD = Path(monailabel.__file__).parent / "endpoints" / "static" / "ohif"
MODULE = Path(recursive_expand.__file__).parent / "ohif"
_TYPES = {
    **{".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".txt": "text/plain"},
    **{".ico": "image/x-icon", ".png": "image/png", ".svg": "image/svg+xml"},
    **{".json": "application/json", ".wasm": "application/wasm", ".xml": "application/xml"},
    ".webapp": "application/manifest+json",
}
_NOT_SERVED = ("app-config.js", "sw.js", "silent-refresh.html")
"""Of the build: replaced by ours; a service worker, which would keep things on the reader's disk; sign-in's."""
_FILES = {
    name: path
    for path in sorted(BUILD.rglob("*"))
    if path.suffix in _TYPES and (name := path.relative_to(BUILD).as_posix()) not in _NOT_SERVED
}
_OURS = {path.name: path for path in sorted(MODULE.glob("*")) if path.suffix in (".js", ".css")}


def _policy(index: str) -> str:
    """OHIF's Content-Security-Policy: this server alone; of scripts in the page, those that the build has."""
    inline = re.findall(r"<script>(.*?)</script>", index, re.DOTALL)
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline
    )
    return (
        # The build makes functions of text, for its decoders (WebAssembly, in workers) and for drawing.
        f"default-src 'none'; script-src 'self' {hashes} 'unsafe-eval' 'wasm-unsafe-eval'; worker-src 'self'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' "
        "data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_FRESH = HEADERS | {"Content-Security-Policy": _policy(_FILES["index.html"].read_text("utf-8"))}
_HASHED = re.compile(r"\.[0-9a-f]{20}\.js$|^[0-9a-f]{20}\.wasm$")
"""Names that change with their content."""

router = APIRouter(include_in_schema=False)


@router.get("/ohif")
def get_ohif() -> RedirectResponse:
    """Its own addresses need the slash."""
    return RedirectResponse(f"{settings.MONAI_LABEL_API_STR}/ohif/")


@router.get("/ohif/app-config.js")
def get_config() -> FileResponse:
    """Where OHIF finds images and our module."""
    dicomweb_archive()
    return _answer(_OURS["app-config.js"], _FRESH)


@router.get("/ohif/recursive-expand/{name}")
def get_module(name: str) -> FileResponse:
    """A file of our module."""
    return _answer(_OURS.get(name), _FRESH)


@router.get("/ohif/{path:path}")
def get_build(path: str) -> FileResponse:
    """A file of OHIF; any other address that names none is one of its pages."""
    dicomweb_archive()
    found = _FILES.get(path)
    if found is None and PurePosixPath(path).suffix not in _TYPES:
        found = _FILES["index.html"]
    kept = {"Cache-Control": "public, max-age=31536000, immutable"} if _HASHED.search(path) else {}
    return _answer(found, _FRESH | kept)


def _answer(path: Path | None, headers: dict[str, str]) -> FileResponse:
    if path is None:
        raise HTTPException(404, "OHIF has no such file")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)
