import json

import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.labeling.jobs import Job
from mmc2fmae.preparation.layout import read_manifest

NAMES = [f'{i}.jpg' for i in range(5)]


def make(root, names=NAMES, **settings):
    return Job(root, 'train', names, 2, settings)


def finish(job, *parts):
    for part in parts:
        job.finish(part, [dict(path=name) for name in job.parts[part]])


def test_parts_are_consecutive_and_complete(tmp_path):
    assert make(tmp_path).parts == [['0.jpg', '1.jpg'], ['2.jpg', '3.jpg'], ['4.jpg']]


def test_a_second_run_on_the_same_output_is_refused_while_the_first_lives(tmp_path):
    with make(tmp_path).claim(0):
        with pytest.raises(DatasetError, match='another run is labelling'), make(tmp_path).claim(0):
            pass
        with make(tmp_path).claim(1):  # another process of the same run
            pass
    with make(tmp_path).claim(0):  # free again
        pass


def test_other_settings_or_photographs_are_refused_with_what_differs(tmp_path):
    with make(tmp_path, amp='bf16').claim(0):
        pass
    with pytest.raises(DatasetError, match=r"amp: 'bf16', now 'off'"):
        make(tmp_path, amp='off').claim(0).__enter__()
    with pytest.raises(DatasetError, match='photographs: 5, now 4'):
        make(tmp_path, NAMES[:4], amp='bf16').claim(0).__enter__()
    with make(tmp_path, amp='bf16').claim(0):
        pass


def test_settings_with_tuples_agree_with_their_file(tmp_path):
    for _ in range(2):
        with make(tmp_path, sizes=(1, 2)).claim(0):
            pass


def test_damaged_settings_are_named(tmp_path):
    job = make(tmp_path)
    job.folder.mkdir(parents=True)
    (job.folder / 'settings.json').write_text('{')
    with pytest.raises(DatasetError, match=r'settings\.json is damaged'):
        job.claim(0).__enter__()


def test_the_manifest_appears_with_the_last_part_and_keeps_the_order(tmp_path):
    job = make(tmp_path)
    with job.claim(0):
        finish(job, 2, 0)
        assert job.done() == {0, 2}
        assert not job.merge()
        assert not job.manifest.exists()
        finish(job, 1)
        assert job.merge()
        assert job.merge()  # another process comes to the same end
    assert [line['path'] for line in read_manifest(job.manifest)] == NAMES
    assert make(tmp_path).done() == {0, 1, 2}
    assert not (job.folder / 'parts').exists()


def test_what_a_killed_merge_left_goes_with_the_next(tmp_path):
    job = make(tmp_path)
    with job.claim(0):
        finish(job, 0, 1, 2)
        job.manifest.write_text('')  # renamed, and killed before the parts were removed
        assert job.merge()
    assert not (job.folder / 'parts').exists()


def test_a_record_being_written_does_not_count(tmp_path):
    job = make(tmp_path)
    finish(job, 0)
    (job.folder / 'parts/.00000001.jsonl.tmp').write_text('{"pa')
    assert job.done() == {0}


def test_a_damaged_manifest_line_is_named(tmp_path):
    path = tmp_path / 'm.jsonl'
    path.write_text(json.dumps(dict(path='a')) + '\n{"path"\n')
    with pytest.raises(DatasetError, match=r'm\.jsonl, line 2'):
        list(read_manifest(path))
