"""Reports: what stands in a cell, and that every format can be read back."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mmc2fmae.reproduce import results, runner
from mmc2fmae.reproduce.report import MixedProtocols, make_report
from mmc2fmae.reproduce.report_html import to_html, write_report
from mmc2fmae.reproduce.report_text import differences, to_csv, to_latex, to_markdown


def run(bench, plan):
    runner.run_plan(plan, bench.options(), bench.costs(plan), lambda text: None, bench.command)


def set_value(bench, plan, row, seed, **fields):
    """Write a result as a stage would, with numbers of the test's choice."""
    (key,) = plan.cells['tablea', row, seed]
    stage = plan.stages[key]
    path = results.stage_folder(bench.work_dir, stage) / 'result.json'
    found = results.read_json(path)
    top1 = fields.pop('top1', None)
    if top1 is not None:
        found['metrics']['top1'] = dict(value=top1, standard_error=2.0)
    results.write_json(found | fields, path)
    return found


@pytest.fixture
def filled(bench):
    """The mini preset, done, with numbers that can be added up by hand."""
    plan = bench.plan('mini', tables=['tablea'])
    run(bench, plan)
    for row, values in dict(scratch=(30.0, 32.0), a=(40.0, 44.0), b=(45.0, 45.0)).items():
        for seed, value in enumerate(values):
            set_value(bench, plan, row, seed, top1=value)
    return plan


def rows_of(markdown, title):
    """Cells of the Markdown table below a head line."""
    part = markdown.partition(f'## {title}\n')[2]
    lines = [line for line in part.splitlines() if line.startswith('|')]
    others = ('| stage', '| difference')
    end = next((i for i, line in enumerate(lines) if i > 1 and line.startswith(others)), None)
    cells = [re.split(r'(?<!\\)\|', line)[1:-1] for line in lines[:end]]
    return [[cell.strip().replace('\\', '') for cell in line] for line in cells]


def test_a_miniature_shows_mean_deviation_and_the_difference_from_the_reference(bench, filled):
    report = make_report(filled, bench.work_dir)
    head, _, *rows = rows_of(to_markdown(report, bench.work_dir / 'report'), 'Table A')
    assert head == ['', 'Kind', 'Acc., paper', 'Acc., mini', 'seeds', 'recipe']
    assert rows == [
        ['Scratch', 'none', '50.0', '31.0 ± 1.4', '2', 'tiny-ft@1, mini'],
        ['A', '<x|y>', '60.0 (+10.0)', '42.0 ± 2.8 (+11.0)', '2', 'tiny-ft@1, mini'],
        ['B', '—', '61.5 (+11.5)', '45.0 ± 0.0 (+14.0)', '2', 'tiny-ft@1, mini'],
    ]
    assert report.left_out['tablea'] == 2


def test_differences_over_equal_seeds_stand_below_the_table(bench, filled):
    report = make_report(filled, bench.work_dir)
    lines, about = differences(report, filled.tables[0])
    assert lines == [
        ['difference', 'Acc.', 'seeds'],
        # 10 and 12: 11 and 12.706 x 1.414 / sqrt(2); 15 and 13; 5 and 1 with a deviation of 2.828,
        # t / sqrt(n) below 3 / 2.828 = 1.061: 2.571 / sqrt(6) = 1.050.
        ['A - Scratch', '+11.0 ± 12.7 (3)', '2'],
        ['B - Scratch', '+14.0 ± 12.7', '2'],
        ['B - A', '+3.0 ± 25.4 (6)', '2'],
    ]
    for text in (to_markdown(report, bench.work_dir), to_html(report, bench.work_dir)):
        assert 'B - A' in text and about in text
    assert to_html(report, bench.work_dir).count('number ours best') == 1
    one = make_report(bench.plan('mini', tables=['tablea'], seeds=[0]), bench.work_dir)
    assert differences(one, filled.tables[0]) == ([], '')
    assert 'confidence' not in to_markdown(one, bench.work_dir) + to_html(one, bench.work_dir)


def test_rows_of_one_and_the_same_run_are_not_compared(bench):
    path = bench.root / 'tablea.yaml'
    path.write_text(path.read_text().replace('mini: {pretrain: b.py}', 'mini: {pretrain: a.py}'))
    plan = bench.plan('mini', tables=['tablea'])
    run(bench, plan)
    lines, _ = differences(make_report(plan, bench.work_dir), plan.tables[0])
    assert [line[0] for line in lines] == ['difference', 'A - Scratch']


def test_the_papers_preset_shows_ours_minus_the_papers_and_what_is_missing(bench):
    plan = bench.plan(tables=['tablea'])
    broken = results.stage_folder(
        bench.work_dir, next(s for s in plan.stages.values() if s.name == 'b')
    )
    broken.mkdir(parents=True)
    (broken / 'fail').touch()
    run(bench, plan)
    set_value(bench, plan, 'scratch', 0, top1=49.25)
    _, _, *rows = rows_of(to_markdown(make_report(plan, bench.work_dir), Path()), 'Table A')
    ours = {row[0]: row[3] for row in rows}
    assert ours['Scratch'] == '49.2 ± 2.0 (-0.8)'
    assert ours['B'] == 'failed: Kaboom: no such colour'
    assert ours['Other'] == 'checkpoint other_vit to be brought'
    assert ours['Closed'] == 'no checkpoint'


