"""A slow handler does not keep others waiting."""

import inspect
import threading

import monailabel.app as monailabel_server

from recursive_expand.server.conductor import Conductor
from recursive_expand.server.ohif.dicomweb import get_dicomweb


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


def test_no_handler_runs_on_the_event_loop(client):
    handlers = {route.endpoint for route in monailabel_server.app.routes}
    # It hands every wait for the PACS to threads of its own, so that a slow PACS takes none from verdicts.
    assert {handler for handler in handlers if inspect.iscoroutinefunction(handler)} == {get_dicomweb}
