"""Hooks of a pre-training run: what workers must know, what the log shows, what was skipped."""

import json
import random
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmpretrain.models import VisionTransformer
from torch.utils.data import Dataset

from mmc2fmae.checkpoints import describe_module, describe_preprocessor, statement
from mmc2fmae.datasets.transforms import KeyedRandomness, ProgressiveMasking
from mmc2fmae.env import collect
from mmc2fmae.files import write_atomically
from mmc2fmae.masking import STRATEGIES, count_hidden


@HOOKS.register_module()
class DataProgressHook(Hook):
    """Tell the data workers seed, epoch and curriculum progress before each epoch's iterator.

    Progress t runs from 0 in the first epoch to 1 in the last and depends on the epoch alone, so a
    resumed run continues where it was.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Set the progress of the training dataset."""
        t = runner.epoch / max(runner.max_epochs - 1, 1)
        runner.train_dataloader.dataset.progress.set(runner.seed, runner.epoch, t)


def _transforms(dataset: Dataset) -> list:
    """Return the transforms of a dataset and of the datasets that it wraps."""
    inner = getattr(dataset, 'datasets', None) or [getattr(dataset, 'dataset', None)]
    own = dataset.pipeline.transforms if hasattr(dataset, 'pipeline') else []
    return [*own, *(t for part in inner if part is not None for t in _transforms(part))]


@HOOKS.register_module()
class KeyedRandomnessHook(Hook):
    """Key every draw of a fine-tuning run, so that a resumed run repeats an uninterrupted one.

    Data workers learn of seed and epoch through :class:`~mmc2fmae.datasets.KeyedRandomness`. The
    process's own generators (mixup, drop path) are seeded by (seed, iteration, process).
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Tell the pipeline seed and epoch."""
        for transform in _transforms(runner.train_dataloader.dataset):
            if isinstance(transform, KeyedRandomness):
                transform.progress.set(runner.seed, runner.epoch, 0.0)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Seed the iteration."""
        key = np.random.SeedSequence([runner.seed, runner.iter, runner.rank])
        first, second, third = key.generate_state(3).tolist()
        random.seed(first)
        np.random.seed(second)
        torch.manual_seed(third)


@HOOKS.register_module()
class PretrainLogHook(Hook):
    """Log the curriculum, what the masks hide, throughput and (on CPU) memory.

    ``alpha_S`` and ``alpha_I`` are the coefficients of Eq. 10, ``masked_SG``, ``masked_IG`` and
    ``masked_RD`` the shares of the masked patches that each strategy explains, ``objects_hidden``
    the share of the samples with objects that show no token of one (D4, D5): means since the start
    of the epoch, which has one pair of coefficients.
    """

    def before_train_epoch(self, runner: Runner) -> None:
        """Note the curriculum's coefficients, and count anew what its masks hide."""
        self.shares, self.samples = np.zeros(len(STRATEGIES)), 0
        self.hidden = self.with_objects = 0
        dataset = runner.train_dataloader.dataset
        self.alphas = {}  # MAE draws its masks itself
        for transform in dataset.pipeline.transforms:
            if isinstance(transform, ProgressiveMasking):
                alphas = transform.curriculum(dataset.progress.t)
                self.alphas = dict(zip(('alpha_S', 'alpha_I'), alphas, strict=True))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log one iteration."""
        hub = runner.message_hub
        for name, value in self.alphas.items():
            hub.update_scalar(f'train/{name}', value)
        for name, mask in data_batch.get('masks', {}).items():
            visible = mask.shape[1] - mask.sum() / len(mask)
            hub.update_scalar(f'train/visible_{name}', float(visible))
        if 'mask_shares' in data_batch:
            self._log_masks(hub, data_batch)
        batch = len(data_batch['path']) * get_world_size()
        hub.update_scalar('train/images_per_s', batch / hub.get_scalar('train/time').current())
        if not torch.cuda.is_available():  # with a GPU mmengine logs its memory
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            per_mib = 2**20 if sys.platform == 'darwin' else 2**10
            hub.update_scalar('train/memory', peak // per_mib)

    def _log_masks(self, hub: MessageHub, data_batch: dict) -> None:
        shares = data_batch['mask_shares'].numpy()
        self.shares, self.samples = self.shares + shares.sum(axis=0), self.samples + len(shares)
        for name, share in zip(STRATEGIES, self.shares / self.samples, strict=True):
            hub.update_scalar(f'train/masked_{name}', float(share))
        if 'instance' not in data_batch['inputs']:
            return
        masks = [mask.numpy() for mask in data_batch['masks'].values()]
        hidden, number = count_hidden(data_batch['inputs']['instance'].numpy(), masks)
        self.hidden, self.with_objects = self.hidden + hidden, self.with_objects + number
        if self.with_objects:
            hub.update_scalar('train/objects_hidden', self.hidden / self.with_objects)


@HOOKS.register_module()
class SkippedSamplesHook(Hook):
    """Name and count the samples that ``on_error='skip'`` passed over; stop when there are many.

    Args:
        max_share: Largest tolerated share of the dataset.
    """

    def __init__(self, max_share: float = 0.01) -> None:
        if not 0 <= max_share <= 1:
            raise ValueError(f'max_share is {max_share}: expected a share in [0, 1]')
        self.max_share = max_share
        self.reasons: set[str] = set()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log samples that were skipped for the first time.

        Raises:
            RuntimeError: More than ``max_share`` of the dataset is unreadable.
        """
        self._note(runner, {line for text in data_batch['skipped'] for line in text.splitlines()})

    def after_train_epoch(self, runner: Runner) -> None:
        """Bring together what all processes skipped."""
        self._note(runner, set().union(*all_gather_object(self.reasons)))
        if self.reasons:
            runner.logger.warning(f'{len(self.reasons)} unreadable samples skipped so far')

    def _note(self, runner: Runner, found: set[str]) -> None:
        for reason in sorted(found - self.reasons):
            runner.logger.warning(f'skipped unreadable sample: {reason}')
        self.reasons |= found
        total = len(runner.train_dataloader.dataset)
        if len(self.reasons) > self.max_share * total:
            raise RuntimeError(
                f'{len(self.reasons)} of {total} samples are unreadable, more than the tolerated '
                f'share of {self.max_share:g}: repair them (the log names each) or raise max_share '
                'of SkippedSamplesHook'
            )


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Record with the run, and in every checkpoint's ``meta``, what its weights cannot say.

    That is versions, commit and hardware (``environment``), and architecture and preprocessing of a
    ViT backbone (``backbone``), so that the checkpoint can be used without its config.
    """

    def before_run(self, runner: Runner) -> None:
        """Write ``environment.json`` beside the run's log."""
        self.record = collect()
        if runner.rank == 0:
            text = json.dumps(self.record, indent=2)
            write_atomically(text.encode(), Path(runner.log_dir, 'environment.json'))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the record to the checkpoint."""
        checkpoint['meta']['environment'] = self.record
        model = getattr(runner.model, 'module', runner.model)
        vit = getattr(model, 'backbone', None)
        if isinstance(vit, VisionTransformer):
            arch = describe_module(vit)
            preprocessing = describe_preprocessor(model.data_preprocessor, arch.img_size)
            windows = {getattr(layer.attn, 'window_size', 0) for layer in vit.layers}
            checkpoint['meta']['backbone'] = statement(arch, preprocessing) | dict(
                window_size=int(max(windows))
            )
