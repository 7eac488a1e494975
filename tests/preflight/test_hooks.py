import json
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.dataset import ClassBalancedDataset, ConcatDataset, RepeatDataset
from PIL import Image
from torch import nn

from mmc2fmae.benchmark.batches import pretraining_batch
from mmc2fmae.benchmark.steps import build_model, read_config
from mmc2fmae.datasets import ImageFolders
from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.defects import Found
from mmc2fmae.preflight.hooks import (
    DatasetCheckHook,
    PreflightHook,
    check_dataset,
    check_heads,
    classes_of,
)


def model(classes: int) -> nn.Module:
    roi = nn.Module()
    roi.bbox_head = nn.Linear(1, 1)
    roi.bbox_head.num_classes = classes
    whole = nn.Module()
    whole.roi_head = roi
    whole.rpn_head = nn.Linear(1, 1)
    whole.rpn_head.num_classes = 1  # object or not, whatever the classes
    return whole


def test_heads_must_have_the_classes_of_the_data():
    data = SimpleNamespace(metainfo=dict(classes=('cat', 'dog')))
    check_heads(model(2), data)
    with pytest.raises(DatasetError, match=r'roi_head\.bbox_head\.num_classes=2'):
        check_heads(model(80), data)
    wrapped = nn.Module()
    wrapped.module = model(80)  # as by MMDistributedDataParallel
    with pytest.raises(DatasetError, match=r'model\.roi_head\.bbox_head has num_classes=80'):
        check_heads(wrapped, data)


def test_one_class_written_as_a_text_is_named():
    with pytest.raises(DatasetError, match=r"write classes=\('cat',\)"):
        check_heads(model(3), SimpleNamespace(metainfo=dict(classes='cat')))


def test_wrapped_segmentation_data_are_found(tmp_path):
    from mmseg.datasets import BaseSegDataset

    (tmp_path / 'images').mkdir()
    (tmp_path / 'images/a.jpg').touch()
    data = BaseSegDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='masks'),
        metainfo=dict(classes=('a', 'b')),
    )
    with pytest.raises(DatasetError, match=r'1 of 1 images have no mask, expected .*masks/a\.png'):
        check_dataset(SimpleNamespace(dataset=data))


def test_data_of_other_kinds_pass_unseen():
    assert check_dataset(torch.utils.data.TensorDataset(torch.zeros(1))) == []
    loader = SimpleNamespace(dataset=torch.utils.data.TensorDataset(torch.zeros(1)))
    DatasetCheckHook().before_test(SimpleNamespace(test_dataloader=loader))


@pytest.fixture
def folders(tmp_path):
    """A function that writes a photograph into each class folder and returns the data set."""

    def write(name, *classes, known=None):
        for label in classes:
            (tmp_path / name / label).mkdir(parents=True)
            # No photograph is another one's, which would be said.
            pixels = np.random.default_rng(len(list(tmp_path.rglob('*')))).integers(0, 255, (4, 4))
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name / label / '0.png')
        return ImageFolders(str(tmp_path), name, classes=known)

    return write


def test_one_class_folder_leaves_nothing_to_tell_apart(folders):
    with pytest.raises(DatasetError, match=r'one has one class, ant: .* one level deeper'):
        check_dataset(folders('one', 'ant'))


def test_what_is_odd_about_photographs_is_a_warning(folders):
    train, dark = folders('train', 'ant', 'bee'), np.full((4, 4), 1000, np.uint16)
    said = run_hook(train=train, val=train)
    assert said[0].startswith('2 of 2 photographs to validate on are trained on, too, first ')
    for info in map(train.get_data_info, range(2)):
        Image.fromarray(dark).save(info['img_path'])
    said = run_hook(test=train)
    assert said[0].startswith('2 of 2 photographs looked at are nearly black, first ')
    assert '16-bit grey up to 1,000 of 65,535, read as 0 to 3 of 255' in said[0]


def run_hook(hook=None, **datasets):
    loaders = {k: SimpleNamespace(dataset=v) for k, v in datasets.items()}
    said = []
    runner = SimpleNamespace(
        train_dataloader=loaders.get('train'), val_dataloader=loaders.get('val'),
        test_dataloader=loaders.get('test'), model=nn.Module(),
        logger=SimpleNamespace(info=said.append, warning=said.append),
    )  # fmt: skip
    hook = hook or DatasetCheckHook()
    (hook.before_test if 'test' in datasets else hook.before_train)(runner)
    return said


@pytest.mark.parametrize(
    ('val', 'said'),
    [
        (('ant', 'bee', 'cat'), 'spelling'),
        (('Cat', 'bee', 'unsorted'), 'only in the validation data'),
        (('Cat', 'bee'), 'only in the training data'),
        (('Ant', 'Cat', 'bee', 'cow'), r'validation data \(cow\)'),
    ],
)
def test_class_folders_of_train_and_val_must_have_the_same_names(folders, val, said):
    train = folders('train', 'Ant', 'bee', 'Cat')
    assert len(run_hook(train=train, val=folders('same', 'bee', 'Cat', 'Ant'))) == 2
    with pytest.raises(DatasetError, match=said):
        run_hook(train=train, val=folders('val', *val))


