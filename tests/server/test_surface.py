"""surface.py: the table covers MONAI Label's real routes, and nothing but ours answers."""

import contextlib
import importlib
import pkgutil

import monailabel.app as monailabel_server
import monailabel.endpoints
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from monailabel.endpoints import datastore, info, session
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.server.access import Access
from recursive_expand.server.surface import (
    CLOSED,
    SERVED,
    check_known,
    check_resolves,
    install_surface,
    our_routes,
    resolve,
    stock_operations,
)

LOOPBACK = "http://127.0.0.1:8000"


def concrete(path):
    return path.replace("{path:path}", "a/b").replace("{", "").replace("}", "")


@pytest.fixture
def stock():
    """An application like MONAI Label's, with several of its routers and its CORS."""
    app = FastAPI(
        docs_url=None,
        redoc_url="/docs",
        middleware=[Middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"])],
    )
    for module in (info, datastore, session):
        app.include_router(module.router)
    app.post("/reload")(lambda: {"stock": True})
    return app


def test_every_route_of_monai_label_is_in_the_table():
    modules = [
        importlib.import_module(f"monailabel.endpoints.{module.name}")
        for module in pkgutil.iter_modules(monailabel.endpoints.__path__)
        if not module.ispkg
    ]
    routers = [module.router for module in modules if hasattr(module, "router")]
    assert len(routers) == 14
    for router in routers:
        app = FastAPI(openapi_url=None)
        app.include_router(router)
        operations = set(stock_operations(app))
        assert len(operations) >= 1
        assert operations <= SERVED.keys() | CLOSED.keys()


def test_no_row_is_both_served_and_closed_and_each_says_why():
    assert not SERVED.keys() & CLOSED.keys()
    assert all(reason and "\n" not in reason for reason in [*SERVED.values(), *CLOSED.values()])


@pytest.mark.parametrize("nested", [False, True])
def test_a_new_stock_route_fails_the_start(stock, nested):
    if nested:
        outer, inner = APIRouter(prefix="/outer"), APIRouter(prefix="/new")
        inner.post("/thing")(lambda: None)
        outer.include_router(inner)
        stock.include_router(outer)
    else:
        stock.post("/outer/new/thing")(lambda: None)
    with pytest.raises(RecursiveExpandError, match=r"does not know: POST /outer/new/thing; add it to SERVED or CLOSED"):
        install_surface(stock, access=Access.of())
    assert TestClient(stock).post("/reload").json() == {"stock": True}


def test_a_new_method_of_a_known_path_and_a_new_mount_fail_the_start(stock, tmp_path):
    stock.patch("/info/")(lambda: None)
    stock.mount("/files", StaticFiles(directory=tmp_path))
    with pytest.raises(RecursiveExpandError, match="GET /files, PATCH /info/"):
        check_known(stock)


def test_a_stock_route_that_wins_is_refused_by_name(stock):
    install_surface(stock, access=Access.of())
    stock.router.routes.insert(0, Route("/reload", lambda request: None, methods=["POST"]))
    with pytest.raises(RecursiveExpandError, match=r"something else than this server's own code: POST /reload;"):
        install_surface(stock)


def test_a_stock_router_that_wins_is_refused_by_name(stock):
    ours = our_routes("")
    included = stock.router.routes[:]
    stock.router.routes[:] = [*included, *ours]
    with pytest.raises(RecursiveExpandError, match=r"DELETE /datastore/, .*GET /info/.*POST /reload.*PUT /session/"):
        check_resolves(stock, ours, "")
    stock.router.routes[:] = [*ours, *included]
    check_resolves(stock, ours, "")


def test_a_route_that_nobody_answers_is_refused_by_name(stock):
    ours = [route for route in our_routes("") if route.path != "/info/"]
    stock.router.routes[:] = ours
    with pytest.raises(RecursiveExpandError, match="GET /info/"):
        check_resolves(stock, ours, "")


def test_a_closed_route_does_not_stand_for_a_served_one(stock, monkeypatch):
    ours = our_routes("")
    closed = next(route for route in ours if route.name == "closed" and route.path == "/datastore/image")
    closed.methods.add("GET")
    stock.router.routes[:] = [closed, *(route for route in ours if route is not closed)]
    with pytest.raises(RecursiveExpandError, match="GET /datastore/image"):
        check_resolves(stock, ours, "")


def test_what_starlette_matches_first_is_what_is_found(stock):
    first, second = Route("/x/{a}", lambda r: None), Route("/x/y", lambda r: None)
    stock.router.routes[:0] = [first, second]
    assert resolve(stock, "GET", "/x/y") is first
    assert resolve(stock, "POST", "/x/y") is None
    assert resolve(stock, "GET", "/nowhere") is None


def test_it_can_be_installed_while_the_application_starts(stock):
    """`monailabel start_server` reaches us when its middleware is built already."""

    @contextlib.asynccontextmanager
    async def lifespan(app):
        install_surface(app, access=Access.of())
        yield

    stock.router.lifespan_context = lifespan
    evil = {"Origin": "http://evil.example"}
    with TestClient(stock, base_url=LOOPBACK) as client:
        assert client.post("/reload").status_code == 403
        assert client.post("/reload").json() == {"detail": CLOSED["POST", "/reload"]}
        answer = client.get("/auth/", headers=evil)
        assert (answer.status_code, "access-control-allow-origin" in answer.headers) == (403, False)
        assert client.get("/auth/").json()["enabled"] is False
        assert client.get("/auth/", headers={"Host": "evil.example"}).status_code == 403


def test_installed_again_it_stays_as_it_is(stock):
    install_surface(stock, access=Access.of(allow_origins=["https://desk.example"]))
    routes = stock.router.routes[:]
    install_surface(stock)
    assert stock.router.routes == routes
    answer = TestClient(stock, base_url=LOOPBACK).get("/auth/", headers={"Origin": "https://desk.example"})
    assert answer.headers["access-control-allow-origin"] == "https://desk.example"


def test_the_prefix_of_monai_label_s_settings_is_kept(monkeypatch):
    monkeypatch.setattr("recursive_expand.server.surface.settings.MONAI_LABEL_API_STR", "/api")
    app = FastAPI(docs_url=None, redoc_url="/docs")
    app.include_router(info.router, prefix="/api")
    app.include_router(session.router, prefix="/api")
    install_surface(app, access=Access.of())
    client = TestClient(app, base_url=LOOPBACK)
    assert client.get("/api/auth/").status_code == 200
    assert client.put("/api/session/").status_code == 403
    assert "/api/recursive/status" in client.get("/openapi.json").json()["paths"]


@pytest.mark.parametrize(("method", "path"), sorted(CLOSED))
def test_what_is_closed_says_why(client, method, path):
    answer = client.request(method, concrete(path))
    assert (answer.status_code, answer.json()) == (403, {"detail": CLOSED[method, path]})


def test_files_of_monai_label_are_not_served(client):
    assert client.get("/static/ohif/index.html").status_code == 403
    assert client.get("/static/favicon.ico").status_code == 403


def test_the_openapi_lists_what_works_and_nothing_else(client):
    listed = {
        (method.upper(), path)
        for path, methods in client.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert not listed & CLOSED.keys()
    assert {path for _, path in listed} >= {"/recursive/verdicts", "/infer/{model}", "/datastore/label", "/info/"}
    assert {(method, path) for method, path in listed if not path.startswith("/recursive")} <= SERVED.keys()


def test_the_documentation_needs_nothing_from_elsewhere(client):
    page = client.get("/docs")
    assert "/recursive/status" in page.text and "/session" not in page.text
    assert "<script" not in page.text and "//" not in page.text.replace(LOOPBACK, "")
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_the_root_leads_to_the_desk(client):
    page = client.get("/")
    assert (page.status_code, page.url.path) == (200, "/review/")


def test_the_real_application_has_our_routes_alone(client):
    assert {route.path for route in monailabel_server.app.routes} >= {path for _, path in [*SERVED, *CLOSED]}
    assert all(route in monailabel_server.app.state.recursive_surface for route in monailabel_server.app.routes)
