"""Clock, memory and operations of a step."""

import gc
import statistics
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Step = Callable[[], object]
Clock = Callable[[], float]
GIB = 2**30


def synchronise(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)


def seconds_of(step: Step, device: torch.device, steps: int, clock: Clock = perf_counter) -> float:
    """Return the time of a step in s, the mean of ``steps`` in a row."""
    synchronise(device)
    start = clock()
    for _ in range(steps):
        step()
    synchronise(device)
    return (clock() - start) / steps


def alternate(
    sides: Mapping[str, Step],
    device: torch.device,
    warm_up: int,
    steps: int,
    rounds: int,
    clock: Clock = perf_counter,
) -> dict[str, list[float]]:
    """Time several steps in turns, A B A B, so that a busy machine disturbs all alike.

    Args:
        sides: What is timed.
        device: Where it runs.
        warm_up: Steps of each before the clock starts.
        steps: Steps between two readings.
        rounds: Readings.
        clock: Reads the wall clock, or ``time.process_time`` the processor's, in s.

    Returns:
        Seconds a step, a value a round.
    """
    for step in sides.values():
        for _ in range(warm_up):
            step()
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, step in sides.items():
            times[name].append(seconds_of(step, device, steps, clock))
    return times


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float, float]:
    """Return median, smallest and largest ratio of two alternating series, pair by pair."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def operations(step: Step) -> int:
    """Count the operations of a step in matrix products, convolutions and attention.

    A multiplication and an addition count one each; what the backward pass computes is counted as
    it is computed.
    """
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def free_memory(device: torch.device) -> None:
    """Give back what nobody uses any more and start the count of the peak anew."""
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, Any]:
    """Return the largest memory of tensors and of the process in GiB, None without a GPU."""
    if device.type != 'cuda':
        return dict(tensors_gib=None, reserved_gib=None)
    return dict(
        tensors_gib=round(torch.cuda.max_memory_allocated(device) / GIB, 2),
        reserved_gib=round(torch.cuda.max_memory_reserved(device) / GIB, 2),
    )
