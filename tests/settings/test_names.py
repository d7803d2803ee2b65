"""Names of settings: no two are the same, old ones are known, each finds its place."""

import ast
import inspect
import textwrap
from pathlib import Path

import pytest

from recursive_expand.settings import Machine, Method, Network, PacsSettings, Refinement, Review, Task, Training
from recursive_expand.settings.names import PLACES, RENAMED, SECTIONS, merge, nest, no_setting
from recursive_expand.settings.task_file import MONAI_LABEL_KEYS, OUR_OTHER_KEYS


def test_no_two_settings_share_a_name():
    models = (Task, Method, Review, Machine, PacsSettings, Network, Refinement, Training)
    names = [name for model in models for name in model.model_fields if name not in SECTIONS]
    assert len(names) == len(set(names)) == len(PLACES)
    assert not (MONAI_LABEL_KEYS | OUR_OTHER_KEYS | SECTIONS.keys() | RENAMED.keys()) & PLACES.keys()


def test_every_setting_is_explained():
    # Docstrings under fields are not kept at run time; the source is the documentation.
    for model in (Task, Method, Review, Machine, PacsSettings, Network, Refinement, Training):
        body = ast.parse(textwrap.dedent(inspect.getsource(model))).body[0].body
        for field, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and field.target.id not in (*SECTIONS, "title", "description"):
                explained = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                assert explained, f"{model.__name__}.{field.target.id} has no explanation"


def test_the_docs_list_every_setting():
    text = (Path(__file__).parents[2] / "docs" / "ml-engineer.md").read_text(encoding="utf-8")
    assert [name for name in PLACES if f"`{name}`" not in text] == []


def test_settings_are_put_where_they_belong():
    nested = nest({"epochs": 3, "order": "risk", "threads": 1, "region": "body", "refinement": {"min_agreement": 0.4}})
    assert nested == {
        "task": {"region": "body"},
        "method": {"training": {"epochs": 3}, "refinement": {"min_dice": 0.4}},
        "review": {"order": "risk"},
        "machine": {"threads": 1},
        "pacs": {},
    }
    assert nest({"crop_to_head": False})["method"] == {"training": {"crop_to_region": False}}


def test_a_section_and_one_of_its_settings_go_together():
    for values in (
        {"training": {"epochs": 1}, "seed": 1, "batch_size": 2},
        {"batch_size": 2, "training": {"epochs": 1}},
    ):
        assert nest(values)["method"]["training"] == {"epochs": 1, "batch_size": 2}


def test_merging_replaces_settings_and_merges_what_holds_them():
    base = {"method": {"seed": 1, "training": {"epochs": 1, "windows": [1, 2]}, "foreground_threshold": {"a": 0.1}}}
    over = {"method": {"training": {"windows": [3]}, "foreground_threshold": {"b": 0.2}}, "review": {"order": "risk"}}
    assert merge(base, over) == {
        "method": {"seed": 1, "training": {"epochs": 1, "windows": [3]}, "foreground_threshold": {"b": 0.2}},
        "review": {"order": "risk"},
    }
    assert base["method"]["training"] == {"epochs": 1, "windows": [1, 2]}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("epoch", "is no setting; did you mean epochs?"),
        ("crop_to_haed", "is no setting; did you mean crop_to_region?"),
        ("lr", "is no setting; docs/ml-engineer.md lists them"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(wrong, said):
    assert no_setting(wrong) == said
