"""Guards of long runs: no resuming under another schedule, no weights that fill a part."""

from ast import literal_eval
from collections.abc import Mapping
from typing import Any

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmc2fmae.checkpoints.loading import LABELS, Coverage, coverage, require_full
from mmc2fmae.errors import CheckpointMismatch

ADDED = ('model', 'data', 'photographs')
# What of a part changes where and how fast it runs, or what it starts from, not what is computed.
_FREE = ('data_root', 'init_cfg', 'compile', 'checkpointing', 'with_cp')


def _described(part: Any) -> str:
    """Return a part of a config as text, without what a resumed run may change."""
    if isinstance(part, Mapping):
        kept = {k: _described(part[k]) for k in sorted(part, key=str) if k not in _FREE}
        return '{' + ', '.join(f'{k}: {v}' for k, v in kept.items()) + '}'
    if isinstance(part, list | tuple):
        return '[' + ', '.join(map(_described, part)) + ']'
    return repr('BN' if part == 'SyncBN' else part)  # which a machine without GPUs replaces


def _same(before: str, now: str) -> bool:
    """Tell whether texts of values are equal; the config in a run's folder sorts its fields."""
    try:
        return before == now or literal_eval(before) == literal_eval(now)
    except (SyntaxError, ValueError):  # not values, as models are described
        return False


def _differing(before: str, now: str, most: int = 120) -> str:
    """Return two texts, long ones from shortly before where they begin to differ."""
    if max(len(before), len(now)) <= most:
        return f'{before} -> {now}'
    pairs = enumerate(zip(before, now, strict=False))
    alike = next((i for i, (a, b) in pairs if a != b), min(len(before), len(now)))
    start = max(alike - 40, 0)
    return ' -> '.join(f'...{text[start : start + most]}...' for text in (before, now))


@HOOKS.register_module()
class SameScheduleHook(Hook):
    """Refuse to resume a run under another model, data, schedule, batch, optimizer or seed.

    The folder of the data may be another one: people move data between disks.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Store the schedule with the checkpoint."""
        checkpoint['meta']['schedule'] = self.schedule(runner)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the schedule of a checkpoint to resume from with the run's.

        Raises:
            ValueError: They differ; the fields are listed.
        """
        before = checkpoint.get('meta', {}).get('schedule')
        if not runner._resume or before is None:
            return
        now = self.schedule(runner)
        changed = [
            f'{key}: {_differing(str(before.get(key)), now[key])}'
            for key in now
            # Older checkpoints lack fields that were added.
            if not _same(str(before.get(key)), now[key]) and (key in before or key not in ADDED)
        ]
        if changed:
            raise ValueError(
                f'--resume would continue {runner._load_from} as another run: '
                f'{"; ".join(changed)}: resume with the settings it was started with, or start a '
                'new run from its weights with --init-from'
            )

    @staticmethod
    def schedule(runner: Runner) -> dict[str, str]:
        """Return what makes the course of a run, as text."""
        cfg = runner.cfg
        accumulate = cfg.optim_wrapper.get('accumulative_counts', 1)
        dataset = runner.train_dataloader.dataset
        return dict(
            model=_described(cfg.model),
            data=_described(cfg.train_dataloader.dataset),
            photographs=str(len(dataset)),
            max_epochs=str(cfg.train_cfg.get('max_epochs')),
            max_iters=str(cfg.train_cfg.get('max_iters')),
            total_batch=str(cfg.train_dataloader.batch_size * get_world_size() * accumulate),
            optimizer=str(cfg.optim_wrapper.optimizer.to_dict()),
            param_scheduler=str([dict(part) for part in cfg.get('param_scheduler') or []]),
            seed=str(runner.seed),
        )


@HOOKS.register_module()
class CheckpointCoverageHook(Hook):
    """Before weights enter a runner's model: say how much they fill and refuse a gap."""

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compare the checkpoint that was read with the model.

        Raises:
            CheckpointMismatch: The checkpoint does not fill the model.
        """
        model = getattr(runner.model, 'module', runner.model)
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {key.removeprefix('module.'): value for key, value in weights.items()}
        source = str(runner._load_from or 'checkpoint')
        if hasattr(model, 'backbone'):
            prefix = 'backbone.'
            own = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            if not own:
                raise CheckpointMismatch(
                    f'{source} is no checkpoint of a run like this one, no weight in it is named '
                    'backbone....: to start from an encoder, give it to --checkpoint, which lets '
                    'the rest of the model start anew'
                )
            found = coverage(own, model.backbone)
            require_full(found, 'backbone', source, _other_labels(found))
        require_full(coverage(weights, model), 'model', source, _other_classes(weights, model))


def _other_labels(found: Coverage) -> list[str]:
    """Say in words that an encoder was not trained with the label maps of the model."""
    other = [*found.missing, *found.misshapen]
    if not any(line.startswith(LABELS) for line in other):
        return []
    return [
        'it was trained with other label maps: --checkpoint in place of --init-from takes the '
        'encoder alone and lets embeddings of labels, decoder and heads start anew'
    ]


def _other_classes(weights: dict[str, Tensor], model: nn.Module) -> list[str]:
    """Say in words which heads of a model were trained for another number of classes."""
    own = model.state_dict()
    return [
        f'{key} was trained for {len(weights[key])} outputs, the model has {len(own[key])}: set '
        "the head's num_classes to that of the checkpoint (--classes, or test the run's folder, "
        'which knows them), or take the encoder alone (--checkpoint)'
        for key in own
        if 'head' in key
        and key.endswith('weight')
        and key in weights
        and own[key].shape[1:] == weights[key].shape[1:]
        and len(own[key]) != len(weights[key])
    ]
