"""Image-level labels as constraints."""

from recursive_expand.cases import ImageLabels
from recursive_expand.expand.constraints import allowed_classes, is_clean

CLEAN = ImageLabels(frozenset())
SUBDURAL = ImageLabels(frozenset({"subdural"}))


def test_nothing_known_allows_everything():
    assert allowed_classes({}, 2) == (None, None)


def test_the_whole_case_s_label_bounds_every_slice_and_a_slice_s_own_wins():
    assert allowed_classes({None: SUBDURAL, 1: CLEAN}, 3) == (SUBDURAL.present, frozenset(), SUBDURAL.present)


def test_a_slice_s_label_says_nothing_of_the_others():
    assert allowed_classes({1: CLEAN}, 3) == (None, frozenset(), None)


def test_only_a_case_that_is_clean_throughout_is_clean():
    assert is_clean(allowed_classes({None: CLEAN}, 2))
    assert is_clean(allowed_classes({0: CLEAN, 1: CLEAN}, 2))
    assert not is_clean(allowed_classes({0: CLEAN}, 2))
    assert not is_clean(allowed_classes({None: CLEAN, 0: SUBDURAL}, 2))
