"""How healthy features are, without any label: pure functions of the tokens of a few photographs.

Two ranks are in use for the number of directions that features fill. Both are the exponential of
an entropy: the effective rank here is that of the shares of the variance (the squared singular
values of centred features), RankMe (Garrido et al., ICML 2023) that of the singular values, which
gives weak directions more weight. 1 is a line, the width of the features is the most.
"""

import math

import torch
from torch import Tensor


def variances(features: Tensor) -> Tensor:
    """Return the variance along each principal direction, largest first.

    Args:
        features: (n, D) features.

    Returns:
        (D,) in double precision, none below 0.
    """
    centred = features.double() - features.double().mean(dim=0)
    return torch.linalg.eigvalsh(centred.T @ centred / len(centred)).flip(0).clamp_min(0)


def entropy_rank(weights: Tensor) -> float:
    """Return exp of the entropy of weights, divided by their sum first; 0 where all are 0.

    Args:
        weights: (D,) weights: variances for the effective rank, their roots for RankMe.
    """
    total = weights.sum()
    if total <= 0:
        return 0.0
    shares = weights / total
    return math.exp(float(-torch.xlogy(shares, shares).sum()))


def share_of_groups(features: Tensor, groups: Tensor) -> float:
    """Return the share of the variance that lies between groups, such as positions.

    Args:
        features: (n, D) features.
        groups: (n,) group of each, from 0.

    Returns:
        From 0 to 1; 0 where there is no variance.
    """
    centred = features.double() - features.double().mean(dim=0)
    total = centred.square().sum()
    number = int(groups.max()) + 1
    sums = centred.new_zeros(number, centred.shape[1]).index_add_(0, groups, centred)
    counts = groups.bincount(minlength=number).clamp_min(1).unsqueeze(1)
    return float((sums.square() / counts).sum() / total) if total > 0 else 0.0


def share_of_line(features: Tensor, values: Tensor) -> float:
    """Return the share of the variance that is linear in one quantity, such as brightness.

    Args:
        features: (n, D) features.
        values: (n,) the quantity.

    Returns:
        From 0 to 1; 0 where there is no variance.
    """
    centred = features.double() - features.double().mean(dim=0)
    line = values.double() - values.double().mean()
    whole = centred.square().sum() * line.square().sum()
    return float((line @ centred).square().sum() / whole) if whole > 0 else 0.0


def health(tokens: Tensor, brightness: Tensor) -> dict[str, float]:
    """Return the health of the patch tokens of some photographs.

    Args:
        tokens: (B, N, D) tokens of all patches after the last block.
        brightness: (B, N) mean brightness of each patch, on any scale.

    Returns:
        ``effective_rank`` and ``rankme``, numbers of directions; ``first_direction``, ``position``
        and ``brightness``, shares of the variance from 0 to 1.
    """
    features = tokens.flatten(0, 1)
    spread = variances(features)
    total = float(spread.sum())
    positions = torch.arange(tokens.shape[1], device=tokens.device).repeat(len(tokens))
    return dict(
        effective_rank=entropy_rank(spread),
        rankme=entropy_rank(spread.sqrt()),
        first_direction=float(spread[0]) / total if total > 0 else 1.0,
        position=share_of_groups(features, positions),
        brightness=share_of_line(features, brightness.flatten()),
    )
