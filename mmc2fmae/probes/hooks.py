"""Hooks that look at what a pre-training learns, while it learns; the training does not notice."""

import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from mmengine.dist import all_gather_object, broadcast_object_list
from mmengine.hooks import Hook, IterTimerHook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmc2fmae.evaluation.features import find_images
from mmc2fmae.evaluation.knn import knn_votes, top_k_accuracy
from mmc2fmae.probes.diagnosis import diagnose
from mmc2fmae.probes.features import Photographs, unchanged
from mmc2fmae.probes.health import health
from mmc2fmae.probes.labelled import Labelled, read_labelled
from mmc2fmae.probes.linear import ridge_scores
from mmc2fmae.probes.schedule import Schedule, default_period


def bare(runner: Runner) -> nn.Module:
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


def _gather(part: Tensor) -> Tensor:
    """Join the rows of all processes, in the order of the processes."""
    return torch.cat([rows.to(part.device) for rows in all_gather_object(part)])


@HOOKS.register_module()
class HealthProbeHook(ProbeHook):
    """Measure rank and structure of the patch tokens of a few photographs, without labels.

    Args:
        folder: Folder of photographs; '' takes them from the training data, evenly spaced.
        number: Photographs.
        **kwargs: See :class:`ProbeHook`.
    """

    label = 'health'
    LEAST = 8

    def __init__(self, folder: str = '', number: int = 64, **kwargs) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.number = number

    def prepare(self, runner: Runner) -> None:
        """Read the photographs.

        Raises:
            ValueError: There are too few, or one cannot be read.
        """
        paths = self._paths(runner.train_dataloader.dataset)
        if len(paths) < self.LEAST:
            raise ValueError(
                f'{self.folder or "the training data"} holds {len(paths)} photographs, fewer than '
                f'{self.LEAST}: name a folder with more (--probe-health FOLDER)'
            )
        chosen = [paths[i * len(paths) // self.number] for i in range(self.number)]
        self.photographs = Photographs(list(dict.fromkeys(chosen)), bare(runner))
        self.warned = False

    def _paths(self, dataset) -> Sequence[Path]:
        if self.folder:
            return find_images(self.folder)
        while hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        number = min(self.number, len(dataset))
        infos = (dataset.get_data_info(i * len(dataset) // number) for i in range(number))
        return [Path(info.get('rgb_path') or info['img_path']) for info in infos]

    def probe(self, runner: Runner, done: int) -> tuple[dict[str, float], str]:
        """Measure."""
        pairs = list(self.photographs.tokens(bare(runner)))
        width = bare(runner).backbone.embed_dims
        empty = torch.zeros(0, self.photographs.grid[0] * self.photographs.grid[1])
        tokens = (
            torch.cat([p[0] for p in pairs]) if pairs else empty.unsqueeze(2).expand(-1, -1, width)
        )
        brightness = torch.cat([empty, *(p[1] for p in pairs)])
        tokens = _gather(tokens)
        brightness = _gather(brightness).to(tokens.device)
        if not bool(torch.isfinite(tokens).all()):
            return {}, 'the tokens are not finite'
        found = health(tokens, brightness)
        warning = diagnose(found, width, tokens.shape[0] * tokens.shape[1], runner)
        if done and bool(warning) != self.warned:  # random weights have learned nothing yet
            self.warned = bool(warning)
            if warning:
                runner.logger.warning(warning)
        shares = ', '.join(
            f'{name} {100 * found[key]:.0f} %'
            for name, key in (
                ('first direction', 'first_direction'),
                ('position', 'position'),
                ('brightness', 'brightness'),
            )
        )
        return found, (
            f'effective rank {found["effective_rank"]:.1f}, RankMe {found["rankme"]:.1f} of '
            f'{width}; {shares} of the variance'
        )


@HOOKS.register_module()
class KnnProbeHook(ProbeHook):
    """Classify labelled photographs by k-NN and by a linear map fitted in closed form.

    Args:
        folder: See :func:`~mmc2fmae.probes.labelled.read_labelled`.
        k: Neighbours that vote.
        **kwargs: See :class:`ProbeHook`.
    """

    label = 'k-NN'

    def __init__(self, folder: str, k: int = 20, **kwargs) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.k = k

    def prepare(self, runner: Runner) -> None:
        """Read the photographs.

        Raises:
            ValueError: The folder has no classes or too few photographs, or one cannot be read.
        """
        # The fewer steps a run has, the fewer photographs it can spare the time for.
        steps = len(runner.train_dataloader.dataset) * runner.max_epochs
        most = None if self.every else max(100, steps // 100)
        self.labelled: Labelled = read_labelled(self.folder, self.k, most)
        self.photographs = Photographs(self.labelled.paths, bare(runner))

    def probe(self, runner: Runner, done: int) -> tuple[dict[str, float], str]:
        """Classify."""
        parts = [tokens.mean(dim=1) for tokens, _ in self.photographs.tokens(bare(runner))]
        shares = all_gather_object(torch.cat(parts).cpu() if parts else None)
        shares = [share for share in shares if share is not None]
        features = shares[0].new_empty(len(self.labelled.paths), shares[0].shape[1])
        for rank, share in enumerate(shares):  # every process has every so many-th photograph
            features[rank :: len(shares)] = share
        if not bool(torch.isfinite(features).all()):
            return {}, 'the features are not finite'
        voting, classes = self.labelled.voting, self.labelled.classes
        labels = torch.tensor(self.labelled.labels)
        known, asked = features[:voting], features[voting:]
        votes = knn_votes(known, labels[:voting], asked, classes, self.k)
        scores = ridge_scores(known, labels[:voting], asked, classes)
        right = scores.argmax(dim=1) == labels[voting:]
        found = dict(
            knn_top1=top_k_accuracy(votes, labels[voting:], 1),
            linear_top1=100 * float(right.double().mean()),
        )
        share = found['knn_top1'] / 100
        error = 100 * (share * (1 - share) / len(asked)) ** 0.5
        return found, (
            f'top-1 {found["knn_top1"]:.1f} ± {error:.1f} %, linear {found["linear_top1"]:.1f} % '
            f'of {len(asked):,} photographs in {classes} classes '
            f'(chance {self.labelled.chance:.1f} %)'
        )


@HOOKS.register_module()
class PictureProbeHook(ProbeHook):
    """Draw what the model reconstructs of a few training samples, always the same.

    Args:
        number: Samples.
        **kwargs: See :class:`ProbeHook`.
    """

    label = 'pictures'

    def __init__(self, number: int = 6, **kwargs) -> None:
        super().__init__(**kwargs)
        self.number = number

    def prepare(self, runner: Runner) -> None:
        """Read the samples.

        Raises:
            ValueError: The model predicts no pixels, or a sample cannot be read.
        """
        from mmc2fmae.probes.pictures import read_batch, require_pixels

        require_pixels(bare(runner))
        self.batch = read_batch(runner.cfg, self.number) if runner.rank == 0 else None

    def probe(self, runner: Runner, done: int) -> tuple[dict[str, float], str]:
        """Draw, in the first process."""
        from mmc2fmae.probes.pictures import draw

        if self.batch is not None:
            picture = draw(bare(runner), self.batch)
            runner.visualizer.add_image('reconstructions', picture, step=done)
        return {}, f'{self.number} samples in {runner.log_dir}/vis_data/vis_image'
