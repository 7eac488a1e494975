import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader

from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.errors import DatasetError, SampleError


def same(a: dict, b: dict) -> bool:
    return all(torch.equal(a[part][g], b[part][g]) for part in ('inputs', 'masks') for g in a[part])


def test_samples_are_plain_tensors_at_their_strides(data_root, pipeline):
    sample = MultiGranularDataset(str(data_root), pipeline=pipeline)[0]
    assert sample['inputs']['rgb'].shape == (3, 32, 32)
    assert sample['inputs']['instance'].shape == sample['inputs']['semantic'].shape == (16, 16)
    assert {v.dtype for v in sample['inputs'].values()} == {torch.uint8}
    assert sum(int((~m).sum()) for m in sample['masks'].values()) == 8
    assert sample['path'].endswith('train/n00000000/img_0.JPEG')


def test_a_missing_map_is_named_and_no_later_pair_shifts(data_root, pipeline):
    (data_root / 'semantic/train/n00000001/img_3.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'1 of 6 .* semantic map .*n00000001/img_3\.png'):
        MultiGranularDataset(str(data_root), pipeline=pipeline)
    (data_root / 'train/n00000001/img_3.JPEG').unlink()
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline)
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        stem = info['path'].removesuffix('.JPEG')
        assert info['semantic_path'] == str(data_root / f'semantic/train/{stem}.png')


def test_extra_maps_and_other_files_are_ignored(data_root, pipeline):
    (data_root / 'train/n00000000/notes.txt').write_text('x')
    Image.new('L', (4, 4)).save(data_root / 'instance/train/n00000000/extra.png')
    assert len(MultiGranularDataset(str(data_root), pipeline=pipeline)) == 6


def test_annotation_list_chooses_photographs(data_root, pipeline):
    (data_root / 'list.txt').write_text('n00000001/img_5.JPEG\nn00000000/img_0.JPEG\n')
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline, ann_file='list.txt')
    names = [dataset.get_data_info(i)['path'] for i in range(len(dataset))]
    assert names == ['n00000001/img_5.JPEG', 'n00000000/img_0.JPEG']


def test_flat_folders_and_other_suffixes(tmp_path, pipeline):
    for folder, array in (
        ('photos', np.zeros((40, 40, 3), np.uint8)),
        ('masks', np.ones((40, 40), np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / 'a.v2.png')
    pipeline[0] = dict(type='LoadMultiGranular')
    pipeline.insert(1, dict(type='SemanticFromInstance', class_id=3))
    dataset = MultiGranularDataset(
        str(tmp_path), dict(rgb='photos', instance='masks'), pipeline=pipeline
    )
    assert dataset[0]['inputs']['semantic'].unique().tolist() == [3]


def test_empty_folder_names_it(data_root, pipeline):
    for path in (data_root / 'train').rglob('*.JPEG'):
        path.unlink()
    with pytest.raises(FileNotFoundError, match=r'no photographs in .*train'):
        MultiGranularDataset(str(data_root), pipeline=pipeline)


def test_missing_folder_names_it_and_the_option(data_root, pipeline):
    with pytest.raises(FileNotFoundError, match=r'semantic folder .*nowhere.*--data-root'):
        MultiGranularDataset(
            str(data_root),
            dict(rgb='train', instance='instance/train', semantic='nowhere'),
            pipeline=pipeline,
        )


def test_draws_depend_on_seed_epoch_and_index_alone(data_root, pipeline):
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline)
    dataset.progress.set(seed=3, epoch=5, t=0.5)
    first = [dataset[i] for i in range(6)]
    backwards = [dataset[i] for i in reversed(range(6))][::-1]
    assert all(same(a, b) for a, b in zip(first, backwards, strict=True))
    dataset.progress.set(seed=3, epoch=6, t=0.5)
    assert not any(same(a, dataset[i]) for i, a in enumerate(first))
    dataset.progress.set(seed=4, epoch=5, t=0.5)
    assert not any(same(a, dataset[i]) for i, a in enumerate(first))


def test_persistent_workers_see_progress_and_equal_the_main_process(data_root, pipeline):
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline)
    loader = DataLoader(
        dataset, batch_size=2, num_workers=2, persistent_workers=True, collate_fn=default_collate
    )
    for epoch, t in ((0, 0.0), (1, 1.0)):
        dataset.progress.set(seed=0, epoch=epoch, t=t)
        batches = list(loader)
        expected = [default_collate([dataset[i], dataset[i + 1]]) for i in (0, 2, 4)]
        assert all(same(a, b) for a, b in zip(batches, expected, strict=True))


