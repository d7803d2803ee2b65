"""What the server is and offers: /info, its own documentation, and MONAI Label's question about sign-in."""

from __future__ import annotations

import asyncio
import html
from pathlib import Path
from typing import Annotated, Any

import monailabel
import requests
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from fastapi.security import OAuth2PasswordRequestForm
from monailabel.config import settings
from monailabel.endpoints import login
from monailabel.endpoints.user.auth import User, get_current_user
from monailabel.interfaces.utils.app import app_instance

from recursive_expand.server.roles import USER

router = APIRouter()

_ICON = Path(monailabel.__file__).parent / "endpoints" / "static" / "favicon.ico"
_NO_SCRIPTS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'"}


@router.get("/info/", tags=["App"], dependencies=[USER], summary="Models, labels and strategies")
def get_info() -> dict[str, Any]:
    """What clients ask first."""
    return app_instance().info()


@router.get("/", include_in_schema=False)
def get_root() -> RedirectResponse:
    """To the review desk."""
    return RedirectResponse(f"{settings.MONAI_LABEL_API_STR}/review/")


@router.get("/openapi.json", include_in_schema=False)
def get_openapi(request: Request) -> JSONResponse:
    """What works, as OpenAPI."""
    return JSONResponse(request.app.openapi())


@router.get("/docs", include_in_schema=False)
def get_docs(request: Request) -> HTMLResponse:
    """What works, as a page that needs nothing from elsewhere."""
    schema = request.app.openapi()
    rows = [
        f"<tr><td>{method.upper()}<td><code>{html.escape(path)}</code><td>{html.escape(route.get('summary', ''))}"
        for path, methods in schema["paths"].items()
        for method, route in methods.items()
    ]
    title = html.escape(app_instance().name)
    prefix = settings.MONAI_LABEL_API_STR
    page = f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
td{{padding:.15rem 1rem .15rem 0;vertical-align:top}}</style>
<h1>{title}</h1><p><a href="{prefix}/review/">Review desk</a> ·
<a href="{prefix}/recursive/status">Status of the recursion</a> ·
<a href="{prefix}/openapi.json">OpenAPI</a></p><table>{"".join(rows)}</table></html>"""
    return HTMLResponse(page, headers=_NO_SCRIPTS)


@router.get("/favicon.ico", include_in_schema=False)
def get_icon() -> FileResponse:
    """MONAI Label's icon."""
    return FileResponse(_ICON, media_type="image/x-icon")


@router.get("/auth/", tags=["Auth"], summary="Whether one must sign in")
def get_auth() -> dict[str, Any]:
    """MONAI Label's clients ask before they sign in."""
    return {
        "enabled": settings.MONAI_LABEL_AUTH_ENABLE,
        "client_id": settings.MONAI_LABEL_AUTH_CLIENT_ID,
        "realm": settings.MONAI_LABEL_AUTH_REALM_URI,
    }


@router.post("/auth/token", tags=["Auth"], summary="Sign in")
def post_token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, Any]:
    """A token from the realm; nulls where nobody needs to sign in."""
    try:
        return asyncio.run(login.access_token(form))
    except requests.HTTPError as error:
        raise HTTPException(401, "the realm did not accept this name and password") from error
    except requests.RequestException as error:
        raise HTTPException(502, "the realm does not answer") from error


@router.get("/auth/token/valid", tags=["Auth"], summary="Whose token this is")
def get_token_owner(user: Annotated[User, Depends(get_current_user)]) -> User:
    """401 for a token that is not valid."""
    return user
