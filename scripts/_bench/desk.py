"""Section `desk`: how soon the review desk shows what is next, in a browser without a screen."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _bench.files import link
from _bench.many_cases import fill, link_cases
from _bench.material import APP, CONF, SIZE, bench_settings, expert_case, fresh_folder, heads, weights
from _bench.recursion import open_bench_recursion, open_review
from _bench.report import Section, at_least, at_most
from _bench.scale import FULL, Scale
from _bench.server import Server, serve
from _bench.stock import make_app_folder
from _bench.stock_app.main import MODEL as STOCK_MODEL
from _bench.timing import seconds

MODEL = "recursive_ich"
PROPOSALS = {True: 2000, False: 300}
KEYS = {True: 150, False: 50}
"""Verdicts that are timed in each state of the server."""
FEW = 4
"""Proposals of the study that trains beside the one that is read."""
STOCK_VERDICTS = 3
WEIGHTS_SIZE = 128
"""Pixels of the heads that the network is trained on: it need not be good here."""
ENDLESS_EPOCHS = 100_000
PACE_MS = 300
"""Between a picture and the verdict on it: no eye is faster."""
DRAGS = 60
"""Movements of the mouse in one drag of the window."""
CHROMIUM = ("chromium", "chromium-browser")

# From the key's own time stamp to the moment after the frame that shows the next picture.
_WATCH = """() => {
  window.benchTimes = [];
  let pressed = null;
  addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
  new MutationObserver(() => {
    if (pressed === null || !document.body.dataset.painted) return;
    window.benchTimes.push(performance.now() - pressed);
    pressed = null;
  }).observe(document.body, { attributes: true, attributeFilter: ["data-painted"] });
}"""
# Time of each drawing of the sheet after a change of the window: what a frame of a drag has to do.
_FRAMES = """() => {
  window.benchFrames = [];
  const put = CanvasRenderingContext2D.prototype.putImageData;
  let began = null;
  CanvasRenderingContext2D.prototype.putImageData = function (...all) {
    if (began === null) {
      began = performance.now();
      queueMicrotask(() => { window.benchFrames.push(performance.now() - began); began = null; });
    }
    return put.apply(this, all);
  };
}"""


def measure_desk(scale: Scale, threads: int) -> Section:
    """Key to next picture while the server is idle, trains and infers; a drag of the window; and the stock way."""
    full = scale == FULL
    section = Section(
        "desk",
        f"Headless chromium on loopback, {PROPOSALS[full]:,} proposals of {SIZE} x {SIZE}; from the key to the frame "
        f"with the next picture, {KEYS[full]} verdicts each. A new case, a head of 512x512x{scale.slices}, is inferred "
        "time and again. The stock way: MONAI Label's own server with such heads, asked as Slicer's Next Sample and "
        f"Submit ask, {STOCK_VERDICTS} verdicts.",
    )
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        section.about = "Not measured: chromium is missing (apt-get install -y chromium)."
        return section
    head = next(iter(sorted(heads(max(2, scale.volumes), scale.slices).glob("*.nii.gz"))))
    studies = _under_review(PROPOSALS[full], threads)
    conf = {**CONF, "threads": threads, "later_epochs": ENDLESS_EPOCHS, "gate": False}
    with serve(APP, studies, conf, studies.with_suffix(".log")) as server:
        server.wait(lambda status: status["state"] == "reviewing" and status["undecided"] > 0)
        server.settle()
        with _desk(f"{server.url}/review/", chromium) as page:
            idle = _keys(page, KEYS[full])
            with _inferring(server, head):
                inferring = _keys(page, KEYS[full])
            with _training(threads, conf):
                training = _keys(page, KEYS[full])
            # Last: a drag begins with a click, which goes to a tile that is judged already.
            frames, requests = _drag(page)
            ours = [seconds(lambda: server.judge_as_slicer("recursive_expand", MODEL)) for _ in range(STOCK_VERDICTS)]
    stock = _stock_way(head, threads)
    for name, times in (
        ("idle", idle),
        ("while another study's round trains", training),
        ("while a new case is inferred", inferring),
    ):
        median, centile = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        section.add(f"key to next picture, {name}, median", median, f"{median:.0f} ms", at_most(100, " ms"))
        section.add(f"key to next picture, {name}, 95th centile", centile, f"{centile:.0f} ms", at_most(150, " ms"))
    frame = statistics.median(frames)
    section.add("a frame of a window drag, the whole sheet", frame, f"{frame:.1f} ms", at_most(16, " ms"))
    section.add("requests of the drag", requests, f"{requests}", at_most(0, ""))
    for name, found in (
        ("Next Sample and Submit, the stock server", stock),
        ("the same, this server's frozen masks", ours),
    ):
        median = statistics.median(found) * 1000
        section.add(name, median, f"{median:,.0f} ms")
    less = statistics.median(stock) * 1000 / statistics.median(idle)
    section.add("the stock way / the desk, for each verdict", less, f"{less:.0f}x", at_least(20))
    return section


def _under_review(cases: int, threads: int) -> Path:
    """A study of so many proposed slices, and one case with an expert mask to train on."""
    studies = fresh_folder(f"desk_{cases}")
    link_cases(studies, cases, side=SIZE)
    recursion = open_bench_recursion(studies, {"threads": str(threads)})
    file, sha256 = weights(bench_settings(threads), WEIGHTS_SIZE)
    link(file, recursion.workspace.model(sha256))
    fill(recursion, side=SIZE, model=sha256)
    open_review(recursion)
    recursion.ledger.close()
    image, mask = expert_case()
    link(image, studies / "expert.nii.gz")
    link(mask, studies / "labels" / "final" / "expert.nii.gz")
    return studies


@contextmanager
def _desk(address: str, chromium: str) -> Iterator[Any]:
    """The page, once it has shown something and decoded ahead."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.add_init_script("localStorage.setItem('recursive-desk-reader', 'bench')")
        page.goto(address)
        _painted(page)
        page.wait_for_timeout(3000)
        page.evaluate(_WATCH)
        yield page
        browser.close()


