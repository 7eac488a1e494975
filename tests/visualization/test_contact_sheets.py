import io

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.preparation.folders import Layout
from mmc2fmae.visualization.colours import semantic_palette
from mmc2fmae.visualization.contact_sheets import (
    SIDE,
    class_colours,
    draw_sheet,
    draw_sheets,
    fit,
    outlines,
    overlay,
    page_paths,
    read_tile,
)

CLASSES = ('sky', '$\\frac{$')  # no formula


@pytest.fixture
def layout(tmp_path) -> Layout:
    folders = dict(rgb='train', instance='masks', semantic='classes')
    for folder in folders.values():
        (tmp_path / folder).mkdir()
    layout = Layout(str(tmp_path), folders)
    Image.new('CMYK', (8, 4), (0, 255, 255, 0)).save(layout.path('rgb', 'a.jpg'))
    labels = np.zeros((4, 8), np.uint16)
    labels[:, 4:] = 300
    Image.fromarray(labels).save(layout.path('instance', 'a.jpg'))
    labels = np.full((4, 8), 255, np.uint8)
    labels[:2] = 1
    Image.fromarray(labels).save(layout.path('semantic', 'a.jpg'))
    return layout


def texts(figure) -> list[str]:
    found = [text.get_text() for ax in figure.axes for text in ax.texts]
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    return found + [text.get_text() for legend in legends for text in legend.get_texts()]


@pytest.mark.parametrize('size', [(8, 4), (4000, 2000), (1, 9999)])
def test_pictures_have_one_long_side(size):
    width, height = fit(*size)
    assert max(width, height) == SIDE and min(width, height) >= 1


def test_a_tile_shows_ids_as_they_are_and_any_photograph_in_rgb(layout):
    tile = read_tile('a.jpg', layout)
    assert tile.photo.shape == (SIDE // 2, SIDE, 3)
    red, green, blue = tile.photo.reshape(-1, 3).mean(0)
    assert red > 200 and green < 60 and blue < 60
    assert set(np.unique(tile.instance)) == {0, 300}
    assert (tile.instance[:, SIDE // 2 :] == 300).all() and tile.instance[0, SIDE // 2 - 1] == 0


def test_a_large_jpeg_is_decoded_small(layout, monkeypatch):
    Image.new('RGB', (4800, 3200)).save(layout.path('rgb', 'b.jpg'))
    converted = []
    convert = Image.Image.convert
    monkeypatch.setattr(
        Image.Image, 'convert', lambda i, *a: converted.append(i.size) or convert(i, *a)
    )
    tile = read_tile('b.jpg', layout)
    assert converted == [(600, 400)]
    assert tile.photo.shape == (267, 400, 3)
    assert (tile.instance, tile.semantic) == ('no map', 'no map')


def test_unusable_files_are_said_in_the_picture(layout):
    layout.path('semantic', 'a.jpg').write_bytes(b'')
    Image.new('L', (4, 8)).save(layout.path('instance', 'a.jpg'))
    layout.path('rgb', 'b.jpg').write_bytes(b'')
    figure = draw_sheet([dict(path='a.jpg'), dict(path='b.jpg')], layout, CLASSES)
    shown = ' '.join(texts(figure)).replace('\n', ' ')
    assert 'map is 4 x 8, photograph is 8 x 4' in shown
    assert shown.count('cannot be read: empty file') == 3  # the map twice


def test_outlines_are_where_ids_change():
    labels = np.array([[1, 1, 2], [1, 1, 2], [3, 3, 3]])
    assert outlines(labels).tolist() == [
        [False, True, False],
        [True, True, True],
        [False, False, False],
    ]


def test_unknown_pixels_are_hatched_grey():
    labels = np.full((20, 20), 255)
    labels[0, 0] = 1
    colours = class_colours(labels, semantic_palette(CLASSES))
    assert colours[0, 0].tolist() == semantic_palette(CLASSES)[1].tolist()
    assert set(map(tuple, colours.reshape(-1, 3)[1:].tolist())) == {(190,) * 3, (235,) * 3}


def test_overlays_blend_where_there_is_a_label():
    photo = np.full((1, 2, 3), 101, np.uint8)
    mixed = overlay(photo, np.full((1, 2, 3), 255, np.uint8), np.array([[True, False]]))
    assert mixed[0, :, 0].tolist() == [178, 101]


def test_a_sheet_shows_captions_ids_and_the_classes_that_occur(layout):
    record = dict(
        path='a.jpg',
        threshold=0.25,
        coverage=0.5,
        semantic_coverage=0.5,
        semantic_score=0.75,
        instances=[dict(id=1, name='cat $x_{$', score=0.875), dict(id=2, name='dog', score=0.5)],
    )
    figure = draw_sheet([record], layout, CLASSES)
    figure.savefig(io.BytesIO())  # names are no formulas
    shown = texts(figure)
    caption = next(text for text in shown if text.startswith('a.jpg'))
    for part in ('threshold 0.25', 'instances cover 50%', '2 instances', '1  cat $x_{$ 0.88',
                 '2  dog 0.50'):  # fmt: skip
        assert part in caption
    assert shown.count('300') == 2 and shown.count('1') == 2  # on both pictures of each map
    assert shown[-2:] == ['1 $\\frac{$', 'unknown']
    # photograph, two of instances, two of classes, caption, legend
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 1, 1, 0, 0]


def test_instances_alone_need_fewer_pictures(layout):
    folders = dict(rgb='train', instance='masks')
    figure = draw_sheet([dict(path='a.jpg')], layout._replace(folders=folders), CLASSES)
    assert [len(ax.images) for ax in figure.axes] == [1, 1, 1, 0]


def test_pages_are_written_and_numbered(layout, tmp_path):
    records = [dict(path='a.jpg')] * 3
    out = draw_sheets(records, layout, CLASSES, tmp_path / 'new/sheet.png', rows=2)
    assert out == [tmp_path / f'new/sheet_00{i}.png' for i in (1, 2)]
    heights = [Image.open(path).height for path in out]
    assert heights[0] > heights[1] > 100
    odd = [dict(path='caf\udce9.jpg')]
    assert draw_sheets(odd, layout, CLASSES, tmp_path / 'one.png') == [tmp_path / 'one.png']


def test_pages_go_into_a_folder_or_beside_each_other(tmp_path):
    assert page_paths(tmp_path, 2) == [tmp_path / f'page_00{i}.png' for i in (1, 2)]
    assert page_paths('a/b', 1)[0].as_posix() == 'a/b/page_001.png'
    assert [p.as_posix() for p in page_paths('b.pdf', 1)] == ['b.pdf']
    with pytest.raises(DatasetError, match='neither a folder nor a picture'):
        page_paths('sheet.xyz', 1)