def test_nothing_is_run_yet_and_one_of_two_seeds(bench):
    plan = bench.plan('mini', tables=['tablea'])
    report = make_report(plan, bench.work_dir)
    assert {line.cells['top1'].missing for line in report.lines['tablea']} == {'not run'}
    run(bench, bench.plan('mini', tables=['tablea'], seeds=[1]))
    cell = make_report(plan, bench.work_dir).lines['tablea'][0].cells['top1']
    assert len(cell.values) == 1 and cell.missing == '1 of 2 seeds; not run'


def test_a_row_with_one_seed_is_compared_over_that_seed(bench):
    everything = bench.plan('mini', tables=['tablea'])
    for row, seeds in (('scratch', [0, 1]), ('a', [1]), ('b', [])):
        for seed in seeds:
            run(bench, bench.plan('mini', tables=['tablea'], rows=[row], seeds=[seed]))
    set_value(bench, everything, 'scratch', 0, top1=20.0)
    set_value(bench, everything, 'scratch', 1, top1=50.0)
    set_value(bench, everything, 'a', 1, top1=45.0)
    report = make_report(everything, bench.work_dir)
    ours = {r[0]: r[3] for r in rows_of(to_markdown(report, Path()), 'Table A')[2:]}
    assert ours['A'].endswith('(-5.0); 1 of 2 seeds; not run')  # not 45 minus the mean of 20 and 50
    assert ours['B'] == 'not run'
    assert 'number ours best' not in to_html(report, bench.work_dir)  # of 35 and half of a row


def two_tasks(bench):
    path = bench.root / 'tablea.yaml'
    text = path.read_text().replace('mini: tiny-ft@1}', 'mini: [tiny-ft@1, tiny-seg@1]}')
    text = text.replace('paper: tiny-ft@1', 'paper: [tiny-ft@1, tiny-seg@1]')
    path.write_text(
        text.replace("  top1: {name: 'Acc.'}", "  top1: {name: 'Acc.'}\n  miou: {name: IoU}")
    )


def test_numbers_of_a_row_come_each_from_the_stage_of_its_protocol(bench):
    two_tasks(bench)
    plan = bench.plan('mini', tables=['tablea'], rows=['scratch', 'a'], seeds=[0])
    assert [key.split('-s0')[0] for key in plan.cells['tablea', 'a', 0]] == [
        'finetune-tiny-ft-a', 'finetune-tiny-seg-a',
    ]  # fmt: skip
    half = {**plan.stages}
    seg = half.pop(plan.cells['tablea', 'a', 0][1])
    plan.stages = half
    run(bench, plan)
    plan.stages[seg.key] = seg
    report = make_report(plan, bench.work_dir)
    head, _, *rows = rows_of(to_markdown(report, bench.work_dir / 'report'), 'Table A')
    assert head[2:6] == ['Acc., paper', 'Acc., mini', 'IoU, paper', 'IoU, mini']
    assert rows[0][4:] == ['', '12.5', '1', 'tiny-ft@1, tiny-seg@1, mini']
    assert rows[1][4:] == ['', 'not run', '1', 'tiny-ft@1, mini']
    lines = list(csv.DictReader(to_csv(report).splitlines()))
    assert [(x['row'], x['metric'], x['protocol']) for x in lines] == [
        ('scratch', 'top1', 'tiny-ft@1'), ('scratch', 'miou', 'tiny-seg@1'),
        ('a', 'top1', 'tiny-ft@1'),
    ]  # fmt: skip
    assert 'svg' in to_html(report, bench.work_dir)


def test_versions_of_a_protocol_are_never_mixed_in_a_column(bench, filled):
    set_value(bench, filled, 'b', 0, protocol='tiny-ft@2')
    set_value(bench, filled, 'b', 1, protocol='tiny-ft@2')
    wanted = r'tablea: column Acc\. .*tiny-ft@1 \(rows scratch, a\) and tiny-ft@2 \(rows b\)'
    with pytest.raises(MixedProtocols, match=wanted):
        make_report(filled, bench.work_dir)


def test_seeds_of_a_cell_are_never_of_two_versions(bench, filled):
    set_value(bench, filled, 'b', 1, protocol='tiny-ft@2')
    with pytest.raises(MixedProtocols):
        make_report(filled, bench.work_dir)


def test_smoke_runs_are_never_counted(bench):
    smoke = bench.plan(rows=['scratch'], tables=['tablea'], limit=1)
    run(bench, smoke)
    report = make_report(smoke, bench.work_dir)
    assert report.lines['tablea'][0].cells['top1'].values == {}
    assert 'smoke runs' in report.warnings[0] and to_csv(report).count('\n') == 1


