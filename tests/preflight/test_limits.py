"""What a model cannot tell is said: objects too many or too small, instances left out."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import ConfigDict
from PIL import Image
from torch import nn

from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.preflight.limits import instances_out_of_reach, objects_out_of_reach


def detector(patch=16, **test_cfg):
    model = nn.Module()
    model.test_cfg = ConfigDict(test_cfg)
    model.backbone = nn.Module()
    model.backbone.patch_size = patch
    return model


@pytest.fixture
def coco(tmp_path):
    """A function that writes photographs of 40 x 30 with so many objects each, and reads them."""

    def write(counts, side=9, crowds=0, scale=(40, 30), classes=1):
        names = ('cat', 'dog')[:classes]
        objects = [i for i, number in enumerate(counts) for _ in range(number)]
        content = dict(
            images=[
                dict(id=i, file_name=f'{i}.png', width=40, height=30) for i in range(len(counts))
            ],
            annotations=[
                dict(id=k + 1, image_id=i, category_id=1 + k % classes, area=side * side,
                     bbox=[k % 20, 2, side, side], iscrowd=int(k < crowds))
                for k, i in enumerate(objects)
            ],
            categories=[dict(id=1 + c, name=names[c]) for c in range(classes)],
        )  # fmt: skip
        for i in range(len(counts)):
            Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / f'{i}.png')
        (tmp_path / 'ann.json').write_text(json.dumps(content))
        pipeline = [
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.Resize', scale=scale, keep_ratio=True),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmdet.PackDetInputs', meta_keys=('img_shape', 'scale_factor')),
        ]
        return DATASETS.build(
            dict(type='CocoDataset', ann_file=str(tmp_path / 'ann.json'), test_mode=True,
                 data_prefix=dict(img=str(tmp_path)), metainfo=dict(classes=names),
                 pipeline=pipeline)
        )  # fmt: skip

    return write


def test_more_objects_than_a_detector_returns_are_counted(coco):
    limits = dict(rpn=dict(max_per_img=100), rcnn=dict(max_per_img=2))
    (said,) = objects_out_of_reach(detector(4, **limits), coco([3, 1]))
    assert 'hold up to 3 objects, of all 75% can be found at best' in said
    assert said.endswith(
        '(model.test_cfg.rcnn.max_per_img=2): set model.test_cfg.rcnn.max_per_img=3'
    )


def test_beyond_what_ap_counts_of_a_class_only_tiles_help(coco):
    (said,) = objects_out_of_reach(detector(4, max_per_img=300), coco([125, 75]))
    assert 'of all 88% can be found at best (AP counts 100 of a class in each): cut' in said
    (said,) = objects_out_of_reach(detector(4, max_per_img=20), coco([125]))
    assert said.endswith(
        'of all 16% can be found at best (model.test_cfg.max_per_img=20, AP counts 100 of a class '
        'in each): set model.test_cfg.max_per_img=100, and cut crowded photographs into tiles'
    )
    two = coco([125], classes=2)  # 63 and 62: COCO counts all of them
    assert objects_out_of_reach(detector(4, max_per_img=300), two) == []
    (said,) = objects_out_of_reach(detector(4, max_per_img=100), two)
    assert said.endswith('80% can be found at best (model.test_cfg.max_per_img=100): set '
                         'model.test_cfg.max_per_img=125')  # fmt: skip


@pytest.mark.parametrize('limit', [2, -1])
def test_crowds_are_no_objects_to_find_and_a_detector_may_return_all(coco, limit):
    number = 3 if limit == 2 else 9
    assert objects_out_of_reach(detector(4, max_per_img=limit), coco([number], crowds=1)) == []


def test_objects_smaller_than_a_patch_after_resizing_are_said(coco):
    data = coco([3, 1], side=4, scale=(80, 60))  # 8 pixels across once resized
    (said,) = objects_out_of_reach(detector(16, max_per_img=100), data)
    assert 'smaller than 8.0 pixels across' in said and '(to 80 x 60, ...)' in said
    assert 'a patch of the encoder has 16' in said
    assert objects_out_of_reach(detector(8, max_per_img=100), data) == []


def test_models_and_data_of_other_kinds_have_no_limits(coco):
    assert objects_out_of_reach(nn.Linear(1, 1), coco([3])) == []
    assert objects_out_of_reach(detector(max_per_img=1), SimpleNamespace()) == []


@pytest.fixture
def maps(tmp_path):
    """A function that builds a data set of one map: instances 1, 2 and 7 of 8, 6 and 2 pixels."""
    for name in ('rgb', 'masks'):
        (tmp_path / name).mkdir()
    labels = np.repeat([0, 1, 2, 7], [16, 8, 6, 2]).astype(np.uint8).reshape(4, 8)
    Image.fromarray(labels).save(tmp_path / 'masks/a.png')
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(tmp_path / 'rgb/a.jpg')

    def build(*steps):
        return MultiGranularDataset(
            str(tmp_path), dict(rgb='rgb', instance='masks'),
            [dict(type='LoadMultiGranular'), *steps],
        )  # fmt: skip

    return build


def test_instances_beyond_those_told_apart_are_counted(maps):
    def canonical(number, rerank):
        return dict(type='CanonicalInstances', num_instances=number, rerank=rerank)

    (said,) = instances_out_of_reach(maps(canonical(3, True)))  # ids 1, 2, 3 by area: the 3 is lost
    assert 'instances up to number 3, and 2 are told apart: 12% of the pixels' in said
    assert 'CanonicalInstances.num_instances=4' in said
    (said,) = instances_out_of_reach(maps(canonical(7, False)))
    assert 'instances up to number 7, and 6 are told apart: 12% of the pixels' in said
    assert instances_out_of_reach(maps(canonical(4, True))) == []
    assert instances_out_of_reach(maps(canonical(8, False))) == []
    assert instances_out_of_reach(maps()) == []


@pytest.mark.parametrize(
    ('curriculum', 'patch', 'share'),
    [('IG', 4, '100%'), ('IG', 2, '67%'), ('IG', 1, None), ('RD', 4, None)],
)
def test_instances_that_fill_no_patch_are_counted(maps, curriculum, patch, share):
    # Rows are 0, 0, 1 and then 2 2 2 2 2 2 7 7: of patches of 2 pixels the 1 has its ties.
    masking = dict(type='ProgressiveMasking', granularities=('rgb', 'instance'), num_visible=2,
                   patch_size=patch, curriculum=curriculum)  # fmt: skip
    said = instances_out_of_reach(maps(dict(type='CanonicalInstances', rerank=True), masking))
    assert len(said) == (share is not None)
    if share:
        assert f'{share} of the instances in samples fill no patch of {patch} pixels' in said[0]
