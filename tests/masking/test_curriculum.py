import pytest

from mmc2fmae.masking import PRESETS, Curriculum, build_curriculum


def test_paper_order_is_piecewise_linear_from_semantic_to_instance_to_random():
    curriculum = PRESETS['SG-IG-RD']
    assert curriculum(0) == (1, 0)
    assert curriculum(0.25) == (0.5, 0.5)
    assert curriculum(0.5) == (0, 1)
    assert curriculum(0.75) == (0, 0.5)
    assert curriculum(1) == (0, 0)


@pytest.mark.parametrize(('name', 'alphas'), [('RD', (0, 0)), ('IG', (0, 1)), ('SG', (1, 0))])
def test_single_strategies_stay_the_same(name, alphas):
    assert {PRESETS[name](t) for t in (0, 0.3, 1)} == {alphas}


def test_own_knots_are_allowed():
    curriculum = build_curriculum(dict(alpha_s=[(0, 0.5), (1, 0)], alpha_i=[(0, 0.5)]))
    assert curriculum(0.5) == (0.25, 0.5)


def test_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'SG-RD'.*'SG-IG-RD'"):
        build_curriculum('SG-RD')


@pytest.mark.parametrize(
    'knots',
    [
        dict(alpha_s=[(0, 0.7)], alpha_i=[(0, 0.7)]),
        dict(alpha_s=[(0, -0.1)], alpha_i=[(0, 0)]),
        dict(alpha_s=[(0.5, 0), (0, 1)], alpha_i=[(0, 0)]),
        dict(alpha_s=[(0, 0), (2, 1)], alpha_i=[(0, 0)]),
        dict(alpha_s=[(0, 0.2), (1, 0.2)], alpha_i=[(0, 0), (0.5, 0.9), (1, 0)]),
        dict(alpha_s=[(0, float('nan'))], alpha_i=[(0, 0)]),
        dict(alpha_s=[(0, 0.2, 0.3)], alpha_i=[(0, 0)]),
        dict(alpha_s=[0.5], alpha_i=[(0, 0)]),
        dict(alpha_s=[(0, 'much')], alpha_i=[(0, 0)]),
        dict(alpha_s=0.5, alpha_i=[(0, 0)]),
        dict(alpha_s=[], alpha_i=[(0, 0)]),
    ],
)
def test_impossible_coefficients_are_refused(knots):
    with pytest.raises(ValueError, match='curriculum'):
        Curriculum(**knots)


@pytest.mark.parametrize('spec', [dict(alpha_s=[(0, 1)]), dict(alpha=1), 0.5, None])
def test_what_is_no_curriculum_is_refused(spec):
    with pytest.raises(ValueError, match=r'curriculum is .*: expected the name of a preset'):
        build_curriculum(spec)


def test_overlapping_coefficients_leave_nobody_the_majority_for_half_of_the_training():
    curriculum = PRESETS['SG-IG-RD-overlap']
    assert (curriculum(0), curriculum(1)) == ((1, 0), (0, 0))
    for step in range(101):
        t = step / 100
        alpha_s, alpha_i = curriculum(t)
        random = 1 - alpha_s - alpha_i
        largest = max(alpha_s, alpha_i, random)
        assert (largest <= 0.5 + 1e-9) == (0.25 <= t <= 0.75)
        # Random mirrors semantic.
        assert random == pytest.approx(curriculum(1 - t)[0])
