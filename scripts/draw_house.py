"""Draw the house from the code's own imports: `python scripts/draw_house.py` writes docs/house.svg.

Rooms are packages and files of the library, on the floors that pyproject.toml's import contract names. A room's width
is its number of lines, an arrow an import; an import that a longer way of arrows shows too is not drawn. It runs in the
environment of `scripts/test.py`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import grimp
import matplotlib
from matplotlib.patches import FancyArrowPatch, Rectangle

matplotlib.use("svg")
from matplotlib import pyplot

REPOSITORY = Path(__file__).resolve().parent.parent
LIBRARY = REPOSITORY / "lib" / "recursive_expand"
FLOOR, GAP = 1.0, 0.55
"""Height of a floor and of the space between two, in inches."""
WIDTH = 13.0


def floors() -> list[list[str]]:
    """Rooms by floor, the top floor first."""
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    return [[room.strip() for room in layer.split("|")] for layer in contracts["contracts"][0]["layers"]]


def lines(room: str) -> int:
    """Lines of Python in a room."""
    folder = LIBRARY / room
    files = folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)


def arrows(rooms: list[str]) -> list[tuple[str, str]]:
    """(room that imports, room that is imported), without those that follow from others (the transitive reduction)."""
    graph = grimp.build_graph("recursive_expand")
    room_of = {f"recursive_expand.{room}": room for room in rooms}
    imported: dict[str, set[str]] = {room: set() for room in rooms}
    for module in graph.modules - {"recursive_expand"}:
        for target in graph.find_modules_directly_imported_by(module) - {"recursive_expand"}:
            above, below = (room_of[".".join(name.split(".")[:2])] for name in (module, target))
            imported[above] |= {below} - {above}

    def reached(room: str) -> set[str]:
        return imported[room].union(*map(reached, imported[room]))

    return [
        (above, below)
        for above in rooms
        for below in sorted(imported[above])
        if not any(below in reached(between) for between in imported[above])
    ]


def draw(target: Path) -> None:
    """Write the picture."""
    matplotlib.rcParams["svg.hashsalt"] = "recursive-expand"  # equal code gives an equal file
    rows = floors()
    figure, axes = pyplot.subplots(figsize=(WIDTH, len(rows) * (FLOOR + GAP)))
    places: dict[str, tuple[float, float, float, float]] = {}
    for number, row in enumerate(reversed(rows)):
        y = number * (FLOOR + GAP)
        widths = [max(1.1, lines(room) / 1000) for room in row]
        x = (WIDTH - sum(widths) - 0.4 * (len(row) - 1)) / 2
        for room, width in zip(row, widths, strict=True):
            places[room] = (x, y, width, FLOOR)
            axes.add_patch(Rectangle((x, y), width, FLOOR, facecolor="#f4efe4", edgecolor="#57534e"))
            count = lines(room)
            label = f"{room}\n{count / 1000:.1f}k lines" if count >= 100 else f"{room}\n{count} lines"
            axes.text(x + width / 2, y + FLOOR / 2, label, ha="center", va="center", fontsize=10)
            x += width + 0.4
    for above, below in arrows([room for row in rows for room in row]):
        x0, y0, w0, _ = places[above]
        x1, y1, w1, h1 = places[below]
        start, end = (x0 + w0 / 2, y0), (x1 + w1 / 2, y1 + h1)
        arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, zorder=0, color="#78716c")
        axes.add_patch(arrow)
    axes.set(xlim=(0, WIDTH), ylim=(-0.1, len(rows) * (FLOOR + GAP)))
    axes.axis("off")
    figure.savefig(target, bbox_inches="tight", metadata={"Date": None})


if __name__ == "__main__":
    draw(REPOSITORY / "docs" / "house.svg")
