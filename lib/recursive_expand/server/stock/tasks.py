"""/train and /batch/infer: start, watch and stop MONAI Label's background tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import psutil
from fastapi import APIRouter, HTTPException, Query
from monailabel.endpoints import batch_infer, train
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.async_tasks.task import AsyncTask

from recursive_expand.server.roles import ADMIN, USER
from recursive_expand.server.stock.fields import BatchFields, TrainFields
from recursive_expand.server.stock.offered import check_offered

router = APIRouter()

RunSync = Annotated[bool, Query(include_in_schema=False)]
"""MONAI Label's way to run a task inside the server's process."""

_NOT_FOR_THE_TASK = {"client_id", "device", "logging", "save_label", "label_tag", "max_workers", "max_batch_size"}


@router.get("/train/", tags=["Train"], dependencies=[USER], summary="The training task")
def get_train(all: bool = False, check_if_running: bool = False) -> Any:
    """The newest, or all; 404 where there is none, or none runs."""
    return _status("train", all, check_if_running)


@router.post("/train/", tags=["Train"], dependencies=[ADMIN], include_in_schema=False)
def post_train_all(params: TrainFields | None = None, run_sync: RunSync = False) -> dict[str, Any]:
    """As for each model, in MONAI Label's form."""
    return {
        model: {"result": _run("train", model, params, run_sync), "detail": None} for model in app_instance()._trainers
    }


@router.post("/train/{model}", tags=["Train"], dependencies=[ADMIN], summary="Run the round that is due")
def post_train(model: str, params: TrainFields | None = None, run_sync: RunSync = False) -> dict[str, Any]:
    """One training task is one round; 429 while one runs."""
    check_offered(model, "trainers")
    return _run("train", model, params, run_sync)


@router.delete("/train/", tags=["Train"], dependencies=[ADMIN], summary="Stop the training task")
def delete_train() -> Any:
    """The round is stopped; POST /recursive/rounds resumes it."""
    return _stop(train.stop)


@router.get("/batch/infer", tags=["Infer"], dependencies=[USER], summary="The task that proposes")
def get_batch(all: bool = False, check_if_running: bool = False) -> Any:
    """The newest, or all; 404 where there is none, or none runs."""
    return _status("batch_infer", all, check_if_running)


@router.post("/batch/infer/{model}", tags=["Infer"], dependencies=[ADMIN], summary="Propose for all undecided cases")
def post_batch(
    model: str,
    images: Annotated[str, Query(pattern="^(unlabeled|labeled|all)$", description="Not used.")] = "all",
    params: BatchFields | None = None,
    run_sync: RunSync = False,
) -> dict[str, Any]:
    """Those that have no proposal in this round; 429 while it runs."""
    check_offered(model, "models")
    return _run("batch_infer", model, params, run_sync)


@router.delete("/batch/infer", tags=["Infer"], dependencies=[ADMIN], summary="Stop the task that proposes")
def delete_batch() -> Any:
    """What it has proposed stays."""
    return _stop(batch_infer.stop)


def _run(method: str, model: str, fields: TrainFields | None, run_sync: bool) -> dict[str, Any]:
    if run_sync:
        raise HTTPException(422, "run_sync is not taken: tasks run in a process of their own")
    params = (fields or TrainFields()).model_dump(exclude_none=True, exclude=_NOT_FOR_THE_TASK)
    task, detail = AsyncTask.run(method, request={"model": model}, params=params)
    if task is None:
        raise HTTPException(429, detail)
    return _shown(task)


def _status(method: str, all: bool, check_if_running: bool) -> Any:
    found, detail = AsyncTask.status(method, all, check_if_running)
    if found is None:
        raise HTTPException(404, detail)
    return [_shown(task) for task in found] if isinstance(found, list) else _shown(found)


def _stop(stop: Callable[[], Any]) -> Any:
    try:
        task = stop()
    except psutil.NoSuchProcess:
        # It ended between MONAI Label's look and its kill.
        return None
    return None if task is None else _shown(task)


def _shown(task: dict[str, Any]) -> dict[str, Any]:
    """A copy, whose last lines are without a traceback's; they grow in another thread meanwhile."""
    shown = dict(task)
    if "details" in task:
        lines = task["details"].copy()
        shown["details"] = [line for line in lines if line and not line[0].isspace() and "Traceback" not in line]
    return shown
