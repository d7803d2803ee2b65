"""A review of sixty small proposals, and the desk's page opened over it."""

from __future__ import annotations

import csv
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recursive_expand.archives.images import write_volume
from recursive_expand.cases import Geometry, Volume
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.registration import register_cases

CASES = 60


@pytest.fixture(scope="session")
def sixty_folder(
    tmp_path_factory: pytest.TempPathFactory, make_head: Callable[..., Any], reopen: Callable[..., Recursion],
    freeze: Callable[..., Any],
) -> Path:  # fmt: skip
    """Studies of sixty unlabelled heads whose first review is open: every other one has two marked slices."""
    folder = tmp_path_factory.mktemp("sixty") / "studies"
    folder.mkdir()
    masks = {}
    geometry = Geometry.of((48, 48, 3), np.diag([-4.0, -4.0, 5.0, 1.0]))
    for number in range(CASES):
        hu, mask = make_head(number, bleeds=(0, 2) if number % 2 == 0 else (1,))
        masks[f"c{number:02d}"] = mask
        write_volume(folder / f"c{number:02d}.nii.gz", Volume(hu, geometry), fsync=False)
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("case_id", "role"), *((case_id, "unlabelled") for case_id in masks)])
    recursion = reopen(folder)
    open_review(recursion, lambda: [freeze(recursion, case_id, mask) for case_id, mask in masks.items()])
    recursion.ledger.close()
    return folder


def open_review(recursion: Recursion, freeze_all: Callable[[], object]) -> None:
    """Open round 0's review in the ledger alone: nothing is trained."""
    register_cases(recursion)
    ledger = recursion.ledger
    model = "m" * 64
    ledger.rounds.start(
        0, base_model=None, config=recursion.settings.round_config(), config_sha256="c" * 64,
        training_set={"pixel": [], "validation": [], "accepted": [], "clean": [], "new_slices": 0},
        training_set_sha256="t" * 64, known=ledger.judgements.watermark(), report={},
    )  # fmt: skip
    ledger.rounds.publish_model(0, trained_model=model, model=model, promoted=True, report={"losses": [1.0, 0.5]})
    freeze_all()
    waiting = ledger.queue.candidates(round_index=0)
    ledger.rounds.open_review(0, order=[one.proposal_id for one in waiting], report={})


@pytest.fixture
def sixty(sixty_folder: Path, tmp_path: Path, reopen: Callable[..., Recursion]) -> Recursion:
    """A recursion of its own over those studies."""
    shutil.copytree(sixty_folder, tmp_path / "sixty")
    recursion = reopen(tmp_path / "sixty")
    register_cases(recursion)
    return recursion


@pytest.fixture
def desk(make_app: Callable[..., Any], sixty: Recursion, serve_app: Callable[[], Any]) -> Iterator[Any]:
    """The server over the sixty proposals."""
    make_app(sixty)
    server = serve_app()
    yield server
    server.stop()


class Reader:
    """A person at the desk: a page, and what was said to the server in their name."""

    def __init__(self, browser: Any, url: str, name: str = "ann", *, context: Any = None) -> None:
        self.context = context or browser.new_context(viewport={"width": 1280, "height": 800})
        self.name = name
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.context.add_init_script(f"localStorage.setItem('recursive-desk-reader', {json.dumps(name)})")
        self.page.goto(f"{url}/review/")
        self.ready()

    def ready(self) -> str:
        """Wait until a proposal is on the screen and its clock runs; its case."""
        return str(self.until("() => document.body.dataset.painted"))

    def until(self, condition: str, arg: Any = None) -> Any:
        """Wait until a function of JavaScript gives something true, and give it.

        Playwright's own way needs `eval`, which the page's Content-Security-Policy forbids.
        """
        ends = time.monotonic() + 60
        while not (found := self.page.evaluate(condition, arg)):
            assert time.monotonic() < ends, f"not within a minute: {condition}"
            time.sleep(0.01)
        return found

    def press(self, key: str) -> str:
        """Press a key on what is painted; the case that it was pressed on."""
        case_id = self.ready()
        self.page.keyboard.press(key)
        return case_id

    def sent(self) -> None:
        """Wait until nothing is left to send."""
        self.until("() => document.body.dataset.unsent === '0'")


@pytest.fixture
def reader(browser: Any, desk: Any) -> Iterator[Callable[..., Reader]]:
    """Open the desk as a reader of this name."""
    opened: list[Reader] = []

    def _reader(name: str = "ann", *, context: Any = None) -> Reader:
        opened.append(Reader(browser, desk.url, name, context=context))
        return opened[-1]

    yield _reader
    errors = [error for each in opened for error in each.errors]
    for each in opened:
        each.context.close()
    assert errors == []
