"""One picture of a run: reconstructions, losses, masking curriculum, probes, validations."""

import copy
from math import ceil
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain.registry import DATASETS

from mmc2fmae.checkpoints.embedded import MODEL, embedded_type
from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.engine.run_log import is_probe, read_records, read_scalars, validations
from mmc2fmae.visualization.figures.autoencoder import (
    build_model,
    fill,
    read_config,
    still_pipeline,
)
from mmc2fmae.visualization.figures.curriculum import KINDS
from mmc2fmae.visualization.reconstruction import (
    Reconstructing,
    draw_reconstructions,
    granularities_of,
)


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
    """Draw a run into one PNG: reconstructions on top, losses and what else was logged below.

    Runs of C2FMAE, MultiMAE and MAE have reconstructions, others have their curves alone.

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
        FileNotFoundError: The folder holds no checkpoint, or nothing that can be drawn.
        CheckpointMismatch: The checkpoint does not fill model and decoder, or carries no config.
    """
    work_dir, out = Path(work_dir), Path(out)
    kind, model, cfg = _load(find_checkpoint(checkpoint or work_dir), config)
    scalars, records = read_scalars(work_dir), list(read_records(work_dir))
    if model is None and not scalars:
        raise FileNotFoundError(
            f'{work_dir} has no */vis_data/scalars.json with losses, and its {kind} reconstructs '
            'nothing (C2FMAE, MultiMAE and MAE do): there is nothing to draw'
        )
    if model is not None:
        dataset = build_still_dataset(cfg, data_root, data_prefix)
        across = max(3 // len(granularities_of(model)), 1)
        rows = ceil(min(num_samples, len(dataset)) / across)
        batch = default_collate(dataset.try_samples(num_samples))
        figure = plt.figure(figsize=(12, 1.45 * rows + 3.6), layout='constrained')
        top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.45 * rows, 3.2]).flat
        draw_reconstructions(top, model, batch, target_stats, across)
    else:
        figure = plt.figure(figsize=(12, 3.6), layout='constrained')
        (bottom,) = figure.subfigures(1, 1, squeeze=False).flat
        figure.suptitle(f'{work_dir.name}: {kind}, which reconstructs nothing', fontsize=9)
    probes = [r for r in records if is_probe(r)]
    if probes:
        bottom, right = bottom.subfigures(1, 2, width_ratios=[2, 1])
        draw_probes(right, probes, scalars)
    draw_curves(bottom, scalars, records)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=130)
    plt.close(figure)
    return out


def _load(
    path: Path, config: str | Path | None
) -> tuple[str, Reconstructing | None, Config | None]:
    """Return type, model and config of a run; of what reconstructs nothing the type alone."""
    kind = None if config else embedded_type(path)
    if kind is not None and kind not in MODEL:
        return kind, None, None
    cfg = Config.fromfile(config) if config else read_config(path)
    model = build_model(cfg)
    if not isinstance(model, Reconstructing):
        return cfg.model.type, None, None
    fill(model, path)
    return cfg.model.type, model, cfg


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


def draw_curves(figure: SubFigure, scalars: list[dict], records: list[dict]) -> None:
    """Draw losses, and the masking curriculum of a pre-training or validations, if there were any.

    Args:
        figure: Where to draw.
        scalars: Records of :func:`read_scalars`.
        records: Records of :func:`read_records`.
    """
    measured = validations(records)
    masked = bool(scalars) and 'alpha_S' in scalars[-1]
    losses, *beside = figure.subplots(1, 2 if masked or measured else 1, squeeze=False).flat
    unit = 'epoch' if scalars and 'epoch' in scalars[-1] else 'iteration'
    steps = np.array([r['iter'] for r in scalars]) / iterations_per_epoch(scalars)
    names = [key for key in scalars[-1] if 'loss_' in key] if scalars else []
    for name in names or ['loss']:
        values = [r.get(name, np.nan) for r in scalars]
        losses.plot(steps, values, marker='.', label=name.replace('loss_', ''))
    losses.set(
        xlabel=unit, ylabel='loss', title='Losses (Eq. 12)' if masked and names else 'Losses'
    )
    losses.set_ylim(bottom=0)
    losses.grid(alpha=0.3)
    if names:
        losses.legend(fontsize=8)
    if masked:
        _draw_curriculum(beside[0], steps, scalars)
        lines = beside[0].get_legend_handles_labels()  # beside them, as curves are everywhere
        figure.legend(*lines, loc='outside lower right', ncols=4, fontsize=7)
    elif measured:
        for name in measured[-1]:
            # Not those of COCO's sizes and thresholds, and not -1, "no such object".
            points = [(r['step'], r[name]) for r in measured if r.get(name, -1) >= 0]
            if name == 'step' or '_mAP_' in name or not points:
                continue
            beside[0].plot(*zip(*points, strict=True), marker='.', label=name)
        beside[0].set(xlabel=unit, title='Validation')
        beside[0].grid(alpha=0.3)
        if beside[0].has_data():
            beside[0].legend(fontsize=7)


def _draw_curriculum(axes: Axes, epochs: np.ndarray, scalars: list[dict]) -> None:
    """Draw the curriculum's coefficients and what its masks hid."""
    alpha_s = np.array([r['alpha_S'] for r in scalars])
    alpha_i = np.array([r['alpha_I'] for r in scalars])
    weights = {
        'alpha_S': alpha_s,
        'alpha_I': alpha_i,
        '1 - alpha_S - alpha_I': 1 - alpha_s - alpha_i,
    }
    for number, (name, values) in enumerate(weights.items()):
        axes.plot(epochs, values, ':', color=f'C{number}', label=name)
    saw: dict[str, dict[str, Any]] = {
        f'masked_{name}': dict(marker='.', color=f'C{number}', label=f'masked, {about}')
        for number, (name, about) in enumerate(KINDS.items())
    }
    saw['objects_hidden'] = dict(linestyle='--', color='black', label='all objects hidden')
    for name, style in saw.items():
        seen = np.array([r.get(name, np.nan) for r in scalars])
        if np.isfinite(seen).any():  # older runs did not log it
            axes.plot(epochs, seen, **style)
    axes.set(
        xlabel='epoch', ylabel='coefficient, share', title='Masking curriculum (Eq. 10, Fig. 3)'
    )
    axes.grid(alpha=0.3)


def iterations_per_epoch(scalars: list[dict]) -> float:
    """Return the iterations of an epoch, as far as the records of a run tell, or else 1.

    Args:
        scalars: Records of :func:`read_scalars`.
    """
    if not scalars or 'epoch' not in scalars[-1]:  # a training over iterations
        return 1
    return max(max(r['iter'] for r in scalars) / scalars[-1]['epoch'], 1)


def draw_probes(figure: SubFigure, probes: list[dict], scalars: list[dict]) -> None:
    """Draw what probes measured, shares and ranks, over the epochs (docs/watch_run.md).

    Args:
        figure: Where to draw.
        probes: Records with ``probe/...``.
        scalars: Records of :func:`read_scalars`.
    """
    shares = figure.subplots(1, 1)
    ranks = shares.twinx()
    last = max(r['iter'] for r in probes) / (scalars[-1].get('epoch', 1) if scalars else 1)
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
