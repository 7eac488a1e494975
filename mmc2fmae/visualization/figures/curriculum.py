"""Curves of the masking curriculum (Figure 3)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from mmengine.config import Config

from mmc2fmae.masking import PRESETS, Curriculum, build_curriculum
from mmc2fmae.visualization.figures.autoencoder import masking_of, read_config
from mmc2fmae.visualization.figures.inputs import label_of
from mmc2fmae.visualization.figures.page import COLOURS, STYLE, WIDTH

_PANELS = 3  # side by side


def find_curriculum(source: str) -> tuple[str, Curriculum]:
    """Return a curriculum and its name.

    Args:
        source: Name of a preset, or a config, or a checkpoint or work dir of a run.

    Raises:
        ValueError: It is none of them, or has no curriculum.
    """
    if source in PRESETS:
        return source, PRESETS[source]
    path = Path(source)
    if not path.exists():
        raise ValueError(
            f'{source} is no preset ({", ".join(PRESETS)}) and no config, checkpoint or work dir'
        )
    cfg = Config.fromfile(path) if path.suffix == '.py' else read_config(path)
    masking = masking_of(cfg)
    if masking is None:
        raise ValueError(f'{source} masks without a curriculum: it has no ProgressiveMasking')
    spec = masking.get('curriculum', 'SG-IG-RD')
    name = label_of(path)
    return f'{name} ({spec})' if isinstance(spec, str) else name, build_curriculum(spec)


def draw_curricula(
    curricula: Sequence[tuple[str, Curriculum]],
    epochs: int | None = None,
    width: float = WIDTH,
) -> Figure:
    """Draw alpha_S, alpha_I and what is left for random masks (Eq. 10), a panel each.

    Args:
        curricula: Names and curricula.
        epochs: Draw over this many epochs instead of the progress from 0 to 1.
        width: Width of the figure in inches.
    """
    columns = 2 if len(curricula) == 4 else min(len(curricula), _PANELS)
    rows = -(-len(curricula) // columns)
    panel = width / max(columns, 2)  # a single panel takes one column of the page
    t = np.linspace(0, 1, 1001)
    with rc_context(STYLE):
        figure = Figure(figsize=(panel * columns, 0.68 * panel * rows + 0.3), layout='constrained')
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        for ax, (name, curriculum) in zip(axes.flat, curricula, strict=False):
            alpha_s, alpha_i = np.array([curriculum(x) for x in t]).T
            x = t if epochs is None else t * (epochs - 1)
            for values, label, colour, line in (
                (alpha_s, r'$\alpha_S$, semantic-guided', COLOURS[0], '-'),
                (alpha_i, r'$\alpha_I$, instance-guided', COLOURS[1], '--'),
                (1 - alpha_s - alpha_i, r'$1-\alpha_S-\alpha_I$, random', COLOURS[2], ':'),
            ):
                ax.plot(x, values, line, color=colour, label=label, clip_on=False, zorder=3)
            ax.set(title=name, xlim=(x[0], x[-1]), ylim=(0, 1))
            ax.spines[['top', 'right']].set_visible(False)
            ax.grid(lw=0.4, alpha=0.4)
        for ax in list(axes.flat)[len(curricula) :]:
            ax.axis('off')
        for ax in list(axes.flat)[: len(curricula)][-columns:]:  # the lowest of every column
            ax.set_xlabel('training progress' if epochs is None else 'epoch')
            ax.tick_params(labelbottom=True)
        for ax in axes[:, 0]:
            ax.set_ylabel('weight of the mask')
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
