import threading
import monailabel.app as m
def test_x(client, app, monkeypatch):
    from recursive_expand.server.conductor import Conductor
    monkeypatch.setattr(Conductor, "start", lambda self: None)
    monkeypatch.setattr(app, "infer", lambda request, datastore=None: {"params": {"t": threading.current_thread().name}})
    r=client.post("/infer/recursive_ich?image=u0&output=json"); print(r.status_code, r.text[:500])
    print([type(x).__name__+":"+str(getattr(x,'path',None)) for x in m.app.router.routes])
    with client:
        r=client.post("/infer/recursive_ich?image=u0&output=json"); print(r.status_code, r.text[:500])
        print([type(x).__name__+":"+str(getattr(x,'path',None)) for x in m.app.router.routes])
    assert 0
