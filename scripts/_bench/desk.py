"""Section `desk`: how soon the review desk shows what is next, in a browser without a screen."""

from __future__ import annotations

import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from _bench.many_cases import fill, link_cases
from _bench.material import APP, SIZE, fresh_folder
from _bench.recursion import open_bench_recursion, open_review
from _bench.report import Section, at_most
from _bench.scale import FULL, Scale
from _bench.server import serve

PROPOSALS = {True: 2000, False: 200}
KEYS = {True: 300, False: 60}
"""Verdicts that are timed."""
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
    """Key to next picture, and a drag of the window, on an idle server."""
    full = scale == FULL
    section = Section(
        "desk",
        f"Headless chromium on loopback, {PROPOSALS[full]:,} proposals of {SIZE} x {SIZE}; from the key to "
        f"the frame with the next picture, {KEYS[full]} verdicts; idle server. Not measured: while a round trains.",
    )
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        section.about = "Not measured: chromium is missing (apt-get install -y chromium)."
        return section
    studies = _under_review(PROPOSALS[full], threads)
    with serve(APP, studies, {"threads": threads}, studies.with_suffix(".log")) as server:
        server.wait(lambda status: status["state"] == "reviewing" and status["undecided"] > 0)
        server.settle()
        times, frames, requests = _read(f"{server.url}/review/", chromium, KEYS[full])
    centile = statistics.quantiles(times, n=20)[-1]
    section.add(
        "key to next picture, median",
        statistics.median(times),
        f"{statistics.median(times):.0f} ms",
        at_most(100, " ms"),
    )
    section.add("key to next picture, 95th centile", centile, f"{centile:.0f} ms", at_most(150, " ms"))
    frame = statistics.median(frames)
    section.add("a frame of a window drag, the whole sheet", frame, f"{frame:.1f} ms", at_most(16, " ms"))
    section.add("requests of the drag", requests, f"{requests}", at_most(0, ""))
    return section


def _under_review(cases: int, threads: int) -> Path:
    studies = fresh_folder(f"desk_{cases}")
    link_cases(studies, cases, side=SIZE)
    recursion = open_bench_recursion(studies, {"threads": str(threads)})
    fill(recursion, side=SIZE)
    open_review(recursion)
    recursion.ledger.close()
    return studies


def _read(address: str, chromium: str, keys: int) -> tuple[list[float], list[float], int]:
    """(ms of each verdict, ms of each frame of a drag, requests meanwhile)."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.add_init_script("localStorage.setItem('recursive-desk-reader', 'bench')")
        page.goto(address)
        _painted(page)
        page.wait_for_timeout(3000)
        page.evaluate(_WATCH)
        for number in range(keys):
            _painted(page)
            page.wait_for_timeout(PACE_MS)
            page.keyboard.press("a" if number % 5 else "r")
        _painted(page)
        times = page.evaluate("window.benchTimes")
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
        drag = [url for url in asked if not url.endswith(("/desk/state", "/desk/leases"))]
        browser.close()
    return times, frames, len(drag)


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
