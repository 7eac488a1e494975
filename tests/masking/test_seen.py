import numpy as np

from mmc2fmae.masking import count_hidden


def test_objects_are_hidden_where_no_granularity_shows_a_token_of_one():
    # 2 x 2 patches of 2 x 2 pixels. Patch 0 is object 3 by three pixels of four; patch 3 has one
    # pixel of object 4, so its label is background.
    maps = np.zeros((5, 4, 4), np.uint8)
    maps[:, :2, :2] = [[3, 3], [3, 0]]
    maps[:, 3, 3] = 4
    maps[4] = 0  # no object at all
    rgb = np.ones((5, 4), bool)
    instance = rgb.copy()
    rgb[0, 1:] = False  # shows all but the object
    rgb[1, 0] = False
    instance[2, 0] = False
    instance[3, 3] = False  # the patch that is background
    rgb[4] = False
    assert count_hidden(maps, [rgb, instance]) == (2, 4)  # samples 0 and 3 of the first four
    assert count_hidden(maps[1:3], [rgb[1:3], instance[1:3]]) == (0, 2)
    assert count_hidden(maps[4:], [rgb[4:]]) == (0, 0)


def test_maps_of_another_stride_have_the_same_patches():
    rng = np.random.default_rng(0)
    maps = (rng.random((20, 4, 6)) < 0.2).astype(np.uint8)
    masks = [rng.random((20, 24)) < 0.7 for _ in range(3)]
    fine = maps.repeat(8, axis=1).repeat(8, axis=2)
    hidden, number = count_hidden(maps, masks)
    assert count_hidden(fine, masks) == (hidden, number)
    loop = [
        all(all(mask[i, j] for mask in masks) for j in range(24) if maps[i].flat[j])
        for i in range(20)
        if maps[i].any()
    ]
    assert (hidden, number) == (sum(loop), len(loop)) and 0 < hidden < number
