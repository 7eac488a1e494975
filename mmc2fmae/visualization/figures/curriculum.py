"""Curves of the masking curriculum (Figure 3), and what the masks hide."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from mmengine.config import Config
from mmpretrain.registry import TRANSFORMS

from mmc2fmae import configs
from mmc2fmae.datasets.transforms import ProgressiveMasking
from mmc2fmae.masking import PRESETS, STRATEGIES
from mmc2fmae.visualization.figures.autoencoder import masking_of, read_config
from mmc2fmae.visualization.figures.inputs import label_of
from mmc2fmae.visualization.figures.page import COLOURS, STYLE, WIDTH
from mmc2fmae.visualization.figures.seen_masks import Seen, draw_samples, read_samples, watch_masks

KINDS = dict(zip(STRATEGIES, ('semantic-guided', 'instance-guided', 'random'), strict=True))
_PANELS = 3  # side by side
_PAPER = 'mmc2fmae::pretrain/c2fmae_vitb_400e.py'


@dataclass(frozen=True)
class MaskedTraining:
    """How a training masks.

    Attributes:
        name: What it is called.
        masking: Its masking transform.
        cfg: ``model`` and ``train_dataloader.dataset`` of its config.
    """

    name: str
    masking: ProgressiveMasking
    cfg: Config

    def watch(self, count: int, data_root: str | None = None) -> Seen:
        """See what its masks hide.

        Args:
            count: Number of samples.
            data_root: Folder of its data; None draws scenes.
        """
        if data_root:
            samples = read_samples(self.cfg, count, data_root)
        else:
            samples = draw_samples(self.masking, self.cfg.model.backbone.img_size, count)
        return watch_masks(self.masking, samples)


def find_masking(source: str) -> MaskedTraining:
    """Return how a training masks.

    Args:
        source: Name of a preset of the curriculum (in the paper's config), or a config, or a
            checkpoint or work dir of a run.

    Raises:
        ValueError: It is none of them, or has no curriculum.
    """
    if source in PRESETS:
        cfg = configs.read(_PAPER)
        preset = dict(masking_of(cfg) or {}, curriculum=source)
        return MaskedTraining(source, TRANSFORMS.build(preset), cfg)
    path = Path(source)
    if not path.exists():
        raise ValueError(
            f'{source} is no preset ({", ".join(PRESETS)}) and no config, checkpoint or work dir'
        )
    cfg = Config.fromfile(path) if path.suffix == '.py' else read_config(path)
    step = masking_of(cfg)
    if step is None:
        raise ValueError(f'{source} masks without a curriculum: it has no ProgressiveMasking')
    spec, name = step.get('curriculum', 'SG-IG-RD'), label_of(path)
    name = f'{name} ({spec})' if isinstance(spec, str) else name
    return MaskedTraining(name, TRANSFORMS.build(step), cfg)


def draw_curricula(
    trainings: Sequence[MaskedTraining],
    found: Sequence[Seen],
    epochs: int | None = None,
    width: float = WIDTH,
) -> Figure:
    """Draw the coefficients of Eq. 10 and what the masks hide, a panel each.

    Thin lines are alpha_S, alpha_I and what is left for random masks, thick ones the share of the
    masked patches that each strategy explains: top-k gives all to the largest coefficient above
    0.5 (D5). The last line is the share of the samples without a visible token of an object.

    Args:
        trainings: Whose masks.
        found: What was seen of each.
        epochs: Draw over this many epochs instead of the progress from 0 to 1.
        width: Width of the figure in inches.
    """
    columns = 2 if len(trainings) == 4 else min(len(trainings), _PANELS)
    rows = -(-len(trainings) // columns)
    panel = width / max(columns, 2)  # a single panel takes one column of the page
    t, scale = np.linspace(0, 1, 1001), 1 if epochs is None else epochs - 1
    with rc_context(STYLE):
        figure = Figure(figsize=(panel * columns, 0.68 * panel * rows + 0.5), layout='constrained')
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for ax, training, seen in zip(axes.flat, trainings, found, strict=False):
            alpha_s, alpha_i = np.array([training.masking.curriculum(x) for x in t]).T
            names = (r'$\alpha_S$', r'$\alpha_I$', r'$1-\alpha_S-\alpha_I$')
            for values, label, colour in zip(
                (alpha_s, alpha_i, 1 - alpha_s - alpha_i), names, COLOURS, strict=False
            ):
                ax.plot(t * scale, values, ':', color=colour, label=label, lw=1)
            x = np.array(seen.times) * scale
            for values, label, colour in zip(seen.shares.T, KINDS.values(), COLOURS, strict=False):
                ax.plot(x, values, color=colour, label=f'masked, {label}', clip_on=False, zorder=3)
            ax.plot(x, seen.hidden, '--', color='black', label='all objects hidden', lw=1)
            ax.set(title=training.name, xlim=(0, scale), ylim=(0, 1))
            ax.spines[['top', 'right']].set_visible(False)
            ax.grid(lw=0.4, alpha=0.4)
        for ax in list(axes.flat)[len(trainings) :]:
            ax.axis('off')
        for ax in list(axes.flat)[: len(trainings)][-columns:]:  # the lowest of every column
            ax.set_xlabel('training progress' if epochs is None else 'epoch')
            ax.tick_params(labelbottom=True)
        for ax in axes[:, 0]:
            ax.set_ylabel('coefficient, share')
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc='outside lower center',
            ncols=3,
            frameon=False,
            columnspacing=0.9,
            handlelength=1.9,
            handletextpad=0.4,
            borderpad=0,
        )
    return figure
