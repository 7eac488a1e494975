"""The masking curriculum: alpha_S and alpha_I of Eq. 10 over the training progress (Fig. 3, D6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real

import numpy as np

from mmc2fmae.errors import nearest, shown

Knots = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Curriculum:
    """Piecewise-linear coefficients of the semantic- and instance-guided masks.

    Args:
        alpha_s: Knots (t, value) of alpha_S, t ascending in [0, 1].
        alpha_i: Knots (t, value) of alpha_I.

    Raises:
        ValueError: Knots are no pairs of numbers or not ascending in [0, 1], a coefficient is
            negative or their sum exceeds 1 somewhere.
    """

    alpha_s: Knots
    alpha_i: Knots

    def __post_init__(self) -> None:
        for name in ('alpha_s', 'alpha_i'):
            knots = getattr(self, name)
            if not _are_pairs(knots):
                raise ValueError(
                    f'curriculum {name} is {shown(knots)}: expected knots, a list of pairs '
                    '(t, value) of numbers'
                )
            times = [t for t, _ in knots]
            if not times or sorted(set(times)) != times or times[0] < 0 or times[-1] > 1:
                raise ValueError(
                    f'curriculum {name} has knots {list(knots)}: expected (t, value) pairs with '
                    't strictly ascending in [0, 1]'
                )
        # Linear pieces are largest and smallest at knots, so checking the knots checks them all.
        for t in {t for t, _ in (*self.alpha_s, *self.alpha_i)}:
            alpha_s, alpha_i = self(t)
            if min(alpha_s, alpha_i) < 0 or alpha_s + alpha_i > 1 + 1e-9:
                raise ValueError(
                    f'curriculum gives alpha_S = {alpha_s:g}, alpha_I = {alpha_i:g} at t = {t:g}: '
                    'expected both >= 0 and their sum <= 1 (Eq. 10)'
                )

    def __call__(self, t: float) -> tuple[float, float]:
        """Return (alpha_S, alpha_I) at training progress ``t`` in [0, 1]."""
        return _interpolate(t, self.alpha_s), _interpolate(t, self.alpha_i)


def _are_pairs(knots: object) -> bool:
    return isinstance(knots, list | tuple) and all(
        isinstance(knot, list | tuple)
        and len(knot) == 2
        and all(isinstance(number, Real) and isfinite(number) for number in knot)
        for knot in knots
    )


def _interpolate(t: float, knots: Knots) -> float:
    return float(np.interp(t, [time for time, _ in knots], [value for _, value in knots]))


_FIRST, _SECOND, _THIRD = ((0, 1), (0.5, 0)), ((0, 0), (0.5, 1), (1, 0)), ((0.5, 0), (1, 1))
_ALWAYS, _NEVER = ((0, 1),), ((0, 0),)

PRESETS = {
    # Orders of Table VIc; the first is the paper's.
    'SG-IG-RD': Curriculum(alpha_s=_FIRST, alpha_i=_SECOND),
    'IG-SG-RD': Curriculum(alpha_s=_SECOND, alpha_i=_FIRST),
    'RD-IG-SG': Curriculum(alpha_s=_THIRD, alpha_i=_SECOND),
    # Between t = 0.25 and 0.75 no coefficient exceeds 0.5, so top-k blends there (D5).
    'SG-IG-RD-overlap': Curriculum(
        alpha_s=((0, 1), (0.25, 0.5), (0.5, 0.25), (0.75, 0.2), (1, 0)),
        alpha_i=((0, 0), (0.25, 0.3), (0.5, 0.5), (0.75, 0.3), (1, 0)),
    ),
    # Single strategies of Table VIb.
    'RD': Curriculum(alpha_s=_NEVER, alpha_i=_NEVER),
    'IG': Curriculum(alpha_s=_NEVER, alpha_i=_ALWAYS),
    'SG': Curriculum(alpha_s=_ALWAYS, alpha_i=_NEVER),
}


def build_curriculum(spec: str | dict[str, Knots] | Curriculum) -> Curriculum:
    """Return a preset by name or a curriculum from ``dict(alpha_s=knots, alpha_i=knots)``.

    Raises:
        ValueError: It is neither, or the knots are none.
    """
    if isinstance(spec, Curriculum):
        return spec
    if isinstance(spec, str):
        if spec not in PRESETS:
            raise ValueError(
                f'unknown curriculum {spec!r}: expected one of {list(PRESETS)}'
                f'{nearest(spec, PRESETS)}'
            )
        return PRESETS[spec]
    if not isinstance(spec, dict) or set(spec) != {'alpha_s', 'alpha_i'}:
        raise ValueError(
            f'curriculum is {shown(spec)}: expected the name of a preset, or '
            'dict(alpha_s=knots, alpha_i=knots)'
        )
    return Curriculum(**spec)
