"""No NaN in weights or checkpoints: steps that are not finite are not taken, many end the run."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from mmengine.dist import all_gather_object, get_world_size
from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase

from mmc2fmae.checkpoints.finding import latest_checkpoint
from mmc2fmae.engine.batches import sample_names
from mmc2fmae.engine.nan_replay import RandomState, find_non_finite
from mmc2fmae.engine.sharding import whole_tensor


@HOOKS.register_module()
class NonFiniteGuardHook(Hook):
    """Take no step that is not finite, stop a run of many, and never save non-finite weights.

    A single overflow is normal in mixed precision: the loss scaler skips that step. Without one,
    a step whose gradient is not finite is skipped here; what batch norms have averaged goes back,
    too. The count stays on the device and on a GPU is read every ``interval`` iterations; the
    gradient's norm is the one thing that is waited for, and with a loss scaler not even that.

    Args:
        patience: Non-finite losses or gradients in a row that end the run.
        interval: Iterations between two looks at the count, on a GPU.
        replay: Compute a batch that is not finite again in fp32 and stop where it is so there, too:
            the first module and the sample are named (``--debug-nan``). Costs some time.
    """

    priority = 'BELOW_NORMAL'  # after the hook that seeds an iteration

    def __init__(self, patience: int = 10, interval: int = 10, replay: bool = False) -> None:
        if patience < 1 or interval < 1:
            raise ValueError(
                f'NonFiniteGuardHook: patience is {patience} and interval {interval}, expected at '
                'least 1'
            )
        self.patience = patience
        self.interval = min(interval, patience)
        self.replay = replay
        self.streak = torch.zeros(())
        self.norm: Tensor | None = None
        self.first: dict[str, Tensor] = {}
        self.stepped: Tensor | None = None
        self.averages: list[Tensor] = []
        self.before: list[Tensor] = []

    def before_train(self, runner: Runner) -> None:
        """Watch the steps of the optimizer."""
        wrapper = runner.optim_wrapper
        self.scaled = isinstance(wrapper, AmpOptimWrapper) and wrapper.loss_scaler.is_enabled()
        wrapper.optimizer.register_step_pre_hook(self._before_step)
        norms = [part for part in runner.model.modules() if isinstance(part, _NormBase)]
        found = [buffer for part in norms for buffer in part.buffers()]
        self.averages = [buffer for buffer in found if buffer.is_floating_point()]
        self.before = [buffer.clone() for buffer in self.averages]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Keep what an iteration may spoil, or what repeats it."""
        self.stepped = None
        if self.averages:
            torch._foreach_copy_(self.before, self.averages)
        if self.replay:
            self.batch, self.random = deepcopy(data_batch), RandomState()

    def _before_step(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Let a step pass whose gradients are finite."""
        if self.scaled:  # it decides by itself, a fused optimizer on the device
            self.stepped = getattr(optimizer, 'found_inf', torch.zeros(())).detach() == 0
            return
        weights = [p for group in optimizer.param_groups for p in group['params']]
        gradients = [p.grad for p in weights if p.grad is not None]
        self.norm = whole_tensor(torch.nn.utils.get_total_norm(gradients))
        finite = bool(torch.isfinite(self.norm))
        if not finite:  # a sum of finite squares may overflow
            finite = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        self.stepped = torch.tensor(finite)
        if not finite:
            for weight in weights:
                weight.grad = None  # what has none is not stepped

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Count what is not finite, in a row.

        Raises:
            FloatingPointError: There were ``patience`` of them or more, or one whose replay has
                found the module.
        """
        parts = {name: value.detach() for name, value in outputs.items()}
        loss = parts.pop('loss')
        bad = ~torch.isfinite(loss)
        if runner.optim_wrapper.should_update():
            bad |= self._refused(runner.optim_wrapper, loss.device)
            self.streak = (self.streak.to(loss.device) + 1) * bad
        else:  # gradients accumulate: a finite loss does not end a row of skipped steps
            self.streak = self.streak.to(loss.device) + bad.float()
        for average, before in zip(self.averages, self.before, strict=True):
            average.copy_(torch.where(torch.isfinite(average).all(), average, before))
        for name, value in parts.items():  # what the streak began with tells where it came from
            before = self.first.get(name, value)
            self.first[name] = torch.where(self.streak <= 1, value, before)
        if self.replay:
            self._replay(runner, bool(bad))
        look = loss.device.type == 'cpu' or self.every_n_train_iters(runner, self.interval)
        if look and self.streak >= self.patience:
            raise FloatingPointError(self._message(runner, data_batch))

    def _refused(self, wrapper: OptimWrapper, device: torch.device) -> Tensor:
        """Tell, on the device, whether a step was due and not taken."""
        if not self.scaled:
            return torch.as_tensor(self.stepped is not None and ~self.stepped, device=device)
        # A scaler that looks for its scale skips steps, too: below 1 it is the gradient itself.
        skipped = True if self.stepped is None else ~self.stepped
        return (wrapper.loss_scaler._get_scale_async() < 1) & skipped

    def _replay(self, runner: Runner, bad: bool) -> None:
        """Compute the batch again on all processes, and stop where one of them finds something."""
        if not any(all_gather_object(bad)):
            return
        model, now = getattr(runner.model, 'module', runner.model), RandomState()
        self.random.restore()
        own = find_non_finite(model, self.batch)
        place = f'iteration {runner.iter + 1} of epoch {runner.epoch + 1}'
        found = {rank: text for rank, text in enumerate(all_gather_object(own)) if text}
        if found:
            said = '; '.join(
                f'rank {rank}: {text}' if get_world_size() > 1 else text
                for rank, text in found.items()
            )
            raise FloatingPointError(
                f'not finite at {place}, and not in fp32 either: {said}; '
                f'{self._state(runner)}; no step was taken with it'
            )
        dtype = getattr(runner.optim_wrapper, 'cast_dtype', None)
        self.random.restore()
        own = find_non_finite(model, self.batch, dtype) if dtype else None
        runner.logger.warning(
            f'not finite at {place}, but the same batch is finite in fp32; '
            + (f'in {dtype}: {own}; ' if own else '')
            + 'the step is skipped, many in a row ask for bfloat16 or fp32'
        )
        now.restore()

    def _message(self, runner: Runner, batch: Mapping) -> str:
        return (
            f'the loss or its gradient is not finite for {int(self.streak)} iterations, now at '
            f'iteration {runner.iter + 1} of epoch {runner.epoch + 1}; the first of them had '
            f'{ {name: value.item() for name, value in self.first.items()} }; '
            f'{self._state(runner)}; last batch starts with {sample_names(batch)[:3]}; continue '
            f'from the last checkpoint ({latest_checkpoint(runner.work_dir)}) by --resume '
            '--debug-nan, which names module and sample, or take a lower rate or leave --amp out'
        )

    def _state(self, runner: Runner) -> str:
        """Return learning rate, norm of the gradient and scale of the loss, in words."""
        logged = runner.message_hub.log_scalars.get('train/grad_norm')
        norm = logged.current() if logged else self.norm
        text = f'learning rate {max(runner.optim_wrapper.get_lr()["lr"]):g}'
        if norm is not None:
            text += f', gradient norm {float(norm):g}'
        if self.scaled:
            text += f', loss scale {runner.optim_wrapper.loss_scaler.get_scale():g}'
        return text

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite.

        Raises:
            FloatingPointError: A tensor holds NaN or infinity; it is named.
        """
        for name, value in checkpoint['state_dict'].items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise FloatingPointError(
                    f'{name} is not finite after {runner.iter} iterations: no checkpoint is '
                    f'written, the last good one is '
                    f'{latest_checkpoint(runner.work_dir)}; {self._state(runner)}'
                )
