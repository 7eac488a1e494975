import numpy as np
import pytest

from mmc2fmae.errors import DatasetError
from mmc2fmae.masking import PRESETS
from mmc2fmae.visualization.figures.curriculum import draw_curricula, find_masking
from mmc2fmae.visualization.figures.seen_masks import Seen

SEEN = Seen((0, 0.5, 1), np.eye(3), np.array([0, 0.25, 0.5]))


def test_presets_configs_and_checkpoints_name_a_curriculum(checkpoint):
    random = find_masking('RD')
    assert (random.name, random.masking.curriculum) == ('RD', PRESETS['RD'])
    paper = find_masking('configs/pretrain/c2fmae_vitb_400e.py')
    assert paper.name == 'c2fmae_vitb_400e (SG-IG-RD)'
    assert paper.masking.curriculum is PRESETS['SG-IG-RD'] and paper.masking.num_visible == 98
    assert find_masking(str(checkpoint)).name == 'run (SG-IG-RD)'
    drawn = find_masking('configs/pretrain/ablations/masks_draw.py')
    assert drawn.masking.rules.blend == 'draw'
    with pytest.raises(ValueError, match='XX is no preset'):
        find_masking('XX')
    for name in ('pretrain/mae_vitb_400e', 'mini/robustness'):
        with pytest.raises(ValueError, match='masks without a curriculum'):
            find_masking(f'configs/{name}.py')


def test_a_training_is_watched_on_drawn_scenes_and_on_its_own_data(checkpoint, data_root):
    training = find_masking(str(checkpoint))  # 16 patches a granularity
    for seen in (training.watch(6), training.watch(6, str(data_root))):
        assert seen.shares[0].tolist() == [1, 0, 0] and seen.shares[-1].tolist() == [0, 0, 1]
        assert seen.hidden.shape == (21,) and np.nanmax(seen.hidden) <= 1
    with pytest.raises(FileNotFoundError, match='nowhere'):
        training.watch(6, '/nowhere')
    training.cfg.train_dataloader.dataset.type = 'ImageFolders'
    with pytest.raises(DatasetError, match='leave out --data-root'):
        training.watch(6, str(data_root))


def test_curves_are_the_coefficients_and_what_was_seen():
    figure = draw_curricula([find_masking('SG-IG-RD')], [SEEN], epochs=401)
    alpha_s, alpha_i, rest, *seen, hidden = (line.get_xydata() for line in figure.axes[0].lines)
    assert alpha_s[0].tolist() == [0, 1] and alpha_i[500].tolist() == [200, 1]
    assert rest[-1].tolist() == [400, 1]
    assert np.allclose(alpha_s[:, 1] + alpha_i[:, 1] + rest[:, 1], 1)
    assert [line[:, 1].tolist() for line in seen] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert hidden.tolist() == [[0, 0], [200, 0.25], [400, 0.5]]


@pytest.mark.parametrize(('count', 'panels'), [(1, 1), (2, 2), (4, 4), (5, 6)])
def test_every_column_of_panels_has_its_axis(count, panels):
    training = find_masking('RD')
    figure = draw_curricula([training] * count, [SEEN] * count)
    assert len(figure.axes) == panels
    used = figure.axes[:count]
    assert sum(bool(ax.get_xlabel()) for ax in used) == min(count, 2 if count == 4 else 3)
