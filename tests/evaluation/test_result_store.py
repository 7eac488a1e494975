"""The cache of counts."""

import pytest

from mmc2fmae.evaluation.result_store import Counts, ResultStore

SETTINGS = dict(checkpoint='12ab', protocol='in-a@1', limit=None)


def test_counts_add_up():
    assert Counts(1, 2, 10) + Counts(3, 3, 5) == Counts(4, 5, 15)


def test_stored_counts_are_found_again(tmp_path):
    ResultStore(tmp_path, 'a', SETTINGS).write('all.0-9', Counts(4, 3, 9))
    store = ResultStore(tmp_path, 'a', dict(reversed(SETTINGS.items())))
    assert store.read('all.0-9') == Counts(4, 3, 9)
    assert store.read('all.9-18') is None


@pytest.mark.parametrize('change', [dict(checkpoint='99'), dict(protocol='in-a@2'), dict(limit=3)])
def test_other_settings_do_not_find_them(tmp_path, change):
    ResultStore(tmp_path, 'a', SETTINGS).write('all.0-9', Counts(4, 3, 9))
    assert ResultStore(tmp_path, 'a', SETTINGS | change).read('all.0-9') is None


def test_settings_can_be_read_by_people(tmp_path):
    store = ResultStore(tmp_path, 'a', SETTINGS)
    store.describe()
    assert '"protocol": "in-a@1"' in (store.folder / 'settings.json').read_text()


@pytest.mark.parametrize(
    'text',
    [
        '', '{"correct": 1', '{"correct": 1}', '[]', '[' * 9999, '<html>',
        '{"correct": 5, "correct_all": 1, "total": 4}',
        '{"correct": true, "correct_all": 1, "total": 4}',
    ],
)  # fmt: skip
def test_damaged_files_are_named_and_kept_aside_and_count_as_not_done(tmp_path, text, capsys):
    store = ResultStore(tmp_path, 'a', SETTINGS)
    store.write('all.0-9', Counts(4, 3, 9))
    (store.folder / 'all.0-9.json').write_text(text)
    assert store.read('all.0-9') is None
    assert 'all.0-9.json is damaged' in capsys.readouterr().err
    assert (store.folder / 'all.0-9.json.damaged').read_text() == text
