"""The runner with real processes: order, sharing, failures, kills."""

import multiprocessing
import os
import random
import signal
import time

import pytest

from mmc2fmae.configs import training_length
from mmc2fmae.reproduce import commands, results, runner
from mmc2fmae.reproduce.collect import collect, final_metrics
from mmc2fmae.reproduce.lock import AlreadyRunning, WorkDirLock
from mmc2fmae.reproduce.report import make_report
from mmc2fmae.reproduce.report_text import to_csv, to_markdown
from mmc2fmae.reproduce.table_files import load_suite

PROCESSES = multiprocessing.get_context('fork')


def run(bench, plan=None, jobs=1, said=None):
    plan = plan or bench.plan()
    said = [] if said is None else said
    return runner.run_plan(plan, bench.options(jobs), bench.costs(plan), said.append, bench.command)


def numbers(bench, plan):
    """Table, row, metric, seed and value of all that is there."""
    lines = to_csv(make_report(plan, bench.work_dir)).splitlines()[1:]
    return [line.split(',')[1:6] for line in lines]


def test_stages_run_in_order_and_each_once_whoever_needs_them(bench):
    outcome = run(bench)
    assert outcome.status == 0
    assert bench.started() == [
        'finetune-tiny-ft-scratch-0',
        'pretrain-a-0',
        'finetune-tiny-ft-a-0',
        'pretrain-b-0',
        'finetune-tiny-ft-b-0',
        'pretrain-c-0',
        'finetune-tiny-ft-c-0',
    ]
    assert run(bench).done == [] and len(bench.started()) == 7


def test_all_rows_of_a_seed_come_before_the_next_seed(bench):
    run(bench, bench.plan('mini', tables=['tablea']))
    assert [line[-1] for line in bench.started()] == ['0'] * 5 + ['1'] * 5


def test_side_by_side_gives_the_same_numbers(bench, tmp_path):
    plan = bench.plan('mini')
    run(bench, plan, jobs=3)
    side_by_side = numbers(bench, plan)
    bench.work_dir = tmp_path / 'alone'
    run(bench, plan)
    assert numbers(bench, plan) == side_by_side and len(side_by_side) == 10


def test_a_failed_stage_shows_its_last_lines_and_takes_only_its_dependants_down(bench):
    plan, said = bench.plan(), []
    broken = next(stage for stage in plan.stages.values() if stage.name == 'a')
    folder = results.stage_folder(bench.work_dir, broken)
    folder.mkdir(parents=True)
    (folder / 'fail').touch()
    outcome = run(bench, plan, said=said)
    assert outcome.status == 1
    assert outcome.failed == [broken.key]
    assert [key.partition('-s0')[0] for key in outcome.skipped] == ['finetune-tiny-ft-a']
    assert len(outcome.done) == 5
    text = '\n'.join(said)
    assert 'exit status 3' in text and 'Kaboom: no such colour' in text
    (folder / 'fail').unlink()
    assert len(run(bench, plan).done) == 2


def test_a_vanished_checkpoint_is_made_again_only_where_something_needs_it(bench):
    plan, said = bench.plan(rows=['a']), []
    run(bench, plan)
    start, end = plan.stages.values()
    results.checkpoint_of(bench.work_dir, start).unlink()
    assert results.state(bench.work_dir, start) == 'vanished'
    assert run(bench, plan).done == []  # the number is there
    before = numbers(bench, plan)
    (results.stage_folder(bench.work_dir, end) / 'result.json').unlink()
    results.latest_checkpoint(results.stage_folder(bench.work_dir, end)).unlink()
    assert run(bench, plan, said=said).done == [start.key, end.key]
    assert 'is not here and is needed' in '\n'.join(said)
    assert numbers(bench, plan) == before


def test_a_damaged_checkpoint_is_not_started_from(bench):
    plan = bench.plan(rows=['a'])
    start = next(iter(plan.stages.values()))
    run(bench, plan)
    path = results.checkpoint_of(bench.work_dir, start)
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)
    with pytest.raises(results.PlanError, match=r'is not what pretrain-a-s0-\w+ recorded'):
        results.whole_checkpoint(bench.work_dir, start)


