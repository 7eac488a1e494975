import re

import numpy as np
import pytest

from mmc2fmae.masking import MaskingRules


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(blend='topk'), "blend is 'topk': expected 'top-k', 'draw', did you mean top-k?"),
        (dict(blend='drawn'), 'did you mean draw?'),
        (dict(blend=None), "blend is None: expected 'top-k', 'draw'"),
        (dict(prefer='center', max_instances=1), 'did you mean central?'),
        (dict(prefer='central'), 'set max_instances'),
        (dict(max_instances=0), 'max_instances is 0: expected a whole number of at least 1'),
        (dict(max_instances=1.5), 'max_instances is 1.5: expected'),
        (dict(min_area=-1), 'min_area is -1: expected a whole number of at least 0'),
        (dict(min_area=None), 'min_area is None: expected'),
        (dict(class_weights={'5': 3.0}), "class_weights is {'5': 3.0}: expected class ids"),
        (dict(class_weights={5: -1.0}), 'class_weights is {5: -1.0}: expected'),
        (dict(class_weights={5: float('nan')}), 'class_weights is {5: nan}: expected'),
        (dict(class_weights={5: 'much'}), "class_weights is {5: 'much'}: expected"),
        (dict(class_weights=[1.0, 2.0]), 'class_weights is [1.0, 2.0]: expected'),
        (dict(alpha=0.5), 'alpha is 0.5: expected more than 0.5'),
        (dict(alpha='high'), "alpha is 'high': expected more than 0.5"),
        (dict(object_cap=0), 'object_cap is 0: expected a share above 0 and at most 1'),
        (dict(object_cap=1.01), 'object_cap is 1.01: expected'),
        (dict(object_cap=90), 'object_cap is 90: expected'),
        (dict(object_cap=float('nan')), 'object_cap is nan: expected'),
        (dict(object_cap='most'), "object_cap is 'most': expected"),
        (dict(object_cap=None), 'object_cap is None: expected'),
    ],
)
def test_unknown_settings_are_one_line_with_what_was_expected(options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        MaskingRules(**options)
    assert '\n' not in str(error.value)


def test_a_cap_must_leave_room_for_what_is_masked():
    # 98 of 588 tokens are visible: 5/6 are masked, 0.834 rounded up.
    for cap in (0.834, 0.9, 1.0):
        MaskingRules(object_cap=cap).check_cap(98, 588)
    MaskingRules(object_cap=0.75).check_cap(12, 48)  # exactly what is masked
    with pytest.raises(ValueError, match=r'0\.8, but 490 of 588 .* 0\.834 to 1, .* least 118 '):
        MaskingRules(object_cap=0.8).check_cap(98, 588)  # 588 / 5 is 117.6
    with pytest.raises(ValueError, match=r'expected 0\.75 to 1, or num_visible of at least 24 '):
        MaskingRules(object_cap=0.5).check_cap(12, 48)


@pytest.mark.parametrize('num_tokens', [3, 48, 192, 588])
def test_what_the_message_of_a_cap_recommends_is_accepted(num_tokens):
    for num_visible in range(1, num_tokens, max(num_tokens // 24, 1)):
        for cap in np.arange(1, 20) / 20:
            try:
                MaskingRules(object_cap=cap).check_cap(num_visible, num_tokens)
            except ValueError as error:
                words = str(error).replace(',', '').split()
                lowest = float(words[words.index('expected') + 1])
                enough = int(words[words.index('least') + 1])
                MaskingRules(object_cap=lowest).check_cap(num_visible, num_tokens)
                MaskingRules(object_cap=cap).check_cap(enough, num_tokens)
                assert lowest > cap and enough > num_visible


@pytest.mark.parametrize('alphas', [(1, 0), (0.3, 0.5), (0.25, 0.75), (0, 0.2), (0, 0)])
def test_drawn_samples_take_each_strategy_with_its_coefficient_as_probability(alphas):
    rng, rules = np.random.default_rng(0), MaskingRules(blend='draw')
    counts = {(1, 0): 0, (0, 1): 0, (0, 0): 0}
    for _ in range(4000):
        counts[rules.of_sample(alphas, rng)] += 1
    wanted = (*alphas, 1 - sum(alphas))
    for count, share in zip(counts.values(), wanted, strict=True):
        # 5 standard deviations of a binomial draw; certain ones are exact.
        assert abs(count - 4000 * share) <= 5 * np.sqrt(4000 * share * (1 - share)) + 1e-6


def test_the_printed_blend_keeps_the_coefficients_and_draws_nothing():
    rng = np.random.default_rng(0)
    assert MaskingRules().of_sample((0.3, 0.5), rng) == (0.3, 0.5)
    assert rng.random() == np.random.default_rng(0).random()
