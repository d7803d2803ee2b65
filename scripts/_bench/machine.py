"""The machine that a run was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from recursive_expand.segment.predict import has_fast_half
from recursive_expand.settings.machine import available_cores


def machine(threads: int) -> dict[str, Any]:
    """CPU, threads, library versions and load, for the report."""
    return {
        "cpu": _cpu_name(),
        "cores": available_cores(),
        "threads": threads,
        "bfloat16": has_fast_half(torch.device("cpu")),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def machine_line(facts: dict[str, Any]) -> str:
    """The same in one line."""
    half = "with" if facts["bfloat16"] else "without"
    load = "" if facts["load"] is None else f"; load before the run {facts['load']:.1f}"
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} threads, {half} bfloat16 instructions; "
        f"torch {facts['torch']}, Python {facts['python']}{load}"
    )


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    return next((v.strip() for k, v in facts.items() if k.strip() == "model name"), platform.machine())
