"""PyTorch is imported when it is used: MONAI Label imports it at its start, for what this server seldom does."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

DEFERRED = ("torch", "monai")
"""Packages that take most of a start's time and memory. MONAI Label's modules import them at their top and use them to
count GPUs, to download and in transforms; a server that answers with frozen masks does none of it."""


@contextmanager
def deferred_torch() -> Iterator[None]:
    """Modules that are imported within get stand-ins for `DEFERRED`, which import the real ones when they are used.

    Afterwards whoever imports these packages gets the real ones. Where PyTorch is there already nothing is deferred.
    """
    if "torch" in sys.modules:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]:
            del sys.modules[name]


class _Name:
    """Something of a package that was imported from a stand-in."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        return getattr(importlib.import_module(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)


class _StandIn(ModuleType):
    """In a module's place while others are imported, and in their `import torch` for good."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Name(self.__name__, name)


class _Finder(MetaPathFinder, Loader):
    """Finds stand-ins."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in DEFERRED:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass
