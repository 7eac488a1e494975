"""Two photographs of one stem share what is paired by stem: every reader of pairs refuses them."""

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.cli import main
from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.preparation.coco_json import coco_from_masks
from mmc2fmae.preparation.conversion import convert
from mmc2fmae.preparation.converters import from_ade20k, from_folders
from mmc2fmae.visualization.figures.inputs import samples_of_photographs


def save(path, value=1, mode='L'):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).convert(mode).save(path)


@pytest.fixture
def twins(tmp_path):
    """``images/a/0.jpg`` and ``images/a/0.png`` with one mask, and a pair that is right."""
    for name in ('a/0.jpg', 'a/0.png', '1.jpg'):
        save(tmp_path / 'images' / name, mode='RGB')
    for name in ('a/0.png', '1.png'):
        save(tmp_path / 'masks' / name)
    return tmp_path


def convert_folders(root, skip):
    convert(
        from_folders(root / 'images', root / 'masks', None, ['x', 'y'], skip_unlabelled=skip),
        root / 'out',
        quiet=True,
    )


def convert_ade20k(root):
    (root / 'ade').mkdir()
    for kind, folder in (('images', 'images'), ('annotations', 'masks')):
        (root / 'ade' / kind).mkdir()
        (root / 'ade' / kind / 'training').symlink_to(root / folder)
    from_ade20k(root / 'ade', instances=False)


def command(*words):
    if main([*map(str, words)]):
        raise ValueError


READERS = {
    'pre-training': lambda root: MultiGranularDataset(
        str(root), dict(rgb='images', instance='masks')
    ),
    'masks to COCO': lambda root: coco_from_masks(root / 'images', root / 'masks', ['x']),
    'conversion': lambda root: convert_folders(root, False),
    'conversion of the labelled': lambda root: convert_folders(root, True),
    'conversion of ADE20K': convert_ade20k,
    'figures': lambda root: samples_of_photographs(
        [root / 'images'], dict(instance=root / 'masks')
    ),
    'labelling': lambda root: command('label', root / 'images', root / 'out'),
    'check': lambda root: command(
        'check', root, '--folders', 'rgb=images', 'instance=masks', '--workers', 1
    ),
}  # fmt: skip


@pytest.mark.parametrize('reader', READERS)
def test_two_photographs_of_one_stem_are_refused_by_name(twins, capsys, reader):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (of any kind, with both names)
        READERS[reader](twins)
    said = capsys.readouterr()
    text = f'{error.value}{said.out}{said.err}'
    assert 'a/0.jpg' in text and 'a/0.png' in text


def test_photographs_of_two_folders_do_not_share_a_map_in_a_figure(twins):
    save(twins / 'images/b/1.jpg', mode='RGB')
    photos = [twins / 'images/1.jpg', twins / 'images/b/1.jpg']
    with pytest.raises(ValueError, match=r'images/1\.jpg and .*b/1\.jpg would share the instance'):
        samples_of_photographs(photos, dict(instance=twins / 'masks'))
    assert len(samples_of_photographs(photos[:1] * 2, dict(instance=twins / 'masks'))) == 2
