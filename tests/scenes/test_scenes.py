"""The built-in scenes: what is drawn, what is written, and what happens when things go wrong."""

import hashlib
import json
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmc2fmae.scenes import (
    PALETTE,
    STUFF,
    THINGS,
    SceneSpec,
    make_scene,
    scene_at,
    store,
    write_scenes,
)
from mmc2fmae.scenes.arrange import arrange
from mmc2fmae.scenes.shapes import SHAPES

SPEC = SceneSpec()
TOOL = Path(__file__).parents[2] / 'tools' / 'make_scenes.py'


@pytest.fixture(scope='module')
def scenes():
    return [scene_at(SPEC, 3, 'train', index) for index in range(120)]


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes') / 'made'
    return write_scenes(folder, SPEC, 40, 20, seed=7, workers=1, quiet=True)


def read(path):
    assert path.is_file()
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def listing(folder):
    files = sorted(p for p in folder.rglob('*') if p.is_file())
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in files
        if p.name != 'meta.json'
    }


def test_class_names_match_the_shapes_and_the_palette():
    assert tuple(sorted(SHAPES)) == THINGS
    assert tuple(sorted(STUFF)) == STUFF
    assert len(set(PALETTE)) == len(PALETTE) == len(THINGS) + len(STUFF)


def test_instance_ids_are_dense_and_ordered_by_visible_area(scenes):
    for scene in scenes:
        ids, areas = np.unique(scene.instance[scene.instance > 0], return_counts=True)
        assert ids.tolist() == list(range(1, len(scene.categories) + 1))
        assert (np.diff(areas) <= 0).all()


def test_objects_carry_their_class_and_the_rest_is_stuff(scenes):
    for scene in scenes:
        assert scene.rgb.dtype == scene.instance.dtype == scene.semantic.dtype == np.uint8
        for number, category in enumerate(scene.categories, 1):
            assert (scene.semantic[scene.instance == number] == category).all()
        background = scene.semantic[scene.instance == 0]
        assert (background >= len(THINGS)).all()
        assert (background < len(THINGS) + len(STUFF)).all()


def test_main_object_decides_the_label_and_fills_a_good_share(scenes):
    for scene in scenes:
        share = (scene.instance == scene.main).mean()
        assert scene.categories[scene.main - 1] == scene.label
        assert scene.categories.count(scene.label) == 1
        assert 0.1 < share < SPEC.main_share[1] + 0.05
    shares = [(scene.instance == scene.main).mean() for scene in scenes]
    assert 0.25 < np.mean(shares) < 0.4
    assert np.mean([scene.main == 1 for scene in scenes]) > 0.98


def test_distractors_hide_no_more_of_the_main_object_than_allowed():
    crowded = SceneSpec(objects=(6, 8), front=1.0, distractor_share=(0.1, 0.2), max_occlusion=0.2)
    for index in range(30):
        canvas = arrange(crowded, np.random.default_rng(index), index % 10)
        at = [thing.main for thing in canvas.things].index(True) + 1
        seen = np.count_nonzero(canvas.instance == at)
        alone = arrange(SceneSpec(objects=(1, 1)), np.random.default_rng(index), index % 10)
        assert seen >= 0.8 * np.count_nonzero(alone.instance)


def test_every_class_and_number_of_objects_and_regions_occurs(scenes):
    assert {c for scene in scenes for c in scene.categories} == set(range(len(THINGS)))
    stuff = {int(c) for scene in scenes for c in np.unique(scene.semantic) if c >= len(THINGS)}
    assert stuff == set(range(len(THINGS), len(THINGS) + len(STUFF)))
    assert {len(scene.categories) for scene in scenes} == {1, 2, 3, 4}


def test_labels_are_balanced_over_each_run_of_ten(scenes):
    for start in range(0, len(scenes), len(THINGS)):
        labels = [scene.label for scene in scenes[start : start + len(THINGS)]]
        assert sorted(labels) == list(range(len(THINGS)))


def test_scenes_depend_on_seed_split_and_index():
    first = scene_at(SPEC, 0, 'train', 4)
    assert np.array_equal(first.rgb, scene_at(SPEC, 0, 'train', 4).rgb)
    for other in ((1, 'train', 4), (0, 'val', 4), (0, 'train', 5)):
        assert not np.array_equal(first.rgb, scene_at(SPEC, *other).rgb)


