"""A linear classifier on frozen features in closed form: ridge regression on one-hot classes."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot


def ridge_scores(
    train: Tensor, labels: Tensor, queries: Tensor, num_classes: int, penalty: float = 0.01
) -> Tensor:
    """Fit a linear map from features to one-hot classes and apply it.

    The constant is not penalised; features are centred, not scaled.

    Args:
        train: (n, D) features.
        labels: (n,) classes in [0, num_classes).
        queries: (m, D) features.
        num_classes: Number of classes.
        penalty: Weight of the squared map, relative to the mean variance of a feature.

    Returns:
        (m, num_classes) scores in double precision; the largest is the class.
    """
    centre = train.double().mean(dim=0)
    known = train.double() - centre
    target = one_hot(labels, num_classes).double()
    covariance = known.T @ known / len(known)
    # Where all features are alike, any positive number leaves the map at 0.
    scale = max(float(covariance.diagonal().mean()) * penalty, torch.finfo(torch.float64).tiny)
    covariance.diagonal().add_(scale)
    slope = torch.linalg.solve(covariance, known.T @ (target - target.mean(dim=0)) / len(known))
    return (queries.double() - centre) @ slope + target.mean(dim=0)