def test_weights_are_tested_on_the_classes_that_they_were_trained_on(folders):
    hook = DatasetCheckHook()
    hook.after_load_checkpoint(None, dict(meta=dict(dataset_meta=dict(classes=('bee', 'ant')))))
    test = folders('test', 'ant', 'bee')
    with pytest.raises(DatasetError, match='of the checkpoint: bee, ant; of the test data: ant'):
        run_hook(hook, test=test)
    hook.after_load_checkpoint(
        None, dict(meta=dict(dataset_meta=dict(classes=('Ameise', 'Biene'))))
    )
    assert run_hook(hook, test=test)  # names of another house
    for odd in ({}, dict(meta=None), dict(meta=dict(dataset_meta=dict(classes=[1, 2])))):
        DatasetCheckHook().after_load_checkpoint(None, odd)


WRAPPERS = [
    lambda *parts: ConcatDataset(parts),
    lambda *parts: SimpleNamespace(dataset=SimpleNamespace(dataset=ConcatDataset(parts))),
    lambda *parts: SimpleNamespace(dataset=ConcatDataset(parts)),  # as MultiImageMixDataset
    lambda *parts: SimpleNamespace(datasets=[SimpleNamespace(dataset=p) for p in parts]),
]


@pytest.mark.parametrize('wrap', WRAPPERS)
def test_every_part_of_wrapped_data_is_checked(folders, tmp_path, wrap):
    from mmseg.datasets import BaseSegDataset

    def part(name, ids):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / name / 'a.jpg')
        Image.fromarray(np.array([[0, ids] * 2] * 4, np.uint8)).save(tmp_path / name / 'a.png')
        return BaseSegDataset(
            data_prefix=dict(img_path=str(tmp_path / name), seg_map_path=str(tmp_path / name)),
            metainfo=dict(classes=('a', 'b')),
        )

    good, bad = part('good', 1), part('bad', 7)
    assert len(check_dataset(wrap(good, good))) == 2
    for parts in ((good, bad), (bad, good)):
        with pytest.raises(DatasetError, match=r'mask values \[7\]'):
            check_dataset(wrap(*parts))


def test_balanced_data_are_checked_and_parts_have_the_same_classes(folders):
    first, second = folders('a', 'ant', 'bee'), folders('b', 'bee', 'cow')
    for wrapped in (RepeatDataset(first, 2), ClassBalancedDataset(first, 0.5)):
        assert check_dataset(wrapped) == [Found('2 photographs in 2 classes', [])]
    both = SimpleNamespace(datasets=[first, second])
    with pytest.raises(DatasetError, match=r'of part 1 .*: ant, bee; of part 2: bee, cow'):
        classes_of(both)
    assert classes_of(SimpleNamespace(datasets=[first, first])) == ('ant', 'bee')


def test_the_pass_before_training_compiles_nothing():
    compiled = []

    def backend(graph, example_inputs):
        compiled.append(graph)
        return graph.forward

    cfg = read_config('mmc2fmae::mini/c2fmae_mini_scenes.py', dict(backend=backend))
    batch = pretraining_batch(cfg, 2)
    samples = [{part: {n: x[i] for n, x in batch[part].items()} for part in batch} for i in (0, 1)]
    model = build_model(cfg, torch.device('cpu'))
    PreflightHook().before_train(
        SimpleNamespace(
            model=model,
            train_dataloader=SimpleNamespace(
                dataset=SimpleNamespace(try_samples=lambda n: samples)
            ),
            optim_wrapper=SimpleNamespace(optim_context=lambda model: nullcontext()),
        )
    )
    assert compiled == []
    model.train()
    sum(model(**model.data_preprocessor(batch), mode='loss').values())
    assert len(compiled) == 1


def test_repairs_of_coco_files_are_warnings(tmp_path):
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / 'a.png')
    content = dict(
        images=[dict(id=1, file_name='a.png', width=40, height=30)],
        annotations=[dict(id=0, image_id=1, category_id=c, bbox=[c, 2, 9, 9]) for c in (1, 2)],
        categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
    )
    content['annotations'][1]['id'] = 1
    (tmp_path / 'x.json').write_text(json.dumps(content))
    data = DATASETS.build(
        dict(type='CocoDataset', ann_file=str(tmp_path / 'x.json'), test_mode=True,
             data_prefix=dict(img=str(tmp_path)), metainfo=dict(classes=('dog', 'cat')))
    )  # fmt: skip
    model = nn.Module()
    model.bbox_head = nn.Module()
    model.bbox_head.num_classes = 2
    warned = []
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(dataset=data), model=model,
        logger=SimpleNamespace(info=lambda line: None, warning=warned.append),
    )  # fmt: skip
    DatasetCheckHook().before_test(runner)
    assert len(warned) == 4 and all(line.startswith(f'{tmp_path}/x.json: ') for line in warned)
    for said in ('without iscrowd', 'without area', 'ids below 1', 'matched by name'):
        assert any(said in line for line in warned), said
