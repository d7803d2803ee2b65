"""Section `infer`: `POST /infer` of a proposal that exists, over HTTP, against the stock server that computes it."""

from __future__ import annotations

import statistics
from pathlib import Path

from _bench.files import link, link_all
from _bench.material import APP, CONF, bench_settings, expert_case, fresh_folder, heads, weights
from _bench.recursion import open_bench_recursion, open_review, propose_all, publish
from _bench.report import Section, at_least, at_most
from _bench.scale import Scale
from _bench.server import Server, serve
from _bench.stock import make_app_folder
from _bench.stock_app.main import MODEL
from _bench.timing import in_turn, ratio, seconds
from recursive_expand.expand.registration import register_cases

CASE = "head-000"
JUDGED = "head-001"
ENDLESS_EPOCHS = 100_000
STOCK_REPEATS = 3


def measure_infer(scale: Scale, threads: int) -> Section:
    """Idle against the stock server, then the same while a round of ours trains."""
    file, sha256 = weights(bench_settings(threads))
    folder = heads(max(2, scale.volumes), scale.slices)
    studies = _reviewed_study(folder, file, sha256, threads)
    stock_studies = fresh_folder("infer_stock")
    link(folder / f"{CASE}.nii.gz", stock_studies / f"{CASE}.nii.gz")
    conf = {"threads": threads, "later_epochs": ENDLESS_EPOCHS, "gate": False, **CONF}
    stock_conf = {"weights": file, "threads": threads}
    logs = studies.parent
    with serve(APP, studies, conf, logs / "infer_ours.log") as server:
        ask_ours = _asking(server, "recursive_ich", CASE)
        with serve(make_app_folder(), stock_studies, stock_conf, logs / "infer_stock.log") as stock:
            ask_stock = _asking(stock, MODEL, CASE)
            ask_ours(), ask_stock()  # warm up
            found = in_turn({"ours": ask_ours, "stock": ask_stock}, min(STOCK_REPEATS, scale.repeats))
        idle = in_turn({"ours": ask_ours}, scale.requests)["ours"]
        _start_round(server)
        training = in_turn({"ours": ask_ours}, scale.requests)["ours"]
    section = Section(
        "infer",
        f"POST /infer of one head of 512x512x{scale.slices} as 3D Slicer asks it; medians of {scale.requests} (stock: "
        f"{len(found['stock'])}) requests one after the other. A round trains on {threads} threads meanwhile.",
    )
    section.add("ours", *_milliseconds(idle))
    section.add("stock, computing it", *_milliseconds(found["stock"]))
    times = ratio(found["stock"], idle)
    section.add("stock / ours", times, f"{times:.1f}x", at_least(20))
    section.add("ours, while a round trains", *_milliseconds(training))
    times = ratio(training, idle)
    section.add("while a round trains / idle", times, f"{times:.2f}x", at_most(2))
    return section


def _milliseconds(times: list[float]) -> tuple[float, str]:
    median = statistics.median(times) * 1000
    return median, f"{median:,.0f} ms"


def _asking(server: Server, model: str, case_id: str):
    return lambda: seconds(lambda: server.infer(model, case_id))


def _reviewed_study(folder: Path, file: Path, sha256: str, threads: int) -> Path:
    """A study under review: some heads proposed, and one case with an expert mask to train on."""
    studies = fresh_folder("infer_ours")
    link_all(folder, studies)
    image, mask = expert_case()
    link(image, studies / "expert.nii.gz")
    link(mask, studies / "labels" / "final" / "expert.nii.gz")
    recursion = open_bench_recursion(studies, {"threads": str(threads)})
    register_cases(recursion)
    publish(recursion, file, sha256)
    propose_all(recursion)
    open_review(recursion)
    recursion.ledger.close()
    return studies


def _start_round(server: Server) -> None:
    """Accept one proposal and begin the next round; returns once it trains."""
    queue = server.get("/recursive/queue")
    (judged,) = (proposal for proposal in queue if proposal["case_id"] == JUDGED)
    server.accept(JUDGED, judged["proposal"])
    server.post("/recursive/rounds", {})
    server.wait(
        lambda status: (
            bool(status["progress"]) and status["progress"]["done"] >= 1 and status["progress"]["stage"] == "training"
        )
    )
