import json

import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.layout import label_info
from mmc2fmae.scenes.spec import PALETTE, STUFF, THINGS
from mmc2fmae.visualization.figures.colours import class_names, legend_of, semantic_palette


def test_names_come_with_the_dataset(tmp_path):
    assert class_names(tmp_path, 9) == () and class_names(None, 133)[0] == 'person'
    (tmp_path / 'meta.json').write_text(json.dumps(dict(generator='mmc2fmae.datasets.scenes')))
    assert class_names(tmp_path, 16) == (*THINGS, *STUFF)
    label_info(['cat', 'dog'], {}).write(tmp_path)
    assert class_names(tmp_path, 133) == ('cat', 'dog')
    (tmp_path / 'labels.json').write_text('{}')
    with pytest.raises(DatasetError, match=r'labels\.json is damaged'):
        class_names(tmp_path, 133)


def test_known_classes_have_the_colours_they_are_known_by():
    coco = semantic_palette(class_names(None, 133))
    assert coco[0].tolist() == [220, 20, 60] and coco[255].tolist() == [255, 255, 255]
    assert semantic_palette((*THINGS, *STUFF))[0].tolist() == list(PALETTE[0])


def test_a_legend_names_what_is_shown():
    palette = semantic_palette(())
    legend = legend_of({2, 0, 255, 7}, ['a', 'b', 'c'], palette)
    assert [name for name, _ in legend] == ['a', 'c', 'unknown']
    assert legend[1][1] == tuple(palette[2])
    assert legend_of({0, 255}, [], palette) == []
