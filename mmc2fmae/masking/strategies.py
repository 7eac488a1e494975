"""The three masking strategies of the paper and their blend (Eq. 5 to 11), for all granularities.

Masks are boolean, True where a patch is masked. The M rows of a mask belong to the M granularities:
they share the guidance maps and differ in how many patches each one loses.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from mmc2fmae.masking.allocation import apportion
from mmc2fmae.masking.rules import PRINTED, MaskingRules

STRATEGIES = ('SG', 'IG', 'RD')
"""Semantic-guided, instance-guided and random masks, in the order of every tuple of three."""


class Masks(NamedTuple):
    """Masks of a sample and where they come from.

    Attributes:
        masks: (M, N) booleans, True where masked.
        shares: Share of the masked patches that each strategy explains; see :func:`blend_top_k`.
            One of the strategies of a blend each, or of :data:`STRATEGIES`.
    """

    masks: np.ndarray
    shares: np.ndarray


def patch_labels(label_map: np.ndarray, cell: int) -> np.ndarray:
    """Reduce a label map to one label a patch: the most frequent id, the lowest on a tie (D7).

    Args:
        label_map: (h, w) integer ids.
        cell: Side of a patch in map pixels (patch size divided by the map's stride).

    Returns:
        (N,) ids in row-major patch order, with the map's dtype.

    Raises:
        ValueError: The map's sides are no multiples of ``cell``.
    """
    height, width = label_map.shape
    if height % cell or width % cell:
        raise ValueError(f'label map of {height} x {width} does not divide into cells of {cell}')
    rows, columns = height // cell, width // cell
    cells = label_map.reshape(rows, cell, columns, cell).transpose(0, 2, 1, 3)
    pixels = cells.reshape(rows * columns, cell * cell)
    labels = pixels[:, 0].copy()
    mixed = np.flatnonzero((pixels != labels[:, None]).any(axis=1))
    if len(mixed) == 0:
        return labels
    # Count ids in mixed patches only, ids numbered densely.
    pixels = pixels[mixed]
    present = np.flatnonzero(np.bincount(pixels.reshape(-1)))
    dense = np.empty(present[-1] + 1, dtype=np.intp)
    dense[present] = np.arange(len(present))
    bins = dense[pixels] + (np.arange(len(mixed)) * len(present))[:, None]
    counts = np.bincount(bins.reshape(-1), minlength=len(mixed) * len(present))
    labels[mixed] = present[counts.reshape(len(mixed), -1).argmax(axis=1)]
    return labels


def sample_in_regions(
    regions: np.ndarray, quotas: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Mask a given number of patches, chosen uniformly, in every region of every granularity.

    Args:
        regions: (N,) region index of each patch, in [0, R).
        quotas: (M, R) patches to mask per granularity and region.
        rng: Random source.

    Returns:
        (M, N) boolean masks.
    """
    # Sorting by region + uniform noise shuffles within regions and keeps the regions together.
    order = np.argsort(regions + rng.random((len(quotas), len(regions))), axis=1)
    sizes = np.bincount(regions, minlength=quotas.shape[1])
    ends = np.cumsum(sizes) - sizes + quotas  # where the masked part of each region ends
    return _first_of(order, np.arange(len(regions)) < np.repeat(ends, sizes, axis=1))


def random_mask(num_masked: np.ndarray, num_patches: int, rng: np.random.Generator) -> np.ndarray:
    """Mask patches uniformly at random (Eq. 9).

    Args:
        num_masked: (M,) patches to mask per granularity.
        num_patches: N.
        rng: Random source.

    Returns:
        (M, N) boolean masks; row m has ``num_masked[m]`` True.
    """
    order = np.argsort(rng.random((len(num_masked), num_patches)), axis=1)
    return _first_of(order, np.arange(num_patches) < num_masked[:, None])


def semantic_guided_mask(
    labels: np.ndarray,
    num_masked: np.ndarray,
    rng: np.random.Generator,
    class_weights: dict[int, float] | None = None,
) -> np.ndarray:
    """Mask every semantic region in proportion to its area (Eq. 5-6, D3).

    Args:
        labels: (N,) semantic class of each patch.
        num_masked: (M,) patches to mask per granularity.
        rng: Random source.
        class_weights: Weight w_c of a class; classes that are not named weigh 1.

    Returns:
        (M, N) boolean masks; the floors of Eq. 6 are topped up by largest remainder so that row m
        has exactly ``num_masked[m]`` True.
    """
    sizes = np.bincount(labels)
    classes = np.flatnonzero(sizes)
    sizes = sizes[classes]
    regions = np.searchsorted(classes, labels)
    weights = sizes
    if class_weights:
        weights = sizes * np.array([class_weights.get(int(c), 1.0) for c in classes])
    return sample_in_regions(regions, apportion(num_masked, weights, sizes, rng), rng)


def select_objects(
    labels: np.ndarray, grid: tuple[int, int], rules: MaskingRules = PRINTED
) -> np.ndarray:
    """Find the patches of the instances that guide the masking (f_ins, step 2 of Eq. 7; D4).

    Args:
        labels: (N,) instance id of each patch, 0 for background.
        grid: Rows and columns of patches.
        rules: ``min_area``, ``max_instances`` and ``prefer``; the lower id wins a tie.

    Returns:
        (N,) boolean, True on the selected objects.
    """
    areas = np.bincount(labels, minlength=1)
    areas[0] = 0
    keep: np.ndarray = areas >= max(rules.min_area, 1)
    if rules.max_instances is not None:
        order = -areas
        if rules.prefer == 'central':
            order = np.where(keep, _distances(labels, areas, grid), np.inf)
        keep[np.argsort(order, kind='stable')[rules.max_instances :]] = False
    selected: np.ndarray = keep[labels]
    return selected


def _distances(labels: np.ndarray, areas: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Squared distance of each instance's centroid from the centre of the image, in patches."""
    places = np.indices(grid).reshape(2, -1)
    sums = np.stack([np.bincount(labels, weights=axis) for axis in places])
    middle = (np.array(grid)[:, None] - 1) / 2
    distances: np.ndarray = ((sums / np.maximum(areas, 1) - middle) ** 2).sum(axis=0)
    return distances


def instance_guided_mask(
    objects: np.ndarray,
    num_masked: np.ndarray,
    rng: np.random.Generator,
    alpha: float = 0.75,
    cap: float = 1.0,
) -> np.ndarray:
    """Mask objects before background: floor(alpha k) object patches, the rest outside (Eq. 7-8).

    A side with fewer patches than its share hands the surplus to the other; without any object
    the mask is uniformly random (D4).

    Args:
        objects: (N,) booleans, True on the objects; see :func:`select_objects`.
        num_masked: (M,) patches to mask per granularity, k.
        rng: Random source.
        alpha: Share of the masked patches that falls on objects, in (0.5, 1].
        cap: Largest share of the object patches to mask. A granularity that masks a larger share of
            all its patches, k / N, masks that share of the objects, as a random mask would.

    Returns:
        (M, N) boolean masks; row m has ``num_masked[m]`` True.
    """
    num_patches, num_objects = len(objects), np.count_nonzero(objects)
    if num_objects == 0:
        return random_mask(num_masked, num_patches, rng)
    # The small term keeps floor() honest where alpha * k is whole but not exact in binary.
    on_objects = np.floor(alpha * num_masked + 1e-9).astype(np.int64)
    most = num_objects
    if cap < 1:
        shares = np.maximum(cap, num_masked / num_patches)
        most = np.floor(shares * num_objects + 1e-9).astype(np.int64)
    on_objects = np.clip(on_objects, num_masked - (num_patches - num_objects), most)
    quotas = np.stack([num_masked - on_objects, on_objects], axis=1)
    return sample_in_regions(objects.astype(np.int64), quotas, rng)


def blend_top_k(
    masks: list[np.ndarray],
    weights: list[float],
    num_masked: np.ndarray,
    rng: np.random.Generator,
) -> Masks:
    """Blend binary masks into scores and mask the k highest (Eq. 10-11).

    Equal scores are decided at random, never by position (D5). A masked patch is explained by the
    strategy with the largest coefficient among those that mask it; equal ones share it.

    Args:
        masks: (M, N) boolean masks of the strategies.
        weights: Coefficient of each.
        num_masked: (M,) patches to mask per granularity, k.
        rng: Random source.

    Returns:
        (M, N) masks; row m has ``num_masked[m]`` True. The shares of each strategy.
    """
    # n binary masks give at most 2^n scores: rank those instead of all positions. Whole-number
    # ranks + uniform noise then sort by score and shuffle within equal scores.
    codes: np.ndarray = masks[0].astype(np.uint8)
    for bit, mask in enumerate(masks[1:], 1):
        codes |= mask.view(np.uint8) << bit
    ranks, credits = _tables(tuple(weights))
    order = np.argsort(ranks.take(codes) + rng.random(codes.shape), axis=1)
    blended = _first_of(order, np.arange(codes.shape[1]) < num_masked[:, None])
    counts = np.bincount(codes.ravel(), blended.ravel(), len(credits))
    *found, total = (counts @ credits).tolist()
    return Masks(blended, np.array(found) / max(total, 1))


@lru_cache(maxsize=64)  # an epoch has one set of coefficients
def _tables(weights: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each combination of strategies: rank of its score; whom its patches are due to, and 1."""
    scores, credits = [], np.ones((2 ** len(weights), len(weights) + 1))
    credits[:, :-1] = 0
    for code in range(2 ** len(weights)):
        chosen = [bit for bit in range(len(weights)) if code >> bit & 1]
        scores.append(sum(weights[bit] for bit in chosen))
        largest = [bit for bit in chosen if weights[bit] == max(weights[b] for b in chosen)]
        credits[code, largest] = 1 / max(len(largest), 1)
    levels = sorted(set(scores), reverse=True)
    return np.array([levels.index(score) for score in scores], np.float64), credits


def _first_of(order: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Undo a sort: put (M, N) flags of sorted positions back where they came from."""
    mask = np.empty(order.shape, dtype=bool)
    mask[np.arange(len(order))[:, None], order] = chosen
    return mask


def leading_strategy(alpha_s: float, alpha_i: float) -> int | None:
    """Return the strategy whose coefficient exceeds one half, None where there is none.

    The mask of Eq. 10-11 is then its mask: each of its k patches has a higher score than all others
    (D5), so the others need not be computed.

    Returns:
        Index in :data:`STRATEGIES`.
    """
    coefficients = (alpha_s, alpha_i, 1 - alpha_s - alpha_i)
    largest = max(coefficients)
    return coefficients.index(largest) if largest > 0.5 + 1e-9 else None


def progressive_mask(
    num_masked: np.ndarray,
    grid: tuple[int, int],
    alpha_s: float,
    alpha_i: float,
    rng: np.random.Generator,
    semantic_labels: np.ndarray | None = None,
    instance_labels: np.ndarray | None = None,
    rules: MaskingRules = PRINTED,
) -> Masks:
    """Blend semantic-guided, instance-guided and random masks and keep the top k (Eq. 10-11).

    A strategy whose coefficient is 0 is not drawn. One whose coefficient exceeds one half is the
    result; of the others the random numbers alone are drawn, so that what follows is the same.

    Args:
        num_masked: (M,) patches to mask per granularity.
        grid: Rows and columns of patches.
        alpha_s: Coefficient of the semantic-guided mask.
        alpha_i: Coefficient of the instance-guided mask; the random mask has the remainder.
        rng: Random source.
        semantic_labels: (N,) class of each patch; None where ``alpha_s`` is 0.
        instance_labels: (N,) instance of each patch; None where ``alpha_i`` is 0, or another
            strategy is the :func:`leading_strategy`.
        rules: Settings of the strategies.

    Returns:
        (M, N) masks; row m has ``num_masked[m]`` True. The shares of :data:`STRATEGIES`.

    Raises:
        ValueError: The labels of a strategy that is drawn are missing.
    """
    leading = leading_strategy(alpha_s, alpha_i)
    noise = len(num_masked), grid[0] * grid[1]
    masks, weights, used = [], [], []
    if alpha_s > 0:
        if semantic_labels is None:
            raise ValueError(f'alpha_S is {alpha_s:g}: needs the semantic labels of the patches')
        if leading in (None, 0):
            masks.append(
                semantic_guided_mask(semantic_labels, num_masked, rng, rules.class_weights)
            )
        else:
            rng.random((len(num_masked), np.count_nonzero(np.bincount(semantic_labels))))  # ties
            rng.random(noise)
        weights.append(alpha_s)
        used.append(0)
    if alpha_i > 0:
        if leading not in (None, 1):
            rng.random(noise)
        elif instance_labels is None:
            raise ValueError(f'alpha_I is {alpha_i:g}: needs the instance labels of the patches')
        else:
            objects = select_objects(instance_labels, grid, rules)
            masks.append(
                instance_guided_mask(objects, num_masked, rng, rules.alpha, rules.object_cap)
            )
        weights.append(alpha_i)
        used.append(1)
    if alpha_s + alpha_i < 1:
        if leading in (None, 2):
            masks.append(random_mask(num_masked, noise[1], rng))
        else:
            rng.random(noise)
        weights.append(1 - alpha_s - alpha_i)
        used.append(2)
    shares = np.zeros(len(STRATEGIES))
    if leading is not None:
        if len(used) > 1:
            rng.random(noise)  # which would shuffle equal scores
        shares[leading] = 1
        return Masks(masks[0], shares)
    blended = blend_top_k(masks, weights, num_masked, rng)
    shares[used] = blended.shares
    return Masks(blended.masks, shares)
