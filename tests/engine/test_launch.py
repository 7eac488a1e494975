"""Whole runs on the tiny config: options, resuming, logs, bad input."""

import argparse
import json
from uuid import uuid4

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.cli import main, run_options
from mmc2fmae.engine import launch
from mmc2fmae.engine.train_options import apply_train_options
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.visualization import draw_run
from tests.conftest import ROOT


def run(config, *options):
    """Train as tools/train.py does and return the runner; ``Type.field=value`` is a --set."""
    parser = argparse.ArgumentParser()
    run_options.add_common_arguments(parser)
    run_options.add_train_arguments(parser)
    words = [f'--set={word}' for word in map(str, options) if word[:1].isupper()]
    words = [str(config), *(str(word) for word in options if not str(word)[:1].isupper()), *words]
    args = parser.parse_args(words)
    cfg = launch.load_config(args)
    apply_train_options(cfg, args)
    cfg.experiment_name = uuid4().hex  # mmengine names runs by the second, tests are faster
    runner = launch.build_runner(cfg)
    runner.train()
    return runner


def weights(work_dir, epoch=3):
    return torch.load(work_dir / f'epoch_{epoch}.pth')['state_dict']


def test_resumed_run_with_other_workers_ends_with_the_same_bits(config_file, tmp_path):
    whole, crashed = tmp_path / 'whole', tmp_path / 'crashed'
    options = ('train_dataloader.num_workers=2', 'default_hooks.checkpoint.max_keep_ckpts=9')
    run(config_file, '--work-dir', whole, '--cfg-options', *options)
    # What a crash in the second epoch may leave: epoch 1, and half a file of epoch 2.
    crashed.mkdir()
    (crashed / 'epoch_1.pth').write_bytes((whole / 'epoch_1.pth').read_bytes())
    half = (whole / 'epoch_2.pth').read_bytes()
    (crashed / 'epoch_2.pth').write_bytes(half[: len(half) // 2])
    runner = run(config_file, '--work-dir', crashed, '--resume')
    assert runner.iter == 9
    expected, got = weights(whole), weights(crashed)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)


def test_resuming_may_be_asked_for_by_the_config(config_file, tmp_path):
    options = ('--work-dir', tmp_path / 'run', '--cfg-options')
    run(config_file, *options, 'resume=True')  # nothing there yet: starts from the beginning
    (tmp_path / 'run/epoch_3.pth').unlink()
    assert run(config_file, *options, 'resume=True')._resume
    assert (tmp_path / 'run/epoch_3.pth').is_file()


def test_log_shows_losses_curriculum_budget_and_speed(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(r['alpha_S'], r['alpha_I']) for r in records[::3]] == [(1, 0), (0, 1), (0, 0)]
    shares = [[r[f'masked_{name}'] for name in ('SG', 'IG', 'RD')] for r in records]
    assert shares == [[1, 0, 0]] * 3 + [[0, 1, 0]] * 3 + [[0, 0, 1]] * 3
    assert all(0 <= r['objects_hidden'] <= 1 for r in records)
    for record in records:
        names = ('rgb', 'instance', 'semantic')
        assert sum(record[f'visible_{n}'] for n in names) == pytest.approx(8, abs=1e-4)
        assert record['loss'] == pytest.approx(sum(record[f'loss_{n}'] for n in names), rel=1e-4)
        assert record['images_per_s'] > 0 and record['memory'] > 0


def test_what_masks_hide_is_logged_as_the_mean_of_the_epoch_so_far(config_file, tmp_path):
    runner = run(config_file, '--work-dir', tmp_path / 'run', 'ProgressiveMasking.blend=draw')
    hook = next(h for h in runner.hooks if type(h).__name__ == 'PretrainLogHook')
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in log.read_text().splitlines()]
    # Epochs have 3 iterations of 4 samples; each sample takes one strategy.
    for number, record in enumerate(records):
        counts = [record[f'masked_{name}'] * 4 * (number % 3 + 1) for name in ('SG', 'IG', 'RD')]
        assert counts == pytest.approx(np.round(counts), abs=0.01)
        assert sum(counts) == pytest.approx(4 * (number % 3 + 1), abs=0.01)
    assert hook.samples == 12 and records[-1]['masked_RD'] == 1
    assert records[-1]['objects_hidden'] == pytest.approx(hook.hidden / hook.with_objects, abs=1e-4)


