"""Clients that ask at the same time never get the same case."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from monailabel.client import MONAILabelClient

from .drive import MODEL, STRATEGY
from .server import Server

NAMES = ("anna", "boris")


def test_two_clients_share_the_queue_without_meeting(reviewing: Server, tmp_path: Path) -> None:
    clients = [MONAILabelClient(reviewing.url, str(tmp_path), name) for name in NAMES]
    open_cases = len(reviewing.get("/recursive/queue"))
    together = Barrier(len(clients))
    served: list[str] = []

    def ask(client: MONAILabelClient) -> str:
        together.wait()
        sample = client.next_sample(STRATEGY, {})
        assert sample, "nothing was served although proposals are open"
        return sample["id"]

    with ThreadPoolExecutor(len(clients)) as pool:
        # The last pair is left undecided: deciding all of them would start the next round.
        for _ in range(open_cases // len(clients)):
            cases = list(pool.map(ask, clients))
            assert not set(cases) & set(served), "a decided case was served again"
            assert len(set(cases)) == len(clients), "both got the same case"
            served += cases
            if len(served) + len(clients) <= open_cases:
                for name, client, case_id in zip(NAMES, clients, cases, strict=True):
                    _reject(reviewing, client, name, case_id)
    held = [client.next_sample(STRATEGY, {})["id"] for client in clients]
    assert held == served[-2:], "a client that asks again gets the case that it holds"


def _reject(server: Server, client: MONAILabelClient, name: str, case_id: str) -> None:
    _, params = client.infer(MODEL, case_id, {})
    body = {"case_id": case_id, "proposal": params["proposal"], "verdict": "reject", "reviewer": name}
    answer = server.post("/recursive/verdicts", body)
    assert answer.status_code == 201, answer.text
