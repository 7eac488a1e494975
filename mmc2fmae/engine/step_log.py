"""What every line of the log says of a step beside its losses: gradients, rates, waiting."""

import time
from typing import Any

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from mmc2fmae.engine.sharding import whole_tensor
from mmc2fmae.parallel import available_cores

WAITS = 20.0
"""Percent of the time spent waiting for data above which something is worth changing."""
SETTLED = 30.0
"""Seconds after which that counts: first the readers start and fill the caches."""


class StepLogHook(Hook):
    """Log the gradient's norm, the scale of mixed precision, all rates and the wait for data.

    Norms stay on the device until a line is logged, so no step waits for them.
    """

    def __init__(self) -> None:
        self.norms: list[Tensor] = []
        self.hinted = False

    def before_train(self, runner: Runner) -> None:
        """Look at the gradients at each step of the optimizer."""
        self.started = time.monotonic()
        wrapper = runner.optim_wrapper
        self.interval = next(
            (hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)), 1
        )
        scaler = getattr(wrapper, 'loss_scaler', None)
        self.scaler = scaler if scaler is not None and scaler.is_enabled() else None
        clips = getattr(wrapper, 'clip_func', None) is clip_grad_norm_  # mmengine logs it then
        if isinstance(wrapper, OptimWrapper) and not clips:
            wrapper.optimizer.register_step_pre_hook(self._measure)

    def _measure(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Keep the norm of the gradients that a step takes."""
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        scale = getattr(optimizer, 'grad_scale', None)  # a fused optimizer divides by it itself
        norm = whole_tensor(get_total_norm(gradients))
        self.norms.append(norm if scale is None else norm / scale.to(norm.device))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Bring the numbers to the log, where a line is due."""
        last = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if not (last or self.every_n_inner_iters(batch_idx, self.interval)):
            return
        hub = runner.message_hub
        norms = torch.stack(self.norms).flatten().tolist() if self.norms else []
        self.norms.clear()
        for norm in norms:
            # With a scaler, overflow is normal: such a step is not taken.
            if self.scaler is None or norm < float('inf'):
                hub.update_scalar('train/grad_norm', norm)
        if self.scaler is not None:
            hub.update_scalar('train/amp_scale', self.scaler.get_scale())
        rates = runner.optim_wrapper.get_lr().get('lr', [])
        if len(set(rates)) > 1:
            hub.update_scalar('train/min_lr', min(rates))
            hub.update_scalar('train/max_lr', max(rates))
        self._log_wait(runner, batch_idx)

    def _log_wait(self, runner: Runner, batch_idx: int) -> None:
        hub = runner.message_hub
        window = batch_idx % self.interval + 1
        waited, whole = (hub.get_scalar(f'train/{n}').mean(window) for n in ('data_time', 'time'))
        share = 100 * waited / whole if whole else 0.0
        hub.update_scalar('train/data_wait', share)
        if share <= WAITS or self.hinted or time.monotonic() - self.started < SETTLED:
            return
        self.hinted = True
        runner.logger.warning(
            f'{share:.0f} % of the time is spent waiting for data: read with more processes '
            f'(--workers, now {runner.train_dataloader.num_workers} a process, the machine has '
            f'{available_cores()} cores), from a faster disk, or from photographs that were made '
            'smaller beforehand (docs/watch_run.md)'
        )
