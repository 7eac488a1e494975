import numpy as np
import pytest

from mmc2fmae.masking import PRESETS
from mmc2fmae.visualization.figures.curriculum import draw_curricula, find_curriculum


def test_presets_configs_and_checkpoints_name_a_curriculum(checkpoint):
    assert find_curriculum('RD') == ('RD', PRESETS['RD'])
    name, curriculum = find_curriculum('configs/pretrain/c2fmae_vitb_400e.py')
    assert name == 'c2fmae_vitb_400e (SG-IG-RD)' and curriculum is PRESETS['SG-IG-RD']
    assert find_curriculum(str(checkpoint))[0] == 'run (SG-IG-RD)'
    with pytest.raises(ValueError, match='XX is no preset'):
        find_curriculum('XX')


def test_curves_are_the_curriculum_s():
    figure = draw_curricula([('SG-IG-RD', PRESETS['SG-IG-RD'])], epochs=401)
    alpha_s, alpha_i, rest = (line.get_xydata() for line in figure.axes[0].lines)
    assert alpha_s[0].tolist() == [0, 1] and alpha_i[500].tolist() == [200, 1]
    assert rest[-1].tolist() == [400, 1]
    assert np.allclose(alpha_s[:, 1] + alpha_i[:, 1] + rest[:, 1], 1)


@pytest.mark.parametrize(('count', 'panels'), [(1, 1), (2, 2), (4, 4), (5, 6)])
def test_every_column_of_panels_has_its_axis(count, panels):
    names = list(PRESETS)[:count]
    figure = draw_curricula([(name, PRESETS[name]) for name in names])
    assert len(figure.axes) == panels
    used = figure.axes[:count]
    assert sum(bool(ax.get_xlabel()) for ax in used) == min(count, 2 if count == 4 else 3)