def test_modified_recipes_are_marked_and_spelled_out(bench):
    plan = bench.plan('mini-quick', tables=['tablea'])
    run(bench, plan)
    report = make_report(plan, bench.work_dir)
    assert [line.mark for line in report.lines['tablea']] == [0, 1, 1]
    assert report.marks == ['modified: pre-training: train_cfg.max_epochs 3 -> 1']
    text = to_markdown(report, bench.work_dir)
    assert 'modified [1]' in text
    assert '- [1] modified: pre-training: train_cfg.max_epochs 3 -> 1' in text


def test_commits_and_machines_that_differ_are_said(bench, filled):
    set_value(bench, filled, 'a', 0, commit='d' * 40, hardware=dict(gpus=['B'], cpu='x', cores=9))
    first, second = make_report(filled, bench.work_dir).warnings
    assert first.startswith('results come from different commits: cccccccccccc (9 stages), dddd')
    assert second == 'results come from different machines: abacus, 1 cores; B'


def test_a_pre_training_that_was_repeated_is_said(bench, filled):
    set_value(bench, filled, 'a', 0, start='0' * 64)
    assert 'started from an earlier training of pretrain-a-s0' in str(
        make_report(filled, bench.work_dir).warnings
    )


def test_csv_has_one_line_a_number_with_all_it_comes_from(bench, filled):
    rows = list(csv.DictReader(to_csv(make_report(filled, bench.work_dir)).splitlines()))
    assert [(r['row'], r['seed'], r['value'], r['published']) for r in rows[:3]] == [
        ('scratch', '0', '30.0', '50.0'),
        ('a', '0', '40.0', '60.0'),
        ('b', '0', '45.0', '61.5'),
    ]
    assert len(rows) == 6
    line = rows[1]
    folder = bench.work_dir / 'stages' / line['stage']
    assert len(line['checkpoint_sha256']) == 64 and (folder / 'epoch_2.pth').is_file()
    assert line['protocol'] == 'tiny-ft@1' and line['mark'] == 'mini'
    assert line['commit'] == 'c' * 40 and line['versions'] == 'torch=9'
    assert float(line['seconds']) > 0 and float(line['pretrain_seconds']) > 0


def test_latex_escapes_and_has_all_columns_in_every_line(bench, filled):
    text = to_latex(make_report(filled, bench.work_dir))
    assert r'A \& B compared, 100\% tiny\_numbers.' in text
    assert r'\textless{}x|y\textgreater{}' in text and r'$\pm$' in text
    body = text.partition(r'\toprule')[2].partition(r'\bottomrule')[0]
    lines = [line for line in body.splitlines() if line.endswith(r'\\')]
    columns = re.search(r'begin{tabular}{(\w+)}', text).group(1)
    assert {len(re.split(r'(?<!\\)&', line)) for line in lines} == {len(columns)} == {6}


class Page(HTMLParser):
    """Keeps whether tags are balanced, what is loaded and what is linked."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.links, self.text = [], [], [], ''

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.loaded += [v for k, v in attributes.items() if k in ('src', 'srcset', 'data')]
        self.links += [v for k, v in attributes.items() if k == 'href']
        if tag not in ('meta', 'img', 'br'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_one_well_formed_page_that_loads_nothing(bench, filled):
    out = bench.work_dir / 'report'
    page = Page()
    page.feed(to_html(make_report(filled, bench.work_dir), out))
    assert page.open == []
    assert page.loaded and all(v.startswith('data:image/svg+xml;base64,') for v in page.loaded)
    assert '<x|y>' in page.text and '42.0 ± 2.8 (+11.0)' in page.text
    assert len(page.links) == 10  # one log a stage
    assert all((out / link).resolve().is_file() for link in page.links)


def test_logs_are_linked_only_where_they_come_along(bench, filled, tmp_path):
    files = write_report(make_report(filled, bench.work_dir), tmp_path / 'docs')
    assert [path.name for path in files] == ['report.md', 'report.csv', 'report.tex', 'report.html']
    page = Page()
    page.feed(files[-1].read_text())
    assert page.links == [] and 'log.txt' not in files[0].read_text()


def test_a_damaged_result_is_named_and_missing_in_the_report(bench, filled, capsys):
    (key,) = filled.cells['tablea', 'a', 0]
    stage = filled.stages[key]
    path = results.stage_folder(bench.work_dir, stage) / 'result.json'
    path.write_text('{')
    assert len(make_report(filled, bench.work_dir).results) == len(filled.stages) - 1
    assert 'result.json is damaged' in capsys.readouterr().err
    assert path.with_name('result.json.damaged').read_text() == '{'


def test_a_run_that_is_under_way_is_called_running(bench):
    from mmc2fmae.reproduce.lock import WorkDirLock

    plan = bench.plan(tables=['tablea'], rows=['scratch'])
    folder = results.stage_folder(bench.work_dir, next(iter(plan.stages.values())))
    folder.mkdir(parents=True)
    (folder / 'stage.json').write_text(json.dumps(dict(attempts=[dict(started=0)])))
    assert _missing(bench, plan) == 'interrupted'
    with WorkDirLock(bench.work_dir):
        assert _missing(bench, plan) == 'running'


def _missing(bench, plan):
    return make_report(plan, bench.work_dir).lines['tablea'][0].cells['top1'].missing
