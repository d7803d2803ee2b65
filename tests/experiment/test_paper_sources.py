"""Which presets the paper's experiment runs, and on what."""

from __future__ import annotations

from pathlib import Path

import pytest

from recursive_expand.errors import InputError
from recursive_expand.experiment import paper
from recursive_expand.experiment.paper import PaperSources, default_presets, import_sources, paper_config


@pytest.mark.parametrize(("cores", "published"), [(2, "paper-small"), (16, "paper")])
def test_a_small_machine_runs_the_small_network(tmp_path: Path, monkeypatch, cores: int, published: str) -> None:
    monkeypatch.setattr(paper, "available_cores", lambda: cores)
    monkeypatch.setattr(paper.torch.cuda, "is_available", lambda: False)
    (tmp_path / "task.yaml").write_text("presets: {paper: {}, paper-small: {}, default: {}}")
    assert default_presets(tmp_path) == (published, "default")
    (tmp_path / "task.yaml").write_text("presets: {paper: {}, default: {}}")
    assert default_presets(tmp_path) == ("paper", "default")


def test_without_true_masks_people_review(tmp_path: Path) -> None:
    config = paper_config(tmp_path / "data", tmp_path, presets=["paper"], tests={"In-house": tmp_path / "own"})
    assert (config.reviewers, list(config.tests)) == ("people", ["CQ 500", "PhysioNet (learned from)", "In-house"])
    assert paper_config(tmp_path / "data", tmp_path, truth=tmp_path / "t", presets=["paper"]).reviewers == "simulated"


def test_a_source_that_is_another_one_is_named(tmp_path: Path) -> None:
    sources = PaperSources(tmp_path, tmp_path, tmp_path, tmp_path)
    with pytest.raises(InputError, match="holds neither ct_scans"):
        import_sources(sources, tmp_path / "out" / "data", on_message=print)
