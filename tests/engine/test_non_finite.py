"""What is not finite never reaches the weights, and is named: module and sample."""

from types import SimpleNamespace

import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmpretrain.registry import MODELS, TRANSFORMS
from torch import nn

from mmc2fmae.engine.nan_replay import find_non_finite
from mmc2fmae.engine.non_finite import NonFiniteGuardHook
from mmc2fmae.models import C2FMAE
from tests.engine.test_launch import run

VICTIM = 'img_05'


class Root(torch.autograd.Function):
    """The identity; the gradient of sample 1 is that of a square root at 0."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        grad = grad.clone()
        grad[1] = grad[1] / 0
        return grad


class RootModule(nn.Module):
    def forward(self, x):
        return Root.apply(x)


@TRANSFORMS.register_module()
class SpoiledPixels(BaseTransform):
    """Float photographs; one of them has a pixel of this value."""

    def __init__(self, value):
        self.value = float(value)

    def transform(self, results):
        rgb = results['inputs']['rgb'] = results['inputs']['rgb'].float()
        if VICTIM in results['path']:
            rgb[0, 3, 4] = self.value
        return results


@MODELS.register_module()
class SpoiledC2FMAE(C2FMAE):
    """A loss is infinite where a photograph has a pixel far above 255."""

    def __init__(self, spoil: str, **kwargs):
        super().__init__(**kwargs)
        self.spoil = spoil

    def loss(self, inputs, data_samples):
        losses = super().loss(inputs, data_samples)
        if inputs['rgb'].max() > 100:
            losses[self.spoil] = losses[self.spoil] / 0
        return losses


def spoiled(config, tmp_path, value, *options, spoil='loss_rgb'):
    """Train three epochs of three steps; the victim is in one step of each."""
    text = config.read_text().replace(
        "dict(type='PackMultiGranular'),",
        f"dict(type='PackMultiGranular'), dict(type='SpoiledPixels', value='{value}'),",
    )
    config.write_text(text.replace("type='C2FMAE',", f"type='SpoiledC2FMAE', spoil='{spoil}',"))
    return run(config, '--work-dir', tmp_path / 'run', 'PreflightHook.num_samples=1', *options)


class Steps:
    """The optimizer's count of steps, for each parameter."""

    def __init__(self, runner: Runner) -> None:
        states = runner.optim_wrapper.optimizer.state.values()
        self.counts = {int(state['step']) for state in states}


@pytest.mark.parametrize('granularity', ['rgb', 'instance', 'semantic'])
def test_an_infinite_loss_takes_no_step_and_its_sample_is_named(config_file, tmp_path, granularity):
    runner = spoiled(config_file, tmp_path, 1e5, spoil=f'loss_{granularity}')
    assert Steps(runner).counts == {6}  # of nine
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
    with pytest.raises(FloatingPointError) as stop:
        run(
            config_file, '--work-dir', tmp_path / 'again', '--debug-nan',
            'PreflightHook.num_samples=1',
        )  # fmt: skip
    said = str(stop.value)
    assert f'is the loss_{granularity} (losses' in said and f"'loss_{granularity}': inf" in said
    assert f'/n2/{VICTIM}.JPEG; ' in said and said.count('.JPEG') == 1 and 'learning rate' in said
    assert '\n' not in said


@pytest.mark.parametrize('value', ['inf', '-inf', 'nan'])
def test_pixels_that_are_not_finite_are_named(config_file, tmp_path, value):
    with pytest.raises(FloatingPointError, match=rf'the pixels are not finite; sample: .*{VICTIM}'):
        spoiled(config_file, tmp_path, value, '--debug-nan')
    assert not list((tmp_path / 'run').glob('*.pth')) or all(
        torch.isfinite(v).all()
        for path in (tmp_path / 'run').glob('*.pth')
        for v in torch.load(path)['state_dict'].values()
    )


def test_many_in_a_row_end_the_run_and_the_message_has_rate_and_norm(config_file, tmp_path):
    after = 'loss scale' if torch.cuda.is_available() else 'gradient'  # mixed precision on a GPU
    with pytest.raises(
        FloatingPointError, match=rf'for 2 iterations(?s:.*)rate 0.00096\d+, {after}'
    ):
        spoiled(
            config_file, tmp_path, 1e5, 'NonFiniteGuardHook.patience=2', '--batch-size', 1,
            '--cfg-options', 'train_dataloader.dataset.indices=[9,9,9]',
        )  # fmt: skip


def test_a_rate_beyond_all_numbers_is_stopped_before_a_checkpoint(config_file, tmp_path):
    with pytest.raises(FloatingPointError, match=r'one is None; learning rate .*e\+307, gradient'):
        run(config_file, '--work-dir', tmp_path / 'run', '--lr', 1e308)
    assert not list((tmp_path / 'run').glob('*.pth'))


@pytest.mark.parametrize(('patience', 'interval'), [(0, 10), (10, 0)])
def test_a_guard_without_patience_is_refused(patience, interval):
    with pytest.raises(ValueError, match='expected at least 1'):
        NonFiniteGuardHook(patience, interval)


def test_debugging_and_compiling_contradict_each_other(config_file, tmp_path):
    with pytest.raises(ValueError, match='--debug-nan looks into modules'):
        run(config_file, '--work-dir', tmp_path, '--debug-nan', '--compile')


class Net(BaseModel):
    """Two linear layers and what a test puts between them, a row a sample."""

    def __init__(self, between: nn.Module, scale: float = 1.0):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.between, self.last = nn.Linear(4, 4), between, nn.Linear(4, 1)
        self.scale = scale

    def forward(self, inputs, path, mode):
        inputs = torch.stack(list(inputs))
        return dict(loss=self.last(self.between(self.first(inputs * self.scale))).mean())


