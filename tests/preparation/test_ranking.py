import json

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.folders import find_layout
from mmc2fmae.preparation.ranking import look_up, measure, read_records, sample, worst

RECORDS = [
    dict(path='a', instances=[dict(score=0.9), dict(score=0.1)], coverage=0.3, semantic_score=0.2),
    dict(path='b', instances=[], coverage=0.0, semantic_score=0.9),
    dict(path='c', instances=[dict(score=0.4)], coverage=0.9, semantic_score=0.5),
]


@pytest.mark.parametrize(
    ('by', 'order'),
    [('score', 'bca'), ('coverage', 'bac'), ('instances', 'acb'), ('semantic-score', 'acb')],
)
def test_the_worst_come_first(by, order):
    assert [record['path'] for record in worst(RECORDS, 9, by)] == list(order)
    assert [record['path'] for record in worst(iter(RECORDS), 2, by)] == list(order[:2])


def test_equal_photographs_are_sorted_by_name():
    records = [dict(path=name, coverage=0.5) for name in 'cab']
    assert [record['path'] for record in worst(records, 3, 'coverage')] == ['a', 'b', 'c']


def test_a_number_that_nothing_has_is_refused(data_root):
    with pytest.raises(DatasetError, match='no photograph has a semantic-coverage'):
        worst(RECORDS, 1, 'semantic-coverage')
    records = read_records(find_layout(data_root, 'train'), quiet=True)
    with pytest.raises(DatasetError, match='no photograph has a score'):
        worst(records, 1, 'score')


def test_without_a_manifest_the_maps_are_measured(data_root):
    labels = np.zeros((40, 48), np.uint8)
    labels[:10] = 5
    labels[10, :3] = 2
    Image.fromarray(labels).save(data_root / 'instance/train/n00000000/img_0.png')
    layout = find_layout(data_root, 'train')
    found = measure('n00000000/img_0.JPEG', layout)
    assert found['instances'] == [dict(id=2, area=3), dict(id=5, area=480)]
    assert found['coverage'] == 483 / 1920 and found['semantic_coverage'] == 1
    (data_root / 'semantic/train/n00000001/img_1.png').write_bytes(b'')
    records = list(read_records(layout, quiet=True))
    assert len(records) == 5  # one has no readable map
    assert worst(records, 1, 'coverage') == [found]  # the others are three quarters instances


def test_the_manifest_is_asked_first(data_root):
    name = 'n00000001/img_3.JPEG'
    lines = [dict(path=name, coverage=0.01), dict(path='n00000000/img_0.JPEG', error='cut off')]
    text = ''.join(json.dumps(line) + '\n' for line in lines)
    (data_root / 'manifest_train.jsonl').write_text(text)
    layout = find_layout(data_root, 'train')
    assert list(read_records(layout)) == lines[:1]
    first, second = look_up(layout, [name, 'n00000000/img_2.JPEG'])
    assert first == lines[0] and second['coverage'] > 0.5
    with pytest.raises(DatasetError, match=r'^2 of 3 photographs do not exist, .*nowhere\.jpg, '):
        look_up(layout, ['nowhere.jpg', name, 'n/gone.jpg'])


def test_the_draw_depends_on_the_seed_alone(data_root):
    layout = find_layout(data_root, 'train')
    drawn = [[r['path'] for r in sample(layout, 3, seed)] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] == sorted(set(drawn[0])) and len(drawn[0]) == 3
    assert len(sample(layout, 99, 0)) == 6
