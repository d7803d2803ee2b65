"""OHIF under /ohif/: MONAI Label's build of it, our configuration, and our module."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path, PurePosixPath

import monailabel
from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import FileResponse, RedirectResponse
from monailabel.config import settings

import recursive_expand
from recursive_expand.server.ohif.source import dicomweb_archive

BUILD = Path(monailabel.__file__).parent / "endpoints" / "static" / "ohif"
MODULE = Path(recursive_expand.__file__).parent / "ohif"
_TYPES = {
    ".css": "text/css", ".html": "text/html", ".ico": "image/x-icon", ".js": "text/javascript", ".json": "application/json",
    ".png": "image/png", ".svg": "image/svg+xml", ".txt": "text/plain", ".wasm": "application/wasm",
    ".webapp": "application/manifest+json", ".xml": "application/xml",
}  # fmt: skip
_NOT_SERVED = ("app-config.js", "sw.js", "silent-refresh.html")
"""Of the build: replaced by ours; a service worker, which would keep things on the reader's disk; sign-in's."""
_FILES = {
    name: path
    for path in sorted(BUILD.rglob("*"))
    if path.suffix in _TYPES and (name := path.relative_to(BUILD).as_posix()) not in _NOT_SERVED
}
_OURS = {path.name: path for path in sorted(MODULE.glob("*")) if path.suffix in (".js", ".css")}
_CONFIG = """window.config = %s;
// A module that does not load must not leave a blank page.
window.config.extensions = [
  import(new URL("recursive-expand/index.js", document.baseURI.replace(/\\/ohif\\/.*/, "/ohif/")))
    .then((module) => module.default)
    .catch(() => ({
      id: "recursive-expand",
      preRegistration() {
        const line = document.createElement("div");
        line.id = "recursive-expand";
        line.setAttribute("role", "alert");
        line.style = "position:fixed;bottom:0;left:0;right:0;z-index:999;padding:6px 12px;background:#7a1f1f;color:#fff";
        line.textContent = "Proposals cannot be judged here now: a part of this page did not load. Reload the page.";
        document.body.append(line);
      },
    })),
];
// Only the viewer that shows slices as they are: the others are for other tasks, or resample what is tilted or uneven.
window.config.modes = %s.map((id) => ({ id, routes: [], isValidMode: () => ({ valid: false }) }));
"""
_HIDDEN_MODES = [
    f"@ohif/mode-{name}" for name in ("segmentation", "tmtv", "microscopy", "preclinical-4d", "monai-label")
]
_SETTINGS = {
    "routerBasename": "/ohif/",
    "showStudyList": True,
    "showWarningMessageForCrossOrigin": True,
    "showCPUFallbackMessage": True,
    "showLoadingIndicator": True,
    "strictZSpacingForVolumeViewport": True,
    "useSharedArrayBuffer": "FALSE",
    "investigationalUseDialog": {"option": "configure", "days": 365},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "PACS",
                "name": "PACS",
                "qidoRoot": "/proxy/dicom/qido",
                "wadoRoot": "/proxy/dicom/wado",
                "qidoSupportsIncludeField": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "supportsReject": False,
                "dicomUploadEnabled": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                # A series' headers are asked for series by series: only those of the studies' filter are answered.
                "enableStudyLazyLoad": True,
                "bulkDataURI": {"enabled": False},
            },
        }
    ],
}


def _policy(index: str) -> str:
    """OHIF's Content-Security-Policy: this server alone; of scripts in the page, those that the build has."""
    inline = re.findall(r"<script>(.*?)</script>", index, re.DOTALL)
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in inline)
    return (
        # Its decoders are WebAssembly whose glue is made at run time, in workers.
        f"default-src 'none'; script-src 'self' {hashes} 'wasm-unsafe-eval' 'unsafe-eval'; worker-src 'self' blob:; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: "
        "data:; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


_COMMON = {
    "Content-Security-Policy": _policy(_FILES["index.html"].read_text("utf-8")),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}
_FRESH = _COMMON | {"Cache-Control": "no-cache"}
_HASHED = re.compile(r"\.[0-9a-f]{20}\.js$|^[0-9a-f]{20}\.wasm$")
"""Names that change with their content."""

router = APIRouter(include_in_schema=False)


@router.get("/ohif")
def get_ohif() -> RedirectResponse:
    """Its own addresses need the slash."""
    return RedirectResponse(f"{settings.MONAI_LABEL_API_STR}/ohif/")


@router.get("/ohif/app-config.js")
def get_config() -> Response:
    """Where OHIF finds images and our module."""
    dicomweb_archive()
    content = _CONFIG % (json.dumps(_SETTINGS), json.dumps(_HIDDEN_MODES))
    return Response(content, media_type="text/javascript", headers=_FRESH)


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
