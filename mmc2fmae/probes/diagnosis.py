"""When tokens have collapsed, and what the likely causes are."""

from collections.abc import Mapping

from mmengine.runner import Runner

LEAST_RANK = 0.15
"""Least RankMe of healthy tokens, relative to the most that is possible."""
MANY_HIDDEN = 0.5
"""Share of the samples without a visible token of an object that is worth a word (Eq. 8, D4)."""


def least_rank(width: int, tokens: int) -> float:
    """Return the RankMe below which tokens have collapsed; see :func:`is_collapsed`."""
    return LEAST_RANK * min(width, tokens - 1)


def is_collapsed(found: Mapping[str, float], width: int, tokens: int) -> bool:
    """Tell whether tokens fill too few directions.

    Args:
        found: What :func:`mmc2fmae.probes.health.health` measured.
        width: Width of a token.
        tokens: How many were measured; they cannot fill more directions than there are of them.
    """
    return found['rankme'] < least_rank(width, tokens)


def diagnose(found: Mapping[str, float], width: int, tokens: int, runner: Runner) -> str | None:
    """Return a warning with the likely causes where tokens have collapsed, else None.

    Args:
        found: What :func:`mmc2fmae.probes.health.health` measured.
        width: Width of a token.
        tokens: How many were measured.
        runner: The run, for its settings.
    """
    if not is_collapsed(found, width, tokens):
        return None
    wrapper = runner.optim_wrapper
    rate = max(group.get('initial_lr', group['lr']) for group in wrapper.param_groups)
    causes = [f'a learning rate too high (it is {rate:g} at most: try --lr {rate / 10:g})']
    low = str(getattr(wrapper, 'cast_dtype', None) or '').removeprefix('torch.')
    if low:
        causes.append(f'{low} (try without --amp)')
    hidden = runner.message_hub.log_scalars.get('train/objects_hidden')
    if hidden is not None and hidden.max() > MANY_HIDDEN:
        causes.append(
            f'masks that hide every object, in up to {100 * hidden.max():.0f} % of the samples of '
            'an epoch (try --set ProgressiveMasking.object_cap=0.9)'
        )
    causes.append('masks too easy or too hard (ProgressiveMasking.num_visible, mask_ratio)')
    if not getattr(getattr(runner.model, 'module', runner.model).backbone, 'final_norm', True):
        causes.append('no norm after the last block (model.backbone.final_norm)')
    least = least_rank(width, tokens)
    return (
        f'the features collapse: RankMe {found["rankme"]:.1f}, expected {least:.1f} or more of '
        f'{width}, the first direction has {100 * found["first_direction"]:.0f} % of the '
        'variance, even if the loss falls; likely causes, the likeliest first: '
        f'{"; ".join(causes)} (docs/watch_run.md)'
    )
