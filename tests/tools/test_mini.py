"""The mini suite's bookkeeping; its trainings are those of tests/engine."""

import importlib.util
import json
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location('mini', Path(__file__).parents[2] / 'tools/mini.py')
mini = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mini)


@pytest.fixture
def commands(monkeypatch):
    """Stand in for the tools: note each command and leave what the real one would."""
    seen = []

    def run(tool, *options):
        seen.append((tool, *map(str, options)))
        options = list(map(str, options))
        if tool == 'train.py':
            logs = Path(options[options.index('--work-dir') + 1], '20260101/vis_data')
            logs.mkdir(parents=True, exist_ok=True)
            better = 10 * ('--checkpoint' in options)
            lines = [
                {'loss': 1.0, 'step': 1},
                {'accuracy/top1': 1.0, 'coco/bbox_mAP': 0.01, 'coco/segm_mAP': 0.01, 'mIoU': 1.0},
                {
                    'accuracy/top1': 20.0 + better,
                    'coco/bbox_mAP': 0.3 + better / 100,
                    'coco/segm_mAP': 0.25,
                    'mIoU': 40.0,
                },
            ]
            (logs / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)))
        else:
            out = Path(options[options.index('--out') + 1])
            out.mkdir(parents=True)
            sets = {
                'hard': dict(top1={'10 classes': dict(value=12.0)}),
                'corrupted': dict(mean_error=70.0),
            }
            (out / 'robustness.json').write_text(json.dumps(dict(sets=sets, score=dict(value=9.0))))

    monkeypatch.setattr(mini, 'run_tool', run)
    monkeypatch.setattr(mini, 'latest_checkpoint', lambda folder: folder / 'epoch_1.pth')
    return seen


def run_all(work_dir):
    stages = mini.Stages(work_dir, seed=3)
    stages.train('pretrain', 'c2fmae_mini_scenes', Path('data/scenes'))
    for task in mini.METRICS:
        stages.train(f'{task}_scratch', task, Path('data/scenes'))
        stages.train(f'{task}_c2fmae', task, Path('data/scenes'), '--checkpoint', 'pre.pth')
    for start in ('scratch', 'c2fmae'):
        stages.robustness(start, Path('data'))
    stages.report()


def test_table_has_the_last_metrics_of_both_starts_in_percent(commands, tmp_path):
    run_all(tmp_path)
    table = (tmp_path / 'table.md').read_text()
    assert '| classification, top-1 (%) | 20.0 | 30.0 |' in table
    assert '| detection, box AP (%) | 30.0 | 40.0 |' in table
    assert '| instance segmentation, mask AP (%) | 25.0 | 25.0 |' in table
    assert '| semantic segmentation, mIoU (%) | 40.0 | 40.0 |' in table
    assert '| robustness, hard: top-1 (%) | 12.0 | 12.0 |' in table
    assert '| robustness, corrupted: mean error (%, lower is better) | 70.0 | 70.0 |' in table
    assert '| robustness, score (%) | 9.0 | 9.0 |' in table
    assert 'seed 3; wall time' in table and 'det_scratch 0 s' in table
    assert all(c[c.index('--seed') + 1] == '3' for c in commands if c[0] == 'train.py')


def test_finished_stages_are_not_repeated(commands, tmp_path):
    run_all(tmp_path)
    number = len(commands)
    run_all(tmp_path)
    assert number == 9 and len(commands) == number
    (tmp_path / 'seg_scratch/result.json').unlink()  # as after an interruption
    run_all(tmp_path)
    assert len(commands) == number + 1 and '--resume' in commands[-1]


def test_a_failing_tool_ends_the_suite(tmp_path):
    with pytest.raises(SystemExit):
        mini.run_tool('make_scenes.py', tmp_path / 'scenes', '--train', 'many')
