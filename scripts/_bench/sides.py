"""The two sides of `--against`: an older checkout and this one, each with its own library, app, worker and servers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _bench.files import link_all
from _bench.jobs import Worker, working
from _bench.many_cases import link_cases
from _bench.material import REPOSITORY, fresh_folder
from _bench.server import Server, serve

APP = Path("apps") / "recursive_ich"
WORK = Path("scripts") / "_bench" / "work.py"


@dataclass(frozen=True)
class Side:
    """One checkout.

    Attributes:
        name: `before` or `now`.
        checkout: its folder.
        worker: does jobs with its library.
        environment: of its processes.
    """

    name: str
    checkout: Path
    worker: Worker
    environment: dict[str, str]

    def heads(self, images: Path) -> Path:
        """A new study of these images."""
        studies = fresh_folder(f"against_{self.name}_heads")
        link_all(images, studies)
        return studies

    def many(self, cases: int) -> Path:
        """A new study of so many small cases; nothing is registered."""
        studies = fresh_folder(f"against_{self.name}_{cases}")
        link_cases(studies, cases)
        return studies

    def serve(self, studies: Path, threads: int) -> AbstractContextManager[Server]:
        """Its server over a study."""
        conf = {"threads": threads, "flips": "false", "working_spacing": "null"}
        return serve(self.checkout / APP, studies, conf, studies.with_suffix(".log"), self.environment)


@contextmanager
def both_sides(old: Path) -> Iterator[tuple[Side, Side]]:
    """(before, now), with their workers running."""
    with ExitStack() as stack:
        yield (
            stack.enter_context(_side("before", old)),
            stack.enter_context(_side("now", REPOSITORY)),
        )


def both_do(sides: tuple[Side, Side], job: str, studies: dict[str, Path], **arguments: Any) -> None:
    """Let both work at the same time, where nothing is timed."""
    for side in sides:
        side.worker.ask(job, studies=str(studies[side.name]), **arguments)
    for side in sides:
        side.worker.answer()


def ledger_of(studies: Path) -> Path:
    """A closed ledger's file."""
    return studies / ".recursive" / "ledger.sqlite"


def copy_ledger(source: Path, target: Path) -> Path:
    """A copy of a closed ledger to try something on."""
    for suffix in ("-wal", "-shm"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(source, target)
    return target


@contextmanager
def _side(name: str, checkout: Path) -> Iterator[Side]:
    # A checkout without jobs of its own is one of 0.1.0, whose library work_0_1.py speaks to.
    own = (checkout / WORK).is_file()
    scripts = (checkout if own else REPOSITORY) / "scripts"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(checkout / "lib"), str(scripts)))}
    log = fresh_folder(f"against_{name}_worker") / "log.txt"
    with working("_bench.work" if own else "_bench.work_0_1", environment, log) as worker:
        yield Side(name, checkout, worker, environment)