@pytest.mark.parametrize('size', [32, 96, 224])
def test_other_sizes_are_drawn_alike(size):
    scene = make_scene(SceneSpec(size=size), np.random.default_rng(0), label=3)
    assert scene.rgb.shape == (size, size, 3)
    assert scene.semantic.shape == scene.instance.shape == (size, size)
    assert scene.label == 3


def test_a_scene_may_draw_its_own_label():
    labels = {make_scene(SPEC, np.random.default_rng(k)).label for k in range(40)}
    assert len(labels) > 5


def test_files_on_disk_hold_the_scene(root):
    for split, kind in (('train', 'training'), ('val', 'validation')):
        scene = scene_at(SPEC, 7, split, 11)
        name = f'{THINGS[scene.label]}/{split}_000011'
        photo = cv2.cvtColor(read(root / split / f'{name}.JPEG'), cv2.COLOR_BGR2RGB)
        assert np.abs(photo.astype(int) - scene.rgb).mean() < 6
        assert np.array_equal(read(root / 'instance' / split / f'{name}.png'), scene.instance)
        assert np.array_equal(read(root / 'semantic' / split / f'{name}.png'), scene.semantic)
        ade = read(root / 'ade' / 'annotations' / kind / f'{split}_000011.png')
        assert np.array_equal(ade, scene.semantic + 1)
        twin = root / 'ade' / 'images' / kind / f'{split}_000011.jpg'
        assert twin.read_bytes() == (root / split / f'{name}.JPEG').read_bytes()


