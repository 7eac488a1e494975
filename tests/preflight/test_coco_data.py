import json
import pickle

import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS, METRICS
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.coco_data import CheckedCocoDataset, CheckedCocoMetric

BOXES = dict(cat=[2, 2, 10, 8], dog=[20, 10, 12, 12])
IDS = dict(cat=4, dog=7)


@pytest.fixture
def coco(tmp_path):
    """A function that writes two images with a cat and a dog each, and returns the path."""

    def write(order=('cat', 'dog'), first_id=1, **ids):
        ids = IDS | ids
        annotations = [
            dict(id=first_id + 2 * i + k, image_id=i, category_id=ids[name], bbox=BOXES[name],
                 area=BOXES[name][2] * BOXES[name][3], iscrowd=0)
            for i in (0, 1) for k, name in enumerate(BOXES)
        ]  # fmt: skip
        for i in (0, 1):
            Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / f'{i}.png')
        images = [dict(id=i, file_name=f'{i}.png', width=40, height=30) for i in (0, 1)]
        categories = [dict(id=ids[name], name=name) for name in order]
        path = tmp_path / 'ann.json'
        path.write_text(json.dumps(dict(images=images, annotations=annotations,
                                        categories=categories)))  # fmt: skip
        return str(path)

    return write


def build(path, classes):
    return DATASETS.build(
        dict(type='CocoDataset', ann_file=path, data_prefix=dict(img=path.rsplit('/', 1)[0]),
             metainfo=dict(classes=classes))
    )  # fmt: skip


@pytest.mark.parametrize('order', [('cat', 'dog'), ('dog', 'cat')])
@pytest.mark.parametrize('classes', [('cat', 'dog'), ('dog', 'cat'), ('dog',)])
@pytest.mark.parametrize('ids', [dict(), dict(cat=9, dog=0)])
def test_labels_go_by_names_whatever_the_orders_and_ids(coco, order, classes, ids):
    data = build(coco(order, **ids), classes)
    assert isinstance(data, CheckedCocoDataset)
    for i in range(2):
        found = {
            tuple(o['bbox'][:2]): classes[o['bbox_label']]
            for o in data.get_data_info(i)['instances']
        }
        expected = {tuple(BOXES[name][:2]): name for name in classes}
        assert found == expected
    swapped = [name for name in order if name in classes] != list(classes)
    assert any('matched by name' in note for note in data.found.notes) == swapped


@pytest.mark.parametrize('order', [('cat', 'dog'), ('dog', 'cat')])
@pytest.mark.parametrize('classes', [('cat', 'dog'), ('dog', 'cat')])
@pytest.mark.parametrize('first_id', [0, 1])
def test_perfect_boxes_have_an_average_precision_of_one(coco, order, classes, first_id):
    metric = METRICS.build(dict(type='CocoMetric', ann_file=coco(order, first_id), metric='bbox'))
    assert isinstance(metric, CheckedCocoMetric)
    metric.dataset_meta = dict(classes=classes)
    for i in (0, 1):
        corners = [[x, y, x + w, y + h] for x, y, w, h in (BOXES[name] for name in classes)]
        instances = dict(
            bboxes=torch.tensor(corners).float(), scores=torch.ones(2), labels=torch.arange(2)
        )
        metric.process({}, [dict(img_id=i, pred_instances=instances, ori_shape=(30, 40))])
    assert metric.evaluate(2)['coco/bbox_mAP'] == 1


def test_figures_of_single_classes_are_refused_where_they_would_be_swapped(coco):
    metric = METRICS.build(
        dict(type='CocoMetric', ann_file=coco(), metric='bbox', classwise=True)
    )  # fmt: skip
    metric.dataset_meta = dict(classes=('dog', 'cat'))
    with pytest.raises(DatasetError, match=r'classwise=True would mix up.*\[7, 4\]'):
        metric.compute_metrics([])


@pytest.mark.parametrize('classes', [('object',), ('cat', 'cow'), ('Cat', 'dog')])
def test_unknown_classes_stop_before_the_data_are_loaded(coco, classes):
    with pytest.raises(DatasetError, match=r'lacks 1 of the .*it has 2 categories: cat, '):
        build(coco(), classes)


@pytest.mark.parametrize('name', ['CityscapesDataset', 'iSAIDDataset', 'DeepFashionDataset',
                                  'ADE20KInstanceDataset'])  # fmt: skip
def test_relatives_are_checked_before_they_are_loaded(coco, name):
    kind = DATASETS.get(name)
    assert issubclass(kind, CheckedCocoDataset) and pickle.loads(pickle.dumps(kind)) is kind
    path = coco()
    spec = dict(type=name, ann_file=path, data_prefix=dict(img=path.rsplit('/', 1)[0]),
                metainfo=dict(classes=('cat', 'dog'), palette=None), test_mode=True)  # fmt: skip
    assert '2 images and 4 annotations' in DATASETS.build(spec).found.line
    with open(path) as file:
        content = json.load(file)
    del content['annotations'][0]['bbox']
    with open(path, 'w') as file:
        json.dump(content, file)
    with pytest.raises(DatasetError, match='1 of 4 annotations have no bbox'):
        DATASETS.build(spec)


@pytest.mark.parametrize('name', ['LVISV1Dataset', 'CocoPanopticDataset', 'Objects365V1Dataset'])
def test_files_of_other_fields_are_left_alone(name):
    assert not issubclass(DATASETS.get(name), CheckedCocoDataset)
