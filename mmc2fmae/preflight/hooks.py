"""Checks of all data sets of a run before hours are spent on them."""

import torch
from mmengine.dataset import default_collate
from mmengine.dist import broadcast_object_list, get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import nn

from mmc2fmae.datasets.image_folders import ImageFolders
from mmc2fmae.datasets.multi_granular import MultiGranularDataset
from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.boxes import check_coco
from mmc2fmae.preflight.masks import check_masks


def check_dataset(dataset, most: int | None = None) -> str | None:
    """Check a data set by the rules of its kind.

    Args:
        dataset: CocoDataset, BaseSegDataset, ImageFolders or MultiGranularDataset (these two check
            themselves when they are built), or one wrapped around it.
        most: Masks to read at most.

    Returns:
        A line of what was found, or None where no rule is known.

    Raises:
        DatasetError: Something is wrong with it.
    """
    from mmdet.datasets import CocoDataset
    from mmseg.datasets import BaseSegDataset

    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    if isinstance(dataset, CocoDataset):
        steps = getattr(dataset.pipeline, 'transforms', ())
        return check_coco(
            dataset.ann_file,
            dataset.data_prefix['img'],
            dataset.metainfo['classes'],
            masks=any(getattr(step, 'with_mask', False) for step in steps),
        )
    if isinstance(dataset, BaseSegDataset):
        classes = dataset.metainfo['classes']
        if dataset.label_map:  # raw values are those of all classes of the data set
            classes = dataset.METAINFO['classes']
        return check_masks(
            [(info['img_path'], info['seg_map_path']) for info in map(dataset.get_data_info,
                                                                      range(len(dataset)))],
            len(classes),
            dataset.reduce_zero_label,
            dataset.ignore_index,
            most,
        )  # fmt: skip
    if isinstance(dataset, (ImageFolders, MultiGranularDataset)) and dataset.CLASSES:
        return f'{len(dataset):,} photographs in {len(dataset.CLASSES):,} classes'
    return None


def check_heads(model: nn.Module, dataset) -> None:
    """Compare the number of classes of a model's heads with the data set's.

    Raises:
        DatasetError: They differ; on a GPU that would be an illegal memory access.
    """
    classes = dataset.metainfo.get('classes')
    if isinstance(classes, str):
        raise DatasetError(f"classes={classes!r} is a text: write classes=('{classes}',)")
    model = getattr(model, 'module', model)
    proposals = getattr(model, 'rpn_head', None)  # mmdet's name of what knows objects, no classes
    without = set() if proposals is None else set(proposals.modules())
    for name, head in model.named_modules():
        number = getattr(head, 'num_classes', None)
        if number is None or classes is None or not name.endswith('head') or head in without:
            continue
        if number != len(classes):
            raise DatasetError(
                f'model.{name} has num_classes={number}, the data set has {len(classes)} classes '
                f'({", ".join(classes[:5])}{", ..." if len(classes) > 5 else ""}): set '
                f'model.{name}.num_classes={len(classes)}, or metainfo=dict(classes=...)'
            )


@HOOKS.register_module()
class DatasetCheckHook(Hook):
    """Before training or testing: check the data sets of the run as a whole.

    The first process checks, the others wait and stop with it.

    Args:
        max_masks: Segmentation masks to read of each data set, evenly spaced; all by default.
    """

    def __init__(self, max_masks: int | None = None) -> None:
        self.max_masks = max_masks

    def before_train(self, runner: Runner) -> None:
        """Check the training and validation data.

        Raises:
            DatasetError: Something is wrong; the message names it and the fix.
        """
        self._check(runner, runner.train_dataloader, runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Check the test data.

        Raises:
            DatasetError: Something is wrong; the message names it and the fix.
        """
        self._check(runner, runner.test_dataloader)

    def _check(self, runner: Runner, *loaders) -> None:
        failure: list[str | None] = [None]
        if get_rank() == 0:
            try:
                for loader in loaders:
                    if loader is None:
                        continue
                    found = check_dataset(loader.dataset, self.max_masks)
                    if found:
                        runner.logger.info(f'checked {found}')
                        check_heads(runner.model, loader.dataset)
            except DatasetError as error:
                failure = [str(error)]
        broadcast_object_list(failure)
        if failure[0]:
            raise DatasetError(failure[0])


@HOOKS.register_module()
class PreflightHook(Hook):
    """Before training: try samples and one forward pass, so that a wrong setting shows at once.

    Args:
        num_samples: Samples to read, evenly spaced over the dataset.
    """

    def __init__(self, num_samples: int = 32) -> None:
        self.num_samples = num_samples

    def before_train(self, runner: Runner) -> None:
        """Run samples through the pipeline and two of them through the model.

        Raises:
            ValueError: A sample or a setting is wrong; the message names it.
        """
        dataset = runner.train_dataloader.dataset
        samples = dataset.try_samples(self.num_samples)
        model = getattr(runner.model, 'module', runner.model)
        model.eval()  # nothing random; the loop switches to training
        batch = default_collate(samples[:2])
        with torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
            model(**model.data_preprocessor(batch), mode='loss')