def test_another_commit_is_said_and_recorded(bench, monkeypatch):
    said = []
    found = dict(commit='a' * 40, dirty=False)
    monkeypatch.setattr(runner, 'collect_environment', lambda: found)
    run(bench, bench.plan(rows=['scratch']))
    found = dict(commit='b' * 40, dirty=True)
    run(bench, bench.plan(rows=['scratch']), said=said)
    assert 'last used at commit aaaa' in said[0] and 'now it is bbbb' in said[0]
    lines = (bench.work_dir / 'runs.jsonl').read_text().splitlines()
    assert '"aaaa' in lines[0] and '"bbbb' in lines[1] and '"dirty": true' in lines[1]


def test_a_new_version_of_a_protocol_is_measured_anew_and_the_old_kept(bench):
    run(bench, bench.plan(rows=['scratch']))
    suite = (bench.root / 'suite.yaml').read_text().replace('tiny-ft@1', 'tiny-ft@2')
    (bench.root / 'suite.yaml').write_text(suite)
    for name in ('tablea', 'tableb'):
        path = bench.root / f'{name}.yaml'
        path.write_text(path.read_text().replace('tiny-ft@1', 'tiny-ft@2'))
    bench.suite = load_suite(bench.root / 'suite.yaml')
    plan = bench.plan(rows=['scratch'])
    assert len(run(bench, plan).done) == 1
    folders = sorted(path.name for path in (bench.work_dir / 'stages').iterdir())
    assert len(folders) == 2 and folders[1] == f'{folders[0]}.tiny-ft@1'


def test_two_runs_at_once_are_refused(bench):
    with (
        WorkDirLock(bench.work_dir),
        pytest.raises(AlreadyRunning, match=f'in use by process {os.getpid()} on'),
    ):
        run(bench)
    assert run(bench, bench.plan(rows=['scratch'])).status == 0


def test_a_signal_stops_the_child_and_the_next_run_continues(bench):
    bench.pause = 0.3
    plan = bench.plan(rows=['a'])
    process = PROCESSES.Process(target=lambda: os._exit(run(bench, plan).status))
    process.start()
    _wait_for(lambda: list(bench.work_dir.glob('stages/pretrain*/epoch_1.pth')))
    os.kill(process.pid, signal.SIGTERM)
    process.join(10)
    assert process.exitcode == 130
    start = next(iter(plan.stages.values()))
    assert results.last_attempt(bench.work_dir, start)['exit'] == 'interrupted'
    assert results.state(bench.work_dir, start) == 'not run'
    bench.pause = 0
    run(bench, plan)
    log = (results.stage_folder(bench.work_dir, start) / 'log.txt').read_text()
    assert log.count('Epoch(train) [1]') == 1  # not from the beginning


def test_the_commits_of_all_parts_of_a_training_are_recorded(bench):
    plan = bench.plan(rows=['scratch'])
    run(bench, plan)
    (stage,) = plan.stages.values()
    folder = results.stage_folder(bench.work_dir, stage)
    (record,) = folder.glob('*/environment.json')
    earlier = folder / '0/environment.json'
    earlier.parent.mkdir()
    earlier.write_text(record.read_text().replace('c' * 40, 'b' * 40))
    found = collect(stage, bench.work_dir, 'mini', 1.0, None, None)
    assert found['commit'] == f'{"b" * 40} then {"c" * 40}'
    results.write_json(found, folder / 'result.json')
    text = to_markdown(make_report(plan, bench.work_dir), bench.work_dir)
    assert '| bbbbbbbb then cccccccc |' in text


@pytest.mark.parametrize(
    ('last', 'trained'),
    [('iter_2', False), ('iter_900', False), ('epoch_1', False), ('epoch_2', True)],
)
def test_a_training_that_stands_within_an_epoch_is_not_at_its_end(bench, last, trained):
    plan = bench.plan(rows=['a'])
    run(bench, plan)
    _start, end = plan.stages.values()
    folder = results.stage_folder(bench.work_dir, end)
    assert training_length(end.load_config()) == ('epoch', 2)
    written = results.latest_checkpoint(folder)
    (folder / 'last_checkpoint').write_text(f'{last}.pth')
    written.rename(folder / f'{last}.pth')
    assert results.is_trained(end, folder) == trained
    if not trained:
        with pytest.raises(results.PlanError, match='no whole checkpoint of the end'):
            collect(end, bench.work_dir, 'mini', 1.0, None, None)


