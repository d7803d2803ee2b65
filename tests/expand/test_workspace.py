"""Where a recursion keeps what it makes."""

from pathlib import Path

import platformdirs
import pytest

from recursive_expand.expand.workspace import Workspace


def test_a_folder_s_workspace_is_inside_it(tmp_path):
    assert Workspace.of(str(tmp_path)).root == tmp_path.resolve() / ".recursive"


def test_a_pacs_workspace_is_named_for_its_url():
    root = Workspace.of("https://pacs.hospital.org:8042/dicom-web/").root
    assert root.parent == Path(platformdirs.user_data_dir("recursive-expand"))
    assert root.name.startswith("pacs-hospital-org-8042-dicom-web-")


@pytest.mark.parametrize(
    "other", ["http://pacs.org/b", "https://pacs.org/a", "http://pacs.org/a/" + "x" * 80, "http://pacs.org/a?b"]
)
def test_no_two_urls_share_a_workspace(other):
    assert Workspace.of("http://pacs.org/a").root != Workspace.of(other).root


def test_a_long_url_gives_a_short_name_and_no_path():
    root = Workspace.of("http://pacs.org/../../" + "a/" * 200).root
    assert root.parent == Path(platformdirs.user_data_dir("recursive-expand"))
    assert len(root.name) < 80


@pytest.mark.parametrize("studies", [".", "http://pacs.org/a"])
def test_an_override_wins(tmp_path, studies):
    assert Workspace.of(studies, override=str(tmp_path / "w")).root == tmp_path / "w"


def test_files_of_a_round_sort_by_its_number(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.checkpoint(12) == tmp_path / "checkpoints" / "round_0012.safetensors"
    assert workspace.targets(7) == tmp_path / "cache" / "targets_0007"
    assert workspace.model("f" * 64) == tmp_path / "models" / f"{'f' * 64}.safetensors"


def test_why_no_round_began_is_read_as_it_was_written(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.read_not_ready() is None
    workspace.not_ready.write_text("cases.csv: cannot be read\n", encoding="utf-8")
    assert workspace.read_not_ready() == "cases.csv: cannot be read"
    workspace.not_ready.write_text("")
    assert workspace.read_not_ready() is None
