"""What the masks of a curriculum hide, drawn on label maps: a table and the curves of Figure 3."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from mmengine.config import Config
from mmpretrain.registry import DATASETS

from mmc2fmae.datasets.transforms import ProgressiveMasking
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import evenly
from mmc2fmae.masking import STRATEGIES, count_hidden
from mmc2fmae.scenes import SceneSpec, scene_at

TIMES = tuple(step / 20 for step in range(21))
_CELL, _LEAST = 4, 32  # pixels of a patch of a drawn scene, and least pixels of a scene
_MAIN_SHARE = (0.1, 0.6)


class Seen(NamedTuple):
    """What masks hide along the training.

    Attributes:
        times: (T,) positions in the curriculum.
        shares: (T, 3) share of the masked patches that each of ``STRATEGIES`` explains.
        hidden: (T,) share of the samples with objects that show no token of one; NaN without.
    """

    times: Sequence[float]
    shares: np.ndarray
    hidden: np.ndarray


def watch_masks(
    masking: ProgressiveMasking, samples: Sequence[dict], times: Sequence[float] = TIMES
) -> Seen:
    """Mask samples at points of the training and see what the masks hide.

    Args:
        masking: The masking transform.
        samples: What it takes, ``rng`` and ``progress`` aside; every mask has its own seed.
        times: Positions in the curriculum, 0 to 1.
    """
    maps = None
    if 'instance' in samples[0]['granularities']:
        maps = np.stack([sample['instance'] for sample in samples])
    shares, hidden = np.zeros((len(times), len(STRATEGIES))), np.full(len(times), np.nan)
    for step, t in enumerate(times):
        drawn = [
            masking.transform(sample | dict(progress=t, rng=np.random.default_rng((step, index))))
            for index, sample in enumerate(samples)
        ]
        shares[step] = np.mean([result['mask_shares'] for result in drawn], axis=0)
        if maps is not None:
            masks = [np.stack([r['masks'][name] for r in drawn]) for name in masking.granularities]
            count, number = count_hidden(maps, masks)
            hidden[step] = count / number if number else np.nan
    return Seen(times, shares, hidden)


def draw_samples(masking: ProgressiveMasking, img_size: int, count: int) -> list[dict]:
    """Draw scenes whose main object covers 10 to 60 %, as the masking transform takes them.

    Args:
        masking: The masking transform.
        img_size: Side of the model's input in pixels.
        count: Number of scenes.
    """
    common = dict(rgb=_blank(img_size), granularities=list(masking.granularities))
    scenes = _scenes(img_size // masking.patch_size, count)
    return [dict(common, instance=instance, semantic=semantic) for instance, semantic in scenes]


@lru_cache(maxsize=1)  # several curricula are drawn on the same scenes
def _scenes(grid: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    spec = SceneSpec(size=grid * max(_CELL, -(-_LEAST // grid)), main_share=_MAIN_SHARE)
    scenes = (scene_at(spec, 0, 'train', index) for index in range(count))
    return [(scene.instance, scene.semantic) for scene in scenes]


def read_samples(cfg: Config, count: int, data_root: str) -> list[dict]:
    """Read and augment samples of a dataset as its training does, up to the masks.

    Args:
        cfg: Config of the training.
        count: How many samples, evenly over the dataset.
        data_root: Folder of the data.

    Raises:
        DatasetError: The config has another kind of dataset.
    """
    spec = cfg.train_dataloader.dataset.to_dict()
    if spec.get('type') != 'MultiGranularDataset':
        raise DatasetError(
            f'the dataset is a {spec.get("type")}: expected a MultiGranularDataset; leave out '
            '--data-root to use drawn scenes'
        )
    types = [step['type'] for step in spec['pipeline']]
    steps = spec['pipeline'][: types.index('ProgressiveMasking')]
    dataset = DATASETS.build(spec | dict(pipeline=steps, data_root=data_root))
    samples = [dataset[index] for index in evenly(range(len(dataset)), count)]
    return [sample | dict(rgb=_blank(len(sample['rgb']))) for sample in samples]


def _blank(side: int) -> np.ndarray:
    """Pixels that nobody looks at: masks follow label maps alone."""
    return np.broadcast_to(np.uint8(0), (side, side, 3))


def table_of(names: Sequence[str], found: Sequence[Seen]) -> str:
    """Write what several curricula hide as a Markdown table, in percent.

    Args:
        names: What they are called.
        found: What was seen of each, at equal times.
    """
    mixture = ' / '.join(STRATEGIES)
    lines = [['t', *(text for name in names for text in (f'{name}: {mixture}', 'hidden'))]]
    for step, t in enumerate(found[0].times):
        cells = [f'{t:.2f}']
        for seen in found:
            cells.append(' / '.join(f'{100 * share:.0f}' for share in seen.shares[step]))
            hidden = seen.hidden[step]
            cells.append('-' if np.isnan(hidden) else f'{100 * hidden:.0f}')
        lines.append(cells)
    rows = [f'| {" | ".join(line)} |' for line in lines]
    return '\n'.join([rows[0], '|' + ' --- |' * len(lines[0]), *rows[1:]])
