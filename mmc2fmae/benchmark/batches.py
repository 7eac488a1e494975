"""Random batches of the right shape: what they hold does not matter for time and memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmpretrain.structures import DataSample
from torch import Tensor

DIFFERENT = 64  # samples of a batch, which then come again
OBJECTS = 8  # of a photograph for the detector; COCO has 7 in the mean


def pretraining_batch(cfg: Config, batch: int, seed: int = 0) -> dict[str, Any]:
    """Draw the batch of a pre-training: images, label maps and masks.

    The number of visible tokens is the config's, split among the granularities at random; where no
    transform of the config draws masks, the model does.

    Args:
        cfg: Config of the pre-training; granularities, sizes and visible tokens are its own.
        batch: Number of samples, B.
        seed: Of the draw.

    Returns:
        ``inputs`` ((B, 3, S, S) and (B, s, s) uint8) and, where the config draws them, ``masks``
        ((B, N) booleans).
    """
    generator = torch.Generator().manual_seed(seed)
    backbone = cfg.model.backbone
    size, patch = backbone.img_size, backbone.patch_size
    inputs = dict(rgb=_integers(generator, 256, (batch, 3, size, size)))
    for name, spec in backbone.get('granularities', {}).items():
        side = size // spec.get('stride', 4)
        inputs[name] = _integers(generator, spec.num_classes, (batch, side, side))
    pipeline = cfg.train_dataloader.dataset.pipeline
    visible = [t['num_visible'] for t in pipeline if t['type'] == 'ProgressiveMasking']
    if not visible:
        return dict(inputs=inputs)
    masks = split_masks(tuple(inputs), batch, (size // patch) ** 2, visible[0], generator)
    return dict(inputs=inputs, masks=masks)


def split_masks(
    names: Sequence[str], batch: int, patches: int, visible: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Draw masks with the same number of visible tokens in every sample.

    Args:
        names: Granularities.
        batch: Number of samples, B.
        patches: Patches of a granularity, N.
        visible: Visible tokens of a sample, of all granularities together.
        generator: Source of the draw.

    Returns:
        (B, N) booleans per granularity, True where masked.
    """
    order = torch.rand(batch, len(names) * patches, generator=generator).argsort(dim=1)
    masked = torch.ones_like(order, dtype=torch.bool).scatter(1, order[:, :visible], False)
    return dict(zip(names, masked.split(patches, dim=1), strict=True))


def fine_tuning_batch(cfg: Config, batch: int, size: tuple[int, int], seed: int = 0) -> dict:
    """Draw the batch of a fine-tuning.

    Args:
        cfg: Its config: its default scope says which task it is.
        batch: Number of images.
        size: Height and width of an image in pixels.
        seed: Of the draw.

    Returns:
        ``inputs`` and ``data_samples`` as the task's collate function gives them.
    """
    generator = torch.Generator().manual_seed(seed)
    images = _integers(generator, 256, (batch, 3, *size))
    return TASKS[cfg.default_scope](cfg, images, generator)


def _classified(cfg: Config, images: Tensor, generator: torch.Generator) -> dict:
    labels = _integers(generator, cfg.model.head.num_classes, (len(images),)).tolist()
    samples = [DataSample().set_gt_label(label) for label in labels]
    return dict(inputs=images, data_samples=samples)


def _detected(cfg: Config, images: Tensor, generator: torch.Generator) -> dict:
    from mmdet.testing import demo_mm_inputs

    drawn = demo_mm_inputs(
        len(images),
        image_shapes=[tuple(image.shape) for image in images],
        num_items=[OBJECTS] * len(images),
        num_classes=cfg.model.roi_head.bbox_head.num_classes,
        with_mask=True,
    )
    return dict(inputs=list(images), data_samples=drawn['data_samples'])


def _segmented(cfg: Config, images: Tensor, generator: torch.Generator) -> dict:
    from mmseg.structures import SegDataSample

    samples = []
    for image in images:
        size = tuple(image.shape[1:])
        ids = _integers(generator, cfg.model.decode_head.num_classes, (1, *size)).long()
        meta = dict(img_shape=size, ori_shape=size)
        samples.append(SegDataSample(gt_sem_seg=PixelData(data=ids), metainfo=meta))
    return dict(inputs=list(images), data_samples=samples)


TASKS: dict[str, Callable[[Config, Tensor, torch.Generator], dict]] = {
    'mmpretrain': _classified,
    'mmdet': _detected,
    'mmseg': _segmented,
}


def _integers(generator: torch.Generator, end: int, shape: Sequence[int]) -> Tensor:
    dtype = torch.uint8 if end <= 256 else torch.long
    drawn = torch.randint(
        0, end, (min(shape[0], DIFFERENT), *shape[1:]), generator=generator, dtype=dtype
    )
    return drawn[torch.arange(shape[0]) % len(drawn)]
