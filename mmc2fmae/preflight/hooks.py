"""Checks of all data sets of a run before hours are spent on them."""

from collections.abc import Callable, Iterable

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
from mmc2fmae.preflight.classes import require_same_classes
from mmc2fmae.preflight.coco_data import CheckedCocoDataset
from mmc2fmae.preflight.defects import Found
from mmc2fmae.preflight.limits import instances_out_of_reach, objects_out_of_reach
from mmc2fmae.preflight.masks import check_masks
from mmc2fmae.preflight.orientation import check_maps
from mmc2fmae.preflight.overlap import trained_on_too
from mmc2fmae.preflight.photographs import (
    MOST,
    dark_photographs,
    parts_of,
    photographs_of,
    require_readable,
)
from mmc2fmae.preflight.suffixes import photographs_left_out


def check_dataset(dataset, most: int | None = None) -> list[Found]:
    """Check a data set by the rules of its kind, wrapped ones part by part.

    Args:
        dataset: CocoDataset, BaseSegDataset, ImageFolders or MultiGranularDataset (these two check
            themselves when they are built), or one wrapped around them.
        most: Masks to read at most.

    Returns:
        What was found in each part, none where no rule is known.

    Raises:
        DatasetError: Something is wrong with it.
    """
    found = [_check_part(part, most) for part in parts_of(dataset)]
    return [one for one in found if one]


def _check_part(dataset, most: int | None) -> Found | None:
    from mmdet.datasets import CocoDataset, CocoPanopticDataset, LVISV05Dataset
    from mmseg.datasets import BaseSegDataset

    if isinstance(dataset, CheckedCocoDataset):
        return _with_semantic_maps(dataset, most)
    if isinstance(dataset, LVISV05Dataset | CocoPanopticDataset):
        return None  # their files have other fields
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
        left_out = photographs_left_out(dataset)
        found = check_masks(
            [(info['img_path'], info['seg_map_path']) for info in map(dataset.get_data_info,
                                                                      range(len(dataset)))],
            len(classes),
            dataset.reduce_zero_label,
            dataset.ignore_index,
            most,
        )  # fmt: skip
        return found._replace(notes=[*found.notes, *left_out])
    if isinstance(dataset, (ImageFolders, MultiGranularDataset)) and dataset.CLASSES:
        if len(dataset.CLASSES) == 1 and isinstance(dataset, ImageFolders):
            raise DatasetError(
                f'{dataset.folder} has one class, {dataset.CLASSES[0]}: there is nothing to tell '
                'apart; where the class folders lie one level deeper, set data_root or folder'
            )
        return Found(f'{len(dataset):,} photographs in {len(dataset.CLASSES):,} classes', [])
    return None


def _with_semantic_maps(dataset: CheckedCocoDataset, most: int | None) -> Found:
    """Check the semantic maps that a detector's data set may have beside its boxes."""
    if not dataset.data_prefix.get('seg'):
        return dataset.found
    classes = dataset.metainfo.get('semantic_classes')
    if classes is None:
        raise DatasetError(
            f'{dataset.data_prefix["seg"]}: the classes of these maps are not known: give '
            "metainfo=dict(semantic_classes=('name of id 0', ...))"
        )
    infos = map(dataset.get_data_info, range(len(dataset)))
    pairs = [(info['img_path'], info['seg_map_path']) for info in infos]
    maps = check_masks(pairs, len(classes), most=most)
    return Found(f'{dataset.found.line}; {maps.line}', [*dataset.found.notes, *maps.notes])


def classes_of(dataset) -> tuple[str, ...] | None:
    """Return the class names of a data set, None where it has none.

    Raises:
        DatasetError: Its parts have different ones: one of them would be learned wrongly.
    """
    names = [_names(getattr(part, 'metainfo', {}).get('classes')) for part in parts_of(dataset)]
    named = [classes for classes in names if classes is not None]
    for number, classes in enumerate(named[1:], 2):
        require_same_classes(named[0], classes, 'part 1 of the data set', f'part {number}')
    return named[0] if named else None


def _names(classes) -> tuple[str, ...] | None:
    if isinstance(classes, str):
        raise DatasetError(f"classes={classes!r} is a text: write classes=('{classes}',)")
    return None if classes is None else tuple(classes)


def check_heads(model: nn.Module, dataset) -> None:
    """Compare the number of classes of a model's heads with the data set's.

    Raises:
        DatasetError: They differ; on a GPU that would be an illegal memory access.
    """
    classes = classes_of(dataset)
    model = getattr(model, 'module', model)
    proposals = getattr(model, 'rpn_head', None)  # mmdet's name of what knows objects, no classes
    without = set() if proposals is None else set(proposals.modules())
    maps = getattr(parts_of(dataset)[0], 'metainfo', {}).get('semantic_classes')
    if maps and (semantic := getattr(model, 'semantic_head', None)):  # of the maps beside the boxes
        without.add(semantic)
        if (number := semantic.num_stuff_classes) != len(maps):
            raise DatasetError(
                f'model.semantic_head has num_stuff_classes={number}, the data set {len(maps)} '
                f'semantic_classes: set model.semantic_head.num_stuff_classes={len(maps)}'
            )
    for name, head in model.named_modules():
        number = getattr(head, 'num_classes', None)
        if number is None or classes is None or not name.endswith('head') or head in without:
            continue
        if number != len(classes):
            raise DatasetError(
                f'model.{name} has num_classes={number}, the data set has {len(classes)} classes '
                f'({", ".join(classes[:5])}{", ..." if len(classes) > 5 else ""}): set '
                f'model.{name}.num_classes={len(classes)}, or give --classes auto'
            )


