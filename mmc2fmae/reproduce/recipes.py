"""docs/recipes.md, written from the configs: the recipes, and where they leave the print."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmc2fmae.configs import ROOT
from mmc2fmae.files import write_atomically
from mmc2fmae.reproduce import configs
from mmc2fmae.reproduce.plan import make_plan
from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows
from mmc2fmae.reproduce.tables import Suite

PAGE = ROOT / 'docs/recipes.md'
HEAD = """# What exactly are the recipes?

Written from the configs by `python tools/reproduce.py recipes`; a test fails where page and
configs differ. Rates are what the optimizer gets; the base rate is rate x 256 / batch. What the
paper leaves open and how it was decided: [paper_notes.md](paper_notes.md).
"""
DEVIATIONS = """## Where we leave the paper's print

| protocol | | printed | here | why |
| --- | --- | --- | --- | --- |
"""


def write() -> Path:
    """Write the page and return its path.

    Raises:
        FileNotFoundError: There is no checkout to write it to.
    """
    if not PAGE.parent.is_dir():
        raise FileNotFoundError(f'{PAGE.parent} does not exist: the page belongs to a checkout')
    write_atomically(recipes_markdown().encode(), PAGE)
    return PAGE


def recipes_markdown() -> str:
    """Return the page."""
    tables, suite = load_tables(['all'], load_suite())
    parts = [HEAD]
    for name, title in (('paper', 'The paper'), ('mini', 'In miniature')):
        plan = make_plan(tables, pick_rows(tables, None), suite, suite.presets[name], [0])
        stages = plan.stages.values()
        pretrain = dict.fromkeys(s.config for s in stages if s.kind == 'pretrain' and s.config)
        parts.append(f'## {title}: pre-training\n\n{_table(pretrain, {})}')
        used = {s.protocol.id: s.protocol for s in stages if s.kind == 'finetune' and s.protocol}
        names = {protocol.config: protocol.id for protocol in used.values()}
        parts.append(f'## {title}: fine-tuning\n\n{_table(names, names)}')
    return '\n'.join([*parts, DEVIATIONS + _deviations(suite)])


def recipe(cfg: Config) -> dict[str, str]:
    """Return what a reader wants to know of a training, as text.

    Args:
        cfg: Config of a training.
    """
    optimizer, batch = cfg.optim_wrapper.optimizer, cfg.auto_scale_lr.base_batch_size
    parameters = cfg.optim_wrapper.get('paramwise_cfg') or {}
    iterations = 'max_iters' in cfg.train_cfg
    backbone = cfg.model.backbone
    return {
        'batch': str(batch),
        'length': f'{cfg.train_cfg.max_iters:,} iterations'
        if iterations
        else f'{cfg.train_cfg.max_epochs} epochs',
        'schedule': ', then '.join(map(_scheduler, cfg.param_scheduler)),
        'optimizer': f'{optimizer.type}{_betas(optimizer)}',
        'rate': f'{optimizer.lr:.3g}',
        'base rate': f'{optimizer.lr * 256 / batch:.3g}',
        'weight decay': f'{optimizer.weight_decay:g}',
        'layer decay': f'{parameters["layer_decay"]:g}' if 'layer_decay' in parameters else '',
        'drop path': f'{backbone.get("drop_path_rate", 0):g}',
        'image': _image(cfg),
        'augmentation': ', '.join(_augmentation(cfg)),
        'masking': _masking(cfg),
        **_method(cfg),
    }


def _table(paths: Iterable[Path], names: Mapping[Path, str]) -> str:
    rows = {path: recipe(configs.read_config(path)) for path in paths}
    # What all share is said once, the rest becomes columns.
    keys = list(next(iter(rows.values())))
    shared = {k: v for k in keys if len({row[k] for row in rows.values()}) == 1
              for v in [next(iter(rows.values()))[k]]}  # fmt: skip
    columns = [key for key in keys if key not in shared]
    lines = [['config', *columns]]
    for path, row in rows.items():
        link = f'[{path.stem}](../{path.relative_to(ROOT)})'
        lines.append(
            [f'`{names[path]}` {link}' if path in names else link, *(row[key] for key in columns)]
        )
    text = '; '.join(f'{key} {value}' for key, value in shared.items() if value)
    common = f'Of all: {text}.\n\n' if text else ''
    return f'{common}{_grid(lines)}\n'


def _grid(lines: Sequence[Sequence[str]]) -> str:
    rows = ['| ' + ' | '.join(line) + ' |' for line in lines]
    return '\n'.join([rows[0], '|' + ' --- |' * len(lines[0]), *rows[1:]])


def _deviations(suite: Suite) -> str:
    lines = []
    for protocol in suite.protocols.values():
        for name, entry in protocol.printed.items():
            here = configs.relevant(configs.read_config(protocol.config))[entry['field']]
            cells = (f'`{protocol.id}`', name, f'{entry["value"]:g}', f'{here:g}', entry['why'])
            lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines) + '\n'


def _betas(optimizer: Mapping[str, Any]) -> str:
    if 'betas' in optimizer:
        return f' {tuple(optimizer["betas"])}'
    return f' (momentum {optimizer["momentum"]:g})' if 'momentum' in optimizer else ''


def _scheduler(part: Mapping[str, Any]) -> str:
    unit = 'epochs' if part.get('by_epoch', True) else 'iterations'
    if part['type'] == 'LinearLR':
        return f'linear warm-up over {part["end"]:,} {unit} from {part["start_factor"]:g}'
    if part['type'] == 'MultiStepLR':
        steps = ' and '.join(map(str, part['milestones']))
        return f'x {part["gamma"]:g} after {unit} {steps}'
    if part['type'] == 'CosineAnnealingLR':
        low = part.get('eta_min_ratio')
        return f'cosine to {f"{low:g} of the rate" if low else 0}'
    return f'polynomial to {part.get("eta_min", 0):g} (power {part.get("power", 1):g})'


def _image(cfg: Config) -> str:
    size = (cfg.model.get('data_preprocessor') or {}).get('size')
    if size:
        return f'{size[0]} x {size[1]}'
    for step in cfg.train_dataloader.dataset.pipeline:
        if step['type'] == 'RandomChoiceResize':
            scales = step['scales']
            shorts = sorted(min(scale) for scale in scales)
            return f'short side {shorts[0]} to {shorts[-1]}, long side up to {max(scales[0])}'
    return f'{cfg.model.backbone.img_size} x {cfg.model.backbone.img_size}'


def _augmentation(cfg: Config) -> list[str]:
    found = []
    for step in cfg.train_dataloader.dataset.pipeline:
        inner = step.get('transforms') or [step]
        for part in inner:
            name = _AUGMENTATIONS.get(part['type'])
            if name:
                found.append(name(part))
    loss = (cfg.model.get('head') or {}).get('loss') or {}
    if 'label_smooth_val' in loss:
        found.append(f'label smoothing {loss["label_smooth_val"]:g}')
    for part in (cfg.model.get('train_cfg') or {}).get('augments', []):
        found.append(f'{part["type"].lower()} {part["alpha"]:g}')
    return found


def _crop(step: Mapping[str, Any]) -> str:
    low, high = step.get('crop_ratio_range') or step['scale']
    return f'random crop of {low:g} to {high:g}'


_AUGMENTATIONS = {
    'RandomResizedCrop': lambda s: _crop({'crop_ratio_range': (0.08, 1.0), **s}),
    'JointRandomResizedCrop': _crop,
    'RandomFlip': lambda s: 'flip',
    'JointRandomFlip': lambda s: 'flip',
    'RandAugment': lambda s: f'RandAugment {s["magnitude_level"]}/{s["magnitude_std"]:g}',
    'RandomErasing': lambda s: f'erasing {s["erase_prob"]:g}',
    'RandomResize': lambda s: 'scale {:g} to {:g}'.format(*s['ratio_range']),
    'RandomCrop': lambda s: 'crop',
    'PhotoMetricDistortion': lambda s: 'photometric distortion',
}


def _method(cfg: Config) -> dict[str, str]:
    """Return granularities, decoder and loss weights of a pre-training."""
    model = cfg.model
    neck = {} if isinstance(model.get('neck'), list) else model.get('neck') or {}
    if 'Decoder' not in neck.get('type', ''):
        return {}
    order = f' {" ".join(neck["order"])}' if 'order' in neck else ''
    cross = '' if neck.get('cross_attention', True) else ' without cross-attention'
    weights = model.head.get('loss_weights') or {}
    return {
        'granularities': ' '.join(['rgb', *model.backbone.get('granularities', {})]),
        'decoder': f'{neck["type"]}{order}{cross}',
        'loss weights': ' '.join(f'{name} {value:g}' for name, value in weights.items()),
    }


def _masking(cfg: Config) -> str:
    if 'mask_ratio' in cfg.model.backbone:
        return f'{cfg.model.backbone.mask_ratio:.0%} random'
    for step in cfg.train_dataloader.dataset.pipeline:
        if step['type'] == 'ProgressiveMasking':
            order = step.get('curriculum', 'SG-IG-RD')
            return f'{step["num_visible"]} visible tokens, {order}'
    return ''
