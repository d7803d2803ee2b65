"""What the server answers: an allow-list over MONAI Label's routes, installed at start and checked as it resolves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fastapi.routing
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.routing import APIRoute
from monailabel.config import settings
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Match

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.server import routes
from recursive_expand.server.access import Access
from recursive_expand.server.desk import api, page
from recursive_expand.server.faults import install_faults
from recursive_expand.server.guard import Guard
from recursive_expand.server.inputs import check_integer
from recursive_expand.server.loopback import listening_host
from recursive_expand.server.ohif import dicomweb, overlay
from recursive_expand.server.ohif import page as ohif
from recursive_expand.server.refusals import as_http
from recursive_expand.server.stock import images, infer, labels, pages, samples, tasks

Operation = tuple[str, str]
"""A method and a path, as MONAI Label declares it."""

SERVED: dict[Operation, str] = {
    ("GET", "/"): "3D Slicer's reviewer module looks whether a server is there; leads to /review/",
    ("GET", "/docs"): "what works, for a person",
    ("GET", "/openapi.json"): "what works, for a program",
    ("GET", "/favicon.ico"): "browsers ask for it",
    ("GET", "/info/"): "every client asks first",
    ("GET", "/auth/"): "the Python client and 3D Slicer ask whether one must sign in",
    ("POST", "/auth/token"): "signing in, where MONAI Label's authentication is on",
    ("GET", "/auth/token/valid"): "signing in, where MONAI Label's authentication is on",
    ("POST", "/activelearning/{strategy}"): "next sample",
    ("POST", "/infer/{model}"): "the proposal",
    ("GET", "/train/"): "3D Slicer shows whether a round runs",
    ("POST", "/train/"): "the Python client without a model's name",
    ("POST", "/train/{model}"): "3D Slicer's Train button",
    ("DELETE", "/train/"): "3D Slicer's Stop button",
    ("GET", "/batch/infer"): "watching the task that proposes",
    ("POST", "/batch/infer/{model}"): "proposals for cases that were added since",
    ("DELETE", "/batch/infer"): "stopping it",
    ("GET", "/datastore/"): "the reviewer module's list of cases",
    ("PUT", "/datastore/"): "the Python client's upload_image",
    ("PUT", "/datastore/image"): "adding an image",
    ("HEAD", "/datastore/image"): "does it exist",
    ("GET", "/datastore/image"): "viewers download it",
    ("GET", "/datastore/image/info"): "what is known of an image",
    ("PUT", "/datastore/image/info"): "clients' own notes; never the server's words",
    ("PUT", "/datastore/label"): "a verdict",
    ("DELETE", "/datastore/label"): "answers 409 with the way to take a verdict back",
    ("HEAD", "/datastore/label"): "does it exist",
    ("GET", "/datastore/label"): "viewers download it",
    ("GET", "/datastore/label/info"): "the verdict behind a label",
    ("PUT", "/datastore/label/info"): "clients' own notes; never the verdict",
    ("PUT", "/datastore/updatelabelinfo"): "the reviewer module's approvals: verdicts",
    ("GET", "/datastore/dataset"): "the data set for other programs",
    ("GET", "/ohif/{path:path}"): "OHIF, where the studies are a PACS",
    ("GET", "/proxy/dicom/wado/{path:path}"): "OHIF's images: the studies' own series, read only",
    ("GET", "/proxy/dicom/qido/{path:path}"): "OHIF's work list",
}
"""MONAI Label's operations that we answer, each with who needs it."""

_NO_SESSIONS = "there are no sessions: send the file with POST /infer, or add it with PUT /datastore/image"
_NO_WSI = "this server is not for whole-slide images"
_NO_SCORING = "there is nothing to score: verdicts are counted in GET /recursive/rounds"
_NO_PROXY = "only searches, series' metadata and frames are passed on to the PACS"
_NO_LOGS = "logs are read on the server's machine, in the app's logs folder"
_MODELS = "models are made by rounds; they are not read, replaced or removed over HTTP"
_ORIGINALS = "original images are never removed over HTTP; take the file out of the studies folder"

