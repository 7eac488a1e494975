import pytest
import torch

from mmc2fmae.models import C2FMAE, SemanticMIM, self_supervisor


@pytest.mark.parametrize('algorithm', [C2FMAE, SemanticMIM])
def test_each_process_trains_on_its_own_loss_and_logs_the_mean_of_all(algorithm, monkeypatch):
    others = {'loss': 9.0, 'loss_rgb': 5.0, 'loss_semantic': 4.0}

    def all_reduce(values, op):  # the other of two processes
        assert op == 'mean'
        values.add_(torch.tensor(list(others.values()))).div_(2)

    monkeypatch.setattr(self_supervisor, 'get_world_size', lambda: 2)
    monkeypatch.setattr(self_supervisor, 'all_reduce', all_reduce)
    losses = dict(loss_rgb=torch.tensor(1.0), loss_semantic=torch.tensor(2.0))
    total, log = algorithm.parse_losses(object.__new__(algorithm), losses)
    assert total == 3
    assert {name: float(value) for name, value in log.items()} == dict(
        loss=6.0, loss_rgb=3.0, loss_semantic=3.0
    )