def batch(number=3):
    torch.manual_seed(1)
    return dict(inputs=list(torch.rand(number, 4)), path=[f'{i}.jpg' for i in range(number)])


class Divide(nn.Module):
    def forward(self, x):
        return x / (torch.arange(len(x)) != 2)[:, None]


class Mean(nn.Module):
    def forward(self, x):  # what it returns has no row a sample
        return (x / (x != x.max())).mean(0, keepdim=True).expand(5, 4)


def test_the_first_module_and_the_sample_are_named():
    assert find_non_finite(Net(nn.Identity()), batch()) is None
    said = find_non_finite(Net(Divide()), batch())
    assert said.startswith('the first that is not finite is the output of between')
    assert said.endswith('; sample: 2.jpg')


def test_a_gradient_is_traced_to_the_module_of_its_backward_pass():
    said = find_non_finite(Net(RootModule()), batch())
    assert 'the loss is finite, its gradient is not' in said
    assert 'behind the output of first, in the backward pass of between; sample: 1.jpg' in said


def test_weights_that_are_not_finite_are_told_before_anything():
    model = Net(nn.Identity())
    model.last.weight.data[0, 1] = torch.nan
    said = find_non_finite(model, batch())
    assert said == 'weights are not finite before the step: 1 tensors, first last.weight'


def test_half_precision_that_overflows_is_found_in_half_precision_alone():
    model = Net(nn.Identity(), scale=1e5)  # float16 ends at 65504
    assert find_non_finite(model, batch()) is None
    assert find_non_finite(model, batch(), torch.bfloat16) is None
    assert 'is the output of first' in find_non_finite(model, batch(), torch.float16)


def test_a_replay_leaves_weights_gradients_and_statistics_as_they_were():
    model = Net(nn.Sequential(nn.BatchNorm1d(4), Divide()))
    model.first.weight.grad = torch.ones(4, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert 'between.1' in find_non_finite(model, batch())
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    assert torch.equal(model.first.weight.grad, torch.ones(4, 4))


class Scaler:
    """Stands in for a loss scaler of a GPU."""

    def __init__(self, scale):
        self.scale = scale

    def _get_scale_async(self):
        return torch.tensor(self.scale)

    def get_scale(self):
        return self.scale


def after_steps(scale: float, found: list[float | None], patience=3):
    """Let a guard see steps under a loss scaler: found_inf of each, None for one not taken."""
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))])
    wrapper = SimpleNamespace(
        loss_scaler=Scaler(scale), should_update=lambda: True, get_lr=lambda: dict(lr=[0.1])
    )
    hub = SimpleNamespace(log_scalars={})
    runner = SimpleNamespace(
        optim_wrapper=wrapper, iter=0, epoch=0, message_hub=hub, work_dir='none'
    )
    guard = NonFiniteGuardHook(patience)
    guard.scaled = True
    for inf in found:
        guard.before_train_iter(runner, 0)
        if inf is not None:
            optimizer.found_inf = torch.tensor(inf)
            guard._before_step(optimizer)
        guard.after_train_iter(runner, 0, dict(path=['a']), dict(loss=torch.tensor(1.0)))
    return int(guard.streak)


def test_a_scaler_that_looks_for_its_scale_is_no_fault():
    assert after_steps(2.0**16, [1.0] * 9) == 0
    assert after_steps(2.0**16, [None] * 9) == 0


@pytest.mark.parametrize('inf', [1.0, None])
def test_steps_skipped_at_the_smallest_scale_end_the_run(inf):
    assert after_steps(0.5, [inf, inf, 0.0, inf]) == 1
    with pytest.raises(FloatingPointError, match=r'for 3 iterations(?s:.*)loss scale 0.5'):
        after_steps(0.5, [inf] * 3)


def test_a_row_of_skipped_steps_is_counted_across_accumulated_passes():
    guard = NonFiniteGuardHook(patience=2)
    guard.scaled = False
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.register_step_pre_hook(guard._before_step)
    due = SimpleNamespace(should_update=None, get_lr=lambda: dict(lr=[0.1]))
    hub = SimpleNamespace(log_scalars={})
    runner = SimpleNamespace(optim_wrapper=due, iter=0, epoch=0, message_hub=hub, work_dir='none')

    def step(update):
        guard.before_train_iter(runner, 0)
        due.should_update = lambda: update
        if update:
            weight.grad = torch.tensor([torch.inf, 1.0])
            optimizer.step()
        guard.after_train_iter(runner, 0, dict(path=['a']), dict(loss=torch.tensor(1.0)))

    for update in (False, True, False):
        step(update)
    assert weight.tolist() == [1, 1] and guard.streak == 1
    with pytest.raises(FloatingPointError, match='gradient norm inf'):
        step(True)


def test_running_means_of_a_batch_that_is_not_finite_go_back():
    guard, norm = NonFiniteGuardHook(), nn.BatchNorm1d(2)
    wrapper = SimpleNamespace(
        optimizer=torch.optim.SGD(norm.parameters(), lr=0.1), should_update=lambda: True
    )
    runner = SimpleNamespace(model=norm, optim_wrapper=wrapper)
    guard.before_train(runner)
    norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    guard.after_train_iter(runner, 0, {}, dict(loss=torch.tensor(1.0)))
    assert torch.allclose(norm.running_mean, torch.tensor([0.2, 0.3]))
    guard.before_train_iter(runner, 0)
    norm(torch.tensor([[torch.nan, 2.0], [3.0, 4.0]]))
    guard.after_train_iter(runner, 0, {}, dict(loss=torch.tensor(torch.nan)))
    assert torch.allclose(norm.running_mean, torch.tensor([0.2, 0.3]))
