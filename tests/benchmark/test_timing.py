"""Order, ratios and operations of timed steps."""

import torch

from mmc2fmae.benchmark.timing import alternate, operations, ratio

CPU = torch.device('cpu')


def test_sides_take_turns_after_their_warm_up():
    calls = []
    times = alternate({n: lambda n=n: calls.append(n) for n in 'ab'}, CPU, 1, 2, 2)
    assert ''.join(calls) == 'ab' + 'aabb' * 2
    assert [len(values) for values in times.values()] == [2, 2]


def test_ratios_are_taken_pair_by_pair():
    assert ratio([1.0, 4.0, 9.0], [2.0, 4.0, 3.0]) == (1.0, 0.5, 3.0)


def test_a_multiplication_and_an_addition_are_one_operation_each():
    a, b = torch.ones(2, 3), torch.ones(3, 5, requires_grad=True)
    assert operations(lambda: a @ b) == 2 * 2 * 3 * 5
    # The backward pass has one product: the gradient of b alone is asked for.
    assert operations(lambda: (a @ b).sum().backward()) == 2 * 2 * 2 * 3 * 5
