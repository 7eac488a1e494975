"""Groups of equal options are one, and the update stays what it was."""

import torch
from mmengine.optim import build_optim_wrapper
from torch import nn


def trained(constructor: str) -> tuple[list[tuple], list[torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    wrapper = build_optim_wrapper(
        model,
        dict(
            optimizer=dict(type='AdamW', lr=0.1, weight_decay=0.5),
            constructor=constructor,
            paramwise_cfg=dict(norm_decay_mult=0.0, custom_keys={'2.weight': dict(lr_mult=0.1)}),
        ),
    )
    for step in range(3):
        wrapper.update_params(model(torch.full((2, 3), float(step))).square().sum())
    groups = [
        (round(g['lr'], 6), g['weight_decay'], len(g['params']))
        for g in wrapper.optimizer.param_groups
    ]
    return groups, [p.detach() for p in model.parameters()]


def test_parameters_of_equal_options_share_a_group():
    groups, weights = trained('JoinedGroupsConstructor')
    apart, expected = trained('DefaultOptimWrapperConstructor')
    # Plain weights and biases; both of the norm; the weight with a rate of its own.
    assert sorted(groups) == [(0.01, 0.5, 1), (0.1, 0.0, 2), (0.1, 0.5, 3)]
    assert len(apart) == 6
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))
