"""Robustness of a fine-tuned classifier (paper IV-B, Table IV), from config to table."""

from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import broadcast_object_list, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.utils.dl_utils import set_multi_processing

from mmc2fmae import env
from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.engine.cfg_options import apply_cfg_options
from mmc2fmae.engine.overrides import apply_settings
from mmc2fmae.evaluation import robustness_report
from mmc2fmae.evaluation.robustness_run import (
    Options,
    PlannedSet,
    check_forward,
    load_classifier,
    plan_sets,
    run_units,
    start_processes,
)


def evaluate_robustness(
    config: str | Path,
    checkpoint: str | Path,
    sets: str | Path,
    data_root: str | Path,
    only: list[str] | None = None,
    out: str | Path | None = None,
    batch_size: int = 128,
    workers: int = 4,
    limit: int | None = None,
    amp: str | None = None,
    device: str | None = None,
    cfg_options: dict | None = None,
    settings: Sequence[str] = (),
    weights: str | None = None,
) -> dict | None:
    """Evaluate what is not in the cache yet, then write and print one table of all sets.

    Args:
        config: Config of the classifier.
        checkpoint: Its weights, or the folder of the run.
        sets: Config with a field ``robustness``.
        data_root: What the folders of the sets are relative to.
        only: Names of the sets to take; None or empty takes all.
        out: Folder for ``robustness.json``, ``.csv``, ``.md`` and the cache.
        batch_size: Images at a time.
        workers: Loader processes.
        limit: Smoke run: images of each cell; outputs are named ``robustness_smoke`` and say so.
        amp: 'bfloat16' or 'float16' for mixed precision on a GPU.
        device: Device; None takes a GPU for each process, or the CPU.
        cfg_options: Fields to override, of either config.
        settings: ``TYPE.field=value``, as of ``--set``.
        weights: 'ema' or 'raw', of a checkpoint with both.

    Returns:
        What ``robustness.json`` holds; None in all processes but the first.

    Raises:
        FileNotFoundError: A config, checkpoint or part of the data is missing.
        ValueError: Config, data and model do not fit together.
    """
    cfg = read_configs(config, sets, cfg_options)
    apply_settings(cfg, settings)
    checkpoint = find_checkpoint(checkpoint)
    out = Path(out or f'work_dirs/{Path(config).stem}/robustness_{checkpoint.stem}')
    place = start_processes(device)
    if amp and place.type != 'cuda':
        print_log('--amp is ignored: mixed precision needs a GPU, this run is fp32')
        amp = None
    set_multi_processing(distributed=get_world_size() > 1)
    torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32, on every GPU
    torch.backends.cudnn.deterministic = True
    options = Options(
        device=place,
        batch_size=batch_size,
        workers=workers,
        limit=limit,
        precision=amp or 'float32',
        weights=weights,
    )
    model = load_classifier(cfg, checkpoint, place, weights)
    planned: list = [None]
    if get_rank() == 0:  # one process reads the folders: 75 of them have 50,000 files each
        planned = [
            plan_sets(
                cfg,
                checkpoint,
                data_root=Path(data_root),
                out=out,
                only=only or [],
                options=options,
            )
        ]
    broadcast_object_list(planned)
    (planned,) = planned
    check_forward(planned, model, options)
    run_units(planned, model, options)
    if get_rank():
        return None
    report = make_report(planned, cfg, checkpoint, options)
    stem = out / ('robustness_smoke' if limit else 'robustness')
    robustness_report.write_report(report, stem)
    for hint in robustness_report.hints(report['sets']):
        print_log(hint)
    print_log(robustness_report.table(report))
    print_log(f'status: {report["status"]}; all numbers in {stem}.json, .csv and .md')
    return report


def read_configs(config: str | Path, sets: str | Path, cfg_options: dict | None = None) -> Config:
    """Read a classifier's config and put the field ``robustness`` of another into it.

    Raises:
        FileNotFoundError: There is no such config.
        ValueError: The second has no field ``robustness``.
    """
    for path in (config, sets):
        if not Path(path).is_file():
            raise FileNotFoundError(f'config {path} does not exist')
    cfg, declared = Config.fromfile(config), Config.fromfile(sets)
    if 'robustness' not in declared:
        raise ValueError(f'{sets} has no field robustness: take one of configs/cls/robustness/')
    cfg.robustness = declared.robustness
    apply_cfg_options(cfg, cfg_options, more=('robustness',))
    return cfg


def make_report(planned: list[PlannedSet], cfg: Config, checkpoint: Path, options: Options) -> dict:
    """Put together what ``robustness.json`` holds.

    Raises:
        RuntimeError: A unit has no result.
    """
    sets = {
        one.spec.name: robustness_report.summarise_set(one.spec, one.counts())
        | dict(cache=one.store.folder.name)
        for one in planned
    }
    limit = options.limit
    return dict(
        status=f'smoke run (--limit {limit}), not a result' if limit else 'complete',
        model=dict(
            config=cfg.filename,
            checkpoint=str(checkpoint),
            sha256=planned[0].sha256,
            precision=options.precision,
            weights=options.weights,
        ),
        sets=sets,
        score=robustness_report.summarise_score(cfg.robustness.get('score'), sets),
        environment=env.collect(),
    )
