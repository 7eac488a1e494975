import json

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from mmc2fmae.visualization.figures.page import Page, save_figure, shorten


def page_of(pictures, **options) -> Page:
    page = Page(
        [('group', ['a', 'b']), ('', ['c'])], ['row 1', 'row 2'], pictures[0].shape[0], **options
    )
    for i, picture in enumerate(pictures):
        page.show(i // 3, i % 3, picture)
    return page


@pytest.fixture
def noise():
    return list(np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3), dtype=np.uint8))


def test_a_png_shows_every_pixel_as_whole_dots(noise, tmp_path):
    page = page_of(noise, notes=['A note.'], legend=[('thing', (255, 0, 0))])
    png, *_ = save_figure(page, tmp_path / 'x.png', {})
    image = np.asarray(Image.open(png).convert('RGB')).astype(int)
    image = np.pad(image, ((0, 1), (0, 1), (0, 0)))
    times = round(page.tile * page.dpi / 40)
    assert page.tile * page.dpi == pytest.approx(40 * times) and page.dpi >= 300
    for i, picture in enumerate(noise):
        large = picture.repeat(times, 0).repeat(times, 1).astype(int)
        x = round(page.x[i % 3] * page.dpi)
        y = round((page.top + i // 3 * page.row_step) * page.dpi)
        found = min(
            np.abs(image[y + dy : y + dy + len(large), x + dx : x + dx + len(large)] - large).max()
            for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)
        )
        assert found <= 1


def test_png_pdf_and_record_are_the_same_bytes_each_time(noise, tmp_path):
    written = [
        save_figure(page_of(noise), tmp_path / name, dict(seed=3)) for name in ('a', 'b.pdf')
    ]
    assert [path.name for path in written[1]] == ['b.png', 'b.pdf', 'b.json']
    for first, second in zip(*written, strict=True):
        assert first.read_bytes() == second.read_bytes()
    record = json.loads(written[0][2].read_text())
    assert record['seed'] == 3 and 'commit' in record and 'torch' in record['versions']


def test_text_of_a_pdf_is_truetype(noise, tmp_path):
    content = save_figure(page_of(noise), tmp_path / 'x', {})[1].read_bytes()
    assert b'/CIDFontType2' in content and b'/Type3' not in content
    assert b'/Width 40' in content and b'CreationDate' not in content


def test_a_name_with_dots_keeps_them(noise, tmp_path):
    names = [path.name for path in save_figure(page_of(noise), tmp_path / 'fig.v2', {})]
    assert names == ['fig.v2.png', 'fig.v2.pdf', 'fig.v2.json']


def test_few_columns_do_not_fill_the_page_and_many_are_refused(noise):
    assert page_of(noise).tile == 1.3
    with pytest.raises(ValueError, match='too narrow for 3 columns'):
        page_of(noise, width=0.6)


def test_long_names_lose_their_middle():
    assert shorten('short', 1) == 'short'
    cut = shorten('a_very_long_name_of_a_file', 0.6)
    assert len(cut) <= 11 and cut.startswith('a_ver') and cut.endswith('_file')


def test_titles_of_columns_keep_to_their_columns():
    names = ['pretrain-one_long_name_of_a_run-s0', 'pretrain-another_long_name_of_a_run-s0']
    page = Page([('', names)], ['row'], native=8)
    renderer = FigureCanvasAgg(page.figure).get_renderer()
    boxes = [t.get_window_extent(renderer) for t in page.figure.texts if 'pretr' in t.get_text()]
    assert len(boxes) == 2
    assert boxes[0].x1 < boxes[1].x0 and boxes[1].x1 <= page.figure.bbox.x1
