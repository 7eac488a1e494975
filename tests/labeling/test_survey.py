import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.labeling.detection import Detections
from mmc2fmae.labeling.instances import ThresholdSchedule
from mmc2fmae.labeling.labeller import Labels
from mmc2fmae.labeling.pipeline import Source
from mmc2fmae.labeling.survey import Estimate, estimate, sweep, sweep_table

SCHEDULE = ThresholdSchedule(0.5, 0.1, 0.3, min_detections=1)


def test_the_table_counts_by_hand():
    scores = [np.array([0.6, 0.45]), np.array([0.35]), np.array([])]
    assert sweep_table(scores, SCHEDULE) == [
        dict(threshold=0.5, enough=1 / 3, detections=1 / 3, used=1 / 3),
        dict(threshold=0.4, enough=1 / 3, detections=2 / 3, used=0),
        dict(threshold=0.3, enough=2 / 3, detections=1, used=2 / 3),
    ]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    folder.mkdir()
    for i in range(6):
        Image.new('RGB', (50, 40), (200, 200, 200)).save(folder / f'{i}.jpg')
    (folder / '3.jpg').write_bytes(b'')
    return Source(folder, [f'{i}.jpg' for i in range(6)], lambda name: ('cat',))


def test_a_sweep_draws_what_it_found(photos, tmp_path):
    def detect(images, names, floor):
        assert len(images) == 5  # one of six is unreadable
        assert names == [('cat',)] * 5 and floor == 0.3
        box = np.array([[5, 5, 30, 30]], np.float32)
        return [Detections(box, np.array([0.45], np.float32), np.zeros(1, int), 1)] * 5

    rows = sweep(photos, detect, SCHEDULE, 6, tmp_path / 'new/sweep.png')
    assert [row['used'] for row in rows] == [0, 1, 0]
    pixels = np.array(Image.open(tmp_path / 'new/sweep.png'))
    assert (pixels == (0, 255, 0)).all(axis=2).sum() > 100  # the boxes


def test_a_sweep_without_a_readable_photograph_is_refused(photos, tmp_path):
    with pytest.raises(DatasetError, match='none of 1 photographs'):
        sweep(Source(photos.folder, ['3.jpg'], photos.prompts), None, SCHEDULE, 1, tmp_path / 'x')


def test_an_estimate_leaves_nothing_and_counts_blocks(photos, tmp_path):
    def labeller(images, names, pool):
        empty = np.zeros((40, 50), np.uint8)
        return [Labels(empty, empty, {})] * len(images)

    found = estimate(photos, labeller, 4, 2, 1, tmp_path / 'out')
    assert found.photographs == 4
    assert found.unreadable == 1  # 0, 1, 3, 5
    assert found.bytes_on_disk > 0
    assert not list((tmp_path / 'out').iterdir())


def test_an_estimate_is_scaled_to_the_whole():
    text = Estimate(100, 2, 50.0, 100 * 2**20).describe(1_000_000)
    assert '2.00 images/s' in text
    assert '138.9 device hours, 17.4 h on 8 devices; 976.56 GiB' in text
