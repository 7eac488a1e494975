import json

import numpy as np
import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.layout import label_info
from mmc2fmae.scenes.spec import PALETTE, STUFF, THINGS
from mmc2fmae.visualization.colours import (
    class_names,
    instance_colours,
    label_palette,
    legend_of,
    semantic_palette,
)


def test_names_come_with_the_dataset(tmp_path):
    assert class_names(tmp_path, 9) == () and class_names(None, 133)[0] == 'person'
    (tmp_path / 'meta.json').write_text(json.dumps(dict(generator='mmc2fmae.datasets.scenes')))
    assert class_names(tmp_path, 16) == (*THINGS, *STUFF)
    label_info(['cat', 'dog'], {}).write(tmp_path)
    assert class_names(tmp_path, 133) == ('cat', 'dog')
    (tmp_path / 'labels.json').write_text('{}')
    with pytest.raises(DatasetError, match=r'labels\.json is damaged'):
        class_names(tmp_path, 133)


def test_labels_have_distinct_colours():
    palette = label_palette()
    assert len({tuple(colour) for colour in palette[:134].tolist()}) == 134
    assert palette[255].tolist() == [255, 255, 255]


def test_instances_of_any_id_have_a_colour_and_the_background_its_own():
    colours = instance_colours(np.array([[0, 1, 2, 254, 255, 65535]]))[0]
    assert colours[0].max() < 60 and (colours[1:].max(1) > 100).all()
    assert not (colours[1:] == 255).all(1).any()  # white is for outlines
    assert (colours[1] != colours[2]).any() and (colours[1] == colours[4]).all()


def test_known_classes_have_the_colours_they_are_known_by():
    coco = semantic_palette(class_names(None, 133))
    assert coco[0].tolist() == [220, 20, 60] and coco[255].tolist() == [255, 255, 255]
    assert coco[2].tolist() == [0, 0, 142]
    assert semantic_palette((*THINGS, *STUFF))[0].tolist() == list(PALETTE[0])
    assert (semantic_palette(('sky', 'sea')) == label_palette()).all()


def test_a_legend_names_what_is_shown():
    palette = semantic_palette(())
    legend = legend_of({2, 0, 255, 7}, ['a', 'b', 'c'], palette)
    assert [name for name, _ in legend] == ['a', 'c', 'unknown']
    assert legend[1][1] == tuple(palette[2])
    assert legend_of({0, 255}, [], palette) == []
