"""A run as one folder for others: weights, config, logs, curves, a model card and checksums."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
from matplotlib import pyplot as plt
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope
from safetensors.torch import save_file
from torch import Tensor, nn

from mmc2fmae import configs
from mmc2fmae.checkpoints import describe_module, describe_preprocessor, statement
from mmc2fmae.checkpoints.files import METADATA_KEY, read_file, read_meta
from mmc2fmae.checkpoints.finding import find_checkpoint, progress_of
from mmc2fmae.datasets.bundle_folders import is_remote
from mmc2fmae.engine.run_log import read_records, read_scalars, validations
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.files import file_sha256
from mmc2fmae.visualization.run import draw_curves

TASKS = {
    'accuracy/top1': ('image-classification', 'accuracy'),
    'coco/bbox_mAP': ('object-detection', 'mean_average_precision'),
    'coco/segm_mAP': ('image-segmentation', 'mean_average_precision'),
    'mIoU': ('image-segmentation', 'mean_iou'),
    'semantic/mIoU': ('image-segmentation', 'mean_iou'),
}
"""Metric of a log to task and metric by Hugging Face's names."""


def export_run(
    run: str | Path, out: str | Path, which: str | None = None, license: str | None = None
) -> Path:
    """Write a run as a folder from which it can be evaluated elsewhere, and pushed to a hub.

    The folder stands for a checkpoint, a run and a config in every command. It holds
    ``model.safetensors`` (of the last checkpoint, without the optimizer), ``config.py`` (resolved,
    without paths of this machine), ``environment.json``, ``logs/``, ``curves.png``, ``README.md``
    (a model card) and ``SHA256SUMS``.

    Args:
        run: Folder of the run, or a checkpoint in it.
        out: Folder to write; it must not be there, or be empty.
        which: 'ema' or 'raw' weights, of checkpoints with both.
        license: SPDX name for the card; None leaves it out.

    Returns:
        ``out``.

    Raises:
        FileExistsError: ``out`` holds something.
        FileNotFoundError: There is no run, config or checkpoint.
        CheckpointMismatch: The weights do not fill the model of the config.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(f'{out} holds something: name a folder that is not there yet')
    checkpoint = find_checkpoint(run)
    folder = checkpoint.parent
    cfg = configs.read(folder)
    weights = read_file(checkpoint, which).weights
    portable = without_places(cfg)
    model = _filled(portable, weights, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    classes = read_meta(checkpoint).classes
    _write_weights(model, weights, classes, out / 'model.safetensors')
    portable.dump(str(out / 'config.py'))
    environment = _copy_logs(folder, out)
    records = list(read_records(folder))
    _draw_curves(read_scalars(folder), records, out / 'curves.png')
    name, at = folder.resolve().name, progress_of(checkpoint)
    card = model_card(
        name,
        portable,
        model=model,
        records=records,
        environment=environment,
        license=license,
        progress=at,
    )
    (out / 'README.md').write_text(card, encoding='utf-8')
    files = sorted(p for p in out.rglob('*') if p.is_file())
    sums = [f'{file_sha256(path)}  {path.relative_to(out).as_posix()}' for path in files]
    (out / 'SHA256SUMS').write_text('\n'.join(sums) + '\n', encoding='utf-8')
    return out


def without_places(cfg: Config) -> Config:
    """Return a config without folders of this machine and without what started the run.

    Args:
        cfg: Config of a run. An absolute data root ``/a/b`` becomes ``data/b``, wherever a path
            starts with it, and so does an address.
    """
    fields = cfg.to_dict()
    for key in ('work_dir', 'launcher'):
        fields.pop(key, None)
    fields |= dict(load_from=None, resume=False)
    start = fields.get('model', {}).get('backbone', {})
    if (start.get('init_cfg') or {}).get('type') in ('StrictPretrained', 'Pretrained'):
        start['init_cfg'] = None
    named = {r for r in _roots(fields) if Path(r).is_absolute() or is_remote(r)}
    roots = sorted(named, key=len)
    for root in reversed(roots):  # the longest first
        fields = _replaced(fields, root.rstrip('/'))
    return Config(fields)


def _roots(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(root := value.get('data_root'), str):
            yield root
        for inner in value.values():
            yield from _roots(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _roots(inner)


def _replaced(value: Any, root: str) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(inner, root) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_replaced(inner, root) for inner in value)
    if isinstance(value, str) and (value == root or value.startswith(f'{root}/')):
        return f'data/{Path(root).name}{value[len(root) :]}'
    return value


def _filled(cfg: Config, weights: dict[str, Tensor], source: Path) -> nn.Module:
    """Build the model of a config and fill it, as an evaluation elsewhere will."""
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmpretrain')):
        model: nn.Module = MODELS.build(ConfigDict(cfg.model.to_dict()))
    found = model.load_state_dict(weights, strict=False)
    if found.missing_keys or found.unexpected_keys:
        lacking, more = found.missing_keys[:3], found.unexpected_keys[:3]
        raise CheckpointMismatch(
            f'{source} does not fit the config beside it: {len(found.missing_keys)} tensors are '
            f'missing {lacking}, {len(found.unexpected_keys)} have no place {more}'
        )
    return model


def _write_weights(
    model: nn.Module, weights: dict[str, Tensor], classes: tuple[str, ...] | None, path: Path
) -> None:
    arch = describe_module(model.backbone)
    preprocessor: nn.Module = model.get_submodule('data_preprocessor')
    said = statement(arch, describe_preprocessor(preprocessor, arch.img_size))
    texts = {'format': 'pt', METADATA_KEY: json.dumps(said)}
    if classes:
        texts['classes'] = json.dumps(classes)
    save_file({key: value.contiguous().clone() for key, value in weights.items()}, path, texts)


def _copy_logs(folder: Path, out: Path) -> dict[str, Any]:
    """Copy logs, scalars and environment of every part of a run; return the last environment."""
    for scalars in sorted(folder.glob('*/vis_data/scalars.json')):
        part = scalars.parents[1]
        target = out / 'logs' / part.name
        target.mkdir(parents=True)
        for path in (scalars, part / 'environment.json', *part.glob('*.log')):
            if path.is_file():
                shutil.copyfile(path, target / path.name)
        if (target / 'environment.json').is_file():
            shutil.copyfile(target / 'environment.json', out / 'environment.json')
    if not (out / 'environment.json').is_file():
        return {}
    found: dict[str, Any] = json.loads((out / 'environment.json').read_text(encoding='utf-8'))
    return found


def _draw_curves(scalars: list[dict], records: list[dict], path: Path) -> None:
    """Draw losses and metrics."""
    figure = plt.figure(figsize=(11, 3.4), layout='constrained')
    (part,) = figure.subfigures(1, 1, squeeze=False).flat
    draw_curves(part, scalars, records)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def last_validation(records: list[dict], step: int | None = None) -> dict[str, float]:
    """Return what the last validation of a run found, {} without one.

    Args:
        records: All records of the run's log, in order.
        step: Epoch, or iteration, of the validation; None takes any.
    """
    measured = [r for r in validations(records) if step is None or r.get('step') == step]
    return {k: v for k, v in measured[-1].items() if k != 'step'} if measured else {}


def model_card(
    name: str,
    cfg: Config,
    model: nn.Module,
    records: list[dict],
    environment: dict[str, Any],
    license: str | None,
    progress: tuple[str, int] | None,
) -> str:
    """Return a model card in Hugging Face's format: metadata as YAML, then text.

    Args:
        name: Of the model.
        cfg: Config of the run, without places.
        model: The model.
        records: Records of its log.
        environment: Versions, commit and hardware of its last part.
        license: SPDX name, or None.
        progress: Where the training stood; see
            :func:`mmc2fmae.checkpoints.finding.progress_of`. What was measured at another place is
            left out.
    """
    unit, _ = configs.training_length(cfg)
    at, step = progress or ('', 0)
    metrics = last_validation(records, step) if at == unit else {}
    known = {key: TASKS[key] for key in metrics if key in TASKS}
    tasks = [TASKS[key][0] for key in last_validation(records) if key in TASKS]
    task = tasks[0] if tasks else 'image-feature-extraction'
    algorithm = type(model).__name__
    lines = ['---', *([f'license: {license}'] if license else []), 'library_name: mmc2fmae']
    lines += [f'pipeline_tag: {task}', 'tags:', '- mmc2fmae']
    data = _dataset_name(cfg)
    if known:
        lines += ['model-index:', f'- name: {json.dumps(name)}', '  results:']
        for key, (kind, metric) in known.items():
            lines += [
                '  - task:', f'      type: {kind}', '    dataset:',
                f'      name: {json.dumps(data)}', f'      type: {json.dumps(data)}',
                '    metrics:', f'    - type: {metric}', f'      value: {metrics[key]:.6g}',
                f'      name: {json.dumps(key)}',
            ]  # fmt: skip
    number = sum(p.numel() for p in model.parameters())
    batch = cfg.get('auto_scale_lr', {}).get('base_batch_size', '?')
    versions = environment.get('versions', {})
    hardware = environment.get('hardware', {})
    lines += [
        '---', '', f'# {name}', '',
        f'{algorithm}, {number / 1e6:.1f} M parameters, trained with '
        f'mmc2fmae {versions.get("mmc2fmae", "")} (C2FMAE, arXiv 2603.09955) on {data}: '
        f'{_length(cfg, progress)}, total batch {batch}, '
        f'learning rate {cfg.optim_wrapper.optimizer.lr:g}. All settings: `config.py`; logs: '
        '`logs/`, `curves.png`.', '',
    ]  # fmt: skip
    if metrics:
        lines += ['| last validation | |', '| --- | --- |']
        lines += [f'| {key} | {value:.6g} |' for key, value in metrics.items()] + ['']
    lines += ['```bash', "pip install 'mmc2fmae[lite]'"]
    if cfg.get('test_dataloader'):
        lines += ['mmc2fmae test . --data-root DATA' + '       # the numbers above' * bool(metrics)]
    lines += [
        'mmc2fmae features . PHOTOGRAPHS OUT', 'sha256sum -c SHA256SUMS', '```', '', '```python',
        'import mmc2fmae', '', "encoder, preprocessing = mmc2fmae.load_encoder('.')", '```', '',
        f'Commit {environment.get("commit")}{" with changes" if environment.get("dirty") else ""}, '
        f'{", ".join(hardware.get("gpus") or [str(hardware.get("cpu"))])}, '
        f'torch {versions.get("torch")}, Python {environment.get("python")}.',
    ]  # fmt: skip
    return '\n'.join(lines) + '\n'


def _dataset_name(cfg: Config) -> str:
    dataset = cfg.train_dataloader.dataset
    while 'dataset' in dataset:
        dataset = dataset.dataset
    root = dataset.get('data_root') or dataset.get('type')
    return Path(str(root)).name


_UNITS = dict(epoch='epochs', iter='iterations')


def _length(cfg: Config, progress: tuple[str, int] | None) -> str:
    """Say how long a training was, and where it stood if that is not its end."""
    unit, length = configs.training_length(cfg)
    text = f'{length:,} {_UNITS[unit]}'
    if progress is None:
        return f'a training of {text}'
    counted, number = progress
    return text if progress == (unit, length) else f'{number:,} {_UNITS[counted]} of {text}'
