"""The extension's files: the rules of Slicer's Extensions Index, and what the module may use."""

import ast
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image

import recursive_expand

from .conftest import EXTENSION, library

NAME = "RecursiveReview"
MODULE = EXTENSION / NAME
SOURCES = sorted(MODULE.rglob("*.py"))
KEYS = {"build_dependencies", "build_subdirectory", "category", "scm_revision", "scm_url", "tier", "$schema"}
"""Of the index's entry; its schema allows few more."""
SLICERS_OWN = {*"rvgtbf[]{}+-", "Left", "Right", "Up", "Down", "Home", "End", "PgUp", "PgDown", "Ins"}
"""Keys of Slicer's views: its user guide, "Mouse & Keyboard Shortcuts"."""
SLICERS_PYTHON = (3, 9)
"""Of Slicer 5.6."""


@pytest.fixture(scope="module")
def cmake():
    text = (EXTENSION / "CMakeLists.txt").read_text(encoding="utf-8")
    found = dict(re.findall(r'set\(EXTENSION_(\w+) "([^"]+)"\)', text))
    return found | {"project": re.search(r"project\((\w+)\)", text)[1]}


@pytest.fixture(scope="module")
def entry():
    return json.loads((EXTENSION / f"{NAME}.json").read_text(encoding="utf-8"))


def test_the_index_entry_has_its_form(entry, cmake):
    assert b"\r" not in (EXTENSION / f"{NAME}.json").read_bytes()
    assert set(entry) == KEYS
    assert entry["$schema"].startswith("https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/")
    assert entry["category"] == cmake["CATEGORY"] == "Active Learning"
    address = urlsplit(entry["scm_url"])
    assert address.scheme == "https" and Path(address.path).stem == f"Slicer{NAME}"
    assert cmake["project"] == NAME and not NAME.startswith("Slicer")
    assert entry["build_dependencies"] == [] and cmake["DEPENDS"] == "NA"


def test_a_licence_lies_at_the_root(cmake):
    assert "Apache License" in (EXTENSION / "LICENSE").read_text(encoding="utf-8")
    assert "License: Apache 2.0" in cmake["DESCRIPTION"]


def test_icon_and_screenshots_are_where_their_addresses_say(cmake, entry):
    root = entry["scm_url"].removesuffix(".git").replace("github.com", "raw.githubusercontent.com") + "/main/"
    for address in (cmake["ICONURL"], *cmake["SCREENSHOTURLS"].split()):
        assert address.startswith(root)
        with Image.open(EXTENSION / address.removeprefix(root)) as image:
            assert image.format == "PNG"
    with Image.open(MODULE / "Resources" / "Icons" / f"{NAME}.png") as icon:
        assert icon.size == (128, 128)


def test_the_s4ext_says_the_same(cmake, entry):
    lines = (EXTENSION / f"{NAME}.s4ext").read_text(encoding="utf-8").splitlines()
    said = dict(line.split(" ", 1) for line in lines if " " in line and not line.startswith("#"))
    assert (said["scmurl"], said["scmrevision"]) == (entry["scm_url"], entry["scm_revision"])
    for key in ("homepage", "category", "contributors", "description", "iconurl", "screenshoturls", "depends"):
        assert said[key] == cmake[key.upper()], key


def test_every_file_of_the_module_is_installed():
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", NAME)
    for path in (*SOURCES, *(MODULE / "Resources").rglob("*.*")):
        assert path.relative_to(MODULE).as_posix() in text


def test_the_tutorial_leads_through_a_review_and_its_pictures_exist():
    text = (EXTENSION / "README.md").read_text(encoding="utf-8")
    assert "## Tutorial" in text and "## Modules" in text and "How to cite" in text
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (EXTENSION / picture).is_file(), picture


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_a_module_needs_slicer_s_python_and_nothing_else(path):
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=SLICERS_PYTHON)
    allowed = {*sys.stdlib_module_names, "numpy", "slicer", "vtk", f"{NAME}Lib"}
    # The logic is without Qt: it runs, and is tested, without a screen.
    if path.name in (f"{NAME}.py", "shortcuts.py"):
        allowed.add("qt")
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        assert {name.split(".")[0] for name in names} <= allowed


def test_keys_are_shown_differ_and_are_none_of_slicer_s():
    actions = library("actions").ACTIONS
    keys = [action.key for action in actions]
    assert len(set(keys)) == len(keys)
    assert not {*keys, *(key.upper() for key in keys)} & SLICERS_OWN
    assert all(action.label.endswith(f"({action.key.upper()})") for action in actions)
    panel = (MODULE / "Resources" / "UI" / f"{NAME}.ui").read_text(encoding="utf-8")
    assert all(f'name="{action.name}"' in panel for action in actions)


def test_presets_and_reasons_are_the_desk_s():
    desk = Path(recursive_expand.__file__).parent / "desk"
    actions = library("actions")
    windows = re.findall(r'name: "(\w+)", level: (\d+), width: (\d+)', (desk / "window.js").read_text(encoding="utf-8"))
    assert [(one.name, str(one.level), str(one.width)) for one in actions.WINDOWS] == windows
    reasons = re.findall(r'key: "(\d)", reason: "(\w+)"', (desk / "keys.js").read_text(encoding="utf-8"))
    assert [(one.key, one.reason) for one in actions.ACTIONS if one.reason] == reasons
    colours = re.search(r"COLOURS = (\[.*?\])", (desk / "drawing.js").read_text(encoding="utf-8"))[1]
    case = ast.parse((MODULE / f"{NAME}Lib" / "case.py").read_text(encoding="utf-8"))
    [own] = [node.value for node in case.body if isinstance(node, ast.Assign) and node.targets[0].id == "COLOURS"]
    assert list(ast.literal_eval(own)) == json.loads(colours)
