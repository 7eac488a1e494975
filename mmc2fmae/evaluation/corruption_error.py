"""Mean corruption error (Hendrycks and Dietterich 2019) and the score of the paper's Table IV."""

from collections.abc import Iterable, Mapping

CORRUPTIONS = (
    'gaussian_noise', 'shot_noise', 'impulse_noise', 'defocus_blur', 'glass_blur', 'motion_blur',
    'zoom_blur', 'snow', 'frost', 'fog', 'brightness', 'contrast', 'elastic_transform', 'pixelate',
    'jpeg_compression',
)  # fmt: skip
"""The 15 corruptions of ImageNet-C, by the names of their folders."""

SEVERITIES = (1, 2, 3, 4, 5)

ALEXNET_ERRORS = {
    'gaussian_noise': 88.6428,
    'shot_noise': 89.4468,
    'impulse_noise': 92.2640,
    'defocus_blur': 81.9880,
    'glass_blur': 82.6268,
    'motion_blur': 78.5948,
    'zoom_blur': 79.8360,
    'snow': 86.6816,
    'frost': 82.6572,
    'fog': 81.9324,
    'brightness': 56.4592,
    'contrast': 85.3204,
    'elastic_transform': 64.6056,
    'pixelate': 71.7840,
    'jpeg_compression': 60.6500,
}
"""AlexNet's top-1 errors (%) on ImageNet-C, each the mean of five severities.

The values of the authors' spreadsheet (linked in the README of hendrycks/robustness); the same
digits are in imagenet.py of google-research/augmix.
"""


def corruption_errors(cells: Mapping[tuple[str, int], float]) -> dict[str, float]:
    """Average the errors of five severities, corruption by corruption.

    Args:
        cells: Top-1 error (%) of each (corruption, severity), all 75 of them.

    Returns:
        Error (%) of each of the 15 corruptions.

    Raises:
        ValueError: A cell is missing; an average over fewer would look like a result.
    """
    missing = [f'{c}/{s}' for c in CORRUPTIONS for s in SEVERITIES if (c, s) not in cells]
    if missing:
        raise ValueError(f'errors of 75 cells are needed, {len(missing)} are missing: {missing}')
    return {c: _mean(cells[c, s] for s in SEVERITIES) for c in CORRUPTIONS}


def relative_errors(
    errors: Mapping[str, float], reference: Mapping[str, float] = ALEXNET_ERRORS
) -> dict[str, float]:
    """Divide errors by those of a reference model: the corruption errors CE of the benchmark.

    Args:
        errors: Error (%) of each corruption.
        reference: The same of the reference model.

    Returns:
        CE of each corruption in percent of the reference; AlexNet has 100 everywhere.
    """
    return {name: 100 * error / reference[name] for name, error in errors.items()}


def mean_error(errors: Mapping[str, float]) -> float:
    """Average over the 15 corruptions.

    Args:
        errors: Error (%) or CE (%) of each corruption.

    Raises:
        ValueError: A corruption is missing or is not of the benchmark.
    """
    missing, unknown = set(CORRUPTIONS) - set(errors), set(errors) - set(CORRUPTIONS)
    if missing or unknown:
        raise ValueError(
            'the mean is over the 15 corruptions of ImageNet-C: missing '
            f'{sorted(missing)}, unknown {sorted(unknown)}'
        )
    return _mean(errors.values())


def mean_corruption_error(
    errors: Mapping[str, float], reference: Mapping[str, float] = ALEXNET_ERRORS
) -> float:
    """Return mCE (%), the mean over the corruptions of the errors relative to AlexNet's.

    Args:
        errors: Error (%) of each of the 15 corruptions, see :func:`corruption_errors`.
        reference: The same of the reference model.

    Raises:
        ValueError: A corruption is missing or is not of the benchmark.
    """
    return mean_error(relative_errors(errors, reference))


def robustness_score(top1: Iterable[float], corruption_error: float) -> float:
    """Return the score of the paper's Table IV: the mean of the accuracies and of 100 - mCE.

    Args:
        top1: Top-1 accuracies (%), in Table IV those of ImageNet-A, -R and -Sketch.
        corruption_error: mCE (%).
    """
    return _mean([*top1, 100 - corruption_error])


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)
