"""The runner of all trainings and tests."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.device import get_device
from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.model import initialize
from mmengine.optim import OptimWrapper
from mmengine.runner import BaseLoop, Runner
from torch import nn
from torch.utils.data import DataLoader

from mmc2fmae.engine import dali
from mmc2fmae.engine.console import ignore_stack_warnings, show_what_matters
from mmc2fmae.engine.halving import Halving
from mmc2fmae.engine.loops import ContinuedEpochLoop
from mmc2fmae.engine.run_table import batch_text, describe_data
from mmc2fmae.engine.sharding import divide_loaded, is_sharded, shard, whole_states
from mmc2fmae.errors import DatasetError
from mmc2fmae.parallel import be_a_worker


class QuietRunner(Runner):
    """mmengine's Runner, quiet on the console, and with what a run here can rely on.

    Data workers end with their process, an epoch can be continued, an evaluation goes on with half
    a batch where memory runs out, and a model may be in parts.
    """

    def build_logger(self, *args, **kwargs) -> MMLogger:
        """Return mmengine's logger; its file gets everything, the console what users need."""
        logger = super().build_logger(*args, **kwargs)
        show_what_matters(logger)
        return logger

    @staticmethod
    def build_dataloader(*args, **kwargs) -> DataLoader:
        """Return mmengine's data loader, whose workers end with this process."""
        loader = Runner.build_dataloader(*args, **kwargs)
        loader.worker_init_fn = partial(_start_worker, loader.worker_init_fn)
        return loader

    def build_train_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Return mmengine's loop, whose data loader has at least one batch.

        One over epochs can be continued within an epoch.

        Raises:
            DatasetError: There are fewer photographs than a batch.
            ValueError, ImportError, RunStopped: DALI is asked for and cannot be had; see
                :func:`mmc2fmae.engine.dali.decoder_of`.
        """
        if isinstance(loop, dict) and loop.get('type') == 'EpochBasedTrainLoop':
            loop = dict(loop, type='ContinuedEpochLoop')
        built = super().build_train_loop(loop)
        loader = built.dataloader
        require_batch(loader)
        if decoder := dali.decoder_of(loader):
            if not isinstance(built, ContinuedEpochLoop):
                raise ValueError(
                    f'{dali.FIELD}: DALI decodes in runs that count epochs, this one has a '
                    f'{type(built).__name__}: leave it out'
                )
            built.batches = decoder.batches
        accumulate = self.cfg.optim_wrapper.get('accumulative_counts', 1)
        if len(loader.dataset) < (loader.batch_size or 1) * get_world_size() * accumulate:
            self.logger.warning(
                f'a step takes {batch_text(loader, accumulate)} photographs, more than the '
                f'{len(loader.dataset):,} that there are: lower --total-batch or '
                'train_dataloader.batch_size'
            )
        return built

    def build_val_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Return mmengine's loop; where memory runs out, batches are halved."""
        self._halve('val_step')
        return super().build_val_loop(loop)

    def build_test_loop(self, loop: BaseLoop | dict) -> BaseLoop:
        """Return mmengine's loop; where memory runs out, batches are halved."""
        self._halve('test_step')
        return super().build_test_loop(loop)

    def wrap_model(self, model_wrapper_cfg: dict | None, model: nn.Module) -> nn.Module:
        """Return the model as mmengine joins processes; with ``shard``, a training divides it."""
        if self.cfg.get('shard'):
            return model.to(get_device())
        return super().wrap_model(model_wrapper_cfg, model)

    def build_optim_wrapper(self, *args, **kwargs) -> OptimWrapper:
        """Return mmengine's wrapper; with ``shard``, of the parameters of a model in parts."""
        if not self.cfg.get('shard') or is_sharded(self.model):  # asked once more to resume
            return super().build_optim_wrapper(*args, **kwargs)
        self._init_model_weights()  # as mmengine does later, but then they are no longer whole
        shard(self.model)
        wrapper = super().build_optim_wrapper(*args, **kwargs)
        divide_loaded(wrapper.optimizer)
        return wrapper

    def save_checkpoint(self, *args, **kwargs) -> None:
        """Save what mmengine saves, whole; all processes must call it."""
        with whole_states(self.model, self.optim_wrapper.optimizer, keep=self.rank == 0):
            super().save_checkpoint(*args, **kwargs)

    def _halve(self, step: str) -> None:
        model: Any = getattr(self.model, 'module', self.model)
        if is_sharded(model):  # all processes put it together, and as often
            return
        if not isinstance(getattr(model, step), Halving):
            setattr(model, step, Halving(getattr(model, step)))

    def _init_model_weights(self) -> None:
        """Initialise the model, then fill its backbone.

        mmpretrain's own backbones draw patch embedding and tokens after ``init_cfg`` was read.
        """
        model: Any = getattr(self.model, 'module', self.model)
        if is_sharded(model):  # was initialised before that
            return
        backbone: Any = getattr(model, 'backbone', None)
        init = getattr(backbone, 'init_cfg', None)
        later = isinstance(init, dict) and init.get('type') == 'StrictPretrained'
        if later:
            backbone.init_cfg = None
        super()._init_model_weights()
        if later:
            initialize(backbone, init)

    def dump_config(self) -> None:
        """Write nothing yet; the folder's config is that of a training (:class:`KeptConfigHook`).

        A test, or a resumption that is refused, would change what the folder says of its weights.
        """

    def setup_env(self, env_cfg: dict) -> None:
        """Set up the environment, without the stack's warnings that no user can act on."""
        ignore_stack_warnings()
        super().setup_env(env_cfg)


class KeptConfigHook(Hook):
    """Write the config of a training into its folder, once every check has let it start."""

    priority = 'LOWEST'

    def before_train(self, runner: Runner) -> None:
        """Write it."""
        Runner.dump_config(runner)


def require_batch(loader: DataLoader) -> None:
    """Check that a data loader gives each process at least one batch.

    Raises:
        DatasetError: It does not: incomplete batches are dropped, and there is no complete one.
    """
    if len(loader) or isinstance(loader.sampler, InfiniteSampler):
        return
    dataset: Any = loader.dataset
    sampler: Any = loader.sampler  # of this process
    number, each, processes = len(dataset), len(sampler), get_world_size()
    raise DatasetError(
        f'{describe_data(loader.dataset)}: {number} photographs on {processes} '
        f'process{"es" * (processes > 1)} give each {each}, fewer than a batch of '
        f'{loader.batch_size}, and incomplete batches are dropped: take --cfg-options '
        f'train_dataloader.batch_size={max(each, 1)} or less, or train_dataloader.drop_last=False'
    )


def _start_worker(start: Callable[[int], object] | None, number: int) -> None:
    be_a_worker()
    if start is not None:
        start(number)
