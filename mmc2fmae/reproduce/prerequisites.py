"""What must be there before anything starts: data, room on the disk, what the launcher needs."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmc2fmae.files import require_room
from mmc2fmae.reproduce.commands import RunOptions, data_folder, total_batch
from mmc2fmae.reproduce.configs import read_config
from mmc2fmae.reproduce.plan import Plan
from mmc2fmae.reproduce.stage import PlanError, Stage


def check_run(plan: Plan, todo: Sequence[Stage], options: RunOptions, disk: int) -> None:
    """Check all that stages need before the first one starts.

    Args:
        plan: The plan.
        todo: Stages that are to run.
        options: How.
        disk: Bytes that they will leave.

    Raises:
        PlanError: Something is missing; all of it is named, with the page that helps.
    """
    problems = list(_launcher(options))
    made = [Path(s.options['out']) for s in plan.stages.values() if s.kind == 'scenes']
    missing: dict[Path, str] = {}
    for stage in todo:
        if stage.trains and not problems:
            total_batch(stage, stage.load_config(), options.gpus)
        page = stage.protocol.docs if stage.protocol else plan.preset.docs
        for path in data_paths(stage, options.data_root):
            if not path.exists() and not any(path.is_relative_to(folder) for folder in made):
                missing.setdefault(path, page)
    problems += [f'{path} does not exist: see {page}' for path, page in missing.items()]
    try:
        require_room(
            options.work_dir, disk, 'what the stages leave', 'free some, or take another --work-dir'
        )
    except OSError as error:
        problems.append(str(error))
    if problems:
        raise PlanError(f'nothing was started: {"; ".join(problems)}')


def data_paths(stage: Stage, data_root: Path) -> list[Path]:
    """Return the folders and files of data that a stage reads.

    Args:
        stage: A stage of any kind.
        data_root: Folder that stands for ``data/`` in the configs.
    """
    if stage.kind == 'robustness' and stage.config:
        sets = read_config(stage.config, stage.overrides).robustness.sets
        return [data_root / spec.folder for spec in sets.values()]
    if not stage.trains:
        return []
    cfg = stage.load_config()
    root = data_folder(cfg, data_root)
    paths: list[Path] = []
    for split in ('train', 'val'):
        if cfg.get(f'{split}_dataloader'):
            dataset = cfg[f'{split}_dataloader'].dataset
            paths += _of_dataset(dataset, root or Path(dataset.get('data_root') or '.'))
    return list(dict.fromkeys(paths))


def _of_dataset(dataset: Mapping[str, Any], root: Path) -> Iterator[Path]:
    prefix = dataset.get('data_prefix') or {}
    yield from (
        root / folder for folder in ([prefix] if isinstance(prefix, str) else prefix.values())
    )
    for key in ('folder', 'ann_file', 'label_file'):
        if dataset.get(key):
            yield root / dataset[key]


def _launcher(options: RunOptions) -> Iterator[str]:
    if options.launcher == 'none' and options.gpus != 1:
        yield f'--gpus {options.gpus} needs --launcher pytorch or slurm'
    if options.launcher == 'slurm' and not options.partition:
        yield '--launcher slurm needs --partition'
    if options.launcher == 'pytorch' and options.jobs > 1:
        yield '--jobs above 1 goes with --launcher none or slurm, not with pytorch'
    if options.launcher == 'slurm' and shutil.which('srun') is None:
        yield 'srun is not on this machine: --launcher slurm needs it'
