import argparse
import json
import runpy
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.registry import DATASETS, MODELS
from PIL import Image

from mmc2fmae.cli import run_options
from mmc2fmae.engine import launch

ROOT = Path(__file__).parents[2]


def start(monkeypatch, *arguments: object) -> None:
    tool = ROOT / 'tools/convert_dataset.py'
    monkeypatch.setattr(sys, 'argv', [str(tool), *map(str, arguments)])
    try:
        runpy.run_path(str(tool), run_name='__main__')
    except SystemExit as stop:
        if stop.code:
            raise


def save(array, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Two of three photographs with one object of class 2."""
    for i in range(3):
        save(np.zeros((40, 50, 3)), tmp_path / f'photos/{i}.jpg')
    for i in range(2):
        mask = np.zeros((40, 50))
        mask[10:30, 10:30] = 1
        save(mask, tmp_path / f'masks/{i}.png')
        save(2 * mask, tmp_path / f'classes/{i}.png')
    (tmp_path / 'classes.txt').write_text('ground\ncat\ndog\n')
    return tmp_path


def test_the_printed_command_trains_on_what_was_written(folders, monkeypatch, capsys):
    options = ('--images', folders / 'photos', '--instance', folders / 'masks')
    semantic = ('--semantic', folders / 'classes', '--classes', folders / 'classes.txt')
    start(
        monkeypatch, 'folders', folders / 'out', *options, *semantic,
        '--skip-unlabelled', '--split', 'street',
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert '2 photographs (0 were done before), instance and semantic maps, 3 classes' in printed
    assert f'{folders}/out/street.txt: the labelled photographs' in printed
    command = printed.split('pre-train:  python tools/train.py ')[1]
    parser = argparse.ArgumentParser()
    run_options.add_common_arguments(parser)
    run_options.add_train_arguments(parser)
    monkeypatch.chdir(ROOT)
    cfg = launch.load_config(parser.parse_args(shlex.split(command)))
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 2
    assert set(dataset[0]['inputs']['semantic'].unique().tolist()) <= {0, 2}
    (load,) = (p for p in cfg.train_dataloader.dataset.pipeline if p.type == 'LoadMultiGranular')
    assert load.num_classes.semantic == 3
    model = MODELS.build(cfg.model)
    assert model.backbone.label_embeds['semantic'].classes.num_embeddings == 3 + 1  # and unknown


def test_coco_and_ade20k_from_the_command_line(tmp_path, monkeypatch, capsys):
    save(np.zeros((3, 4, 3)), tmp_path / 'images/a.jpg')
    save(np.full((3, 4, 3), [7, 0, 0]), tmp_path / 'panoptic/a.png')
    content = dict(
        images=[dict(id=1, file_name='a.jpg')],
        annotations=[
            dict(image_id=1, file_name='a.png', segments_info=[dict(id=7, category_id=1)])
        ],
        categories=[dict(id=1, name='cat', isthing=1), dict(id=2, name='sky', isthing=0)],
    )
    (tmp_path / 'panoptic.json').write_text(json.dumps(content))
    coco = ('--images', tmp_path / 'images', '--panoptic', tmp_path / 'panoptic.json')
    start(monkeypatch, 'coco', tmp_path / 'coco', *coco)
    assert '1 photographs' in capsys.readouterr().out
    assert (tmp_path / 'coco/instance/train/a.png').exists()
    save(np.zeros((3, 4, 3)), tmp_path / 'ade/images/validation/a.jpg')
    save(np.ones((3, 4)), tmp_path / 'ade/annotations/validation/a.png')
    ade = ('ade20k', tmp_path / 'out', '--source', tmp_path / 'ade', '--split', 'val')
    with pytest.raises(SystemExit) as stop:
        start(monkeypatch, *ade)
    assert stop.value.code == 2
    assert 'annotations_instance' in capsys.readouterr().err
    start(monkeypatch, *ade, '--no-instances')
    assert 'semantic maps, 150 classes' in (printed := capsys.readouterr().out)
    assert 'docs/convert_data.md' in printed and 'own_maps' not in printed
    assert not (tmp_path / 'out/instance').exists()


def test_class_maps_need_names(folders, monkeypatch, capsys):
    options = ('--images', folders / 'photos', '--instance', folders / 'masks')
    with pytest.raises(SystemExit) as stop:
        start(monkeypatch, 'folders', folders / 'out', *options, '--semantic', folders / 'classes')
    assert stop.value.code == 2
    assert '--semantic and --classes go together' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        start(monkeypatch, 'folders', folders / 'out', *options)
    assert 'one of the arguments --semantic --object-class' in capsys.readouterr().err
