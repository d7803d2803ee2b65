"""A MONAI Label server in its own process, for as long as a block of code needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

START_SECONDS = 300.0
END_SECONDS = 20.0
POLL_SECONDS = 0.2
CALM_LOOKS, CALM_SECONDS = 3, 0.25
"""A server has settled when it used less processor time than this in each of so many seconds."""
CLIENT = "bench"


@dataclass
class Server:
    """A running server.

    Attributes:
        url: without a slash at its end.
        process: its process.
        log: what it prints.
        session: keeps the connection, as clients do.
    """

    url: str
    process: psutil.Popen
    log: Path
    session: requests.Session

    def get(self, path: str) -> Any:
        """JSON of a GET."""
        answer = self.session.get(self.url + path, timeout=600)
        answer.raise_for_status()
        return answer.json()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """JSON of a POST with a JSON body."""
        answer = self.session.post(self.url + path, json=dict(body), timeout=600)
        answer.raise_for_status()
        return answer.json()

    def next_sample(self) -> str:
        """Id of the case that the queue serves next."""
        return self.post("/activelearning/recursive_expand", {"client_id": CLIENT})["id"]

    def proposal(self, case_id: str) -> str:
        """SHA-256 of a case's current proposal."""
        return self.get(f"/datastore/label/info?label={case_id}&tag=original")["proposal_sha256"]

    def accept(self, case_id: str, proposal: str) -> None:
        """An accepting verdict."""
        body = {"case_id": case_id, "proposal": proposal, "verdict": "accept", "client": CLIENT}
        self.post("/recursive/verdicts", body)

    def infer(self, model: str, case_id: str, *, upload: Path | None = None) -> bytes:
        """What `POST /infer` answers, asked as 3D Slicer asks; with `upload` for an image that is no case."""
        params = {"params": (None, '{"result_extension": ".nrrd", "result_dtype": "uint8"}')}
        files = params if upload is None else params | {"file": (upload.name, upload.read_bytes())}
        query = {"image": case_id} if upload is None else {}
        answer = self.session.post(f"{self.url}/infer/{model}", params=query, files=files, timeout=600)
        answer.raise_for_status()
        return answer.content

    def judge_as_slicer(self, strategy: str, model: str, extension: str = ".nrrd") -> None:
        """Next Sample and Submit of Slicer's MONAILabel module: its requests, without what Slicer itself needs."""
        case_id = self.post(f"/activelearning/{strategy}", {"client_id": CLIENT})["id"]
        self.session.get(f"{self.url}/datastore/image", params={"image": case_id}, timeout=600).raise_for_status()
        answer = self.session.post(
            f"{self.url}/infer/{model}",
            params={"image": case_id, "output": "image"},
            files={"params": (None, f'{{"result_extension": "{extension}", "result_dtype": "uint8"}}')},
            timeout=600,
        )
        answer.raise_for_status()
        self.session.put(
            f"{self.url}/datastore/label",
            params={"image": case_id, "tag": "final"},
            data={"params": f'{{"client_id": "{CLIENT}"}}'},
            files={"label": (f"{case_id}{extension}", answer.content)},
            timeout=600,
        ).raise_for_status()

    def wait(self, condition: Callable[[dict[str, Any]], bool]) -> None:
        """Wait until the recursion's status meets a condition."""
        deadline = time.monotonic() + START_SECONDS
        status = None
        while time.monotonic() < deadline:
            status = self.get("/recursive/status")
            if condition(status):
                return
            time.sleep(POLL_SECONDS)
        raise RuntimeError(f"not within {START_SECONDS:.0f} s; the last status was {status}; see {self.log}")

    def settle(self) -> None:
        """Wait until it does nothing more of what a start brings: its processor time stands nearly still."""
        deadline = time.monotonic() + START_SECONDS
        calm = 0
        while calm < CALM_LOOKS and time.monotonic() < deadline:
            before = sum(self.process.cpu_times()[:2])
            time.sleep(1.0)
            calm = calm + 1 if sum(self.process.cpu_times()[:2]) - before < CALM_SECONDS else 0

    def resident_mib(self) -> float:
        """Resident memory of the server's process in MiB."""
        return self.process.memory_info().rss / 2**20


STOCK_ENTRY = ("-m", "monailabel.main", "start_server")
"""`monailabel start_server`."""
OUR_ENTRY = ("-m", "recursive_expand.server.serve")
"""`recursive-expand serve`."""


@contextmanager
def serve(
    app: Path,
    studies: Path | str,
    conf: Mapping[str, object],
    log: Path,
    environment: Mapping[str, str] = os.environ,
    *,
    entry: Sequence[str] = STOCK_ENTRY,
) -> Iterator[Server]:
    """Start a server on loopback and a free port; it ends with the block, and all its children do."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, *entry, "--app", str(app), "--studies", str(studies)]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    for key, value in conf.items():
        command += ["--conf", key, str(value)]
    env = {**environment, "MONAI_LABEL_AUTO_UPDATE_SCORING": "false"}
    with log.open("wb") as out, requests.Session() as session:
        # A kept connection that the server closes at the very moment is opened anew.
        session.mount("http://", HTTPAdapter(max_retries=Retry(total=1, read=1, allowed_methods=["GET"])))
        process = psutil.Popen(command, cwd=log.parent, env=env, stdout=out, stderr=subprocess.STDOUT)
        try:
            server = Server(f"http://127.0.0.1:{port}", process, log, session)
            _wait_for_answer(server)
            yield server
        finally:
            _end(process)


def _end(process: psutil.Popen) -> None:
    with suppress(psutil.NoSuchProcess):
        family = [*process.children(recursive=True), process]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=END_SECONDS)


def _wait_for_answer(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended before it answered; see {server.log}")
        try:
            server.get("/info/")
        except requests.RequestException:
            time.sleep(POLL_SECONDS)
        else:
            return
    raise RuntimeError(f"the server did not answer within {START_SECONDS:.0f} s; see {server.log}")
