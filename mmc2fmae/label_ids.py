"""Conventions of label ids that data and model share."""

import numpy as np

IGNORE = 255
"""Label pixels with this id are unknown: they count in no loss (D9)."""


def check_num_classes(granularity: str, num_classes: int) -> None:
    """Check that class ids fit beside 255, the id of unknown pixels, in 8 bits.

    Raises:
        ValueError: ``num_classes`` is not in [2, 255].
    """
    if not 2 <= num_classes <= IGNORE:
        raise ValueError(
            f'{granularity} has {num_classes} classes: expected 2 to {IGNORE} (255 marks unknown '
            'pixels)'
        )


def canonical_ids(instances: np.ndarray) -> np.ndarray:
    """Number instances by descending area: 1 is the largest, 0 stays the background (D10).

    Args:
        instances: (h, w) integer ids of any numbering, 0 = background.

    Returns:
        (h, w) int32 ids without gaps; of equal areas the lower old id comes first.
    """
    ids = np.unique(instances)  # its return_inverse sorts the pixels again: twice the time
    inverse = np.searchsorted(ids, instances)
    areas = np.bincount(inverse.ravel())
    order = np.lexsort((ids, -areas, ids != 0))  # background first, then by area
    rank = np.empty(len(ids), dtype=np.int32)
    rank[order] = np.arange(len(ids)) + (ids[0] != 0)
    return rank[inverse]
