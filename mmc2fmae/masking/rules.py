"""What decides a mask besides the curriculum's coefficients and the number of masked patches."""

from dataclasses import dataclass
from math import ceil, inf
from numbers import Integral, Real
from typing import Any

import numpy as np

from mmc2fmae.errors import nearest, shown

BLENDS = ('top-k', 'draw')
PREFERENCES = ('largest', 'central')


@dataclass(frozen=True)
class MaskingRules:
    """Settings of the strategies and of their blend, checked on construction.

    Args:
        blend: 'top-k' as printed (Eq. 10-11), or 'draw'; see :meth:`of_sample`.
        alpha: Share of the masked patches that falls on objects, in (0.5, 1] (Eq. 8).
        min_area: Smallest instance that guides the mask, in patches (D4).
        max_instances: Most instances that guide the mask; None for all (D4).
        prefer: Which instances ``max_instances`` keeps: the 'largest', or the 'central' ones, whose
            centroid is nearest to the centre of the image (Eq. 7, step 2).
        object_cap: Most of the guiding objects' patches that an instance-guided mask takes, a share
            up to 1 (as printed); see :func:`mmc2fmae.masking.instance_guided_mask`.
        class_weights: Weights w_c of Eq. 5 by class id; others weigh 1.

    Raises:
        ValueError: A setting is unknown or out of range.
    """

    blend: str = 'top-k'
    alpha: float = 0.75
    min_area: int = 1
    max_instances: int | None = None
    prefer: str = 'largest'
    object_cap: float = 1.0
    class_weights: dict[int, float] | None = None

    def __post_init__(self) -> None:
        _one_of('blend', self.blend, BLENDS)
        _one_of('prefer', self.prefer, PREFERENCES)
        if not isinstance(self.alpha, Real) or not 0.5 < self.alpha <= 1:
            raise ValueError(
                f'alpha is {shown(self.alpha)}: expected more than 0.5 and at most 1 (Eq. 8)'
            )
        if not isinstance(self.object_cap, Real) or not 0 < self.object_cap <= 1:
            raise ValueError(
                f'object_cap is {shown(self.object_cap)}: expected a share above 0 and at most 1 '
                '(no cap, Eq. 8 as printed)'
            )
        _at_least('min_area', self.min_area, 0)
        if self.max_instances is not None:
            _at_least('max_instances', self.max_instances, 1)
        if self.class_weights and not _are_weights(self.class_weights):
            raise ValueError(
                f'class_weights is {shown(self.class_weights, 80)}: expected class ids, whole '
                'numbers, and their weights of at least 0'
            )
        if self.prefer == 'central' and self.max_instances is None:
            raise ValueError(
                "prefer is 'central', but all instances guide the masks: set max_instances, the "
                'number of instances to keep'
            )

    @property
    def choose_objects(self) -> bool:
        """Whether a setting other than the printed ones speaks of objects."""
        return self.object_cap < 1 or self.prefer != 'largest'

    def check_cap(self, num_visible: int, num_tokens: int) -> None:
        """Refuse a cap below the share of all patches that is masked.

        A random mask hides that share of any object. Below it objects would be masked less than the
        background, and where they fill the image there is no room elsewhere.

        Args:
            num_visible: Visible tokens over all granularities, V.
            num_tokens: All tokens of a sample, M x N.

        Raises:
            ValueError: The cap is too low; the message has the lowest cap and the V that would do.
        """
        masked = 1 - num_visible / num_tokens
        if self.object_cap < masked - 1e-9:
            lowest = ceil(masked * 1000 - 1e-6) / 1000
            enough = ceil((1 - self.object_cap) * num_tokens - 1e-6)
            raise ValueError(
                f'object_cap is {self.object_cap:g}, but {num_tokens - num_visible} of '
                f'{num_tokens} tokens are masked: expected {lowest:g} to 1, or num_visible of at '
                f'least {enough} (it is {num_visible})'
            )

    def of_sample(
        self, alphas: tuple[float, float], rng: np.random.Generator
    ) -> tuple[float, float]:
        """Return the coefficients (alpha_S, alpha_I) that mask one sample.

        With 'top-k' they are the curriculum's. With 'draw' the sample takes one strategy whole,
        each with its coefficient as probability: the mean over the samples is S of Eq. 10 and moves
        as smoothly as the curves. One draw holds for all granularities, since Eq. 10 has one pair
        of coefficients for all m, and the three phases of III-D mask all granularities alike: an
        object that is hidden in the photograph must not be told by the instance map.

        Args:
            alphas: Coefficients of the curriculum.
            rng: Random source of the sample; 'top-k' draws nothing.
        """
        if self.blend == 'top-k':
            return alphas
        drawn = rng.random()
        if drawn < alphas[0]:
            return 1.0, 0.0
        return 0.0, float(drawn < alphas[0] + alphas[1])


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        names = ', '.join(map(repr, known))
        raise ValueError(f'{name} is {shown(value)}: expected {names}{nearest(str(value), known)}')


def _at_least(name: str, value: Any, least: int) -> None:
    if not isinstance(value, Integral) or value < least:
        raise ValueError(f'{name} is {shown(value)}: expected a whole number of at least {least}')


def _are_weights(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, Integral) and isinstance(weight, int | float) and 0 <= weight < inf
        for name, weight in value.items()
    )


PRINTED = MaskingRules()
"""The method as the paper prints it."""
