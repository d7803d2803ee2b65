"""Tests of the number of threads."""

import torch

from recursive_expand.segment.threads import one_thread_per_operation


def test_the_last_of_overlapping_users_restores_the_setting():
    before = torch.get_num_threads()
    first, second = one_thread_per_operation(), one_thread_per_operation()
    first.__enter__()
    second.__enter__()
    assert torch.get_num_threads() == 1
    first.__exit__(None, None, None)
    assert torch.get_num_threads() == 1
    second.__exit__(None, None, None)
    assert torch.get_num_threads() == before
