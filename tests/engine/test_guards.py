import pytest
from mmpretrain.registry import MODELS

from mmc2fmae.models import C2FMAE
from tests.engine.test_launch import run


@MODELS.register_module()
class FaultyC2FMAE(C2FMAE):
    """Its semantic loss is infinite from the third iteration on."""

    calls = 0

    def loss(self, inputs, data_samples):
        losses = super().loss(inputs, data_samples)
        self.calls += self.training
        if self.calls >= 3:
            losses['loss_semantic'] = losses['loss_semantic'] / 0
        return losses


def test_infinite_losses_stop_the_run_and_name_the_granularity(config_file, tmp_path):
    with pytest.raises(FloatingPointError, match=r"'loss_semantic': inf.*JPEG"):
        run(
            config_file, '--work-dir', tmp_path / 'run', '--cfg-options',
            'model.type=FaultyC2FMAE', 'train_dataloader.batch_size=1',
            'NonFiniteGuardHook.patience=2', 'NonFiniteGuardHook.interval=2',
        )  # fmt: skip
    assert not list((tmp_path / 'run').glob('*.pth'))


def test_non_finite_weights_are_never_saved(config_file, tmp_path):
    with pytest.raises(FloatingPointError, match=r'cls_token is not finite after 3 iterations: no'):
        run(
            config_file, '--work-dir', tmp_path / 'run', '--lr', 1e308,
            'NonFiniteGuardHook.patience=99',
        )  # fmt: skip
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize(
    ('option', 'field'),
    [
        ('train_cfg.max_epochs=5', 'max_epochs: 3 -> 5'),
        ('train_dataloader.batch_size=2', 'total_batch: 4 -> 2'),
        ('optim_wrapper.optimizer.lr=0.1', 'optimizer: .*0.001.*0.1'),
    ],
)
def test_resuming_under_another_schedule_is_refused(config_file, tmp_path, option, field):
    run(config_file, '--work-dir', tmp_path / 'run')
    with pytest.raises(ValueError, match=rf'another run:(?s:.*){field}(?s:.*)--init-from'):
        run(config_file, '--work-dir', tmp_path / 'run', '--resume', '--cfg-options', option)


def test_the_config_in_the_folder_of_a_run_resumes_it(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    (tmp_path / 'run/epoch_3.pth').unlink()
    resume = ['--resume', tmp_path / 'run/epoch_2.pth']
    assert run(tmp_path / 'run', *resume).iter == 9
    with pytest.raises(ValueError, match='as another run: optimizer'):
        run(tmp_path / 'run', *resume, '--lr', 2e-3)


def test_another_split_of_the_same_total_batch_resumes(config_file, tmp_path):
    run(config_file, '--work-dir', tmp_path / 'run')
    options = ('train_dataloader.batch_size=2', 'optim_wrapper.accumulative_counts=2')
    run(config_file, '--work-dir', tmp_path / 'run', '--resume', '--cfg-options', *options)
