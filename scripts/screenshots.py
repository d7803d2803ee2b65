"""Take the pictures of the review desk for the documents: `python scripts/screenshots.py [FOLDER]` (needs chromium)."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
APP = REPOSITORY / "apps" / "recursive_ich"
CASES = 24
MODEL = hashlib.sha256(b"no network made these").hexdigest()


def write_review(studies: Path) -> None:
    """Synthetic heads whose first review is open: what is proposed is a little more than what is there."""
    import numpy as np
    from scipy import ndimage

    from recursive_expand.archives.images import write_volume
    from recursive_expand.cases import Geometry, LabelMap, Volume
    from recursive_expand.expand.frozen import freeze_files
    from recursive_expand.expand.recursion import open_recursion
    from recursive_expand.expand.registration import register_cases
    from recursive_expand.ledger import Actor, ProposalDraft, ProposedSlice, VerdictKind
    from recursive_expand.phantom import CLASSES, make_head

    studies.mkdir(parents=True)
    labels = {}
    for number in range(CASES):
        head = make_head(number, size=256, slices=14, bleeds=[CLASSES[number % len(CLASSES)]])
        native = head.hu.transpose(2, 1, 0)
        # Without the gantry's tilt.
        affine = np.diag([-head.spacing[2], -head.spacing[1], head.spacing[0], 1.0])
        columns, rows, slices = native.shape
        geometry = Geometry.of((columns, rows, slices), affine)
        hu = geometry.orientation.to_slices(native)
        case_id = f"head-{number:02d}"
        write_volume(studies / f"{case_id}.nii.gz", Volume(hu, geometry), fsync=False)
        mask = geometry.orientation.to_slices(head.mask.transpose(2, 1, 0))
        labels[case_id] = LabelMap.from_slices(ndimage.grey_dilation(mask, (1, 3, 3)), geometry, CLASSES)
    with (studies / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("case_id", "role"), *((case_id, "unlabelled") for case_id in labels)])
    recursion = open_recursion(str(studies), APP / "task.yaml", {"mode": "off"})
    register_cases(recursion)
    ledger = recursion.ledger
    for round_index in range(2):
        ledger.rounds.start(
            round_index,
            base_model=None if round_index == 0 else MODEL,
            config=recursion.settings.round_config(),
            config_sha256="c" * 64,
            training_set={"pixel": []},
            training_set_sha256="t" * 64,
            known=ledger.judgements.watermark(),
            report={"training_slices": {"pixel": 60, "accepted": 40 * round_index}},
        )
        losses = [0.15 + 0.9 * 0.93**epoch * 0.8**round_index for epoch in range(60)]
        report = {"losses": losses, "train_seconds": 300.0, "validation": {"dice": 0.71, "recall": 0.78}}
        ledger.rounds.publish_model(round_index, trained_model=MODEL, model=MODEL, promoted=True, report=report)
        for case_id, label in labels.items():
            moved = label if round_index == 0 else label.emptied(label.filled[:1] if len(label.filled) > 1 else ())
            marked = tuple(
                ProposedSlice(number, name, voxels, 0.9)
                for number, by_class in moved.slice_voxels().items()
                for name, voxels in by_class.items()
            )
            settled = {verdict.case_id for verdict in ledger.judgements.verdicts() if verdict.verdict == "accept"}
            if case_id in settled:
                continue
            draft = ProposalDraft(
                case_id=case_id,
                sha256=moved.sha256,
                model_sha256=MODEL,
                file=freeze_files(recursion.workspace, moved, np.zeros(moved.slices.shape, np.bool_)),
                marked=marked,
                confidence=0.9,
            )
            ledger.proposals.freeze(round_index, draft, serve=True)
        waiting = ledger.queue.candidates(round_index=round_index)
        ledger.rounds.open_review(round_index, order=[one.proposal_id for one in waiting], report={})
        if round_index == 0:
            for number, case_id in enumerate(list(labels)[:10]):
                proposal = ledger.proposals.current(case_id)
                assert proposal is not None
                kind = VerdictKind.REJECT if number % 4 == 3 else VerdictKind.ACCEPT
                ledger.judgements.give(Actor("ann", "desk"), case_id, proposal.sha256, kind)
            ledger.rounds.close_review(0, converged=False, report={"expanded_slices": 31})
    ledger.close()


def serve(studies: Path, app: Path) -> str:
    """Answer requests on a port of loopback, in this process; returns the address."""
    os.environ |= {
        "MONAI_LABEL_APP_DIR": str(app),
        "MONAI_LABEL_STUDIES": str(studies),
        "MONAI_LABEL_APP_CONF": '{"mode": "off", "threads": "1"}',
        "MONAI_LABEL_SESSIONS": "false",
    }
    import uvicorn
    from monailabel.interfaces.utils.app import app_instance

    from recursive_expand.server.asgi import app as application

    app_instance().server_mode(True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(application, port=port, lifespan="off", log_level="warning")
    threading.Thread(target=uvicorn.Server(config).run, daemon=True).start()
    address = f"http://127.0.0.1:{port}"
    while True:
        try:
            urllib.request.urlopen(f"{address}/review/", timeout=5)
            return address
        except OSError:
            time.sleep(0.1)


def take(address: str, folder: Path) -> None:
    """Open each view in chromium and keep a picture of it."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is missing: apt-get install -y chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1360, "height": 860})
        page.on("pageerror", lambda error: print("page:", error, file=sys.stderr))
        page.on("console", lambda message: print("console:", message.text, file=sys.stderr))
        page.add_init_script("localStorage.setItem('recursive-desk-reader', 'ann')")
        page.goto(f"{address}/review/")
        _painted(page)
        for key in ("a", "r"):
            page.keyboard.press(key)
            _painted(page)
        _keep(page, folder / "desk-sheet.png")
        page.keyboard.press("z")
        _keep(page, folder / "desk-zoom.png")
        page.keyboard.press("z")
        page.keyboard.press("Enter")
        page.wait_for_timeout(2500)
        _keep(page, folder / "desk-case.png")
        page.keyboard.press("Escape")
        page.keyboard.press("?")
        _keep(page, folder / "desk-keys.png")
        page.goto(f"{address}/review/progress")
        page.wait_for_selector("#rounds tbody tr")
        _keep(page, folder / "desk-progress.png")
        browser.close()


def _painted(page: Any) -> None:
    while not page.evaluate("document.body.dataset.painted"):
        page.wait_for_timeout(20)


def _keep(page: Any, path: Path) -> None:
    page.wait_for_timeout(400)
    page.screenshot(path=path)
    print(path)


def main(arguments: Sequence[str]) -> None:
    """Make the studies, serve them, take the pictures."""
    folder = Path(arguments[0]) if arguments else REPOSITORY / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        studies, app = Path(temporary) / "studies", Path(temporary) / "app"
        app.mkdir()
        for name in ("main.py", "task.yaml"):
            shutil.copy(APP / name, app / name)
        write_review(studies)
        take(serve(studies, app), folder)
    # MONAI Label leaves threads that would wait.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
