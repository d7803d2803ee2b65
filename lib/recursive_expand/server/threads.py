"""Stock handlers that block are answered from the thread pool, so that one slow request does not freeze the server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from monailabel.config import settings
from monailabel.endpoints import activelearning, batch_infer, datastore, infer, info, train

STOCK = (infer, activelearning, datastore, info, train, batch_infer)
"""Endpoint modules whose handlers are `async def` around blocking code that never awaits."""


def answer_in_threads(app: FastAPI) -> None:
    """Put a threaded twin of each of these handlers before it: same path, parameters and answer."""
    router = APIRouter(prefix=settings.MONAI_LABEL_API_STR)
    for module in STOCK:
        for route in module.router.routes:
            if isinstance(route, APIRoute) and inspect.iscoroutinefunction(route.endpoint):
                router.add_api_route(
                    route.path,
                    _in_this_thread(route.endpoint),
                    methods=sorted(route.methods or ()),
                    response_model=None,
                    include_in_schema=False,
                )
    put_first(app, router)


def put_first(app: FastAPI, router: APIRouter) -> None:
    """Include a router so that its routes win over those that are there."""
    app.include_router(router)
    app.router.routes.insert(0, app.router.routes.pop())


def _in_this_thread(handler: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        coroutine = handler(*args, **kwargs)
        try:
            coroutine.send(None)
        except StopIteration as finished:
            return finished.value
        coroutine.close()
        raise RuntimeError(f"{handler.__name__} awaits something; it must stay on the event loop")

    run.__name__ = handler.__name__
    run.__signature__ = inspect.signature(handler, eval_str=True)  # type: ignore[attr-defined]
    return run
