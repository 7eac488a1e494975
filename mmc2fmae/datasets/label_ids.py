"""Conventions of label ids that data and model share."""

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