def test_a_result_of_a_training_within_an_epoch_is_set_aside(bench, capsys):
    plan = bench.plan(rows=['a'])
    run(bench, plan)
    end = list(plan.stages.values())[1]
    path = results.stage_folder(bench.work_dir, end) / 'result.json'
    path.write_text(path.read_text().replace('"epoch_2.pth"', '"iter_7.pth"'))
    assert results.state(bench.work_dir, end) == 'not run'
    assert 'iter_7.pth was written within an epoch' in capsys.readouterr().err


def test_five_kills_of_runner_and_children_leave_the_numbers_of_an_undisturbed_run(bench, tmp_path):
    plan = bench.plan('mini')
    run(bench, plan)
    undisturbed = numbers(bench, plan)
    bench.work_dir, bench.pause = tmp_path / 'killed', 0.2
    draw = random.Random(0)
    for kill in range(5):
        process = PROCESSES.Process(target=lambda: os._exit(run(bench, plan, jobs=2).status))
        process.start()
        time.sleep(draw.uniform(0.3, 0.9))
        if kill % 2:
            child = _child_of(process.pid)
            os.kill(child, signal.SIGKILL)
            os.kill(process.pid, signal.SIGTERM)
            process.join(20)
        else:
            os.kill(process.pid, signal.SIGKILL)
            process.join(20)
    bench.pause = 0
    assert run(bench, plan).status == 0
    assert numbers(bench, plan) == undisturbed
    assert len(undisturbed) == 10


def _wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def _child_of(pid):
    """A running child of a process; waits until there is one."""
    found = []

    def look():
        for path in os.listdir('/proc'):
            if path.isdigit():
                try:
                    with open(f'/proc/{path}/stat') as file:
                        parts = file.read().rpartition(')')[2].split()
                except OSError:
                    continue
                if int(parts[1]) == pid and parts[0] not in 'Z':
                    found.append(int(path))
        return found

    _wait_for(look)
    return found[0]


def test_a_training_that_ended_without_its_result_is_not_repeated(bench):
    """As after a kill between the last checkpoint and the last validation."""
    plan = bench.plan(rows=['a'], tables=['tablea'])
    start, tuned = plan.stages.values()
    run(bench, plan)
    folder = results.stage_folder(bench.work_dir, tuned)
    for path in folder.glob('*/vis_data/scalars.json'):
        path.unlink()
    assert commands.command(start, bench.options()) is None
    test = commands.command(tuned, bench.options())
    assert test[1:4] == ['-m', 'mmc2fmae', 'test'] and test[5].endswith('epoch_2.pth')
    logs = folder / '20270101_000000'  # what that tool leaves is read like a validation
    logs.mkdir()
    (logs / '20270101_000000.json').write_text('{"accuracy/top1": 12.5, "time": 1}')
    assert final_metrics(tuned, folder) == {'accuracy/top1': 12.5}


def test_a_stage_whose_process_ended_needs_its_result_alone(bench):
    plan = bench.plan(rows=['a'], tables=['tablea'])
    run(bench, plan)
    for stage in plan.stages.values():
        (results.stage_folder(bench.work_dir, stage) / 'result.json').unlink()
    outcome = runner.run_plan(
        plan, bench.options(), bench.costs(plan), lambda text: None, lambda *_: None
    )
    assert len(outcome.done) == 2 and len(bench.started()) == 2


def test_predictions_are_kept_on_request(bench):
    assert len(bench.plan(rows=['a'], tables=['tablea'], predictions=False).stages) == 2
    plan = bench.plan(rows=['a'], tables=['tablea'], predictions=True)
    last = list(plan.stages.values())[-1]
    assert last.kind == 'predictions' and last.upstream.kind == 'finetune'
    run(bench, bench.plan(rows=['a'], tables=['tablea']))
    made = commands.command(last, bench.options())
    assert made[1:4] == ['-m', 'mmc2fmae', 'test'] and made[5].endswith('epoch_2.pth')
    assert made[-1].endswith(f'{last.key}/predictions.parquet')
