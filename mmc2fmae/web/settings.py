"""What can be chosen on the page, and the masks that follow from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from mmc2fmae.datasets.transforms import ProgressiveMasking
from mmc2fmae.masking import (
    PRESETS,
    Curriculum,
    patch_labels,
    progressive_mask,
    sample_visible_counts,
)

GUIDES = ('semantic', 'instance')
"""Maps that guide masks, in the order of alpha_S and alpha_I."""

STRATEGIES = {
    'SG': 'Semantic-guided',
    'IG': 'Instance-guided',
    'RD': 'Random',
    'curriculum': 'Curriculum',
}


@dataclass(frozen=True)
class Settings:
    """A state of the controls.

    Attributes:
        strategy: One of :data:`STRATEGIES`; 'curriculum' is that of the model's training.
        t: Position in the curriculum, 0 to 1.
        visible: Visible tokens of each granularity; None draws them as in training.
        total: Visible tokens over all granularities where they are drawn.
        seed: Seed of everything that is drawn.
        query: Whose attention is shown: a patch's (row, column), the number of a class token from 0
            (SemanticMIM's proxies), or None for the mean over the class tokens.
        target_stats: Undo the normalisation of pixels with the target patches' statistics.
    """

    strategy: str
    t: float
    visible: dict[str, int] | None
    total: int
    seed: int
    query: tuple[int, int] | int | None
    target_stats: bool


def read_settings(fields: dict) -> Settings:
    """Check what a browser sent.

    Args:
        fields: JSON types, named as the attributes of :class:`Settings`.

    Raises:
        ValueError: A field is missing, of another type or out of range.
    """
    try:
        visible, query = fields['visible'], fields['query']
        if visible is not None:
            visible = {str(name): int(count) for name, count in visible.items()}
        settings = Settings(
            strategy=str(fields['strategy']),
            t=float(fields['t']),
            visible=visible,
            total=int(fields['total']),
            seed=int(fields['seed']),
            query=query if query is None else _read_query(query),
            target_stats=bool(fields['target_stats']),
        )
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(
            f'settings {str(fields)[:200]} cannot be read ({error!r}): reload the page'
        ) from error
    if settings.strategy not in STRATEGIES:
        raise ValueError(f'masking {settings.strategy!r}: expected one of {list(STRATEGIES)}')
    if not 0 <= settings.t <= 1:
        raise ValueError(f'position t is {settings.t}: expected 0 (start) to 1 (end of training)')
    if settings.seed < 0:
        raise ValueError(f'seed is {settings.seed}: expected a whole number from 0')
    return settings


def _read_query(query: Any) -> tuple[int, int] | int:
    if isinstance(query, int):
        return query
    row, column = query
    return int(row), int(column)


def curriculum_of(strategy: str, trained: Curriculum) -> Curriculum:
    """Return the curriculum behind a strategy: a preset of Table VIb, or that of the training."""
    return trained if strategy == 'curriculum' else PRESETS[strategy]


def obstacles(trained: Curriculum, present: Sequence[str]) -> dict[str, str]:
    """Say which strategies a sample does not allow.

    Args:
        trained: Curriculum of the model's training.
        present: Granularities that the sample has.

    Returns:
        What is missing, by strategy.
    """
    missing = {}
    for strategy in STRATEGIES:
        curriculum = curriculum_of(strategy, trained)
        guided = zip(GUIDES, (curriculum.alpha_s, curriculum.alpha_i), strict=True)
        lacking = [
            name for name, knots in guided if name not in present and any(v > 0 for _, v in knots)
        ]
        if lacking:
            missing[strategy] = f'needs {" and ".join(lacking)} map'
    return missing


def choose_counts(
    settings: Settings,
    granularities: Sequence[str],
    present: Sequence[str],
    num_patches: int,
    concentration: float,
    rng: np.random.Generator,
) -> dict[str, int]:
    """Decide how many tokens of each granularity are visible.

    Args:
        settings: The controls.
        granularities: What the model reads.
        present: What the sample has; nothing else can be visible.
        num_patches: N, patches of one granularity.
        concentration: Dirichlet concentration of the model's training (D2).
        rng: Random source.

    Returns:
        Visible tokens of every granularity; their sum is exactly what was asked for.

    Raises:
        ValueError: A number is out of range, or a granularity without a map is to be visible.
    """
    if settings.visible is None:
        most = num_patches * len(present)
        if not 0 < settings.total <= most:
            raise ValueError(
                f'{settings.total} visible tokens: expected 1 to {most} ({len(present)} '
                f'granularities x {num_patches} patches)'
            )
        drawn = sample_visible_counts(len(present), settings.total, num_patches, rng, concentration)
        return dict.fromkeys(granularities, 0) | dict(zip(present, drawn.tolist(), strict=True))
    if set(settings.visible) != set(granularities):
        raise ValueError(
            f'visible tokens of {sorted(settings.visible)}: the model reads {list(granularities)}'
        )
    counts = {name: settings.visible[name] for name in granularities}
    for name, count in counts.items():
        if not 0 <= count <= num_patches:
            raise ValueError(f'{count} visible tokens of {name}: expected 0 to {num_patches}')
        if count and name not in present:
            raise ValueError(
                f'{count} visible tokens of {name}, but the sample has no {name} map: upload one, '
                'or set them to 0'
            )
    if not any(counts.values()):
        raise ValueError('no token is visible: show at least one')
    return counts


def draw_masks(
    masking: ProgressiveMasking,
    alphas: tuple[float, float],
    counts: dict[str, int],
    inputs: dict[str, Tensor],
    cells: dict[str, int],
    rng: np.random.Generator,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Draw masks as in training, with given numbers of visible tokens (paper III-D).

    Args:
        masking: Masking transform of the training; its settings count, not its curriculum.
        alphas: alpha_S and alpha_I of Eq. 10; with the blend 'draw', one strategy is drawn.
        counts: Visible tokens of each granularity.
        inputs: rgb (3, H, W) and label maps (h, w) of the sample, as far as it has them.
        cells: Side of a patch in map pixels, per granularity.
        rng: Random source.

    Returns:
        (N,) booleans per granularity, True where masked, and the share of the masked patches that
        each of ``STRATEGIES`` of :mod:`mmc2fmae.masking` explains.

    Raises:
        ValueError: The masks are guided by a map that the sample does not have.
    """
    labels, alphas = {}, masking.rules.of_sample(alphas, rng)
    for name, alpha in zip(GUIDES, alphas, strict=True):
        if alpha > 0 and name not in inputs:
            raise ValueError(
                f'{name}-guided masking needs a map ({name}), which this sample does not have: '
                'upload one, or choose Random'
            )
        labels[name] = patch_labels(inputs[name].numpy(), cells[name]) if alpha > 0 else None
    rows, columns = (side // cells['rgb'] for side in inputs['rgb'].shape[1:])
    masks, shares = progressive_mask(
        rows * columns - np.array(list(counts.values())),
        (rows, columns),
        *alphas,
        rng,
        semantic_labels=labels['semantic'],
        instance_labels=labels['instance'],
        rules=masking.rules,
    )
    return dict(zip(counts, masks, strict=True)), shares
