import numpy as np
import pytest
import torch

from mmc2fmae.datasets.transforms import ProgressiveMasking
from mmc2fmae.masking import PRESETS
from mmc2fmae.web.settings import choose_counts, draw_masks, obstacles, read_settings
from tests.web.conftest import controls

ALL = ['rgb', 'instance', 'semantic']
CELLS = dict(rgb=8, instance=4, semantic=4)


def choose(present=ALL, seed=0, **changes):
    settings = read_settings(controls(**changes))
    return choose_counts(settings, ALL, present, 16, 1.0, np.random.default_rng(seed))


def make_inputs():
    """A 32 x 32 sample of 4 x 4 patches: class 5 and instance 1 cover the left half."""
    labels = torch.zeros(16, 16, dtype=torch.uint8)
    labels[:, :8] = 1
    return dict(rgb=torch.zeros(3, 32, 32), instance=labels, semantic=labels * 5)


def draw(alphas, inputs=None, seed=0, **counts):
    masking = ProgressiveMasking(patch_size=8, num_visible=8)
    rng = np.random.default_rng(seed)
    return draw_masks(masking, alphas, counts, inputs or make_inputs(), CELLS, rng)[0]


@pytest.mark.parametrize('total', [1, 8, 47, 48])
def test_drawn_shares_add_up_to_what_was_asked_for(total):
    for seed in range(20):
        counts = choose(total=total, seed=seed)
        assert sum(counts.values()) == total and max(counts.values()) <= 16


def test_what_a_sample_lacks_is_never_visible():
    for seed in range(20):
        counts = choose(['rgb', 'semantic'], seed=seed)
        assert counts['instance'] == 0 and sum(counts.values()) == 8


def test_chosen_counts_are_taken_as_they_are_in_the_order_of_the_model():
    counts = choose(visible=dict(semantic=3, rgb=0, instance=16))
    assert list(counts.items()) == [('rgb', 0), ('instance', 16), ('semantic', 3)]


@pytest.mark.parametrize(
    ('present', 'changes', 'message'),
    [
        (ALL, dict(total=49), 'expected 1 to 48'),
        (['rgb'], dict(total=17), 'expected 1 to 16'),
        (ALL, dict(visible=dict(rgb=17, instance=0, semantic=0)), '17 visible tokens of rgb'),
        (ALL, dict(visible=dict(rgb=0, instance=0, semantic=0)), 'at least one'),
        (ALL, dict(visible=dict(rgb=1)), 'the model reads'),
        (['rgb'], dict(visible=dict(rgb=1, instance=2, semantic=0)), 'no instance map'),
    ],
)
def test_impossible_counts_are_refused(present, changes, message):
    with pytest.raises(ValueError, match=message):
        choose(present, **changes)


def test_masks_are_those_of_training_for_the_same_draws():
    inputs = make_inputs()
    inputs['semantic'][4:9, 3:14] = 7
    sample = {name: value.numpy() for name, value in inputs.items()}
    for curriculum, t in (('SG', 0), ('IG', 0), ('RD', 0), ('SG-IG-RD', 0.3)):
        for options in ({}, dict(blend='draw'), dict(object_cap=0.9)):
            masking = ProgressiveMasking(
                patch_size=8, num_visible=8, curriculum=curriculum, **options
            )
            results = dict(sample, rgb=np.zeros((32, 32, 3)), granularities=ALL, progress=t)
            expected = masking(dict(results, rng=np.random.default_rng(5)))
            rng = np.random.default_rng(5)
            counts = choose_counts(read_settings(controls()), ALL, ALL, 16, 1.0, rng)
            masks, shares = draw_masks(masking, masking.curriculum(t), counts, inputs, CELLS, rng)
            assert (shares == expected['mask_shares']).all()
            for name in ALL:
                assert (masks[name] == expected['masks'][name]).all()


def test_semantic_guided_masks_take_from_every_class_by_its_area():
    masks = draw((1, 0), rgb=4, instance=10, semantic=16)
    for name, masked in (('rgb', 12), ('instance', 6), ('semantic', 0)):
        grid = masks[name].reshape(4, 4)  # both classes cover half of the patches
        assert grid[:, :2].sum() == grid[:, 2:].sum() == masked // 2


def test_instance_guided_masks_cover_objects_first():
    masks = draw((0, 1), rgb=8, instance=16, semantic=16)
    grid = masks['rgb'].reshape(4, 4)
    assert grid[:, :2].sum() == 6 and grid[:, 2:].sum() == 2  # three quarters of 8 masked patches


def test_random_masks_need_no_map():
    masks = draw((0, 0), dict(rgb=torch.zeros(3, 32, 32)), rgb=5, instance=0, semantic=0)
    assert [int(mask.sum()) for mask in masks.values()] == [11, 16, 16]


@pytest.mark.parametrize(('alphas', 'name'), [((0.5, 0), 'semantic'), ((0, 1), 'instance')])
def test_guided_masks_without_the_map_are_refused(alphas, name):
    with pytest.raises(ValueError, match=f'{name}-guided masking needs a map'):
        draw(alphas, dict(rgb=torch.zeros(3, 32, 32)), rgb=5, instance=0, semantic=0)


def test_obstacles_name_the_missing_maps():
    assert obstacles(PRESETS['SG-IG-RD'], ALL) == {}
    assert obstacles(PRESETS['SG-IG-RD'], ['rgb', 'instance']) == dict(
        SG='needs semantic map', curriculum='needs semantic map'
    )
    assert obstacles(PRESETS['RD'], ['rgb']) == dict(
        SG='needs semantic map', IG='needs instance map'
    )


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(strategy='XX'), "masking 'XX'"),
        (dict(t=1.5), 'position t is 1.5'),
        (dict(t=float('nan')), 'position t is nan'),
        (dict(seed=-1), 'seed is -1'),
        (dict(query=[3]), 'reload the page'),
        (dict(query='proxy'), 'reload the page'),
        (dict(query=[1, 2, 3]), 'reload the page'),
        (dict(total='many'), 'reload the page'),
        (dict(total=float('inf')), 'reload the page'),
        (dict(visible=[1, 2]), 'reload the page'),
        (dict(strategy=['RD']), 'masking'),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        read_settings(controls(**changes))


def test_missing_settings_are_refused():
    with pytest.raises(ValueError, match='visible'):
        read_settings(dict(strategy='RD'))
