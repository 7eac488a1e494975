"""The command of a stage: an ordinary tool of the project, as a user would type it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmc2fmae.checkpoints.finding import latest_checkpoint
from mmc2fmae.engine import tool_runs
from mmc2fmae.engine.tool_runs import python_command, srun_command, torchrun_command
from mmc2fmae.parallel import available_cores
from mmc2fmae.reproduce.results import is_trained, stage_folder, whole_checkpoint
from mmc2fmae.reproduce.stage import PlanError, Stage
from mmc2fmae.values import write_value


@dataclass(frozen=True)
class RunOptions:
    """How stages are run; none of it changes a result.

    Attributes:
        work_dir: Folder of the stages.
        data_root: Folder that stands for ``data/`` in the configs.
        launcher: 'none', 'pytorch' or 'slurm'.
        gpus: Processes of a stage.
        partition: Slurm's partition.
        jobs: Stages side by side.
        probe_health: Whether pre-trainings log the ranks of their features.
    """

    work_dir: Path
    data_root: Path
    launcher: str = 'none'
    gpus: int = 1
    partition: str | None = None
    jobs: int = 1
    probe_health: bool = False


def command(stage: Stage, options: RunOptions) -> list[str] | None:
    """Return the command of a stage, None where its process ended and only its result is missing.

    Args:
        stage: A stage whose upstream is done.
        options: How to run it.
    """
    folder = stage_folder(options.work_dir, stage)
    if stage.kind == 'scenes':
        arguments = shlex.split(stage.options['arguments'])
        return python_command('scenes', stage.options['out'], *arguments, '--quiet')
    if stage.kind == 'robustness':
        return _robustness(stage, options, folder)
    cfg = stage.load_config()
    parts: list[object] = ['--work-dir', folder, *_data_root(cfg, options)]
    parts += _overrides(stage.overrides)
    if stage.kind == 'predictions':
        checkpoint = whole_checkpoint(options.work_dir, stage.upstream_stage)
        keep = ['--predictions', folder / 'predictions.parquet']
        return python_command('test', stage.config, checkpoint, *parts, *keep)
    if is_trained(stage, folder):  # the runner, or the validation, was killed after the last step
        if stage.protocol is None:
            return None
        return python_command('test', stage.config, latest_checkpoint(folder), *parts)
    parts += ['--seed', stage.seed, '--resume']
    parts += ['--total-batch', total_batch(stage, cfg, options.gpus)]
    if options.probe_health and stage.kind == 'pretrain' and not _has_probe(cfg):
        parts.append('--probe-health')
    if stage.upstream is not None:
        parts += ['--checkpoint', whole_checkpoint(options.work_dir, stage.upstream)]
    if options.launcher == 'pytorch':
        launcher = ('--launcher', 'pytorch')
        return torchrun_command(options.gpus, 'train', stage.config, *launcher, *parts)
    if options.launcher == 'slurm':
        job = f'{stage.kind}-{stage.identity[:8]}'
        words = (stage.config, '--launcher', 'slurm', *parts)
        return srun_command(str(options.partition), job, options.gpus, 'train', *words)
    return python_command('train', stage.config, *parts)


def _has_probe(cfg: Config) -> bool:
    return any(hook['type'] == 'HealthProbeHook' for hook in cfg.get('custom_hooks') or [])


def total_batch(stage: Stage, cfg: Config, processes: int) -> int:
    """Return the batch of a step, which accumulation reaches on however many devices there are.

    Raises:
        PlanError: It is no multiple of what the devices take at once.
    """
    total = int(cfg.auto_scale_lr.base_batch_size)
    at_once = cfg.train_dataloader.batch_size * processes
    if 'max_iters' in cfg.train_cfg and total != at_once:  # an iteration would be a part of a step
        raise PlanError(
            f'{stage.config} counts iterations of batch {total}, {processes} processes x '
            f'{cfg.train_dataloader.batch_size} make {at_once}: set --gpus or --cfg-options '
            'train_dataloader.batch_size=N so that they multiply to it'
        )
    if total % at_once:
        raise PlanError(
            f'{stage.config} trains with batch {total}, no multiple of {processes} processes x '
            f'{cfg.train_dataloader.batch_size}: set another --gpus, or a smaller '
            '--cfg-options train_dataloader.batch_size=N (the batch of a step stays)'
        )
    return total


def environment(options: RunOptions) -> dict[str, str]:
    """Return the environment of a stage: cores are shared among stages side by side."""
    return {
        'OMP_NUM_THREADS': str(max(available_cores() // options.jobs, 1)),
        'PYTHONWARNINGS': 'ignore',
        **tool_runs.environment(),
        'PYTHONUNBUFFERED': '1',
    }


def _robustness(stage: Stage, options: RunOptions, folder: Path) -> list[str]:
    tuned = stage.upstream_stage
    model = (tuned.config, whole_checkpoint(options.work_dir, tuned))
    parts: list[object] = ['--sets', stage.config, '--data-root', options.data_root]
    parts += ['--out', folder]
    parts += _overrides({**tuned.overrides, **stage.overrides})
    parts += ['--limit', stage.limit] if stage.limit else []
    if options.launcher == 'none':
        return python_command('robustness', *model, *parts)
    several = torchrun_command(options.gpus, 'robustness', *model, *parts)
    if options.launcher == 'pytorch':
        return several
    job = ['srun', '-p', str(options.partition), f'--job-name=robustness-{stage.identity[:8]}']
    cpus = 8 * options.gpus
    return [*job, f'--gres=gpu:{options.gpus}', '--ntasks=1', f'--cpus-per-task={cpus}', *several]


def _data_root(cfg: Config, options: RunOptions) -> list[object]:
    folder = data_folder(cfg, options.data_root)
    return [] if folder is None else ['--data-root', folder]


def data_folder(cfg: Config, data_root: Path) -> Path | None:
    """Return where a training's data lies: its ``data/X`` is X below the data root.

    Args:
        cfg: Config of a training.
        data_root: Folder that stands for ``data/``.

    Returns:
        None for a config whose data lies elsewhere.
    """
    folder = Path(cfg.train_dataloader.dataset.get('data_root') or '')
    return data_root / folder.relative_to('data') if folder.parts[:1] == ('data',) else None


def _overrides(values: Mapping[str, Any]) -> list[str]:
    return (
        ['--cfg-options', *(f'{k}={write_value(v)}' for k, v in values.items())] if values else []
    )