def test_folders_are_the_classes_and_hold_equal_numbers(root):
    assert (root / 'classes.txt').read_text().split() == list(THINGS)
    for split, each in (('train', 4), ('val', 2)):
        folders = sorted(p.name for p in (root / split).iterdir())
        assert folders == list(THINGS)
        assert all(len(list((root / split / name).iterdir())) == each for name in folders)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_coco_masks_equal_the_instance_maps(root, split):
    coco = COCO(root / 'annotations' / f'instances_{split}.json')
    assert [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(THINGS)
    assert len(coco.imgs) == {'train': 40, 'val': 20}[split]
    for image in coco.imgs.values():
        assert (root / split / image['file_name']).is_file()
        stem = image['file_name'].removesuffix('.JPEG')
        instance = read(root / 'instance' / split / f'{stem}.png')
        semantic = read(root / 'semantic' / split / f'{stem}.png')
        annotations = coco.imgToAnns[image['id']]
        assert len(annotations) == instance.max()
        for number, annotation in enumerate(annotations, 1):
            mask = coco.annToMask(annotation).astype(bool)
            assert np.array_equal(mask, instance == number)
            assert (semantic[mask] == annotation['category_id'] - 1).all()
            ys, xs = np.nonzero(mask)
            box = [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
            assert annotation['bbox'] == box
            assert annotation['area'] == mask.sum()
            assert annotation['iscrowd'] == 0


def test_meta_says_what_the_data_are(root):
    meta = json.loads((root / 'meta.json').read_text())
    assert meta['seed'] == 7
    assert meta['counts'] == {'train': 40, 'val': 20}
    assert meta['spec']['size'] == 64
    assert meta['things'] + meta['stuff'] == [*THINGS, *STUFF]
    assert meta['digest'] == store.digest(list(listing(root).items()))


def test_the_digest_can_be_checked_from_a_shell(root):
    meta = json.loads((root / 'meta.json').read_text())
    shell = subprocess.run(
        ['sh', '-c', meta['digest_command']], cwd=root, capture_output=True, text=True, check=False
    )
    if shell.returncode or not shell.stdout:
        pytest.skip(f'no such shell here: {shell.stderr}')
    assert shell.stdout.split()[0] == meta['digest']


def test_workers_change_nothing_and_fewer_scenes_are_a_prefix(root, tmp_path):
    # Enough for two processes: they share out chunks of 32, at least four each.
    two = write_scenes(tmp_path / 'two', SPEC, 240, 20, seed=7, workers=2, quiet=True)
    one = write_scenes(tmp_path / 'one', SPEC, 240, 20, seed=7, workers=1, quiet=True)
    assert listing(one) == listing(two)
    small, large = listing(root), listing(one)
    assert {k: v for k, v in small.items() if not k.endswith('train.json')} == {
        k: v for k, v in large.items() if k in small and not k.endswith('train.json')
    }


def test_the_same_request_is_answered_from_disk(root, monkeypatch):
    monkeypatch.setattr(store, 'write_all', None)
    before = (root / 'meta.json').stat().st_mtime_ns
    assert write_scenes(root, SPEC, 40, 20, seed=7) == root
    assert (root / 'meta.json').stat().st_mtime_ns == before


def test_other_scenes_are_replaced_only_when_told(tmp_path):
    out = write_scenes(tmp_path / 'out', SPEC, 10, 0, workers=1, quiet=True)
    with pytest.raises(FileExistsError, match=r'out: .*seed there 0, asked 1.*--overwrite'):
        write_scenes(out, SPEC, 10, 0, seed=1, quiet=True)
    with pytest.raises(FileExistsError, match=r"spec there \{'noise': 0.03\}, asked \{'noise': 0"):
        write_scenes(out, SceneSpec(noise=0.01), 10, 0, quiet=True)
    write_scenes(out, SPEC, 10, 0, seed=1, overwrite=True, quiet=True)
    assert json.loads((out / 'meta.json').read_text())['seed'] == 1
    assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_damaged_scenes_are_not_reused(tmp_path):
    out = write_scenes(tmp_path / 'out', SPEC, 10, 0, workers=1, quiet=True)
    next((out / 'semantic').rglob('*.png')).unlink()
    with pytest.raises(FileExistsError, match=r'53 files, expected 54.*--overwrite'):
        write_scenes(out, SPEC, 10, 0, quiet=True)


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='no dataset of scenes'):
        write_scenes(tmp_path, SPEC, 10, 0, overwrite=True, quiet=True)
    assert (tmp_path / 'thesis.tex').is_file()


@pytest.mark.parametrize('blow', [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch, blow):
    def interrupted(root, *_, **__):
        assert any(Path(root).iterdir())
        raise blow

    monkeypatch.setattr(store, 'write_all', interrupted)
    with pytest.raises(blow):
        write_scenes(tmp_path / 'out', SPEC, 10, 0, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_what_killed_runs_left_is_swept_after_a_day(tmp_path):
    old, new = tmp_path / '.out.making-1', tmp_path / '.out.making-2'
    old.mkdir()
    new.mkdir()
    os.utime(old, (0, 0))
    write_scenes(tmp_path / 'out', SPEC, 1, 0, quiet=True)
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('size', 16),
        ('size', 64.0),
        ('size', True),
        ('objects', (3, 2)),
        ('objects', 3),
        ('main_share', (0.2, 0.9)),
        ('noise', '0.1'),
        ('noise', (0.1, 0.2)),
        ('blur', float('nan')),
    ],
)
def test_bad_settings_are_named(field, value):
    with pytest.raises(ValueError, match=rf'SceneSpec\.{field}: got .*, expected .* from .* to'):
        SceneSpec(**{field: value})


def test_settings_from_json_equal_the_original():
    spec = SceneSpec(objects=[2, 3], noise=0)
    assert spec == SceneSpec(objects=(2, 3), noise=0.0)
    assert hash(spec) == hash(SceneSpec(objects=(2, 3), noise=0.0))


@pytest.mark.parametrize(
    'bad', [{'num_train': 0}, {'num_val': -1}, {'seed': 2**32}, {'workers': 0}, {'num_train': 1.5}]
)
def test_bad_numbers_are_named(tmp_path, bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f'{name}: got .*, expected an integer from'):
        write_scenes(tmp_path / 'out', **bad)
    with pytest.raises(ValueError, match='label: got 10, expected 0 to 9'):
        make_scene(SPEC, np.random.default_rng(0), label=10)


def test_a_full_disk_is_reported_before_the_work(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr('shutil.disk_usage', lambda _: usage._replace(free=0))
    with pytest.raises(OSError, match=r'0 MiB free, expected .* for 1000 scenes of'):
        write_scenes(tmp_path / 'out', SPEC, 1000, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_tool_writes_scenes_and_explains_errors(tmp_path, monkeypatch, capsys):
    def call(*args):
        command = [str(TOOL), str(tmp_path / 'out'), '--train', '10', '--val', '0', *args]
        monkeypatch.setattr(sys, 'argv', command)
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(TOOL), run_name='__main__')
        return stop.value.code

    assert call('--size', '32', '--objects', '1', '2') == 0
    done = capsys.readouterr()
    assert done.out.strip() == str(tmp_path / 'out')
    assert call('--size', '9') == 2
    assert 'error: SceneSpec.size: got 9' in capsys.readouterr().err
