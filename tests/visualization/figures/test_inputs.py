from pathlib import Path

import pytest
from PIL import Image

from mmc2fmae.cli.figures_drawn import few
from mmc2fmae.errors import DatasetError
from mmc2fmae.visualization.figures.inputs import (
    choose_names,
    find_photographs,
    label_of,
    samples_of_dataset,
    samples_of_photographs,
)


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('L', (4, 4)).save(path)
    return path


def test_maps_lie_where_the_photograph_lies_in_its_folder(tmp_path):
    write(tmp_path / 'photos/a/x.jpg')
    wanted = write(tmp_path / 'maps/a/x.png')
    write(tmp_path / 'maps/x.png')
    (sample,) = samples_of_photographs([tmp_path / 'photos'], dict(instance=tmp_path / 'maps'))
    assert sample.name == 'x' and sample.files['instance'] == str(wanted)


def test_the_map_of_a_single_photograph_has_its_name(tmp_path):
    photo = write(tmp_path / 'a/x.jpg')
    nested = write(tmp_path / 'maps/a/x.png')
    maps = dict(instance=tmp_path / 'maps')
    assert samples_of_photographs([photo], maps)[0].files['instance'] == str(nested)
    flat = write(tmp_path / 'maps/x.png')
    assert samples_of_photographs([photo], maps)[0].files['instance'] == str(flat)


def test_a_missing_map_and_a_missing_photograph_are_named(tmp_path):
    photo = write(tmp_path / 'x.jpg')
    with pytest.raises(FileNotFoundError, match=r'x\.jpg has no semantic map.*maps/x\.png'):
        samples_of_photographs([photo], dict(semantic=tmp_path / 'maps'))
    with pytest.raises(FileNotFoundError, match='does not exist'):
        find_photographs([tmp_path / 'y.jpg'])
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no images'):
        find_photographs([tmp_path / 'empty'])
    photo.write_text('text')
    with pytest.raises(ValueError, match=r'x\.jpg is no readable image'):
        find_photographs([photo])


def test_samples_are_spread_over_the_dataset(data_root):
    spec = dict(type='MultiGranularDataset', data_root=str(data_root))
    samples = samples_of_dataset(spec, 3)
    assert [sample.name for sample in samples] == ['img_0', 'img_4', 'img_5']
    assert Path(samples[1].files['semantic']) == data_root / 'semantic/train/n00000000/img_4.png'
    with pytest.raises(DatasetError, match='is a ImageFolders'):
        samples_of_dataset(dict(type='ImageFolders'), 3)


def test_labels():
    assert label_of('runs/mae/epoch_300.pth') == 'mae'
    assert label_of('vit_base.safetensors') == 'vit_base'
    assert choose_names(None, ['a', 'b'], 'names') == ['a', 'b']
    with pytest.raises(ValueError, match='1 names for 2: a, b'):
        choose_names(['x'], ['a', 'b'], 'names')


@pytest.mark.parametrize('number', [50, 51, 600])
def test_more_photographs_than_a_page_holds_are_refused(number):
    photographs = [f'{i}.jpg' for i in range(number)]
    if number == 50:
        assert few(photographs) == photographs
    else:
        with pytest.raises(ValueError, match=f'^{number} photographs for one figure, which holds'):
            few(photographs)
