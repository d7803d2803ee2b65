"""Tests of the number of threads."""

from concurrent.futures import ThreadPoolExecutor

import torch

from recursive_expand.segment.threads import one_thread_in_this_thread, one_thread_per_operation


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


def test_one_thread_may_be_alone_while_others_are_not():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with ThreadPoolExecutor(1, initializer=one_thread_in_this_thread) as pool:
            assert pool.submit(torch.get_num_threads).result() == 1
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
