"""Pre-train on the built-in scenes, fine-tune on every task, with scratch beside it (`make mini`).

The tasks run through the ordinary tools as separate processes; a finished stage is not repeated.
"""

import argparse
import json
import time
from pathlib import Path

from mmc2fmae.engine import latest_checkpoint
from mmc2fmae.engine.atomic_io import write_atomically
from mmc2fmae.engine.tool_runs import run_tool
from mmc2fmae.visualization.run import read_records

ROOT = Path(__file__).parents[1]
SCENES = {  # folder: settings of tools/make_scenes.py
    'scenes': '--train 6000 --val 1000',
    'scenes_hard': '--train 1 --val 500 --seed 1 --max-occlusion .5 --rotation 60 --camouflage .5',
    'scenes_other_looks': (
        '--train 1 --val 500 --seed 2 --color-reliability 0 --texture-reliability 0'
    ),
    'scenes_corrupted': '--train 1 --val 100 --seed 3',
}
METRICS = {
    'cls': {'accuracy/top1': 'classification, top-1 (%)'},
    'det': {
        'coco/bbox_mAP': 'detection, box AP (%)',
        'coco/segm_mAP': 'instance segmentation, mask AP (%)',
    },
    'seg': {'mIoU': 'semantic segmentation, mIoU (%)'},
}


def main() -> None:
    """Run all stages and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/mini'))
    parser.add_argument('--data-root', type=Path, default=Path('data'))
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    for name, options in SCENES.items():
        run_tool('make_scenes.py', args.data_root / name, *options.split(), '--quiet')
    scenes = args.data_root / 'scenes'
    stage = Stages(args.work_dir, args.seed)
    stage.train('pretrain', 'c2fmae_mini_scenes', scenes)
    pretrained = latest_checkpoint(args.work_dir / 'pretrain')
    for task in METRICS:
        folder = scenes / 'ade' if task == 'seg' else scenes
        stage.train(f'{task}_scratch', task, folder)
        stage.train(f'{task}_c2fmae', task, folder, '--checkpoint', pretrained)
    for start in ('scratch', 'c2fmae'):
        stage.robustness(start, args.data_root)
    stage.report()


class Stages:
    """Stages of the mini suite; each leaves its metrics and wall time in a result file.

    Args:
        work_dir: Folder with a folder a stage.
        seed: Seed of every training.
    """

    def __init__(self, work_dir: Path, seed: int) -> None:
        self.work_dir = work_dir
        self.seed = seed
        self.results: dict[str, dict] = {}

    def train(self, name: str, config: str, data_root: Path, *options: object) -> None:
        """Train (and evaluate) with a config of configs/mini/."""
        folder = self.work_dir / name
        config = ROOT / f'configs/mini/{config}.py'
        options = ('--data-root', data_root, '--seed', self.seed, '--resume', *options)
        command = ('train.py', config, '--work-dir', folder, *options)
        self._stage(name, command, lambda: last_metrics(folder))

    def robustness(self, start: str, data_root: Path) -> None:
        """Evaluate a classifier's robustness."""
        folder = self.work_dir / f'robustness_{start}'
        checkpoint = latest_checkpoint(self.work_dir / f'cls_{start}')
        config, sets = (ROOT / f'configs/mini/{name}.py' for name in ('cls', 'robustness'))
        options = ('--sets', sets, '--data-root', data_root, '--out', folder, '--workers', 2)
        scenes = f'test_dataloader.dataset.data_root={data_root / "scenes"}'
        command = ('eval_robustness.py', config, checkpoint, *options, '--cfg-options', scenes)
        self._stage(folder.name, command, lambda: robustness_metrics(folder / 'robustness.json'))

    def _stage(self, name: str, command: tuple, metrics) -> None:
        path = self.work_dir / name / 'result.json'
        if not path.is_file():
            start = time.time()
            run_tool(*command)
            seconds = round(time.time() - start)
            result = dict(metrics=metrics(), seconds=seconds, seed=self.seed)
            write_atomically(json.dumps(result, indent=2).encode(), path)
        self.results[name] = json.loads(path.read_text())

    def report(self) -> None:
        """Print the table of all tasks and write it beside the stages."""
        lines = ['| task | scratch | C2FMAE |', '| --- | --- | --- |']
        for task, names in (METRICS | {'robustness': None}).items():
            scratch, c2fmae = (
                self.results[f'{task}_{s}']['metrics'] for s in ('scratch', 'c2fmae')
            )
            for key, label in (names or {key: f'robustness, {key}' for key in scratch}).items():
                lines.append(f'| {label} | {scratch[key]:.1f} | {c2fmae[key]:.1f} |')
        total = sum(result['seconds'] for result in self.results.values())
        times = [f'{name} {result["seconds"]} s' for name, result in self.results.items()]
        lines += ['', f'seed {self.seed}; wall time {total} s: {", ".join(times)}']
        text = '\n'.join(lines) + '\n'
        write_atomically(text.encode(), self.work_dir / 'table.md')
        print(f'\n{text}')


def last_metrics(work_dir: Path) -> dict[str, float]:
    """Return the metrics of a run's last validation in %, those of :data:`METRICS` it has."""
    found = {}
    for record in read_records(work_dir):
        for key, value in record.items():
            if any(key in names for names in METRICS.values()):
                found[key] = value * 100 if key.startswith('coco/') else value
    return found


def robustness_metrics(path: Path) -> dict[str, float]:
    """Return top-1 of each set, the mean error of the corruptions and the score, in %."""
    report = json.loads(path.read_text())
    found = {}
    for name, summary in report['sets'].items():
        if 'top1' in summary:
            found[f'{name}: top-1 (%)'] = next(iter(summary['top1'].values()))['value']
        else:
            found[f'{name}: mean error (%, lower is better)'] = summary['mean_error']
    return found | {'score (%)': report['score']['value']}


if __name__ == '__main__':
    main()
