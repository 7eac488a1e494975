import numpy as np
import pytest
from PIL import Image

from mmc2fmae.errors import DatasetError
from mmc2fmae.visualization.figures.inputs import samples_of_dataset
from mmc2fmae.visualization.figures.samples import draw_samples


@pytest.fixture
def samples(data_root):
    return samples_of_dataset(dict(type='MultiGranularDataset', data_root=str(data_root)), 3)


def test_samples_are_drawn_with_all_their_maps(samples):
    page = draw_samples(samples, [f'class {i}' for i in range(9)], across=2, size=40)
    pictures = [ax.images[0].get_array() for ax in page.figure.axes]
    assert len(pictures) == 9
    photo = np.asarray(Image.open(samples[0].files['rgb']).convert('RGB'))
    assert (pictures[0] == photo[:, 4:44]).all()  # the centre square of 48 x 40, untouched
    texts = {text.get_text() for text in page.figure.texts}
    assert {'img_0', 'img_4', 'img_5', 'class 8'} <= texts


def test_samples_of_different_granularities_are_refused(samples):
    bare = samples[1]._replace(files=dict(rgb=samples[1].files['rgb']))
    with pytest.raises(DatasetError, match='img_4 has'):
        draw_samples([samples[0], bare])
