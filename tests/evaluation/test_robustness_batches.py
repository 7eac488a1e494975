"""Which cells are read together, and in which batches."""

import torch
from mmengine.dataset import pseudo_collate
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from mmc2fmae.evaluation.class_subsets import Listing
from mmc2fmae.evaluation.robustness_batches import Batches, collate, passes_of
from mmc2fmae.evaluation.robustness_sets import RobustnessSet, Unit, units_of


def declared(name, kind, folder):
    return RobustnessSet(name, kind, f'{name}@1', folder, ['a', 'b'], [])


def test_severities_that_are_made_here_share_a_reading_and_files_are_read_each(tmp_path):
    sets = {
        name: declared(name, kind, tmp_path)
        for name, kind in (('plain', 'folder'), ('files', 'corruptions'), ('made', 'on_the_fly'))
    }
    listing = Listing(['a/1.png'] * 12_000, [0] * 12_000)
    units = {name: list(units_of(one, listing)) for name, one in sets.items()}
    assert [len(own) for own in units.values()] == [2, 150, 150]
    for name in ('plain', 'files'):
        assert passes_of(units[name], sets) == [(unit,) for unit in units[name]]
    made = passes_of(units['made'], sets)
    assert len(made) == 30 and {len(own) for own in made} == {5}
    assert {unit for own in made for unit in own} == set(units['made'])
    for own in made:
        assert {(unit.cell[0], unit.start, unit.stop) for unit in own} == {
            (own[0].cell[0], own[0].start, own[0].stop)
        }
    left = [unit for unit in units['made'] if unit.cell[0] == 'fog' and unit.cell[1] > 3]
    assert [len(own) for own in passes_of(left, sets)] == [2, 2]


def test_a_batch_is_of_one_pass_and_holds_images_in_all_their_cells():
    plain = (Unit('plain', None, 0, 5),)
    made = tuple(Unit('made', ('fog', severity), 3, 6) for severity in (1, 2, 3))
    batches = Batches([plain, made], 4)
    assert list(batches) == [
        [(0, 0), (0, 1), (0, 2), (0, 3)], [(0, 4)], [(1, 3)], [(1, 4)], [(1, 5)],
    ]  # fmt: skip
    assert [len(batches.starts(units)) for units in (plain, made)] == [2, 3]
    assert list(Batches([made], 7)) == [[(0, 3), (0, 4)], [(0, 5)]]


def test_images_of_one_shape_become_one_tensor_and_others_a_list():
    def sample(side, label):
        data = DataSample().set_gt_label(label)
        return dict(inputs=torch.full((3, side, side), label, dtype=torch.uint8), data_samples=data)

    batch = collate([[sample(4, 0), sample(4, 1)], [sample(4, 2), sample(4, 3)]])
    assert batch['inputs'].shape == (4, 3, 4, 4)
    assert batch['inputs'][:, 0, 0, 0].tolist() == [0, 1, 2, 3]
    assert [int(one.gt_label) for one in batch['data_samples']] == [0, 1, 2, 3]
    mixed = collate([[sample(4, 0)], [sample(5, 1)]])
    assert [one.shape[-1] for one in mixed['inputs']] == [4, 5]


def test_one_tensor_is_prepared_as_a_list_is_bit_for_bit():
    rng = torch.Generator().manual_seed(0)
    samples = [
        dict(
            inputs=torch.randint(0, 256, (3, 6, 6), generator=rng, dtype=torch.uint8),
            data_samples=DataSample().set_gt_label(0),
        )
        for _ in range(3)
    ]
    prepare = ClsDataPreprocessor(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                                  to_rgb=True)  # fmt: skip
    together = prepare(collate([[sample] for sample in samples]))['inputs']
    assert torch.equal(together, prepare(pseudo_collate(samples))['inputs'])
