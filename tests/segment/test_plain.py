"""Tests of the plain path."""

import numpy as np

from recursive_expand.segment.plain import predict_plain


def test_probabilities_of_every_pixel_of_any_size(trained, make_head):
    settings, network = trained
    hu, mask = make_head(bleed=(30, 34), seed=50)
    hu, mask = hu[:61, :62], mask[:61, :62]
    probabilities = predict_plain(settings, network, hu)
    assert probabilities.shape == (3, 61, 62)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    found = probabilities.argmax(0)
    assert 2 * ((found == 2) & (mask == 2)).sum() / ((found == 2).sum() + (mask == 2).sum()) > 0.7
