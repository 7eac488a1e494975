"""A suite of two tables whose stages are a tiny script instead of a training."""

import sys
from pathlib import Path

import pytest

from mmc2fmae.reproduce.commands import RunOptions
from mmc2fmae.reproduce.cost import Cost
from mmc2fmae.reproduce.plan import make_plan
from mmc2fmae.reproduce.results import BROUGHT, checkpoint_of, stage_folder
from mmc2fmae.reproduce.table_files import load_suite, load_table, pick_rows

CONFIG = """
default_scope = 'mmpretrain'
model = dict(type='Tiny', name={name!r})
train_dataloader = dict(
    batch_size=2, dataset=dict(type='ImageFolders', data_root='data/pictures', folder='train')
)
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.1))
train_cfg = dict(max_epochs={epochs})
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(checkpoint=dict(max_keep_ckpts=1))
"""
SUITE = """
protocols:
  tiny-ft@1:
    about: A tiny fine-tuning
    task: classification
    config: ft.py
    docs: docs/classification.md
    metrics: {top1: accuracy/top1}
    images: 400
    train_images: 8
  tiny-seg@1:
    about: A tiny segmentation
    task: segmentation
    config: ft.py
    docs: docs/segmentation.md
    metrics: {miou: mIoU}
    images: 400
    train_images: 8
presets:
  paper:
    about: The paper
    seeds: [0]
    comparable: true
    pretrain_images: {pictures: 8}
    docs: docs/data.md
    devices: 8
    tflops: 1.0
    startup: 1.0
    hardware: one abacus
  mini:
    about: A miniature
    seeds: [0, 1]
    comparable: false
    pretrain_images: {pictures: 8}
    docs: docs/mini.md
    devices: 1
    tflops: 1.0
    startup: 1.0
    hardware: one abacus
    quick:
      seeds: [0]
      overrides:
        pretrain: {train_cfg.max_epochs: 1}
"""
TABLE = """
title: 'Table A'
caption: A & B compared, 100% tiny_numbers.
attributes: [Kind]
metrics:
  top1: {name: 'Acc.'}
protocols_of_presets: {paper: tiny-ft@1, mini: tiny-ft@1}
reference: scratch
rows:
  - id: scratch
    name: Scratch
    attributes: [none]
    published: {top1: 50.0}
    paper: {pretrain: scratch}
    mini: {pretrain: scratch}
  - id: a
    name: A
    attributes: ['<x|y>']
    published: {top1: 60.0}
    paper: {pretrain: a.py}
    mini: {pretrain: a.py}
  - id: b
    name: B
    attributes: ['—']
    published: {top1: 61.5}
    paper: {pretrain: b.py}
    mini: {pretrain: b.py}
  - id: other
    name: Other
    attributes: ['—']
    published: {top1: 62.0}
    bring: {file: other_vit, from: somewhere}
  - id: closed
    name: Closed
    attributes: ['—']
    published: {top1: 63.0}
    note: no checkpoint
"""
SECOND = """
title: Table B
caption: A again
metrics:
  top1: {name: Top-1}
protocols_of_presets: {paper: tiny-ft@1, mini: tiny-ft@1}
reference: again
rows:
  - id: again
    name: A again
    published: {top1: 60.0}
    paper: {pretrain: a.py}
    mini: {pretrain: a.py}
  - id: c
    name: C
    published: {top1: 60.0}
    paper: {pretrain: c.py}
    mini: {pretrain: c.py}
"""
# Trains in epochs, each from the state before it, and continues from its newest checkpoint.
TOOL = """
import hashlib, json, os, sys, time, zipfile
from pathlib import Path

folder, epochs, seed, start, pause = sys.argv[1:]
folder, epochs, pause = Path(folder), int(epochs), float(pause)
if (folder / 'fail').exists():
    print('first line'); print('Kaboom: no such colour'); sys.exit(3)
state, first = hashlib.sha256((seed + start).encode()).hexdigest(), 1
for path in sorted(folder.glob('epoch_*.pth')):
    with zipfile.ZipFile(path) as file:
        state, first = file.read('state').decode(), int(path.stem[6:]) + 1
logs = folder / f'{time.time_ns()}' / 'vis_data'
logs.mkdir(parents=True)
(logs.parent / 'environment.json').write_text(json.dumps(dict(
    commit='c' * 40, dirty=False, python='3', versions=dict(torch='9'),
    hardware=dict(cpu='abacus', cores=1, gpus=[]))))
def log(**record):
    with open(logs / 'scalars.json', 'a') as file:
        file.write(json.dumps(record) + '\\n')
for epoch in range(first, epochs + 1):
    print(f'Epoch(train) [{epoch}][1/1]', flush=True)
    time.sleep(pause)
    state = hashlib.sha256(f'{state}{epoch}'.encode()).hexdigest()
    aside = folder / '.aside'
    with zipfile.ZipFile(aside, 'w') as file:
        file.writestr(zipfile.ZipInfo('state'), state)
    os.replace(aside, folder / f'epoch_{epoch}.pth')
    for old in folder.glob('epoch_*.pth'):
        if old.name != f'epoch_{epoch}.pth':
            old.unlink()
    log(loss=1 / epoch, step=epoch, epoch=epoch, iter=epoch)
time.sleep(pause)
log(**{'accuracy/top1': int(state[:4], 16) % 1000 / 10, 'mIoU': 12.5, 'step': epochs})
"""


class Bench:
    """A checkout in miniature: suite, tables, and what runs in place of the tools."""

    def __init__(self, root: Path, pause: float = 0.0) -> None:
        self.root, self.pause = root, pause
        for name, epochs in (('a', 3), ('b', 3), ('c', 3), ('ft', 2)):
            (root / f'{name}.py').write_text(CONFIG.format(name=name, epochs=epochs))
        (root / 'suite.yaml').write_text(SUITE)
        (root / 'tablea.yaml').write_text(TABLE)
        (root / 'tableb.yaml').write_text(SECOND)
        (root / 'tool.py').write_text(TOOL)
        self.suite = load_suite(root / 'suite.yaml')
        self.work_dir = root / 'work'

    def plan(self, preset='paper', rows=None, tables=('tablea', 'tableb'), **options):
        tables = [load_table(self.root / f'{name}.yaml', self.suite) for name in tables]
        rows = pick_rows(tables, rows)
        return make_plan(tables, rows, self.suite, self.suite.presets[preset], **options)

    def options(self, jobs: int = 1) -> RunOptions:
        return RunOptions(self.work_dir, self.root / 'data', jobs=jobs)

    def costs(self, plan):
        return {key: Cost(1.0, False, 1) for key in plan.stages}

    def command(self, stage, options):
        start = 'nothing'
        if stage.upstream is not None:
            start = checkpoint_of(options.work_dir, stage.upstream).read_bytes().hex()
        epochs = stage.load_config().train_cfg.max_epochs
        folder = stage_folder(options.work_dir, stage)
        with open(self.root / 'started.txt', 'a') as file:
            file.write(f'{stage.kind}-{stage.name}-{stage.seed}\n')
        tail = (folder, epochs, stage.seed, start[-200:], self.pause)
        return [sys.executable, '-S', str(self.root / 'tool.py'), *map(str, tail)]

    def started(self) -> list[str]:
        path = self.root / 'started.txt'
        return path.read_text().split() if path.is_file() else []

    def bring(self) -> None:
        (self.work_dir / BROUGHT).mkdir(parents=True)
        (self.work_dir / BROUGHT / 'other_vit.pth').write_bytes(b'weights of others')


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)
