"""Table files: what is in the built-in ones, and what a wrong one is told."""

import pytest

from mmc2fmae.reproduce.fields import TableError
from mmc2fmae.reproduce.table_files import load_suite, load_table, load_tables, pick_rows


def test_built_in_tables_hold_the_published_numbers():
    tables, _ = load_tables(['all'], load_suite())
    assert [table.id for table in tables] == [
        'table1', 'table2', 'table3', 'table4', 'table5',
        'table6a', 'table6b', 'table6c', 'table6d', 'table6e', 'table6f',
    ]  # fmt: skip
    by_id = {table.id: table for table in tables}
    rows = {
        name: [len(t.rows), sum(bool(r.published) for r in t.rows)] for name, t in by_id.items()
    }
    assert rows['table1'] == [21, 21]
    assert rows['table2'] == [10, 9]  # with scratch, which the paper does not have
    assert rows['table3'] == [11, 10]
    assert rows['table4'] == [5, 4]
    assert [rows[f'table6{part}'][1] for part in 'abcdef'] == [3, 3, 3, 4, 5, 4]
    top1 = [row.published['top1'] for row in by_id['table1'].rows]
    assert top1 == [
        82.3, 83.2, 82.8, 83.2, 82.9, 83.6, 84.0, 82.9, 83.6, 84.0, 83.3, 83.3, 83.7, 84.1, 84.0,
        83.1, 82.7, 83.3, 83.7, 84.2, 84.4,
    ]  # fmt: skip
    assert by_id['table2'].row('c2fmae-1600e').published == {'ap_box': 50.1, 'ap_mask': 44.1}
    assert by_id['table4'].row('multimae').published['c'] == 49.6
    assert [row.published['top1'] for row in by_id['table5'].rows] == [82.7, 83.0, 83.3, 83.7]
    # The score of Table IV is the mean of the three accuracies and 100 - mCE.
    for row in by_id['table4'].rows[1:]:
        a, r, s, c, score = (row.published[key] for key in ('a', 'r', 's', 'c', 'score'))
        assert abs((a + r + s + 100 - c) / 4 - score) < 0.06


def test_part_of_a_name_stands_for_all_its_parts_and_repeats_count_once():
    suite = load_suite()
    tables, _ = load_tables(['table6', 'table6a', 'table5'], suite)
    assert [t.id for t in tables] == [f'table6{part}' for part in 'abcdef'] + ['table5']


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (['tabel2'], "no table 'tabel2', did you mean table2"),
        (['xyz'], r"no table 'xyz'; tables are table1, .*, all, or the path of a file"),
        (['missing.yaml'], r'missing\.yaml does not exist'),
    ],
)
def test_a_table_that_is_not_there(names, message):
    with pytest.raises(TableError, match=message):
        load_tables(names, load_suite())


def test_a_row_that_is_not_there():
    tables, _ = load_tables(['table1', 'table2'], load_suite())
    with pytest.raises(TableError, match="no row 'c2fmae_400' in table1, table2, did you mean c2f"):
        pick_rows(tables, ['mae-400e', 'c2fmae_400'])
    picked = pick_rows(tables, ['mae-1600e'])
    assert [len(rows) for rows in picked.values()] == [1, 1]


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('title:', 'titel:', r'tablea\.yaml: title is missing, did you mean titel'),
        ('pretrain: a.py', 'pretrain: aa.py', r'rows\[1\]\.paper\.pretrain is .*that exists'),
        ('published: {top1: 60.0}', 'published: {top5: 60.0}', r'rows\[1\]\.published\.top5 is 60'),
        ('published: {top1: 60.0}', 'published: {top1: high}', r"published\.top1 is 'high'"),
        ("['<x|y>']", "['x', 'y']", r'rows\[1\]\.attributes is .*: expected 1 cells: Kind'),
        ('id: b', 'id: a', r"rows\[2\]\.id is 'a': expected an id that no other row"),
        ('reference: scratch', 'reference: scrach', r'the id of a row, did you mean scr'),
        ('mini: tiny-ft@1}', 'mini: tiny-fd@1}', r"protocol is 'tiny-fd@1': expected one"),
        ('paper: tiny-ft@1', 'paper: [tiny-ft@1, tiny-ft@1]', r'of which one measures top1 \(meas'),
        ('paper: tiny-ft@1', 'paper: tiny-seg@1', r"is 'tiny-seg@1': expected one, or a list, of"),
        ('mini: {pretrain: b.py}', 'mini: {pretrain: b.py, start: bb.py}', r'start is .*that exis'),
        ('mini: {pretrain: scratch}', 'mini: {pretrain: scratch, start: b.py}', r'expected none'),
        ('note: no', 'notes: no', r'rows\[4\]\.notes is not a field of rows\[4\]'),
        ('  top1: {name', '  top5: {name', r'published\.top1 is 50\.0: expected a num'),
        ('rows:', 'rows: [', r'tablea\.yaml is no YAML'),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_which_key_is_wrong(bench, old, new, message):
    path = bench.root / 'tablea.yaml'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TableError, match=message):
        load_table(path, bench.suite)


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('tiny-ft@1', 'tiny-ft', r"protocols is 'tiny-ft': expected a name and a version"),
        ('task: classification', 'task: singing', r"task is 'singing': expected one of"),
        ('images: 400', 'images: many', r"images is 'many': expected of type int"),
        ('seeds: [0, 1]', 'seeds: []', r'presets\.mini\.seeds is \[\]: expected a list of whole'),
        ('config: ft.py', 'config: fft.py', r"config is 'fft\.py': expected a config that exists"),
        ('images: 400', 'images: 400\n    after: x@1', r"after is 'x@1': expected a protocol"),
    ],
)  # fmt: skip
def test_a_wrong_suite_is_told_which_key_is_wrong(bench, old, new, message):
    path = bench.root / 'suite.yaml'
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(TableError, match=message):
        load_suite(path)


def test_a_table_of_ones_own_may_bring_its_protocol(bench):
    own = """
protocols:
  flowers-ft@2:
    about: Flowers
    task: classification
    config: ft.py
    docs: docs/classification.md
    metrics: {top1: accuracy/top1}
    images: 100
"""
    path = bench.root / 'flowers.yaml'
    path.write_text(
        own + (bench.root / 'tableb.yaml').read_text().replace('tiny-ft@1', 'flowers-ft@2')
    )
    (table,), suite = load_tables([str(path)], bench.suite)
    assert table.row('c').sources['paper'].protocols == ('flowers-ft@2',)
    assert suite.protocols['flowers-ft@2'].config == bench.root / 'ft.py'