def _stop_together(check: Callable[..., None], *what) -> None:
    """Run a check in the first process; raise what it raises in all of them."""
    failure: list[str | None] = [None]
    if get_rank() == 0:
        try:
            check(*what)
        except DatasetError as error:
            failure = [str(error)]
    broadcast_object_list(failure)
    if failure[0]:
        raise DatasetError(failure[0])


def _warn(runner: Runner, notes: Iterable[str]) -> None:
    for note in filter(None, notes):
        runner.logger.warning(note)


@HOOKS.register_module()
class DatasetCheckHook(Hook):
    """Before training or testing: check the data sets of the run as a whole.

    The first process checks, the others wait and stop with it.

    Args:
        max_masks: Segmentation masks to read of each data set, evenly spaced; all by default.
    """

    def __init__(self, max_masks: int | None = None) -> None:
        self.max_masks = max_masks
        self.trained: tuple[str, ...] | None = None

    def before_train(self, runner: Runner) -> None:
        """Check the training and validation data.

        Raises:
            DatasetError: Something is wrong; the message names it and the fix.
        """
        self._check(runner, train=runner.train_dataloader, val=runner.val_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Check the test data.

        Raises:
            DatasetError: Something is wrong; the message names it and the fix.
        """
        self._check(runner, test=runner.test_dataloader)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember which classes the weights were trained on."""
        meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
        stated = meta.get('dataset_meta') if isinstance(meta, dict) else None
        classes = stated.get('classes') if isinstance(stated, dict) else None
        if isinstance(classes, list | tuple) and all(isinstance(name, str) for name in classes):
            self.trained = tuple(classes)

    def _check(self, runner: Runner, **loaders) -> None:
        given = {k: v for k, v in loaders.items() if v is not None}
        _stop_together(self._check_all, runner, given)

    def _check_all(self, runner: Runner, loaders: dict) -> None:
        classes = {split: classes_of(loader.dataset) for split, loader in loaders.items()}
        train, val = classes.get('train'), classes.get('val')
        if train and val:
            require_same_classes(train, val, 'the training data', 'the validation data')
        _warn(runner, self._odd_photographs(loaders))
        test = classes.get('test')
        # Weights of other houses go by other names, as 'tench' for n01440764.
        if (
            test
            and self.trained
            and {*map(str.casefold, test)} & {*map(str.casefold, self.trained)}
        ):
            require_same_classes(self.trained, test, 'the checkpoint', 'the test data')
        for split, loader in loaders.items():
            found = check_dataset(loader.dataset, self.max_masks)
            for line, notes in found:
                runner.logger.info(f'checked {line}')
                _warn(runner, notes)
            if found:
                check_heads(runner.model, loader.dataset)
                if split != 'train':
                    _warn(runner, objects_out_of_reach(runner.model, loader.dataset))

    @staticmethod
    def _odd_photographs(loaders: dict) -> list[str]:
        """Return what is odd about the photographs that a run trains on and is measured by.

        Raises:
            DatasetError: Some cannot be read.
        """
        datasets = {split: loader.dataset for split, loader in loaders.items()}
        notes = []
        for one in datasets.values():
            if len(one) <= MOST:
                require_readable(photographs_of(one))
            notes.append(dark_photographs(photographs_of(one, 32)))
        if len(datasets) == 2 and sum(map(len, datasets.values())) <= MOST:
            notes.append(trained_on_too(*map(photographs_of, datasets.values())))
        return notes


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
        _stop_together(self._check_photographs, dataset)
        if get_rank() == 0:
            _warn(runner, [dark_photographs(photographs_of(dataset, 32))])
        samples = dataset.try_samples(self.num_samples)
        if get_rank() == 0:
            _warn(runner, instances_out_of_reach(dataset, self.num_samples))
        model = getattr(runner.model, 'module', runner.model)
        model.eval()  # nothing random; the loop switches to training
        batch = default_collate(samples[:2])
        # Without gradients it would be compiled for this one pass.
        eager = torch.compiler.set_stance('force_eager')
        with eager, torch.no_grad(), runner.optim_wrapper.optim_context(runner.model):
            model(**model.data_preprocessor(batch), mode='loss')

    @staticmethod
    def _check_photographs(dataset) -> None:
        for part in parts_of(dataset):
            if isinstance(part, MultiGranularDataset):
                if part.on_error == 'raise' and len(part) <= MOST:
                    skip = ', or pass over them: train_dataloader.dataset.on_error=skip'
                    require_readable(photographs_of(part), skip)
                check_maps(part)
