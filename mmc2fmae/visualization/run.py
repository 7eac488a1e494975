"""One picture of a pre-training run: reconstructions, losses and the masking curriculum."""

import copy
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import SubFigure
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain.registry import DATASETS

from mmc2fmae.engine.run_log import read_records, read_scalars
from mmc2fmae.visualization.figures.autoencoder import load_autoencoder, still_pipeline
from mmc2fmae.visualization.figures.curriculum import KINDS
from mmc2fmae.visualization.reconstruction import draw_reconstructions


def draw_run(
    work_dir: str | Path,
    out: str | Path,
    checkpoint: str | Path | None = None,
    config: str | Path | None = None,
    data_root: str | None = None,
    data_prefix: dict | None = None,
    num_samples: int = 6,
    target_stats: bool = True,
) -> Path:
    """Draw a run into one PNG: reconstructions on top, losses and curriculum below.

    Args:
        work_dir: Folder of the run.
        out: PNG (or PDF) to write.
        checkpoint: Weights; by default the run's newest whole checkpoint.
        config: Its config, in place of the one that the checkpoint carries.
        data_root: Folder of the data, by default the config's.
        data_prefix: Folders of the granularities, for example of a validation split.
        num_samples: Samples to show, evenly spaced over the dataset.
        target_stats: See :func:`draw_reconstructions`.

    Returns:
        ``out``.

    Raises:
        FileNotFoundError: The folder holds no checkpoint.
        CheckpointMismatch: The checkpoint does not fill model and decoder, or carries no config.
    """
    work_dir, out = Path(work_dir), Path(out)
    autoencoder = load_autoencoder(checkpoint or work_dir, work_dir.name, config)
    dataset = build_still_dataset(autoencoder.cfg, data_root, data_prefix)
    batch = default_collate(dataset.try_samples(num_samples))

    rows = min(num_samples, len(dataset))
    figure = plt.figure(figsize=(12, 1.45 * rows + 3.6), layout='constrained')
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.45 * rows, 3.2]).flat
    draw_reconstructions(top, autoencoder.model, batch, target_stats)
    scalars = read_scalars(work_dir)
    probes = [r for r in read_records(work_dir) if any(key.startswith('probe/') for key in r)]
    if probes:
        bottom, right = bottom.subfigures(1, 2, width_ratios=[2, 1])
        draw_probes(right, probes, scalars)
    draw_curves(bottom, scalars)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)
    plt.close(figure)
    return out


def build_still_dataset(cfg: Config, data_root: str | None, data_prefix: dict | None):
    """Build the training dataset without augmentation: centre crop, no flip, random masks.

    Args:
        cfg: Config of the run.
        data_root: Replaces the config's data root.
        data_prefix: Replaces the config's folders.
    """
    spec = copy.deepcopy(cfg.train_dataloader.dataset.to_dict())
    spec['pipeline'] = still_pipeline(spec['pipeline'])
    for step in spec['pipeline']:
        if step['type'] == 'ProgressiveMasking':
            # Random masks as in Fig. 4; nearly equal budgets, so that every granularity shows.
            step.update(curriculum='RD', concentration=1e3)
    if data_root:
        spec['data_root'] = data_root
    if data_prefix:
        spec['data_prefix'] = data_prefix
    return DATASETS.build(spec)


def draw_curves(figure: SubFigure, scalars: list[dict]) -> None:
    """Draw losses per granularity, the curriculum's coefficients and what its masks hid.

    Args:
        figure: Where to draw.
        scalars: Records of :func:`read_scalars`.
    """
    losses, curriculum = figure.subplots(1, 2)
    names = [key for key in scalars[-1] if key.startswith('loss_')] if scalars else []
    epochs = np.array([r['iter'] for r in scalars]) / iterations_per_epoch(scalars)
    for name in names:
        values = [r[name] for r in scalars]
        losses.plot(epochs, values, marker='.', label=name.removeprefix('loss_'))
    losses.set(xlabel='epoch', ylabel='loss on masked patches', title='Losses (Eq. 12)')
    losses.set_ylim(bottom=0)
    losses.grid(alpha=0.3)
    alpha_s = np.array([r['alpha_S'] for r in scalars])
    alpha_i = np.array([r['alpha_I'] for r in scalars])
    weights = {
        'alpha_S': alpha_s,
        'alpha_I': alpha_i,
        '1 - alpha_S - alpha_I': 1 - alpha_s - alpha_i,
    }
    for number, (name, values) in enumerate(weights.items()):
        curriculum.plot(epochs, values, ':', color=f'C{number}', label=name)
    saw: dict[str, dict[str, Any]] = {
        f'masked_{name}': dict(marker='.', color=f'C{number}', label=f'masked, {about}')
        for number, (name, about) in enumerate(KINDS.items())
    }
    saw['objects_hidden'] = dict(linestyle='--', color='black', label='all objects hidden')
    for name, style in saw.items():
        seen = np.array([r.get(name, np.nan) for r in scalars])
        if np.isfinite(seen).any():  # older runs did not log it
            curriculum.plot(epochs, seen, **style)
    curriculum.set(
        xlabel='epoch', ylabel='coefficient, share', title='Masking curriculum (Eq. 10, Fig. 3)'
    )
    curriculum.grid(alpha=0.3)
    lines = curriculum.get_legend_handles_labels()  # beside them, as curves are everywhere
    figure.legend(*lines, loc='outside lower right', ncols=4, fontsize=7)
    if names:
        losses.legend(fontsize=8)


def iterations_per_epoch(scalars: list[dict]) -> float:
    """Return the iterations of an epoch, as far as the records of a run tell.

    Args:
        scalars: Records of :func:`read_scalars`.
    """
    return max(max(r['iter'] for r in scalars) / scalars[-1]['epoch'], 1) if scalars else 1


def draw_probes(figure: SubFigure, probes: list[dict], scalars: list[dict]) -> None:
    """Draw what probes measured, shares and ranks, over the epochs (docs/watch_run.md).

    Args:
        figure: Where to draw.
        probes: Records with ``probe/...``.
        scalars: Records of :func:`read_scalars`.
    """
    shares = figure.subplots(1, 1)
    ranks = shares.twinx()
    last = max(r['iter'] for r in probes) / (scalars[-1]['epoch'] if scalars else 1)
    per_epoch = max(iterations_per_epoch(scalars), last)
    greys = iter(('black', 'grey'))
    for name in sorted({key for r in probes for key in r if key.startswith('probe/')}):
        known = {r['iter']: r[name] for r in probes if name in r}  # a resumed run repeats some
        epochs = [iteration / per_epoch for iteration in sorted(known)]
        values = np.array([known[iteration] for iteration in sorted(known)])
        short = name.removeprefix('probe/')
        if 'rank' in short:
            ranks.plot(epochs, values, marker='.', linestyle='--', color=next(greys), label=short)
        else:
            percent = values if short.endswith('top1') else 100 * values
            shares.plot(epochs, percent, marker='.', label=short)
    shares.set(xlabel='epoch', ylabel='%', title='Probes')
    shares.set_ylim(bottom=0)
    ranks.set(ylabel='directions (dashed)')
    ranks.set_ylim(bottom=0)
    shares.grid(alpha=0.3)
    lines = [*shares.get_lines(), *ranks.get_lines()]
    if lines:
        names = [str(line.get_label()) for line in lines]
        figure.legend(lines, names, loc='outside lower center', ncols=3, fontsize=7)