def test_run_records_versions_and_commit(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    (path,) = (tmp_path / 'run').glob('*/environment.json')
    record = json.loads(path.read_text())
    meta = torch.load(tmp_path / 'run/epoch_1.pth')['meta']
    assert meta['environment'] == record
    assert meta['seed'] == 0
    assert record['versions']['torch'] == torch.__version__.split('+')[0]


def test_only_the_newest_checkpoints_are_kept(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    assert sorted(p.name for p in (tmp_path / 'run').glob('*.pth')) == [
        'epoch_2.pth',
        'epoch_3.pth',
    ]


def test_init_from_starts_anew_from_weights(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'a', '--cfg-options', 'train_cfg.max_epochs=1')
    start = tmp_path / 'a/epoch_1.pth'
    options = ('train_cfg.max_epochs=1', 'optim_wrapper.optimizer.lr=0.0')
    runner = run(
        config_file, '--work-dir', tmp_path / 'b', '--init-from', start, '--cfg-options', *options
    )
    assert runner.iter == 3
    before, after = weights(tmp_path / 'a', 1), weights(tmp_path / 'b', 1)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_checkpoint_of_another_model_is_refused(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'a', '--cfg-options', 'train_cfg.max_epochs=1')
    with pytest.raises(CheckpointMismatch, match=r'shape of neck\.'):
        run(
            config_file,
            '--work-dir',
            tmp_path / 'b',
            '--init-from',
            tmp_path / 'a/epoch_1.pth',
            '--cfg-options',
            'model.neck.dims=32',
        )


def test_accumulation_reaches_the_total_batch(config_file, tmp_path):
    runner = run(
        config_file,
        '--work-dir',
        tmp_path,
        '--total-batch',
        12,
        '--cfg-options',
        'train_cfg.max_epochs=1',
    )
    assert runner.optim_wrapper._accumulative_counts == 3


def test_auto_scaled_learning_rate(config_file, tmp_path):
    runner = run(
        config_file,
        '--work-dir',
        tmp_path,
        '--auto-scale-lr',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'param_scheduler=[]',
    )
    assert runner.optim_wrapper.get_lr()['lr'][0] == pytest.approx(1e-3 * 4 / 8)


def test_tensorboard_by_one_option(config_file, tmp_path):
    pytest.importorskip('tensorboard')
    run(config_file, '--work-dir', tmp_path / 'run', '--tensorboard')
    assert list((tmp_path / 'run').glob('*/vis_data/events.out.tfevents*'))


def test_picture_of_a_run(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    path = draw_run(tmp_path / 'run', tmp_path / 'run.png', num_samples=2)
    with Image.open(path) as picture:
        assert min(picture.size) > 500


def test_picture_needs_the_decoder(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run', '--cfg-options', 'train_cfg.max_epochs=1')
    path = tmp_path / 'run/epoch_1.pth'
    state = torch.load(path)
    state['state_dict'] = {k: v for k, v in state['state_dict'].items() if 'backbone' in k}
    torch.save(state, path)
    with pytest.raises(CheckpointMismatch, match=r'missing neck\.mask_token'):
        draw_run(tmp_path / 'run', tmp_path / 'run.png')


class TestBadInput:
    """Everything here is refused before the first step."""

    @pytest.mark.parametrize(
        ('options', 'error', 'message'),
        [
            (['--data-root', '/nowhere'], FileNotFoundError, '--data-root /nowhere is no folder'),
            (['--init-from', '/no.pth'], FileNotFoundError, 'checkpoint /no.pth does not exist'),
            (['--resume', '--init-from', 'x'], ValueError, 'give one of them'),
            (['--total-batch', '10'], ValueError, r'1 processes x 4 samples: nearest are 8 and 12'),
            (
                ['ProgressiveMasking.num_visible=49'],
                ValueError,
                'num_visible is 49: expected 1 to 48',
            ),
            (
                ['ProgressiveMasking.alpha=0.4'],
                ValueError,
                'alpha is 0.4: expected more than 0.5',
            ),
            (['ProgressiveMasking.blend=top_k'], ValueError, 'did you mean top-k'),
            (
                ['ProgressiveMasking.object_cap=0.5'],
                ValueError,
                r'40 of 48 tokens are masked: expected 0.834 to 1, or num_visible of at least 24',
            ),
            (['ProgressiveMasking.prefer=central'], ValueError, 'set max_instances'),
            (
                ['ProgressiveMasking.curriculum.alpha_s=[[0,1]]'],
                ValueError,
                'curriculum',
            ),
            (
                ['--cfg-options', 'model.backbone.img_size=64'],
                ValueError,
                r'rgb maps are \(32, 32\), the model expects \(64, 64\)',
            ),
            (
                ['--cfg-options', 'model.backbone.granularities.semantic.num_classes=5'],
                ValueError,
                'semantic map of .*JPEG has class id',
            ),
        ],
    )
    def test_wrong_settings(self, config_file, tmp_path, options, error, message):
        with pytest.raises(error, match=message):
            run(config_file, '--work-dir', tmp_path / 'run', *options)
        assert not list((tmp_path / 'run').glob('*.pth'))

    def test_missing_config(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r'config nothing\.py does not exist'):
            run('nothing.py', '--work-dir', tmp_path)

    def test_a_bundle_for_what_reads_no_bundles(self, tmp_path):
        (tmp_path / 'train').mkdir()
        (tmp_path / 'train/bundle.json').touch()
        for root in (tmp_path, 's3://bucket/folder'):
            message = rf'--data-root {root} holds bundles .* and ImageFolders reads folders of fil'
            with pytest.raises(ValueError, match=message):
                run(ROOT / 'configs/cls/vitb_ft_100e.py', '--data-root', root)

    def test_class_out_of_range_names_the_file(self, config_file, tmp_path):
        path = tmp_path / 'data/semantic/train/n0/img_00.png'
        Image.new('L', (48, 40), 200).save(path)
        with pytest.raises(ValueError, match=rf'{path}: semantic class ids \[200\]'):
            run(config_file, '--work-dir', tmp_path / 'run')

    def test_skipped_samples_are_logged_and_a_large_share_stops(self, config_file, tmp_path):
        for name in ('n0/img_00', 'n1/img_01'):
            (tmp_path / f'data/train/{name}.JPEG').write_bytes(b'')
        skip = 'train_dataloader.dataset.on_error=skip'
        with pytest.raises(RuntimeError, match='of 12 samples are unreadable'):
            run(config_file, '--work-dir', tmp_path / 'a', '--cfg-options', skip)
        runner = run(
            config_file,
            '--work-dir',
            tmp_path / 'b',
            '--cfg-options',
            skip,
            'SkippedSamplesHook.max_share=0.5',
        )
        (log,) = (tmp_path / 'b').glob('*/*.log')
        assert log.read_text().count('skipped unreadable sample') == 2
        assert 'n0/img_00.JPEG' in log.read_text()
        assert '2 unreadable samples skipped so far' in log.read_text()
        assert runner.iter == 9


@pytest.mark.parametrize(
    ('name', 'own'),
    [
        ('pretrain/c2fmae_vitb_400e', True),
        ('pretrain/multimae_vitb_400e', True),
        ('pretrain/mae_vitb_400e', False),
        ('cls/vitb_ft_100e', False),
    ],
)
def test_a_model_that_takes_compile_compiles_its_own_parts(name, own):
    parser = argparse.ArgumentParser()
    run_options.add_common_arguments(parser)
    run_options.add_train_arguments(parser)
    args = parser.parse_args([str(ROOT / f'configs/{name}.py'), '--compile'])
    cfg = launch.load_config(args)
    apply_train_options(cfg, args)
    assert (cfg.model.get('compile', False), cfg.get('compile', False)) == (own, not own)


def test_options_and_settings_of_the_command_line_are_applied_and_told(config_file, capsys):
    parser = argparse.ArgumentParser()
    run_options.add_common_arguments(parser)
    options = ['--set', 'LoggerHook.interval=5', '--set', 'ProgressiveMasking.alpha=0.8']
    cfg = launch.load_config(parser.parse_args([str(config_file), *options]))
    assert cfg.default_hooks.logger.interval == 5
    printed = capsys.readouterr().out
    assert 'set default_hooks.logger.interval = 5\n' in printed
    assert 'set train_dataloader.dataset.pipeline.4.alpha = 0.8\n' in printed
    options = ['--cfg-options', 'model.bakbone.depth=3']
    with pytest.raises(ValueError, match='model has no bakbone; the nearest: backbone'):
        launch.load_config(parser.parse_args([str(config_file), *options]))


@pytest.mark.parametrize(
    ('field', 'reason'),
    [
        ('model.compile.mode=nonsense', 'Unrecognized mode=nonsense'),
        ('model.compile.backend=nonsense', 'Invalid backend'),
        ('model.compile.options.foo=1', 'Unexpected optimization option foo'),
        ('model.compile.fullgraphs=True', "unexpected keyword argument 'fullgraphs'"),
        ('compile.mode=nonsense', 'Unrecognized mode=nonsense'),  # mmengine's own field
    ],
)
def test_options_of_compile_that_do_not_exist_are_one_line_at_the_start(
    field, reason, config_file, tmp_path, capsys
):
    options = ('--work-dir', str(tmp_path / 'run'), '--cfg-options', f'+{field}')
    assert main(['train', str(config_file), *options]) == 2
    (said,) = capsys.readouterr().err.strip().splitlines()
    assert reason in said and 'is not what torch.compile takes' in said
