"""The version of the code that made a result."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from recursive_expand import __version__

PACKAGES = ("torch", "monai", "monailabel", "scikit-image", "numpy", "scipy")


def code_version() -> dict[str, Any]:
    """Versions of this package (with its git commit if it runs from a checkout) and of those that results depend on."""
    return {
        "recursive_expand": __version__,
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--", "lib", "apps")),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str | None:
    """Output of git in this file's checkout; None if there is none."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
