"""The MONAI Label app over a recursion: what the server offers and how its parts are wired."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import monailabel.app as monailabel_server
from filelock import FileLock, Timeout
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask

from recursive_expand import __version__
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.recursion import open_recursion
from recursive_expand.server.conductor import Conductor
from recursive_expand.server.datastore import RecursiveDatastore
from recursive_expand.server.infer import ProposalInfer
from recursive_expand.server.loopback import bind_to_loopback_unless_told
from recursive_expand.server.parent import announce_server
from recursive_expand.server.strategies import AnyCase, RecursiveExpand
from recursive_expand.server.surface import install_surface
from recursive_expand.server.tasks import ProposeAll, RoundTrain

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
        self.recursion = open_recursion(studies, Path(app_dir) / "task.yaml", conf)
        task = self.recursion.settings.task
        self.conductor = Conductor(self.recursion)
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
        return RecursiveDatastore(self.recursion)

    def init_infers(self) -> dict[str, InferTask]:
        """One infer task, named as the task."""
        return {self.recursion.settings.task.name: ProposalInfer(self.recursion)}

    def init_trainers(self) -> dict[str, TrainTask]:
        """One train task, named as the task."""
        return {self.recursion.settings.task.name: RoundTrain(self.recursion, self._in_server)}

    def init_strategies(self) -> dict[str, Strategy]:
        """`recursive_expand` first: clients choose the first one they are told of."""
        return {
            "recursive_expand": RecursiveExpand(self.recursion),
            "first": AnyCase(self.recursion, first=True),
            "random": AnyCase(self.recursion, first=False),
        }

    def init_batch_infer(self) -> Callable[..., Any]:
        """Batch inference proposes."""
        return ProposeAll(self.recursion, self._in_server)

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """A mask of a case (`image` is its id) or of this request's upload; nothing is saved."""
        file, params = self._infers[request["model"]](request)  # type: ignore[attr-defined]
        return {"file": file, "params": params}

    def on_init_complete(self) -> None:
        """The server is up: take the workspace, add our routes, start the conductor."""
        self._workspace_lock = FileLock(self.recursion.workspace.server_lock)
        try:
            self._workspace_lock.acquire(timeout=0)
        except Timeout as error:
            raise RecursiveExpandError(
                f"another server uses the workspace {self.recursion.workspace.root}; stop it, or give another "
                "--conf workspace DIR"
            ) from error
        install_surface(monailabel_server.app)
        super().on_init_complete()  # type: ignore[misc]
        address = bind_to_loopback_unless_told()
        if address is not None:
            logger.info(
                "Serving %s at %s; review desk: %s/review/", self.recursion.settings.task.title, address, address
            )
        announce_server()
        self.conductor.start()

    def _in_server(self) -> bool:
        return bool(self._server_mode)  # type: ignore[attr-defined]
