"""What is said before anything starts."""

import pytest

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.commands import RunOptions, command, environment
from mmc2fmae.reproduce.plan import make_plan
from mmc2fmae.reproduce.prerequisites import check_run, data_paths
from mmc2fmae.reproduce.stage import PlanError
from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows


def check(bench, disk=0, **options):
    plan = bench.plan(rows=['a'])
    todo = results.pending(bench.work_dir, plan.stages)
    options = RunOptions(bench.work_dir, bench.root / 'data', **options)
    check_run(plan, todo, options, disk)


def test_missing_data_is_named_with_the_page_that_helps(bench):
    missing = r'nothing was started: \S+data/pictures/train does not exist: see docs/data.md$'
    with pytest.raises(PlanError, match=missing):
        check(bench)
    (bench.root / 'data/pictures/train').mkdir(parents=True)
    check(bench)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            dict(disk=2**60),
            r'expected 1073741824\.0 GiB for what the stages leave: free',
        ),
        (dict(gpus=4), '--gpus 4 needs --launcher pytorch or slurm'),
        (dict(launcher='slurm', gpus=2), '--launcher slurm needs --partition'),
        (dict(launcher='pytorch', gpus=2, jobs=2), '--jobs above 1 goes with'),
        (dict(launcher='pytorch', gpus=3), r'batch 4, no multiple of 3 processes x 2'),
    ],
)
def test_settings_that_cannot_work(bench, options, message):
    (bench.root / 'data/pictures/train').mkdir(parents=True)
    with pytest.raises(PlanError, match=message):
        check(bench, **options)


def test_all_data_of_the_papers_tables_is_looked_for(tmp_path):
    tables, suite = load_tables(['table2', 'table3', 'table4'], load_suite())
    plan = make_plan(
        tables, pick_rows(tables, ['c2fmae-1600e', 'c2fmae']), suite, suite.presets['paper']
    )
    found = {
        str(path.relative_to(tmp_path))
        for stage in plan.stages.values()
        for path in data_paths(stage, tmp_path)
    }
    assert found == {
        'imagenet/train', 'imagenet/instance/train', 'imagenet/semantic/train', 'imagenet/val',
        'coco/train2017', 'coco/val2017', 'coco/annotations/instances_train2017.json',
        'coco/annotations/instances_val2017.json', 'ADEChallengeData2016/images/training',
        'ADEChallengeData2016/annotations/training', 'ADEChallengeData2016/images/validation',
        'ADEChallengeData2016/annotations/validation', 'imagenet-a', 'imagenet-r',
        'imagenet-sketch', 'imagenet-c',
    }  # fmt: skip


def stages(names, preset, rows):
    tables, suite = load_tables(names, load_suite())
    plan = make_plan(tables, pick_rows(tables, rows), suite, suite.presets[preset], [3])
    return list(plan.stages.values())


def test_commands_of_all_launchers(tmp_path):
    start, tuned = stages(['table1'], 'paper', ['mae-400e'])
    folder = str(results.stage_folder(tmp_path, start))
    tail = [
        '--work-dir', folder, '--data-root', '/d/imagenet', '--seed', '3', '--resume',
        '--total-batch', '4096',
    ]  # fmt: skip
    options = dict(work_dir=tmp_path, data_root=tmp_path.__class__('/d'))
    alone = command(start, RunOptions(**options))
    assert alone[1:4] == ['-m', 'mmc2fmae', 'train'] and alone[5:] == tail
    torchrun = command(start, RunOptions(**options, launcher='pytorch', gpus=4))
    assert torchrun[1:3] == ['-m', 'mmc2fmae.torchrun'] and '--nproc_per_node=4' in torchrun
    assert torchrun[8:11] == ['-m', 'mmc2fmae', 'train']
    assert torchrun[12:] == ['--launcher', 'pytorch', *tail]
    slurm = command(start, RunOptions(**options, launcher='slurm', gpus=8, partition='gpu'))
    assert slurm[:4] == ['srun', '-p', 'gpu', f'--job-name=pretrain-{start.identity[:8]}']
    assert '--ntasks=8' in slurm and slurm[-len(tail) - 2 :] == ['--launcher', 'slurm', *tail]
    with pytest.raises(PlanError, match=r'checkpoint of pretrain-mae_vitb_400e\S+ is gone'):
        command(tuned, RunOptions(**options))


def test_pre_trainings_probe_their_features_unless_their_recipe_does(tmp_path):
    options = RunOptions(tmp_path, tmp_path, probe_health=True)
    (mae, *_) = stages(['table1'], 'paper', ['mae-400e'])
    assert command(mae, options)[-1] == '--probe-health'
    own = stages(['own_photographs'], 'own', ['c2fmae'])
    (own,) = (stage for stage in own if stage.kind == 'pretrain')
    assert '--probe-health' not in command(own, options)
    (tuned,) = stages(['table1'], 'paper', ['scratch'])
    assert '--probe-health' not in command(tuned, options)


def test_iterations_are_never_parts_of_a_step(tmp_path):
    tuned = next(s for s in stages(['table3'], 'paper', ['c2fmae-1600e']) if s.kind == 'finetune')
    options = RunOptions(tmp_path, tmp_path, launcher='pytorch', gpus=4)
    with pytest.raises(PlanError, match=r'counts iterations of batch 16, 4 processes x 2 make 8'):
        command(tuned, options)


def test_scenes_and_cores(tmp_path, monkeypatch):
    scenes = stages(['table1'], 'mini', ['scratch'])[0]
    made = command(scenes, RunOptions(tmp_path, tmp_path))
    assert made[3:] == [
        'scenes',
        scenes.options['out'],
        '--train',
        '6000',
        '--val',
        '1000',
        '--quiet',
    ]
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    monkeypatch.setattr('os.sched_getaffinity', lambda _: {0, 1, 2, 3}, raising=False)
    assert environment(RunOptions(tmp_path, tmp_path, jobs=2))['OMP_NUM_THREADS'] == '2'
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    assert environment(RunOptions(tmp_path, tmp_path, jobs=2))['OMP_NUM_THREADS'] == '7'
