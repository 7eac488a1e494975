from collections import Counter

import numpy as np

from mmc2fmae.preparation.statistics import Statistics

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_merged_parts_are_the_whole():
    parts = [Statistics(), Statistics()]
    for part, width in zip(parts, (4, 5), strict=True):
        part.add_photograph('RGB', width, 2)
        part.add_instances(np.array([4, 2, 1, 1]), num_instances=3)  # the third is dropped
        part.add_classes(np.array([6, 0, 2]), wide={0})
        part.add_palette({0: RED, 1: RED, 2: BLUE}, np.array([6, 0, 2]))
        part.add_palette({0: RED, 1: RED}, np.array([6, 2]))  # tells nothing apart
    total = Statistics()
    for part in parts:
        total.merge(part)
    assert total == Statistics(
        modes=Counter(RGB=2),
        sizes=Counter([(4, 2), (5, 2)]),
        instances=Counter({3: 2}),
        covered=Counter({0.5: 2}),
        dropped=0.25,
        known=Counter({1.0: 2}),
        class_shares=Counter({0: 1.5, 2: 0.5}),
        class_photographs=Counter({0: 2, 2: 2}),
        wide_classes=Counter({0: 2}),
        palettes=Counter({(RED, 0): 2, (BLUE, 2): 2}),
    )
    assert parts[0].modes == dict(RGB=1)
