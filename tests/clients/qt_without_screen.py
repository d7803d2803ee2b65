"""Stand-ins for the Qt classes that Slicer's modules use: they keep values and pass clicks and keys on."""

from __future__ import annotations

import inspect
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import MagicMock


class Signal:
    """A signal: whoever is connected is called, with as many values as it takes, as PythonQt does."""

    def __init__(self) -> None:
        self._slots: list[Callable[..., object]] = []

    def connect(self, slot: Callable[..., object]) -> None:
        self._slots.append(slot)

    def emit(self, *values: object) -> None:
        for slot in list(self._slots):
            parameters = inspect.signature(slot).parameters.values()
            takes = sum(each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) for each in parameters)
            slot(*(values if any(each.kind is each.VAR_POSITIONAL for each in parameters) else values[:takes]))


class Widget:
    """Any QWidget: what is not kept here is a mock."""

    def __init__(self, *_: object) -> None:
        self.enabled, self.visible = True, True
        self.text: Any = ""

    def setText(self, text: str) -> None:
        self.text = text

    def setEnabled(self, enabled: bool) -> None:
        self.enabled = enabled

    def setVisible(self, visible: bool) -> None:
        self.visible = visible

    def show(self) -> None:
        self.visible = True

    def hide(self) -> None:
        self.visible = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock(name=name)


class Button(Widget):
    """A QPushButton or QCheckBox that can be clicked."""

    def __init__(self, *values: object) -> None:
        super().__init__(*values)
        self.clicked = Signal()
        self.checked = False

    def setChecked(self, checked: bool) -> None:
        self.checked = checked

    def isChecked(self) -> bool:
        return self.checked

    def click(self) -> None:
        """Press it; one that is off does nothing. A checkable one changes first."""
        if self.enabled:
            self.checked = not self.checked
            self.clicked.emit(self.checked)


class LineEdit(Widget):
    """A QLineEdit or QPlainTextEdit."""

    def __init__(self, *values: object) -> None:
        super().__init__(*values)
        self.returnPressed = Signal()

    def toPlainText(self) -> str:
        return str(self.text)

    def setPlainText(self, text: str) -> None:
        self.text = text


class ProgressBar(Widget):
    """A QProgressBar."""

    value = maximum = 0

    def setValue(self, value: int) -> None:
        self.value = value

    def setMaximum(self, maximum: int) -> None:
        self.maximum = maximum

    def setProperty(self, name: str, value: object) -> None:
        setattr(self, name, value)


class Timer(Widget):
    """A QTimer, which fires when the test says so."""

    def __init__(self, *values: object) -> None:
        super().__init__(*values)
        self.timeout = Signal()
        self.active = False

    def start(self, *_: object) -> None:
        self.active = True

    def stop(self) -> None:
        self.active = False


class MainWindow:
    """Slicer's main window: the shortcuts that are its children."""

    def __init__(self) -> None:
        self.shortcuts: list[Shortcut] = []

    def press(self, key: str) -> int:
        """Press a key; the number of shortcuts that it set off. Qt sets off none where two claim one key."""
        found = [each for each in self.shortcuts if each.key == key and each.enabled]
        assert len(found) <= 1, f"{len(found)} shortcuts claim {key}"
        for each in found:
            each.activated.emit()
        return len(found)


class Shortcut:
    """A QShortcut: a child of its window until it is given another parent."""

    def __init__(self, key: str, window: MainWindow) -> None:
        self.key, self.window, self.enabled, self.repeats = key, window, True, True
        self.activated = Signal()
        window.shortcuts.append(self)

    def setAutoRepeat(self, on: bool) -> None:
        self.repeats = on

    def setEnabled(self, enabled: bool) -> None:
        self.enabled = enabled

    def setParent(self, parent: object) -> None:
        assert parent is None
        self.window.shortcuts.remove(self)

    def deleteLater(self) -> None:
        pass


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

    clearContents = clear

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


_WIDGETS: dict[str, Callable[[], object]] = {
    "QComboBox": ComboBox,
    "ctkComboBox": ComboBox,
    "QTableWidget": TableWidget,
    "QPushButton": Button,
    "QCheckBox": Button,
    "QLabel": Widget,
    "QLineEdit": LineEdit,
    "QPlainTextEdit": LineEdit,
    "QTextEdit": LineEdit,
    "QProgressBar": ProgressBar,
}


def qt_module() -> ModuleType:
    """The module `qt`; what is not kept above is a mock."""
    return _module(
        "qt",
        QComboBox=ComboBox,
        QCheckBox=CheckBox,
        QTableWidgetItem=TableWidgetItem,
        QSettings=Settings,
        QDialog=Dialog,
        QTimer=Timer,
        QShortcut=Shortcut,
        QKeySequence=str,
        Qt=SimpleNamespace(WaitCursor=3, ItemIsEditable=2, ToolTipRole=3),
    )


def ctk_module() -> ModuleType:
    """The module `ctk`."""
    return _module("ctk", ctkSettingsPanel=Dialog)


def widgets_of(ui_file: Path) -> SimpleNamespace:
    """The widgets and layouts that a Qt Designer file names, one stand-in each."""
    root = ElementTree.parse(ui_file).getroot()
    named = [each for kind in ("widget", "layout") for each in root.iter(kind) if "name" in each.attrib]
    return SimpleNamespace(
        **{w.attrib["name"]: _WIDGETS.get(w.attrib["class"], lambda: MagicMock(checked=False))() for w in named}
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
