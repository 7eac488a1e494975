from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmc2fmae.probes.diagnosis import diagnose, is_collapsed


@pytest.mark.parametrize(
    ('rankme', 'width', 'tokens', 'collapsed'),
    [
        # Measured: own photographs at a good and a tenfold rate, the scenes likewise.
        (72, 192, 4096, False),
        (9, 192, 4096, True),
        (49.5, 192, 4096, False),
        (12.5, 192, 4096, True),
        # Fewer tokens than directions: 32 fill 31 at most, 15 % of which are 4.65.
        (4.6, 768, 32, True),
        (4.7, 768, 32, False),
        (0, 192, 4096, True),
    ],
)
def test_rank_is_compared_with_what_is_possible(rankme, width, tokens, collapsed):
    assert is_collapsed(dict(rankme=rankme), width, tokens) == collapsed


def settings(**wrapper):
    """Return a run as far as a diagnosis looks at it."""
    rates = [dict(lr=1e-4, initial_lr=1e-3), dict(lr=1e-3, initial_lr=1e-2)]
    model = SimpleNamespace(backbone=SimpleNamespace(final_norm=not wrapper.pop('no_norm', False)))
    hidden = wrapper.pop('hidden', ())
    logged = {'train/objects_hidden': HistoryBuffer(hidden, [1] * len(hidden))} if hidden else {}
    return SimpleNamespace(
        optim_wrapper=SimpleNamespace(param_groups=rates, **wrapper),
        model=model,
        message_hub=SimpleNamespace(log_scalars=logged),
    )


@pytest.mark.parametrize(
    ('run', 'said', 'unsaid'),
    [
        (settings(), ['it is 0.01 at most: try --lr 0.001', 'masks'], ['--amp', 'final_norm']),
        (settings(cast_dtype=torch.bfloat16), ['bfloat16 (try without --amp)'], ['final_norm']),
        (settings(no_norm=True), ['model.backbone.final_norm'], ['--amp']),
        (
            settings(hidden=[0.0, 0.92, 0.03]),  # as printed: objects are hidden in the middle
            ['up to 92 % of the samples', '--set ProgressiveMasking.object_cap=0.9'],
            ['final_norm'],
        ),
        (settings(hidden=[0.0, 0.07, 0.0]), ['num_visible'], ['object_cap']),  # random, or capped
    ],
)
def test_causes_are_those_that_the_run_can_have(run, said, unsaid):
    found = dict(rankme=9.0, first_direction=0.91)
    warning = diagnose(found, 192, 4096, run)
    assert 'RankMe 9.0, expected 28.8 or more of 192' in warning
    assert 'the first direction has 91 % of the variance' in warning
    assert '\n' not in warning
    assert all(text in warning for text in said)
    assert not any(text in warning for text in unsaid)


def test_healthy_tokens_need_no_diagnosis():
    assert diagnose(dict(rankme=50.0, first_direction=0.3), 192, 4096, settings()) is None
