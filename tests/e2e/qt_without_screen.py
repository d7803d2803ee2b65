"""Stand-ins for the Qt classes that Slicer's MONAI Label module uses: they keep values and draw nothing."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock


class ComboBox:
    """A QComboBox: its items, the chosen one, and the text of an editable one. It sends no signals."""

    def __init__(self) -> None:
        self._items: list[str] = []
        self._typed = ""
        self.currentIndex = -1

    @property
    def count(self) -> int:
        return len(self._items)

    @property
    def currentText(self) -> str:
        return self._items[self.currentIndex] if 0 <= self.currentIndex < self.count else self._typed

    @currentText.setter
    def currentText(self, text: str | None) -> None:
        self._typed = text or ""
        self.currentIndex = self.findText(self._typed)

    def setCurrentText(self, text: str | None) -> None:
        self.currentText = text

    def setCurrentIndex(self, index: int) -> None:
        self.currentIndex = index

    def addItem(self, *args: object) -> None:
        """`addItem(text[, data])` or `addItem(icon, text)`."""
        self._items.append(next(arg for arg in args if isinstance(arg, str)))
        self.currentIndex = max(self.currentIndex, 0)

    def addItems(self, texts: list[str]) -> None:
        for text in texts:
            self.addItem(text)

    def clear(self) -> None:
        self._items.clear()
        self.currentIndex = -1

    def findText(self, text: str) -> int:
        return self._items.index(text) if text in self._items else -1

    def itemText(self, index: int) -> str:
        return self._items[index] if 0 <= index < self.count else ""

    def blockSignals(self, _blocked: bool) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class CheckBox:
    """A QCheckBox."""

    checked = False

    def setChecked(self, checked: bool) -> None:
        self.checked = checked


class TableWidgetItem:
    """A QTableWidgetItem: a cell's text."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    def text(self) -> str:
        return self._text

    def flags(self) -> int:
        return 0

    def setFlags(self, _flags: int) -> None:
        pass


class TableWidget:
    """A QTableWidget: the module's table of options, whose values travel with every request."""

    def __init__(self) -> None:
        self.rowCount = 0
        self._items: dict[tuple[int, int], TableWidgetItem] = {}
        self._widgets: dict[tuple[int, int], object] = {}

    def clear(self) -> None:
        self._items.clear()
        self._widgets.clear()

    def setRowCount(self, count: int) -> None:
        self.rowCount = count

    def setItem(self, row: int, column: int, item: TableWidgetItem) -> None:
        self._items[row, column] = item

    def item(self, row: int, column: int) -> TableWidgetItem | None:
        return self._items.get((row, column))

    def setCellWidget(self, row: int, column: int, widget: object) -> None:
        self._widgets[row, column] = widget

    def cellWidget(self, row: int, column: int) -> object:
        return self._widgets.get((row, column))

    def setColumnCount(self, _count: int) -> None:
        pass

    def setColumnWidth(self, _column: int, _width: int) -> None:
        pass

    def setHorizontalHeaderLabels(self, _labels: list[str]) -> None:
        pass


class Settings:
    """A QSettings: one dictionary for the process."""

    values: ClassVar[dict[str, object]] = {}

    def value(self, key: str) -> Any:
        return self.values.get(key)

    def setValue(self, key: str, value: object) -> None:
        self.values[key] = value

    def contains(self, key: str) -> bool:
        return key in self.values


class Dialog:
    """A QDialog or a settings panel: only ever a base class here."""


_WIDGETS = {"QComboBox": ComboBox, "ctkComboBox": ComboBox, "QTableWidget": TableWidget}


def qt_module() -> ModuleType:
    """The module `qt`; what is not kept above is a mock."""
    return _module(
        "qt",
        QComboBox=ComboBox,
        QCheckBox=CheckBox,
        QTableWidgetItem=TableWidgetItem,
        QSettings=Settings,
        QDialog=Dialog,
        Qt=SimpleNamespace(WaitCursor=3, ItemIsEditable=2, ToolTipRole=3),
    )


def ctk_module() -> ModuleType:
    """The module `ctk`."""
    return _module("ctk", ctkSettingsPanel=Dialog)


def widgets_of(ui_file: Path) -> SimpleNamespace:
    """The widgets that a Qt Designer file names, one stand-in each."""
    widgets = ElementTree.parse(ui_file).getroot().iter("widget")
    return SimpleNamespace(
        **{w.attrib["name"]: _WIDGETS.get(w.attrib["class"], lambda: MagicMock(checked=False))() for w in widgets}
    )


def _module(name: str, **content: object) -> ModuleType:
    module = ModuleType(name)
    for key, value in content.items():
        setattr(module, key, value)

    def fallback(attribute: str) -> Any:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return MagicMock(name=f"{name}.{attribute}")

    module.__getattr__ = fallback  # type: ignore[method-assign]
    return module
