"""Pictures of what a trained detector or segmentation model sees."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer

from mmc2fmae.checkpoints import read_state_dict
from mmc2fmae.checkpoints.finding import find_checkpoint
from mmc2fmae.checkpoints.loading import coverage, require_full
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import IMAGE_SUFFIXES, list_photographs
from mmc2fmae.images.opening import open_image
from mmc2fmae.images.rgb import upright_rgb

LEAST_SIDE = 512
"""Pixels of a picture's longer side; names and scores would hide smaller photographs."""


def draw_predictions(
    config: str | Path,
    checkpoint: str | Path,
    images: str | Path,
    out: str | Path,
    score: float = 0.3,
    most: int | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw boxes and masks, or a segmentation, on photographs.

    Args:
        config: Config of the run; its ``default_scope`` is 'mmdet' or 'mmseg'.
        checkpoint: Checkpoint of the run, or its folder; class names come with it.
        images: A photograph or a folder of photographs, searched recursively.
        out: Folder to write to; pictures are in ``OUT/vis``.
        score: Least score of a box that is drawn.
        most: Photographs to draw at most, the first by name.

    Returns:
        The pictures, one for each photograph that can be read, and why others were left out.

    Raises:
        FileNotFoundError: There are no photographs, or no checkpoint.
        ValueError: The config is of another framework, or no photograph can be read.
        DatasetError: Two photographs have the same name.
        CheckpointMismatch: The checkpoint does not fill the model.
    """
    cfg = Config.fromfile(config)
    scope = cfg.get('default_scope')
    if scope not in ('mmdet', 'mmseg'):
        raise ValueError(f"{config} has default_scope {scope!r}: expected 'mmdet' or 'mmseg'")
    images = Path(images)
    found = list_photographs(images) if images.is_dir() else []
    photos = [images / name for name in found] or [images]
    if not photos[0].is_file() or photos[0].suffix.lower() not in IMAGE_SUFFIXES:
        raise FileNotFoundError(
            f'{images} is or has no photograph ending in {", ".join(IMAGE_SUFFIXES)}'
        )
    _require_unique_names(photos[:most])
    checkpoint = find_checkpoint(checkpoint)
    photos, unreadable = _readable(photos[:most])
    if scope == 'mmdet':
        from mmdet.apis import DetInferencer as Inferencer

        options = dict(pred_score_thr=score)
    else:
        from mmseg.apis import MMSegInferencer as Inferencer

        options = dict()
    weights = read_state_dict(checkpoint)
    inferencer = Inferencer(model=cfg, weights=str(checkpoint))
    require_full(coverage(weights, inferencer.model), 'model', str(checkpoint))
    _enlarge_drawings(inferencer.visualizer)
    inferencer([str(path) for path in photos], out_dir=str(out), **options)
    return [Path(out, 'vis', path.name) for path in photos], unreadable


def enlarge(
    image: np.ndarray, sample: BaseDataElement, least: int = LEAST_SIDE
) -> tuple[np.ndarray, BaseDataElement]:
    """Repeat the pixels of a small photograph and of what was found in it, to make room for names.

    Args:
        image: (h, w, 3) photograph.
        sample: With ``pred_instances`` (boxes, perhaps masks) or ``pred_sem_seg``.
        least: Pixels that its longer side shall have at least.

    Returns:
        Copies of both, a whole number of times as large; both themselves where they are large.
    """
    times = -(-least // max(image.shape[:2]))
    if times <= 1:
        return image, sample

    def repeated(pixels: Any) -> Any:
        pixels = torch.as_tensor(pixels)
        return pixels.repeat_interleave(times, -2).repeat_interleave(times, -1)

    sample = sample.clone()
    if 'pred_instances' in sample:
        found = sample.pred_instances.clone()
        found.bboxes = torch.as_tensor(found.bboxes) * times
        if 'masks' in found:
            found.masks = repeated(found.masks)
        sample.pred_instances = found
    if 'pred_sem_seg' in sample:
        sample.pred_sem_seg = type(sample.pred_sem_seg)(data=repeated(sample.pred_sem_seg.data))
    return image.repeat(times, axis=0).repeat(times, axis=1), sample


def _enlarge_drawings(visualizer: Visualizer) -> None:
    draw = visualizer.add_datasample

    def draw_enlarged(name: str, image: np.ndarray, sample: BaseDataElement, **how: Any) -> None:
        draw(name, *enlarge(image, sample), **how)

    visualizer.add_datasample = draw_enlarged


def _readable(photos: list[Path]) -> tuple[list[Path], list[str]]:
    """Part the photographs that can be read, whole, from the reasons of those that cannot.

    OpenCV, which reads them next, does not say what is wrong with one.
    """
    good, reasons = [], []
    for path in photos:
        try:
            with open_image(path) as image:
                upright_rgb(image)
            good.append(path)
        except Exception as error:  # Pillow raises many kinds on damaged files
            reasons.append(f'{path} is no readable image ({type(error).__name__}: {error})')
    if not good:
        raise ValueError(f'no photograph can be read: {reasons[0]}')
    return good, reasons


def _require_unique_names(photos: list[Path]) -> None:
    """Pictures are named after their photographs alone, whatever folder these lie in."""
    first: dict[str, Path] = {}
    for path in photos:
        other = first.setdefault(path.name, path)
        if other != path:
            raise DatasetError(
                f'{other} and {path} have the same name, and so would their pictures: draw one '
                'folder at a time'
            )
