"""What all probes of a pre-training share: when they run, and that the training does not notice."""

import time
from fractions import Fraction
from typing import Any

from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.hooks import Hook, IterTimerHook
from mmengine.runner import Runner

from mmc2fmae.probes.features import unchanged
from mmc2fmae.probes.schedule import Schedule, default_period


def bare(runner: Runner) -> Any:
    """Return the model of a run without what processes are joined by."""
    return getattr(runner.model, 'module', runner.model)


class ProbeHook(Hook):
    """Run a probe before the first step, at even distances, and after the last one.

    Args:
        every: Distance of two probes in epochs; None is one epoch, less in a run of few epochs, and
            more where the probe would take more than its share of the time.
        max_share: That share.
    """

    priority = 'LOW'  # after the log, whose times it does not touch
    label = ''

    def __init__(self, every: float | None = None, max_share: float = 0.05) -> None:
        if every is not None and not 0 < every < float('inf'):
            raise ValueError(f'every is {every}: expected a number of epochs above 0')
        self.every = every
        self.max_share = max_share

    def prepare(self, runner: Runner) -> None:
        """Read what the probe looks at."""
        raise NotImplementedError

    def probe(self, runner: Runner, done: int) -> tuple[dict[str, float], str]:
        """Return the numbers of all processes together, and what to say of them in the log."""
        raise NotImplementedError

    def before_train(self, runner: Runner) -> None:
        """Read photographs, and probe the weights that the run starts from.

        Raises:
            ValueError: A photograph cannot be read, or the probe does not fit the model.
        """
        length = len(runner.train_dataloader)
        period = Fraction(self.every).limit_denominator(1000) if self.every else None
        self.schedule = Schedule(
            period=max((period or default_period(runner.max_epochs)) * length, Fraction(1)),
            end=runner.max_iters,
            max_share=None if self.every else self.max_share,
        )
        self.started = time.perf_counter()
        self._prepare_together(runner)
        self.schedule.spent = time.perf_counter() - self.started
        if not runner._resume:
            self._run(runner, runner.iter)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Probe, where it is time."""
        done = runner.iter + 1
        if not self.schedule.is_point(done):
            return
        before = self.schedule.skipped
        # Clocks differ; all processes do what the first one says.
        allowed = [self.schedule.allows(done, time.perf_counter() - self.started)]
        broadcast_object_list(allowed)
        if allowed[0]:
            self._run(runner, done)
        elif not before:
            runner.logger.info(
                f'probe {self.label} takes {self.schedule.cost:.1f} s: fewer times than '
                f'{_times(self.schedule.period, len(runner.train_dataloader))}, so that it stays '
                f'under {100 * self.max_share:.1f} % of the time (--probe-every sets the distance)'
            )

    def after_train(self, runner: Runner) -> None:
        """Say what it cost."""
        elapsed = time.perf_counter() - self.started
        runner.logger.info(
            f'probe {self.label}: {self.schedule.times} times, {self.schedule.spent:.1f} s, '
            f'{100 * self.schedule.spent / elapsed:.1f} % of the time'
        )

    def _prepare_together(self, runner: Runner) -> None:
        """Prepare; what goes wrong in one process ends all of them."""
        problem = None
        try:
            self.prepare(runner)
        except (ValueError, OSError) as error:
            problem = f'probe {self.label}: {error}'
        problems = [text for text in all_gather_object(problem) if text]
        if problems:
            raise ValueError(problems[0])

    def _run(self, runner: Runner, done: int) -> None:
        start = time.perf_counter()
        with unchanged(bare(runner)):
            values, said = self.probe(runner, done)
        if values:
            runner.visualizer.add_scalars(
                {f'probe/{name}': value for name, value in values.items()} | dict(iter=done),
                step=done,
            )
        self.schedule.note(time.perf_counter() - start)
        share = self.schedule.spent / (time.perf_counter() - self.started)
        cost = f'{self.schedule.cost:.1f} s' + (
            f', {100 * share:.1f} % of the time' if done else ''
        )
        epoch = done / len(runner.train_dataloader)
        runner.logger.info(f'probe {self.label}, epoch {epoch:.2f}: {said} ({cost})')
        for hook in runner.hooks:
            if isinstance(hook, IterTimerHook):  # the next iteration has not waited for data
                hook.t = time.time()


def _times(period: Fraction, length: int) -> str:
    epochs = float(period) / length
    return f'once in {epochs:g} epochs' if epochs > 1 else f'{1 / epochs:g} times an epoch'
