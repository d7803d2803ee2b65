"""A slow stock handler does not keep others waiting."""

import asyncio
import threading

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient

from recursive_expand.server import threads
from recursive_expand.server.conductor import Conductor
from recursive_expand.server.threads import answer_in_threads, put_first


def test_info_is_answered_while_infer_works(client, app, monkeypatch):
    entered, release = threading.Event(), threading.Event()

    def slow(_request):
        entered.set()
        return {"params": {"released": release.wait(20)}}

    monkeypatch.setattr(app, "infer", slow)
    monkeypatch.setattr(Conductor, "start", lambda self: None)
    answers = []
    with client:  # both requests on one event loop, as in the server
        worker = threading.Thread(
            target=lambda: answers.append(client.post("/infer/recursive_ich?image=u0&output=json"))
        )
        worker.start()
        assert entered.wait(20)
        try:
            assert client.get("/info/").status_code == 200
            assert client.get("/recursive/status").status_code == 200
            assert answers == []
        finally:
            release.set()
            worker.join(20)
    assert answers[0].json() == {"released": True}


@pytest.fixture
def stock(monkeypatch):
    """A server with one stock module of our making."""

    class Module:
        router = APIRouter(prefix="/stock")

    thread_names = []

    @Module.router.get("/{item}")
    async def read(item: int, q: str = "x") -> dict:
        thread_names.append(threading.current_thread().name)
        return {"item": item, "q": q}

    @Module.router.post("/awaits")
    async def awaits() -> dict:
        await asyncio.sleep(0)
        return {}

    monkeypatch.setattr(threads, "STOCK", (Module,))
    app = FastAPI()
    app.include_router(Module.router)
    answer_in_threads(app)
    return app, thread_names


def test_the_twin_takes_the_same_parameters_and_runs_elsewhere(stock):
    app, thread_names = stock
    client = TestClient(app)
    assert client.get("/stock/3?q=y").json() == {"item": 3, "q": "y"}
    assert client.get("/stock/three").status_code == 422
    assert all("AnyIO worker" in name for name in thread_names)
    assert thread_names


def test_a_handler_that_awaits_is_refused_by_name(stock):
    client = TestClient(stock[0])
    with pytest.raises(RuntimeError, match="awaits awaits something; it must stay on the event loop"):
        client.post("/stock/awaits")


def test_routes_that_are_put_first_win():
    app, first = FastAPI(), APIRouter()
    app.get("/x")(lambda: "old")
    first.get("/x")(lambda: "new")
    put_first(app, first)
    assert TestClient(app).get("/x").json() == "new"
