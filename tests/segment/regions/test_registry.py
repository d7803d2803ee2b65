"""Tests of the regions by name."""

import numpy as np
import pytest

from recursive_expand.errors import InputError
from recursive_expand.segment.box import Box
from recursive_expand.segment.regions.registry import REGIONS, region_named


@pytest.mark.parametrize("name", REGIONS)
def test_every_region_gives_a_box_within_the_slice(make_head, name):
    hu, _ = make_head(128)
    region = region_named(name)
    box = region.box(hu)
    assert box is not None and 0 <= box.r0 < box.r1 <= 128 and 0 <= box.c0 < box.c1 <= 128
    assert region.worth_a_look(hu, (1.5, 1.5))


def test_whole_is_the_whole_slice_even_without_a_body():
    air = np.full((40, 48), -1000, np.int16)
    assert region_named("whole").box(air) == Box(0, 40, 0, 48)
    assert region_named("whole").worth_a_look(air, (1.0, 1.0))


def test_an_unknown_region_is_named():
    with pytest.raises(
        InputError, match=r"task.yaml: there is no region 'hed'; choose one of body, head, intracranial, whole"
    ):
        region_named("hed")
