"""The compiled segmentation gives scikit-image's labels."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import _felzenszwalb_cy
from skimage.segmentation import felzenszwalb as scikit_felzenszwalb

from recursive_expand.segment.felzenszwalb import felzenszwalb


class _StableNumpy:
    """numpy whose `argsort` leaves equal values in their order."""

    def __getattr__(self, name):
        return getattr(np, name)

    def argsort(self, values):
        return np.argsort(values, kind="stable")


def _scikit(image, **settings):
    """scikit-image's labels, its sort being stable."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_felzenszwalb_cy, "np", _StableNumpy())
        return scikit_felzenszwalb(image, channel_axis=None, **settings)


@st.composite
def images(draw):
    """Noise of few or of many values, with plateaus, as a window's ends make them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    levels = draw(st.sampled_from([2, 5, 80, 100_000]))
    values = np.round(rng.normal(0.5, draw(st.sampled_from([0.05, 0.5])), shape) * levels) / levels
    return np.clip(values, 0.0, 1.0)


@given(images(), st.floats(0.1, 1000), st.sampled_from([0.0, 0.6, 1.5]), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_the_labels_are_scikit_images(image, scale, sigma, min_size):
    labels = felzenszwalb(image, scale=scale, sigma=sigma, min_size=min_size)
    assert labels.dtype == np.int32
    assert np.array_equal(labels, _scikit(image, scale=scale, sigma=sigma, min_size=min_size))


def test_thousands_of_nearly_equal_costs_are_sorted_too():
    """Steps of one HU in a window of 80 differ by rounding alone: more of them than are sorted one by one."""
    rows, columns = np.mgrid[:60, :80]
    image = ((rows * 7 + columns * 3) % 41 / 80).astype(np.float64)
    settings = {"scale": 2.0, "sigma": 0.0, "min_size": 3}
    assert np.array_equal(felzenszwalb(image, **settings), _scikit(image, **settings))


def test_threads_do_not_disturb_one_another():
    rng = np.random.default_rng(0)
    images = [rng.random((30, 30)) for _ in range(8)]
    settings = {"scale": 30.0, "sigma": 0.6, "min_size": 10}
    alone = [felzenszwalb(image, **settings) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda image: felzenszwalb(image, **settings), images))
    assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))