def _keys(page: Any, keys: int) -> list[float]:
    """ms of each verdict."""
    page.evaluate("window.benchTimes.length = 0")
    for number in range(keys):
        _painted(page)
        page.wait_for_timeout(PACE_MS)
        page.keyboard.press("a" if number % 5 else "r")
    _painted(page)
    return page.evaluate("window.benchTimes")


def _drag(page: Any) -> tuple[list[float], int]:
    """(ms of each frame of a drag, requests meanwhile)."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _quiet(page, asked)
    asked.clear()
    page.evaluate(_FRAMES)
    page.mouse.move(300, 300)
    page.mouse.down()
    for step in range(DRAGS):
        page.mouse.move(300 + 4 * step, 300 + 2 * step)
    page.mouse.up()
    frames = page.evaluate("window.benchFrames")
    # The desk looks every five seconds how many remain.
    return frames, len([url for url in asked if not url.endswith(("/desk/state", "/desk/leases"))])


@contextmanager
def _inferring(server: Server, image: Path) -> Iterator[None]:
    """The server infers a new case all the while."""
    ended, answered = threading.Event(), []

    def infer() -> None:
        while not ended.is_set():
            answered.append(len(server.infer(MODEL, "", upload=image)))

    thread = threading.Thread(target=infer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if not answered:
        raise RuntimeError(f"the new case was not inferred; see {server.log}")


@contextmanager
def _training(threads: int, conf: Mapping[str, object]) -> Iterator[None]:
    """A round of another study trains on this machine all the while: a server shows nothing of its own meanwhile."""
    studies = _under_review(FEW, threads)
    with serve(APP, studies, conf, studies.with_suffix(".log")) as server:
        server.wait(lambda status: status["state"] == "reviewing")
        server.post("/recursive/rounds", {})
        server.wait(lambda status: bool(status["progress"]) and status["progress"]["stage"] == "training")
        yield
        status = server.get("/recursive/status")
        if status["state"] != "training":
            raise RuntimeError(f"the round ended before all was measured: {status}")


def _stock_way(head: Path, threads: int) -> list[float]:
    """Seconds of each verdict of Slicer's module with MONAI Label's own server."""
    studies = fresh_folder("desk_stock")
    for number in range(STOCK_VERDICTS + 1):
        link(head, studies / f"head-{number}.nii.gz")
    file, _ = weights(bench_settings(threads), WEIGHTS_SIZE)
    log = studies.with_suffix(".log")
    with serve(make_app_folder(), studies, {"weights": file, "threads": threads}, log) as stock:
        stock.judge_as_slicer("random", STOCK_MODEL)  # warm up
        return [seconds(lambda: stock.judge_as_slicer("random", STOCK_MODEL)) for _ in range(STOCK_VERDICTS)]


def _quiet(page: Any, asked: list[str]) -> None:
    """Wait until all verdicts are sent and what is decoded ahead has arrived: nothing was asked for two seconds."""
    deadline, before = time.monotonic() + 60, -1
    while page.evaluate("document.body.dataset.unsent") != "0" or (
        before != (before := sum("/desk/pixels" in url for url in asked)) and time.monotonic() < deadline
    ):
        page.wait_for_timeout(2000)


def _painted(page: Any) -> None:
    deadline = time.monotonic() + 60
    while not page.evaluate("document.body.dataset.painted"):
        if time.monotonic() > deadline:
            raise RuntimeError("the desk showed nothing within a minute")
