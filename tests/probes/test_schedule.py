from fractions import Fraction

import pytest

from mmc2fmae.probes.schedule import Schedule, default_period


def points(period, end):
    schedule = Schedule(Fraction(period), end)
    return [i for i in range(1, end + 1) if schedule.is_point(i)]


@pytest.mark.parametrize(
    ('epochs', 'period'),
    [(1, Fraction(1, 20)), (6, Fraction(1, 4)), (19, Fraction(1, 2)), (20, 1), (1600, 1)],
)
def test_a_run_of_few_epochs_is_probed_more_than_once_an_epoch(epochs, period):
    assert default_period(epochs) == period


@pytest.mark.parametrize(
    ('period', 'end', 'expected'),
    [
        (5, 12, [5, 10, 12]),
        (4, 12, [4, 8, 12]),
        (Fraction(5, 2), 10, [3, 5, 8, 10]),
        (1, 3, [1, 2, 3]),
        (100, 7, [7]),
    ],
)
def test_points_are_evenly_spaced_and_the_end_is_one(period, end, expected):
    assert points(period, end) == expected


@pytest.mark.parametrize('share', [0.05, 0.0125])
@pytest.mark.parametrize('cost', [0.01, 0.2, 3.0])
@pytest.mark.parametrize('step', [0.02, 0.5])
@pytest.mark.parametrize('period', [1, 7, 50])
def test_a_probe_stays_within_its_share_of_the_time(share, cost, step, period):
    schedule = Schedule(Fraction(period), 3000, share)
    elapsed = cost
    schedule.note(cost)  # before the first step
    for i in range(1, 3001):
        elapsed += step
        if schedule.is_point(i) and schedule.allows(i, elapsed):
            schedule.note(cost)
            elapsed += cost
    # First and last time are free of the bound, where the run is too short for them.
    assert schedule.spent <= max(share * elapsed, 2 * cost) * (1 + 1e-9)
    assert schedule.times == 1 + 3000 // period + (3000 % period > 0) or schedule.skipped


def test_a_distance_that_the_user_gives_is_kept_whatever_it_costs():
    schedule = Schedule(Fraction(2), 10, max_share=None)
    schedule.note(1000.0)
    assert all(schedule.allows(i, 1.0) for i in (2, 4, 6, 8, 10))
