"""Numbers of another machine's report count as done here, for the very same stages alone."""

import csv
import io
import shutil

import pytest

from mmc2fmae.cli import main
from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.adopt import adopt
from mmc2fmae.reproduce.cost import Machine
from mmc2fmae.reproduce.lock import AlreadyRunning, WorkDirLock
from mmc2fmae.reproduce.plan import make_plan
from mmc2fmae.reproduce.report import make_report
from mmc2fmae.reproduce.report_text import COLUMNS, to_csv, to_markdown
from mmc2fmae.reproduce.show import show_plan
from mmc2fmae.reproduce.stage import PlanError
from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows
from tests.reproduce.test_feature_health import log
from tests.reproduce.test_report import run


@pytest.fixture
def other(bench):
    """The CSV of a report whose work dir is gone: rows scratch and a, seed 0."""
    plan = bench.plan('mini', tables=['tablea'], rows=['scratch', 'a'], seeds=[0])
    run(bench, plan)
    log(bench, plan, 0, (50.0, 7.0))
    path = bench.root / 'other.csv'
    path.write_text(to_csv(make_report(plan, bench.work_dir)))
    shutil.rmtree(bench.work_dir)
    return path


def change(path, edit):
    """Edit the lines of a CSV, as dicts."""
    lines = list(csv.DictReader(path.read_text().splitlines()))
    heads = list(lines[0])
    lines = [line for line in lines if edit(line) is not False]
    text = io.StringIO()
    writer = csv.DictWriter(text, [head for head in heads if head in lines[0]])
    writer.writeheader()
    writer.writerows(lines)
    path.write_text(text.getvalue())


def test_what_is_adopted_is_reported_as_where_it_ran_and_not_run_again(bench, other):
    plan = bench.plan('mini', tables=['tablea'])
    found = adopt(plan, other, bench.work_dir)
    assert len(found.taken) == 2 and not found.known and not found.left
    assert adopt(plan, other, bench.work_dir).known == found.taken
    report = make_report(plan, bench.work_dir)
    assert to_csv(report) == other.read_text()  # value, versions, times and ranks, to the letter
    assert '2 stages were not run here: their numbers were taken over from other.csv' in (
        to_markdown(report, bench.work_dir)
    )
    todo = results.pending(bench.work_dir, plan.stages)
    todo = {(stage.kind, stage.name, stage.seed) for stage in todo}
    assert ('pretrain', 'a', 0) not in todo and ('finetune', 'tiny-ft-a', 0) not in todo
    assert {('pretrain', 'a', 1), ('pretrain', 'b', 0), ('finetune', 'tiny-ft-a', 1)} <= todo


def test_a_run_goes_on_beside_adopted_numbers(bench, other):
    plan = bench.plan('mini', tables=['tablea'])
    adopt(plan, other, bench.work_dir)
    run(bench, plan)
    lines = make_report(plan, bench.work_dir).lines['tablea']
    assert [line.seeds for line in lines] == [2, 2, 2]
    assert adopt(plan, other, bench.work_dir).taken == []


def test_a_plan_says_what_was_done_elsewhere(bench, other):
    plan = bench.plan('mini', tables=['tablea'], rows=['a'], seeds=[0])
    adopt(plan, other, bench.work_dir)
    (tuned,) = (stage for stage in plan.stages.values() if stage.kind == 'finetune')
    assert results.state(bench.work_dir, tuned) == 'done elsewhere'
    text = show_plan(plan, bench.work_dir, bench.costs(plan), Machine(1, 1.0, 1.0), given=False)
    assert 'done elsewhere  ' in text and 'not run, not needed' in text


def test_numbers_that_were_measured_here_stay(bench, other):
    plan = bench.plan('mini', tables=['tablea'])
    adopt(plan, other, bench.work_dir)
    change(other, lambda line: line.update(value='12.5') if line['row'] == 'a' else None)
    found = adopt(plan, other, bench.work_dir)
    assert list(found.left.values()) == ['measured here too, and otherwise: the numbers here stay']
    assert len(found.known) == 1
    assert '12.5' not in to_csv(make_report(plan, bench.work_dir))


