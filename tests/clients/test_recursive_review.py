"""Our Slicer module against a running server: real MRML nodes, real requests, a whole review by keyboard."""

import numpy as np
import pytest

pytest.importorskip("slicer_core", reason="needs 3D Slicer's libraries: pip install slicer-core")

from recursive_expand.expand.frozen import frozen_label
from recursive_expand.phantom import CLASSES


@pytest.fixture
def recursion(sixty):
    return sixty


def standing(recursion):
    return {verdict.case_id: verdict for verdict in recursion.ledger.judgements.verdicts()}


def test_connect_shows_a_case_as_the_server_has_it(radiologist, recursion):
    ann = radiologist()
    print(ann.message)
    case = ann.case
    proposal = recursion.ledger.proposals.current(case.item.case_id)
    label = frozen_label(recursion.workspace, proposal, CLASSES)
    util = ann.slicer.util
    np.testing.assert_array_equal(
        util.arrayFromVolume(case.volume), label.native.T * 0 + recursion.volume(case.item.case_id).hu
    )
