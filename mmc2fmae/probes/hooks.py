"""Three probes of a pre-training: health of the features, k-NN, pictures."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_gather_object
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor

from mmc2fmae.evaluation.image_files import find_images
from mmc2fmae.evaluation.knn import knn_votes, top_k_accuracy
from mmc2fmae.paths import AnyPath
from mmc2fmae.probes.base import ProbeHook, bare
from mmc2fmae.probes.diagnosis import diagnose
from mmc2fmae.probes.features import Photographs
from mmc2fmae.probes.health import health
from mmc2fmae.probes.labelled import Labelled, read_labelled
from mmc2fmae.probes.linear import ridge_scores


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
    LEAST = 2  # of one photograph each place is one patch

    def __init__(self, folder: str = '', number: int = 64, **kwargs) -> None:
        super().__init__(**kwargs)
        self.folder = folder
        self.number = number

    def prepare(self, runner: Runner) -> None:
        """Read the photographs.

        Raises:
            ValueError: There are too few, or one cannot be read.
        """
        dataset = runner.train_dataloader.dataset
        paths = self._paths(dataset)
        if len(paths) < self.LEAST:
            raise ValueError(
                f'{self.folder or "the training data"} holds {len(paths)} photographs, fewer than '
                f'{self.LEAST}: name a folder with more (--probe-health FOLDER)'
            )
        chosen = [paths[i * len(paths) // self.number] for i in range(self.number)]
        # What the training passes over, and has its own hook to count, does not stop a probe.
        skip = not self.folder and getattr(dataset, 'on_error', None) == 'skip'
        self.photographs = Photographs(list(dict.fromkeys(chosen)), bare(runner), skip)
        self.warned = False

    def _paths(self, dataset) -> Sequence[AnyPath]:
        if self.folder:
            return find_images(self.folder)
        while hasattr(dataset, 'dataset'):
            dataset = dataset.dataset
        number = min(self.number, len(dataset))
        infos = (dataset.get_data_info(i * len(dataset) // number) for i in range(number))
        return [info.get('rgb_path') or info['img_path'] for info in infos]

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
        last = done == runner.max_iters  # whose lines must not look like a success
        if done and (last or bool(warning) != self.warned):  # random weights have learned nothing
            self.warned = bool(warning)
            if warning:
                runner.logger.warning(f'the run ends: {warning}' if last else warning)
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
