"""The page under /review/: plain files of this package, which need nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse, RedirectResponse
from monailabel.config import settings

import recursive_expand

FOLDER = Path(recursive_expand.__file__).parent / "desk"
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_FILES = {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*")) if path.suffix in _TYPES}
"""What is served, by its name; a name that is not here is no file."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # Asked for again each time: a page of one version with a module of another would not work.
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/review")
def get_review() -> RedirectResponse:
    """The page's own addresses are relative: it needs the slash."""
    return RedirectResponse(f"{settings.MONAI_LABEL_API_STR}/review/")


@router.get("/review/")
def get_desk() -> FileResponse:
    """The review desk."""
    return _answer("index.html")


@router.get("/review/progress")
def get_progress() -> FileResponse:
    """The progress page."""
    return _answer("progress.html")


@router.get("/review/files/{name:path}")
def get_file(name: str) -> FileResponse:
    """A module or a style sheet of the page."""
    return _answer(name)


def _answer(name: str) -> FileResponse:
    path = _FILES.get(name)
    if path is None:
        raise HTTPException(404, "the desk has no such file")
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=HEADERS)
