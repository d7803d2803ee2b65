"""The recursion at run time: opened over an archive, and what it gives to its parts."""

import pytest
import torch

from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.expand.recursion import LOCKS, open_recursion
from recursive_expand.expand.registration import register_cases


def test_an_address_names_a_pacs_that_is_not_asked_yet(tmp_path, request):
    task_file = request.config.rootpath / "apps" / "recursive_ich" / "task.yaml"
    recursion = open_recursion("https://pacs.invalid/dicom-web", task_file, {"workspace": str(tmp_path)})
    assert (recursion.archive.name, recursion.archive.immediate) == ("pacs.invalid", False)


def test_an_address_with_a_password_is_refused(tmp_path, request):
    task_file = request.config.rootpath / "apps" / "recursive_ich" / "task.yaml"
    with pytest.raises(RecursiveExpandError, match="holds a password") as refused:
        open_recursion("https://me:geheim@pacs.invalid/dicom-web", task_file, {"workspace": str(tmp_path)})
    assert "geheim" not in str(refused.value)


def test_other_classes_than_it_was_begun_with_are_refused(reviewing, request, tmp_path):
    text = (request.config.rootpath / "apps" / "recursive_ich" / "task.yaml").read_text()
    other = tmp_path / "task.yaml"
    other.write_text(text.replace("subarachnoid, subdural]", "subdural]"))
    with pytest.raises(RecursiveExpandError, match=r"begun with the classes epidural, .*; task\.yaml has epidural"):
        open_recursion(str(reviewing.archive.studies), other, {})


def test_workspace_and_ledger_lie_where_they_are_wanted(reviewing, reopen, tmp_path):
    assert reviewing.workspace.root == reviewing.archive.studies / ".recursive"
    other = reopen(reviewing.archive.studies, workspace=tmp_path / "w", ledger=tmp_path / "elsewhere.sqlite")
    assert other.workspace.root == tmp_path / "w"
    assert (tmp_path / "elsewhere.sqlite").is_file() and not other.workspace.ledger.exists()
    assert other.ledger.rounds.current() is None


def test_a_round_goes_on_under_its_own_settings_and_the_reviewers_present_ones(reviewing, changed):
    later = changed(reviewing, later_epochs=7, lease_minutes=3, threads=2)
    under = later.under(reviewing.ledger.rounds.current())
    assert under.settings.method == reviewing.settings.changed(foreground_threshold={}).method  # it chose none
    assert (under.settings.review, under.settings.machine) == (later.settings.review, later.settings.machine)
    assert under.lock("u0") is reviewing.lock("u0")  # the same labels are written


def test_a_case_has_one_lock(reviewing):
    assert reviewing.lock("u0") is reviewing.lock("u0")
    assert 1 < len({id(reviewing.lock(f"u{number}")) for number in range(1000)}) <= LOCKS


def test_voxels_are_decoded_once_until_the_image_changes(recursion, monkeypatch):
    register_cases(recursion)
    read, decoded = type(recursion.archive).read_volume, []
    monkeypatch.setattr(
        type(recursion.archive), "read_volume", lambda self, case_id: decoded.append(case_id) or read(self, case_id)
    )
    first = recursion.volume("u0").hu.copy()
    assert decoded == []
    folder = recursion.archive.studies
    (folder / "u0.nii.gz").write_bytes((folder / "i0.nii.gz").read_bytes())
    assert (recursion.volume("u0").hu != first).any()
    assert decoded == ["u0"]


def test_an_expert_mask_is_of_those_who_have_one(recursion):
    register_cases(recursion)
    assert recursion.expert_label(recursion.ledger.cases.get("t0")).filled == (0, 1, 2)
    with pytest.raises(RecursiveExpandError, match="case 'u0' has no expert mask"):
        recursion.expert_label(recursion.ledger.cases.get("u0"))
    (recursion.archive.studies / "labels" / "final" / "t0.nii.gz").unlink()
    with pytest.raises(InputError):
        recursion.expert_label(recursion.ledger.cases.get("t0"))


def test_weights_are_seeded_or_those_that_were_published(reviewing, changed):
    def first(network):
        return next(iter(network.state_dict().values()))

    assert torch.equal(first(reviewing.network(None)), first(reviewing.network(None)))
    assert not torch.equal(first(reviewing.network(None)), first(changed(reviewing, seed=1).network(None)))
    model = reviewing.ledger.rounds.current().model
    assert not torch.equal(first(reviewing.network(model)), first(reviewing.network(None)))
    reviewing.workspace.model(model).write_bytes(b"other weights")
    with pytest.raises(RecursiveExpandError):
        reviewing.network(model)
