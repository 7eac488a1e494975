import errno
import math
import os
import random
import signal
import threading
import time

import numpy as np
import pytest
from PIL import Image
from tqdm import tqdm

from mmc2fmae.datasets.sample_io import read_label_map
from mmc2fmae.errors import DatasetError
from mmc2fmae.labeling import pipeline
from mmc2fmae.labeling.jobs import Job
from mmc2fmae.labeling.labeller import Labels
from mmc2fmae.labeling.pipeline import Source, run_job
from mmc2fmae.preparation.layout import read_manifest


class Halves:
    """A labeller whose maps tell the photograph's brightness and its place in the batch."""

    def __init__(self, seconds=0.0, most=math.inf):
        self.seconds = seconds
        self.left = most

    def __call__(self, photos, names, pool):
        self.left -= 1
        time.sleep(self.seconds if self.left >= 0 else 60)
        found = []
        for place, photo in enumerate(photos):
            instance = np.zeros((photo.height, photo.width), np.uint8)
            instance[: photo.height // 2] = 1
            semantic = np.full_like(instance, photo.pixels[0, 0, 0])
            record = dict(mean=float(photo.pixels.mean()), place=place, names=list(names[place]))
            found.append(Labels(instance, semantic, record))
        return found


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / 'photos'
    for i in range(11):
        (folder / f'c{i % 2}').mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (8 + i, 6), (i * 20,) * 3).save(folder / f'c{i % 2}/{i:02d}.png')
    return folder


def source(folder):
    names = sorted(str(p.relative_to(folder)) for p in folder.rglob('*.png'))
    return Source(folder, names, lambda name: (f'thing of {name[:2]}',))


def label(folder, out, ranks=1, labeller=None, part_size=3):
    for rank in range(ranks):
        job = Job(out, 'train', source(folder).names, part_size, {})
        with job.claim(rank):
            whole = run_job(
                job, source(folder), labeller or Halves(), dict(version='1'), rank, ranks, 2, True
            )
    return whole


def tree(root):
    """Everything under a folder but settings and locks, with its bytes."""
    files = (p for p in root.rglob('*') if p.is_file() and '.labeling' not in p.parts)
    return {str(p.relative_to(root)): p.read_bytes() for p in files}


def test_maps_and_manifest_are_written_in_the_layout(photos, tmp_path):
    assert label(photos, tmp_path / 'out')
    assert (read_label_map(str(tmp_path / 'out/semantic/train/c1/03.png')) == 60).all()
    assert read_label_map(str(tmp_path / 'out/instance/train/c1/03.png')).sum() == 3 * 11
    lines = list(read_manifest(tmp_path / 'out/manifest_train.jsonl'))
    assert [line['path'] for line in lines] == source(photos).names
    assert lines[0] == dict(path='c0/00.png', mean=0.0, place=0, names=['thing of c0'], version='1')


@pytest.mark.parametrize('ranks', [2, 3, 7])
def test_any_number_of_processes_gives_the_same_bytes(photos, tmp_path, ranks):
    label(photos, tmp_path / 'one')
    assert label(photos, tmp_path / 'many', ranks)
    assert tree(tmp_path / 'many') == tree(tmp_path / 'one')


def wait_for(child, seconds=60):
    end = time.monotonic() + seconds
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            pytest.fail(f'a run did not end within {seconds} s')
        time.sleep(0.005)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(photos, tmp_path):
    label(photos, tmp_path / 'whole', part_size=1)
    out, draw = tmp_path / 'killed', random.Random(0)
    kills = 0
    while not (out / 'manifest_train.jsonl').exists():
        child = os.fork()
        if not child:
            # tqdm's lock is shared among forked processes: one killed with it would stop the rest.
            tqdm.set_lock(threading.RLock())
            try:
                # However late the kill comes, a run gets no further than three of eleven parts.
                most = 3 if kills < 10 else math.inf
                label(photos, out, labeller=Halves(0.03, most), part_size=1)
            finally:
                os._exit(0)
        if kills < 10:
            time.sleep(draw.uniform(0.005, 0.06))
            os.kill(child, signal.SIGKILL)
            kills += 1
        wait_for(child)
        for path in out.rglob('*.png'):
            if not path.name.startswith('.'):
                read_label_map(str(path))  # whole
    assert kills > 2
    assert tree(out) == tree(tmp_path / 'whole')


def test_unreadable_photographs_are_recorded_and_the_others_labelled(photos, tmp_path):
    (photos / 'c0/00.png').write_bytes(b'')
    assert label(photos, tmp_path / 'out')
    first, second, *_ = read_manifest(tmp_path / 'out/manifest_train.jsonl')
    assert '00.png cannot be read' in first['error']
    assert second['place'] == 0
    assert not (tmp_path / 'out/instance/train/c0/00.png').exists()


def test_a_part_without_a_readable_photograph_passes(photos, tmp_path):
    for path in photos.rglob('*.png'):
        path.write_bytes(b'')
    assert label(photos, tmp_path / 'out')
    assert all('error' in line for line in read_manifest(tmp_path / 'out/manifest_train.jsonl'))


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(photos, tmp_path, monkeypatch):
    label(photos, tmp_path / 'whole')
    real, left = pipeline.write_map, [8]

    def write(path, labels):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, 'No space left on device', str(path))
        real(path, labels)

    monkeypatch.setattr(pipeline, 'write_map', write)
    with pytest.raises(DatasetError, match=r'no space left .*[01] of 4 parts are whole'):
        label(photos, tmp_path / 'out')
    monkeypatch.setattr(pipeline, 'write_map', real)
    assert label(photos, tmp_path / 'out')
    assert tree(tmp_path / 'out') == tree(tmp_path / 'whole')


def test_an_error_of_the_models_is_not_taken_for_a_full_disk(photos, tmp_path):
    def fail(photos, names, pool):
        raise OSError(errno.EACCES, 'no')

    with pytest.raises(PermissionError):
        label(photos, tmp_path / 'out', labeller=fail)


def test_a_finished_job_has_nothing_left_to_do(photos, tmp_path):
    label(photos, tmp_path / 'out')
    assert label(photos, tmp_path / 'out', labeller=lambda *_: pytest.fail('labelled again'))