CLOSED: dict[Operation, str] = {
    ("POST", "/reload"): "restart the server instead",
    ("GET", "/static"): "nothing here needs these files",
    ("DELETE", "/datastore/"): _ORIGINALS,
    ("DELETE", "/datastore/image"): _ORIGINALS,
    ("GET", "/model/{model}"): _MODELS,
    ("GET", "/model/info/{model}"): _MODELS,
    ("PUT", "/model/{model}"): _MODELS,
    ("DELETE", "/model/{model}"): _MODELS,
    ("POST", "/infer/wsi/{model}"): _NO_WSI,
    ("POST", "/infer/wsi_v2/{model}"): _NO_WSI,
    ("GET", "/scoring/"): _NO_SCORING,
    ("POST", "/scoring/"): _NO_SCORING,
    ("POST", "/scoring/{method}"): _NO_SCORING,
    ("DELETE", "/scoring/"): _NO_SCORING,
    ("GET", "/session/{session_id}"): _NO_SESSIONS,
    ("PUT", "/session/"): _NO_SESSIONS,
    ("DELETE", "/session/{session_id}"): _NO_SESSIONS,
    ("GET", "/logs/"): _NO_LOGS,
    ("GET", "/logs/gpu"): _NO_LOGS,
    ("POST", "/proxy/dicom/wado/{path:path}"): _NO_PROXY,
    ("POST", "/proxy/dicom/qido/{path:path}"): _NO_PROXY,
    ("GET", "/proxy/dicom/stow/{path:path}"): _NO_PROXY,
    ("POST", "/proxy/dicom/stow/{path:path}"): _NO_PROXY,
    ("GET", "/proxy/dicom/{path:path}"): _NO_PROXY,
    ("POST", "/proxy/dicom/{path:path}"): _NO_PROXY,
}
"""MONAI Label's operations that answer 403, each with the sentence that it answers."""

_IMPLIED = ("HEAD", "OPTIONS")
"""Methods that Starlette adds to its own pages."""


def install_surface(app: FastAPI, *, access: Access | None = None) -> None:
    """Make the application answer what the table says, and nothing else; again is harmless.

    MONAI Label's routes are taken out, ours put in, and its CORS, which lets every origin in, is replaced by `Guard`.
    It may be called before the application starts and while it starts.

    Args:
        app: MONAI Label's application.
        access: who may ask; from the environment and the address that is listened on if not given.

    Raises:
        RecursiveExpandError: a route that the table does not know, or one that would not be answered by us.
    """
    installed: list[APIRoute] | None = getattr(app.state, "recursive_surface", None)
    if installed is None:
        check_known(app)
        installed = our_routes(settings.MONAI_LABEL_API_STR)
        app.router.routes[:] = installed
        app.openapi_schema = None
        app.state.recursive_surface = installed
    if access is not None or not hasattr(app.state, "recursive_access"):
        app.state.recursive_access = access or Access.from_environment(listening_host())
        _guard(app, app.state.recursive_access)
    check_resolves(app, installed, settings.MONAI_LABEL_API_STR)


def our_routes(prefix: str) -> list[APIRoute]:
    """All routes that are answered, those that are closed among them."""
    ours = (routes, api, page, overlay, ohif, dicomweb, samples, infer, images, labels, tasks, pages)
    served = [
        _again(route, _path(route.path, prefix))
        for module in ours
        for route in module.router.routes
        if isinstance(route, APIRoute)
    ]
    closed = [
        APIRoute(_path(path, prefix), _refuse(reason), methods=[method], include_in_schema=False, name="closed")
        for (method, path), reason in CLOSED.items()
    ]
    # A mount answers below its path too.
    closed.append(
        APIRoute("/static/{path:path}", _refuse(CLOSED["GET", "/static"]), include_in_schema=False, name="closed")
    )
    return served + closed


def stock_operations(app: FastAPI) -> Iterator[Operation]:
    """What an application answers, however its FastAPI keeps included routers.

    Raises:
        RecursiveExpandError: a route whose path cannot be told.
    """
    # FastAPI from 0.11x on keeps an included router as one entry, and tells its routes by this function.
    flat: Callable[[Iterable[Any]], Iterable[Any]] = getattr(fastapi.routing, "iter_route_contexts", iter)
    for route in [*flat(app.router.routes), *getattr(app.router, "_low_priority_routes", [])]:
        path = getattr(route, "path", None)
        if path is None:
            raise RecursiveExpandError(
                f"MONAI Label's {type(route).__name__} has no path: this FastAPI is not supported"
            )
        for method in set(getattr(route, "methods", None) or ["GET"]):
            # Starlette's pages answer HEAD where they answer GET.
            if method not in _IMPLIED or isinstance(getattr(route, "original_route", route), APIRoute):
                yield method, path