def test_unreadable_sample_stops_by_default_and_names_the_file(data_root, pipeline):
    path = data_root / 'train/n00000000/img_2.JPEG'
    path.write_bytes(path.read_bytes()[:300])
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline)
    with pytest.raises(SampleError, match=r"img_2\.JPEG: cannot be read .*on_error='skip'"):
        dataset.try_samples()


def test_skipping_takes_the_successor_and_reports_the_reason(data_root, pipeline):
    names = sorted(str(p) for p in (data_root / 'train').rglob('*.JPEG'))
    path = data_root / 'train' / names[1]
    path.write_bytes(b'')
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline, on_error='skip')
    sample = dataset[1]
    assert sample['path'] == names[2]
    assert names[1] in sample['skipped']
    assert dataset[0]['skipped'] == ''


def test_skipping_everything_is_an_error(data_root, pipeline):
    for path in (data_root / 'train').rglob('*.JPEG'):
        path.write_bytes(b'')
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline, on_error='skip')
    with pytest.raises(SampleError, match='no sample can be read'):
        dataset[0]


def test_unknown_error_policy_is_refused(data_root):
    with pytest.raises(ValueError, match=r"'ignore'.*'raise' or 'skip'"):
        MultiGranularDataset(str(data_root), on_error='ignore')


def test_listed_photographs_that_are_gone_are_named_before_the_first_step(data_root, pipeline):
    names = [f'n0000000{i % 2}/img_{i}.JPEG' for i in range(6)]
    (data_root / 'list.txt').write_text('\ufeff' + ''.join(f'{name} \r\n' for name in names))
    arguments = dict(data_root=str(data_root), pipeline=pipeline, ann_file='list.txt')
    assert len(MultiGranularDataset(**arguments)) == 6
    (data_root / 'train' / names[2]).unlink()  # its maps are there
    with pytest.raises(DatasetError, match=rf'list\.txt: 1 of 6 photographs .* first {names[2]}:'):
        MultiGranularDataset(**arguments)


def test_names_that_are_unique_are_enough_in_a_list(data_root, pipeline):
    (data_root / 'list.txt').write_text('img_5\nimg_0.JPEG\n')
    dataset = MultiGranularDataset(str(data_root), pipeline=pipeline, ann_file='list.txt')
    info = dataset.get_data_info(0)
    assert info['path'] == 'n00000001/img_5.JPEG'
    assert info['semantic_path'] == str(data_root / 'semantic/train/n00000001/img_5.png')


def test_two_photographs_of_one_map_are_refused_and_need_none_without_maps(data_root, pipeline):
    Image.new('RGB', (9, 9)).save(data_root / 'train/n00000000/img_0.png')
    with pytest.raises(DatasetError, match=r'n00000000/img_0\.JPEG and n00000000/img_0\.png; re'):
        MultiGranularDataset(str(data_root), pipeline=pipeline)
    assert len(MultiGranularDataset(str(data_root), dict(rgb='train'), pipeline=[])) == 7
    (data_root / 'list.txt').write_text('n00000000/img_0.JPEG\n')
    one = MultiGranularDataset(str(data_root), pipeline=pipeline, ann_file='list.txt')
    assert len(one) == 1


def test_links_back_and_hidden_folders_add_no_photographs(data_root, pipeline):
    for folder in ('train', 'instance/train', 'semantic/train'):
        (data_root / folder / 'again').symlink_to(data_root / folder)
        (data_root / folder / '.ipynb_checkpoints').mkdir()
    Image.new('RGB', (9, 9)).save(data_root / 'train/.ipynb_checkpoints/img_0-checkpoint.jpg')
    assert len(MultiGranularDataset(str(data_root), pipeline=pipeline)) == 6
