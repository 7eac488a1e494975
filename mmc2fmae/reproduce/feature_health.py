"""How healthy the features are that pre-trainings ended with, where their probes logged it."""

from statistics import mean, stdev

from mmc2fmae.engine.run_log import read_records
from mmc2fmae.probes.diagnosis import least_rank
from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.report import Report, stages_of
from mmc2fmae.reproduce.stage import Stage
from mmc2fmae.reproduce.tables import Table

RANKS = ('rankme', 'effective_rank')


def health_of(report: Report, stage: Stage | None) -> dict[str, float]:
    """Return the last ranks of the features of the pre-training that a stage goes back to.

    Args:
        report: Report.
        stage: Stage; None has none.

    Returns:
        Name of :data:`RANKS` to value; empty where nothing was pre-trained or nothing logged.
    """
    before = _pretraining(stage)
    if stage is None or before is None:
        return {}
    adopted = report.results.get(stage.key, {}).get('pretrain')
    if adopted is not None:
        return {name: adopted[name] for name in RANKS if name in adopted}
    if before.key not in report.health:  # a log is read once, whatever asks
        found = report.health.setdefault(before.key, {})
        for record in read_records(results.stage_folder(report.work_dir, before)):
            found |= {name: record[f'probe/{name}'] for name in RANKS if f'probe/{name}' in record}
    return report.health[before.key]


def health_notes(report: Report, table: Table) -> list[str]:
    """Return a sentence for each row whose pre-trainings measured their features."""
    notes = []
    for line in report.lines[table.id]:
        stages: dict[int, Stage] = {}
        for metric in table.metrics:
            stages |= stages_of(report, table, line.row, metric.key)
        done = {seed: stage for seed, stage in stages.items() if stage.key in report.results}
        found = {seed: health_of(report, stage) for seed, stage in done.items()}
        found = {seed: ranks for seed, ranks in found.items() if set(RANKS) <= set(ranks)}
        if not found:
            continue
        rankme, effective = (_over_seeds([r[name] for r in found.values()]) for name in RANKS)
        text = f'{line.row.name}: its pre-training ended with RankMe {rankme}'
        width = _width(stages[next(iter(found))])
        text += f' of {width}' if width else ''
        text += f', effective rank {effective}'
        least = least_rank(width, width + 1) if width else 0.0
        low = {seed: ranks['rankme'] for seed, ranks in found.items() if ranks['rankme'] < least}
        if low:
            of_seeds = ', '.join(f'seed {seed} ({rank:.1f})' for seed, rank in low.items())
            text += f'; collapsed, since below {least:.1f}, with {of_seeds}'
        notes.append(f'{text} (docs/watch_run.md).')
    return notes


def _pretraining(stage: Stage | None) -> Stage | None:
    while stage is not None and stage.kind != 'pretrain':
        stage = stage.upstream
    return stage


def _over_seeds(values: list[float]) -> str:
    spread = f' ± {stdev(values):.1f}' if len(values) > 1 else ''
    return f'{mean(values):.1f}{spread}'


def _width(stage: Stage) -> int | None:
    """Return the width of the pre-trained encoder, None of one that is no ViT."""
    from mmpretrain.models import VisionTransformer

    before = _pretraining(stage)
    assert before is not None  # what has ranks was pre-trained
    arch = before.load_config().model.get('backbone', {}).get('arch', 'base')
    sizes = VisionTransformer.arch_zoo.get(arch) if isinstance(arch, str) else arch
    width: int | None = sizes and sizes.get('embed_dims')
    return width