def check_known(app: FastAPI) -> None:
    """Compare the application's routes with the table.

    Raises:
        RecursiveExpandError: naming those that the table does not know.
    """
    prefix = settings.MONAI_LABEL_API_STR
    table = {(method, _path(path, prefix)) for method, path in [*SERVED, *CLOSED]}
    unknown = sorted({f"{method} {path}" for method, path in stock_operations(app) if (method, path) not in table})
    if unknown:
        raise RecursiveExpandError(
            f"MONAI Label offers what this server does not know: {', '.join(unknown)}; "
            "add it to SERVED or CLOSED in server/surface.py, or install the MONAI Label of constraints.txt"
        )


def check_resolves(app: FastAPI, ours: list[APIRoute], prefix: str) -> None:
    """Ask the application's router, as a request would, who answers each operation of the table and of ours.

    Args:
        app: the application.
        ours: the only routes that may answer.
        prefix: of MONAI Label's paths.

    Raises:
        RecursiveExpandError: naming operations that something else would answer, or nothing.
    """
    operations = {(method, _path(path, prefix)) for method, path in [*SERVED, *CLOSED]}
    operations |= {(method, route.path) for route in ours for method in route.methods or ()}
    served = {(method, _path(path, prefix)) for method, path in SERVED}
    wrong = []
    for method, path in sorted(operations):
        route = resolve(app, method, path)
        is_ours = any(route is each for each in ours)
        if not is_ours or ((method, path) in served and getattr(route, "name", "") == "closed"):
            wrong.append(f"{method} {path}")
    if wrong:
        raise RecursiveExpandError(
            f"these are answered by something else than this server's own code: {', '.join(wrong)}; "
            "install the packages of constraints.txt"
        )


def resolve(app: FastAPI, method: str, path: str) -> BaseRoute | None:
    """The route that answers, as Starlette chooses it: the first full match.

    Args:
        app: the application.
        method: in capitals.
        path: with parameters in braces; any value stands for them.
    """
    sample = re.sub(r"\{[^}]*\}", "1", path)
    scope = {"type": "http", "method": method, "path": sample, "root_path": "", "headers": [], "query_string": b""}
    for route in app.router.routes:
        if route.matches({**scope, "app": app})[0] is Match.FULL:
            return route
    return None


def _guard(app: FastAPI, access: Access) -> None:
    cross_origin = [
        Middleware(
            CORSMiddleware,
            allow_origins=sorted(access.origins),
            allow_credentials=True,
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    ]
    app.user_middleware[:] = [*(cross_origin if access.origins else []), Middleware(Guard, access=access)]
    install_faults(app)
    # While the application starts, its middleware is built already; requests come after, and go through the new one.
    app.middleware_stack = app.build_middleware_stack()


def _again(route: APIRoute, path: str) -> APIRoute:
    """A route under its full path, whose integers are ones that the ledger holds."""
    return APIRoute(
        path,
        route.endpoint,
        methods=route.methods,
        response_model=route.response_model,
        response_class=route.response_class,
        status_code=route.status_code,
        tags=route.tags,
        dependencies=[Depends(_check_integers), *route.dependencies],
        summary=route.summary,
        description=route.description,
        responses=route.responses,
        include_in_schema=route.include_in_schema,
        name=route.name,
        operation_id=route.operation_id,
    )


def _check_integers(request: Request) -> None:
    dependant = request.scope["route"].dependant
    sent = {**request.query_params, **request.path_params}
    with as_http():
        for field in [*dependant.query_params, *dependant.path_params]:
            if field.alias in sent and "int" in str(field.field_info.annotation):
                check_integer(field.alias, str(sent[field.alias]))


def _refuse(reason: str) -> Callable[[], None]:
    def refuse() -> None:
        raise HTTPException(403, reason)

    return refuse


def _path(path: str, prefix: str) -> str:
    """A path of the table; MONAI Label gives its own pages no prefix."""
    return path if path in _UNPREFIXED else prefix + path


_UNPREFIXED = ("/", "/docs", "/openapi.json", "/favicon.ico", "/reload", "/static")
