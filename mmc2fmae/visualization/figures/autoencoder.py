"""A pre-trained autoencoder from its checkpoint alone, and samples as it reads them."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmpretrain.registry import MODELS, TRANSFORMS
from torch import Tensor, nn

from mmc2fmae.checkpoints import read_state_dict
from mmc2fmae.checkpoints.embedded import read_embedded
from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.checkpoints.loading import coverage, require_full
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.label_ids import IGNORE
from mmc2fmae.models import C2FMAE
from mmc2fmae.visualization.colours import class_names
from mmc2fmae.visualization.figures.inputs import Sample


def read_config(source: str | Path) -> Config:
    """Read model and data of the pre-training that a checkpoint comes from, from the checkpoint.

    Args:
        source: Checkpoint or work dir of a run.

    Returns:
        ``model`` and ``train_dataloader.dataset``; see
        :func:`mmc2fmae.checkpoints.embedded.read_embedded`.

    Raises:
        FileNotFoundError: There is no checkpoint.
        CheckpointMismatch: It carries no config, or one that is not plain data of this project.
    """
    model, dataset = read_embedded(find_checkpoint(source))
    return Config(dict(model=model, train_dataloader=dict(dataset=dataset)))


def masking_of(cfg: Config) -> dict | None:
    """Return the masking transform of a pre-training config, None where there is none."""
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    steps = dataset.get('pipeline') or []
    return next((step for step in steps if step['type'] == 'ProgressiveMasking'), None)


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a run, not compiled."""
    spec = copy.deepcopy(cfg.model.to_dict())
    if 'compile' in spec:
        spec['compile'] = False
    model: nn.Module = MODELS.build(spec)
    return model


def fill(model: nn.Module, checkpoint: str | Path) -> None:
    """Fill every tensor of a model from its checkpoint, and set it to evaluate.

    Raises:
        CheckpointMismatch: The checkpoint lacks some of its tensors; the message lists the keys.
    """
    weights = read_state_dict(checkpoint)
    require_full(coverage(weights, model), 'model', str(checkpoint))
    model.load_state_dict(weights)
    model.eval()


@dataclass
class Autoencoder:
    """A pre-trained model and how its samples are read.

    Attributes:
        label: What it is called in a figure.
        model: The model, in evaluation mode; its ``reconstruct`` predicts all granularities.
        cfg: Config of its run.
    """

    label: str
    model: C2FMAE
    cfg: Config

    @property
    def granularities(self) -> list[str]:
        """The granularities that it reads, rgb first."""
        return self.model.data_preprocessor.granularities

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return tuple(self.model.backbone.patch_resolution)

    @property
    def num_patches(self) -> int:
        """Patches of one granularity, N."""
        return self.grid[0] * self.grid[1]

    @property
    def num_visible(self) -> int | None:
        """Visible tokens that it was trained with, V; None where its config does not say."""
        masking = masking_of(self.cfg)
        return masking.get('num_visible', 98) if masking else None

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of its semantic classes, as far as its dataset tells."""
        dataset = self.cfg.train_dataloader.dataset
        steps = [step['type'] for step in dataset.pipeline]
        if 'SemanticFromInstance' in steps:
            return ('background', 'object')
        number = self.model.data_preprocessor.num_classes.get('semantic')
        return class_names(dataset.get('data_root'), number)

    @property
    def normalises(self) -> bool:
        """Whether it predicts pixels normalised by their patch."""
        return 'rgb' in self.model.head.normalised

    def read(
        self, samples: Sequence[Sample], seen: Sequence[str]
    ) -> tuple[dict[str, Tensor], list[str]]:
        """Read samples as in its training, without augmentation: the centre square.

        Args:
            samples: Photographs and maps.
            seen: Granularities that it will see; others may lack their maps.

        Returns:
            rgb (B, 3, H, W) uint8 and maps (B, h, w) as the model takes them, and the granularities
            that are only made up, because a sample lacks them.

        Raises:
            FileNotFoundError: A sample lacks a map that is to be seen.
            SampleError: A file is unreadable, or sizes differ.
        """
        given = set.intersection(*(set(sample.files) for sample in samples))
        order = ['rgb', *sorted(given - {'rgb'})]
        left_out = ['JointRandomFlip', 'ProgressiveMasking']
        left_out += [] if 'instance' in given else ['SemanticFromInstance', 'CanonicalInstances']
        steps = still_pipeline(self.cfg.train_dataloader.dataset.pipeline, left_out)
        pipeline = Compose([TRANSFORMS.build(step) for step in steps])
        packed = []
        for sample in samples:
            info: dict[str, Any] = {f'{name}_path': sample.files[name] for name in order}
            info |= dict(granularities=order, rng=np.random.default_rng(0), skipped='')
            packed.append(pipeline(info)['inputs'])
        inputs = default_collate(packed)
        absent = [name for name in self.granularities if name not in inputs]
        if lacking := [name for name in absent if name in seen]:
            raise FileNotFoundError(
                f'{samples[0].files["rgb"]} or another photograph has no '
                f'{" and no ".join(lacking)} map, which {self.label} is to see: name the folder '
                f'(--maps {lacking[0]}=FOLDER); without maps there is `cross --granularity rgb`'
            )
        for name in absent:
            shape = [n * self.model.backbone.cells[name] for n in self.grid]
            if name in self.model.data_preprocessor.num_classes:
                maps = torch.full((len(samples), *shape), IGNORE, dtype=torch.uint8)
            else:
                maps = torch.zeros(len(samples), *shape)
            inputs[name] = maps
        return {name: inputs[name] for name in self.granularities}, absent


def load_autoencoder(
    source: str | Path, label: str, config: str | Path | None = None
) -> Autoencoder:
    """Load an autoencoder.

    Args:
        source: Checkpoint or work dir of its pre-training.
        label: What to call it in a figure.
        config: Its config, in place of the one that the checkpoint carries.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointMismatch: There is no decoder in it, or no config.
    """
    path = find_checkpoint(source)
    cfg = Config.fromfile(config) if config else read_config(path)
    model = build_model(cfg)
    if not isinstance(model, C2FMAE):
        raise CheckpointMismatch(
            f'{path} is of a {cfg.model.type}: expected a pre-training of C2FMAE or MultiMAE, with '
            'the decoders of all granularities'
        )
    fill(model, path)
    return Autoencoder(label, model, cfg)


def still_pipeline(
    steps: Sequence[dict], left_out: Sequence[str] = ('JointRandomFlip',)
) -> list[dict]:
    """Turn a training pipeline into one that reads the centre square, without chance.

    Args:
        steps: Transforms of the training.
        left_out: Types of those to leave out.
    """
    still = []
    for step in steps:
        if step['type'] == 'JointRandomResizedCrop':
            step = dict(
                type='JointCenterCrop', size=step['size'], label_stride=step.get('label_stride', 4)
            )
        if step['type'] not in left_out:
            still.append(dict(step))
    return still
