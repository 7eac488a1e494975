"""When a probe runs: at even distances, as long as it takes a small share of the time."""

from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

POINTS = 20
"""Times that a probe runs at least, by default and where it is cheap enough."""


def default_period(max_epochs: int) -> Fraction:
    """Return the distance of two probes in epochs: one, or less in a run of few epochs."""
    return Fraction(1, ceil(POINTS / max(max_epochs, 1)))


@dataclass
class Schedule:
    """The points of a run at which a probe runs.

    Args:
        period: Distance of two points in iterations.
        end: Last iteration of the run, where the probe runs in any case.
        max_share: Largest share of the time that it may take; None for no bound.

    Attributes:
        spent: Seconds that it has taken so far.
        cost: Seconds that it took last, None before the first time.
        skipped: Whether a point was passed over to keep within the share.
    """

    period: Fraction
    end: int
    max_share: float | None = None
    spent: float = 0.0
    cost: float | None = None
    times: int = 0
    skipped: bool = field(default=False)

    def is_point(self, iteration: int) -> bool:
        """Tell whether an iteration, from 1, is the first at or after a multiple of the period."""
        return iteration == self.end or iteration // self.period > (iteration - 1) // self.period

    def allows(self, iteration: int, elapsed: float) -> bool:
        """Tell whether the probe runs at a point.

        Args:
            iteration: Iterations that are done.
            elapsed: Seconds since the training began, probes included.
        """
        if iteration == self.end or self.max_share is None or self.cost is None:
            return True
        # One more is kept for the end of the run.
        allowed = self.spent + 2 * self.cost <= self.max_share * elapsed
        self.skipped |= not allowed
        return allowed

    def note(self, seconds: float) -> None:
        """Note that the probe has run.

        Args:
            seconds: How long it took.
        """
        self.cost = seconds
        self.spent += seconds
        self.times += 1