def test_stages_with_another_recipe_protocol_or_without_a_metric_are_named(bench, other):
    with open(bench.root / 'a.py', 'a') as file:
        file.write('train_cfg = dict(max_epochs=7)\n')
    plan = bench.plan('mini', tables=['tablea'])
    found = adopt(plan, other, bench.work_dir)
    (key,) = found.left
    assert key.startswith('finetune-tiny-ft-a-s0') and 'recipe is another one' in found.left[key]
    assert key in found.told()
    change(other, lambda line: line.update(protocol='tiny-ft@0'))
    with pytest.raises(PlanError, match='measured by tiny-ft@0, here it is tiny-ft@1'):
        adopt(plan, other, bench.work_dir)
    change(other, lambda line: line.update(protocol='tiny-ft@1', metric='top5'))
    with pytest.raises(PlanError, match=r'nothing of it fits, 0 stages .*without top1'):
        adopt(plan, other, bench.work_dir)


@pytest.mark.parametrize(
    ('edit', 'message'),
    [
        (lambda line: line.pop('stage') and None, 'lacks the columns stage: expected the CSV'),
        (lambda line: line.update(preset='paper'), 'line 2: results of the preset paper, expected'),
        (lambda line: line.update(value='high'), "line 2: value is 'high', no number"),
        (lambda line: line.update(value=''), "line 2: value is '', no number"),
        (lambda line: line.update(value='nan'), "line 2: value is 'nan', no number"),
        (lambda line: line.update(pretrain_rankme='x'), "line 2: pretrain_rankme is 'x', no num"),
    ],
)
def test_a_damaged_file_is_refused(bench, other, edit, message):
    change(other, edit)
    with pytest.raises(PlanError, match=message):
        adopt(bench.plan('mini', tables=['tablea']), other, bench.work_dir)


def test_a_cut_line_and_a_stage_with_two_values_are_refused(bench, other):
    plan, text = bench.plan('mini', tables=['tablea']), other.read_text()
    other.write_text(text[: text.rindex(',tiny-ft@1')] + '\n')
    with pytest.raises(PlanError, match='line 3: expected as many cells as its head has'):
        adopt(plan, other, bench.work_dir)
    lines = text.splitlines()
    cells = lines[1].split(',')
    cells[1], cells[5] = 'tableb', '1.25'
    other.write_text('\n'.join([*lines, ','.join(cells)]))
    with pytest.raises(
        PlanError, match=r'line 4: top1 of finetune-tiny-ft-scratch.* is 1.25, furth'
    ):
        adopt(plan, other, bench.work_dir)


def test_reports_of_earlier_versions_have_fewer_columns(bench, other):
    def earlier(line):
        for name in ('python', 'pretrain_rankme', 'pretrain_effective_rank'):
            del line[name]

    change(other, earlier)
    plan = bench.plan('mini', tables=['tablea'])
    assert len(adopt(plan, other, bench.work_dir).taken) == 2
    text = to_markdown(make_report(plan, bench.work_dir), bench.work_dir)
    assert '- torch 9' in text and 'None' not in text


def test_a_work_dir_in_use_is_left_alone(bench, other):
    with WorkDirLock(bench.work_dir), pytest.raises(AlreadyRunning):
        adopt(bench.plan('mini', tables=['tablea']), other, bench.work_dir)


def test_the_command_says_what_it_took_and_what_it_cannot_read(bench, tmp_path, capsys):
    tables, suite = load_tables(['table1'], load_suite())
    plan = make_plan(tables, pick_rows(tables, ['scratch']), suite, suite.presets['mini'])
    line = dict.fromkeys(COLUMNS, '') | dict(
        preset='mini', value='38.5', seconds='1', metric='top1'
    )
    stages = (stage for stage in plan.stages.values() if stage.protocol)
    lines = [line | dict(stage=stage.key, protocol=stage.protocol.id) for stage in stages]
    path = tmp_path / 'other.csv'
    with open(path, 'w') as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)
    arguments = ['reproduce', 'adopt', 'table1', '--preset', 'mini', '--work-dir', str(tmp_path)]
    assert main([*arguments, '--from', str(path)]) == 0
    assert f'{path}: {len(lines)} stages taken over, 0 known already' in capsys.readouterr().out
    assert main([*arguments, '--from', str(tmp_path / 'nowhere.csv')]) == 2
    assert 'nowhere.csv' in capsys.readouterr().err
