"""The MONAI Label app over a study: what the server offers and how its parts are wired."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monailabel.app as monailabel_server
from fastapi import HTTPException
from filelock import FileLock, Timeout
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from recursive_expand import __version__
from recursive_expand.cases import Role
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.study import open_study
from recursive_expand.ledger import VerdictKind
from recursive_expand.server.conductor import Conductor
from recursive_expand.server.datastore import RecursiveDatastore
from recursive_expand.server.infer import ProposalInfer
from recursive_expand.server.loopback import bind_to_loopback_unless_told
from recursive_expand.server.strategies import AnyCase, RecursiveExpand
from recursive_expand.server.surface import install_surface
from recursive_expand.server.tasks import ProposeAll, RoundTrain
from recursive_expand.server.uploads import is_upload

logger = logging.getLogger(__name__)

QUIET_LOGGERS = ("monailabel.endpoints", "monailabel.interfaces.utils.app", "monailabel.utils.async_tasks")
"""Stock loggers that write image ids and request parameters, which may name patients, at INFO."""


class RecursiveExpandApp:
    """Everything an app is but its task; mix it in before `MONAILabelApp`.

    Args:
        app_dir: the app's folder, with task.yaml.
        studies: a folder of studies.
        conf: the server's `--conf` values.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        for name in QUIET_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self.study = open_study(studies, Path(app_dir) / "task.yaml", conf)
        task = self.study.task
        self.conductor = Conductor(self.study)
        super().__init__(  # type: ignore[call-arg]
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=task.title,
            description=task.description,
            version=__version__,
            labels=list(task.classes),
        )

    def init_datastore(self) -> Datastore:
        """Archive and ledger as MONAI Label's datastore."""
        return RecursiveDatastore(self.study)

    def init_infers(self) -> dict[str, InferTask]:
        """One infer task, named as the task."""
        return {self.study.task.name: ProposalInfer(self.study)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """One train task, named as the task."""
        return {self.study.task.name: RoundTrain(self.study, self._in_server)}

    def init_strategies(self) -> dict[str, Strategy]:
        """`recursive_expand` first: clients choose the first one they are told of."""
        return {
            "recursive_expand": RecursiveExpand(self.study),
            "first": AnyCase(self.study, first=True),
            "random": AnyCase(self.study, first=False),
        }

    def init_batch_infer(self) -> Callable[..., Any]:
        """Batch inference proposes."""
        return ProposeAll(self.study, self._in_server)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> Any:
        """As stock, but an image is a case of the study or this request's upload, no other file of the machine."""
        image = request.get("image")
        if isinstance(image, str) and os.path.exists(image) and not is_upload(image):  # noqa: PTH110
            raise HTTPException(404, "image: give the id of a case, or upload a file")
        return super().infer(request, datastore)  # type: ignore[misc]

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, Any]:
        """What a client is told of its submission: the verdict it became."""
        self.conductor.wake()
        if self.study.ledger.case(image_id).role is Role.PIXEL:
            return {"verdict": "expert mask"}
        last = self.study.ledger.verdicts_of(image_id)[-1]
        answer: dict[str, Any] = {"verdict": last.verdict, "verdict_id": last.verdict_id, "round": last.round}
        if last.verdict is VerdictKind.ACCEPT and last.rejected_slices:
            answer["rejected_slices"] = list(last.rejected_slices)
        return answer | {"undecided": self.study.ledger.count_undecided()}

    def on_init_complete(self) -> None:
        """The server is up: take the workspace, add our routes, start the conductor."""
        self._workspace_lock = FileLock(self.study.workspace.server_lock)
        try:
            self._workspace_lock.acquire(timeout=0)
        except Timeout as error:
            raise RecursiveExpandError(
                f"another server uses the workspace {self.study.workspace.root}; stop it, or give --conf workspace DIR"
            ) from error
        install_surface(monailabel_server.app)
        super().on_init_complete()  # type: ignore[misc]
        address = bind_to_loopback_unless_told()
        if address is not None:
            logger.info("Serving %s at %s; status: %s/recursive/status", self.study.task.title, address, address)
        self.conductor.start()

    def _in_server(self) -> bool:
        return bool(self._server_mode)  # type: ignore[attr-defined]
