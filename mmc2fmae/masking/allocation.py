"""Whole-number shares: visible tokens of a granularity, masked patches of a region."""

import numpy as np


def apportion(
    totals: np.ndarray,
    weights: np.ndarray,
    capacities: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Split whole totals in proportion to weights by largest remainder, within capacities.

    What a full part cannot take goes to the other parts in proportion to their weights. Equal
    remainders are broken at random, never by position.

    Args:
        totals: (M,) integers to split; one row of the result each.
        weights: (R,) non-negative weights of the parts.
        capacities: (R,) integers, the most that a part can take.
        rng: Source of the random tie-breaks.

    Returns:
        (M, R) int64 shares; row i sums to ``totals[i]`` and never exceeds ``capacities``.

    Raises:
        ValueError: A total is negative or larger than the capacities together.
    """
    totals = np.asarray(totals, dtype=np.float64)
    weights = np.asarray(weights, dtype=np.float64)
    capacities = np.asarray(capacities, dtype=np.float64)
    if totals.min() < 0 or totals.max() > capacities.sum():
        raise ValueError(
            f'cannot split totals {totals.astype(int).tolist()} over capacities '
            f'{capacities.astype(int).tolist()}: expected 0 <= total <= {int(capacities.sum())}'
        )
    shares = totals[:, None] * weights / max(weights.sum(), np.finfo(float).tiny)
    if (shares > capacities).any() or weights.sum() <= 0:
        shares = np.stack([_fill(total, weights, capacities) for total in totals])
    floors = np.floor(shares)
    fractions = np.where(floors < capacities, shares - floors, -1.0)
    # The largest remainder comes first; the random key decides between equal ones.
    order = np.lexsort((rng.random(shares.shape), -fractions))
    left_over = totals - floors.sum(axis=1)
    floors[np.arange(len(order))[:, None], order] += np.arange(order.shape[1]) < left_over[:, None]
    counts: np.ndarray = floors.astype(np.int64)
    return counts


def _fill(total: float, weights: np.ndarray, capacities: np.ndarray) -> np.ndarray:
    """Fractional shares of one total when some parts overflow: fill those, share the rest anew."""
    shares = np.zeros_like(capacities)
    free = capacities > 0
    while free.any():
        active = np.where(free, weights, 0.0)
        if active.sum() <= 0:  # only parts without weight are left: they share by their size
            active = np.where(free, capacities, 0.0)
        proposal = (total - shares[~free].sum()) * active / active.sum()
        overflow = free & (proposal > capacities)
        if not overflow.any():
            return np.where(free, proposal, shares)
        shares = np.where(overflow, capacities, shares)
        free &= ~overflow
    return shares


def sample_visible_counts(
    num_granularities: int,
    num_visible: int,
    num_patches: int,
    rng: np.random.Generator,
    concentration: float = 1.0,
) -> np.ndarray:
    """Draw how many tokens each granularity keeps visible (paper III-D, decision D2).

    Shares follow a symmetric Dirichlet distribution as in MultiMAE and are rounded so that the
    budget is met exactly: the masked count of a granularity is ``num_patches`` minus its share.

    Args:
        num_granularities: M, the number of granularities.
        num_visible: V, visible tokens over all granularities.
        num_patches: N, patches of one granularity.
        rng: Random source.
        concentration: Dirichlet concentration; large values give nearly equal shares.

    Returns:
        (M,) int64 visible counts in [0, N] that sum to V.

    Raises:
        ValueError: V is not in [1, M * N].
    """
    shares = rng.dirichlet(np.full(num_granularities, concentration))
    capacities = np.full(num_granularities, num_patches)
    counts: np.ndarray = apportion(np.array([num_visible]), shares, capacities, rng)[0]
    return counts
