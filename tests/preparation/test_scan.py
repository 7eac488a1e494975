import json

import numpy as np
import pytest
from PIL import Image

from mmc2fmae.datasets import MultiGranularDataset
from mmc2fmae.preparation.folders import find_layout
from mmc2fmae.preparation.photograph_checks import Rules
from mmc2fmae.preparation.scan import scan_dataset

RULES = Rules(num_instances=32, classes=tuple('abcdefghi'), rerank=True)


def scan(root, rules=RULES, **options):
    return scan_dataset(find_layout(root, 'train'), rules, quiet=True, **options)


def details(found, kind: str) -> list[str]:
    return [f.file + ': ' * bool(f.file and f.detail) + f.detail for f in found if f.kind == kind]


def test_a_sound_dataset_has_no_findings(data_root):
    result = scan(data_root)
    assert result.findings == []
    assert result.photographs == 6 and len(result.usable) == 6
    assert result.stats.modes == dict(RGB=6)


def test_pairs_are_found_incomplete_from_either_side(data_root):
    (data_root / 'train/n00000001/img_1.JPEG').unlink()
    (data_root / 'semantic/train/n00000000/img_2.png').unlink()
    result = scan(data_root)
    assert details(result.findings, 'orphan') == [
        'instance/train/n00000001/img_1.png',
        'semantic/train/n00000001/img_1.png',
    ]
    assert details(result.findings, 'missing') == ['train/n00000000/img_2.JPEG: no semantic map']
    assert result.photographs == 5 and 'n00000000/img_2.JPEG' not in result.usable


def test_the_usable_photographs_train(data_root):
    (data_root / 'semantic/train/n00000000/img_2.png').unlink()
    usable = scan(data_root).usable
    (data_root / 'usable.txt').write_text('\n'.join(usable))
    dataset = MultiGranularDataset(data_root=str(data_root), ann_file='usable.txt')
    assert [dataset.get_data_info(i)['path'] for i in range(len(dataset))] == usable
    listed = scan(data_root, ann_file=str(data_root / 'usable.txt'))
    assert listed.findings == [] and listed.usable == usable


def test_photographs_of_one_name_and_temporary_files_are_found(data_root):
    Image.new('RGB', (48, 40)).save(data_root / 'train/n00000000/img_0.png')
    (data_root / 'instance/train/.img_9.png.tmp').touch()
    findings = scan(data_root).findings
    assert len(details(findings, 'twin')) == 2
    assert details(findings, 'temporary') == ['instance/train/.img_9.png.tmp']


def test_classes_that_never_occur_are_named(data_root):
    findings = scan(data_root, RULES._replace(classes=tuple('abcdefghijk'))).findings
    assert details(findings, 'unseen') == ['9 j', '10 k']
    for path in data_root.glob('semantic/train/*/*.png'):
        Image.fromarray(np.full((40, 48), 3, np.uint8)).save(path)
    assert details(scan(data_root).findings, 'single') == ['id 3']


def lines(root, *changes: dict) -> list[dict]:
    names = find_layout(root, 'train').photographs()
    records = [
        dict(path=n, width=48, height=40, instances=[dict(id=i) for i in (1, 2, 3)]) for n in names
    ]
    for number, change in enumerate(changes):
        records[number] |= change
    return records


def write_manifest(root, records: list[dict]) -> None:
    text = ''.join(json.dumps(record) + '\n' for record in records)
    (root / 'manifest_train.jsonl').write_text(text)


def test_the_lines_of_the_manifest_are_compared_with_the_photographs(data_root):
    write_manifest(data_root, lines(data_root))
    assert scan(data_root).findings == []
    write_manifest(data_root, [*lines(data_root, dict(width=1))[:-1], dict(path='x', error='e')])
    assert details(scan(data_root).findings, 'manifest') == [
        'manifest_train.jsonl: names x, which is not there',
        'manifest_train.jsonl: has no line for n00000001/img_5.JPEG',
        'train/n00000000/img_0.JPEG: 48 x 40 pixels, the manifest says 1 x 40',
    ]


def test_photographs_that_could_not_be_labelled_are_warned_of_and_not_usable(data_root):
    write_manifest(data_root, lines(data_root, dict(error='cut off')))
    for granularity in ('instance', 'semantic'):
        (data_root / granularity / 'train/n00000000/img_0.png').unlink()
    result = scan(data_root)
    kinds = [f.kind for f in result.findings]
    assert [kind for kind in kinds if kind != 'edges'] == ['unlabelled']
    assert 'n00000000/img_0.JPEG' not in result.usable and len(result.usable) == 5


@pytest.mark.parametrize('damage', ['{"path": "a', '{"path": "a.jpg"}', '[]'])
def test_a_damaged_manifest_is_one_finding_with_its_line(data_root, damage):
    write_manifest(data_root, lines(data_root)[:2])
    with open(data_root / 'manifest_train.jsonl', 'a') as file:
        file.write(damage)
    (detail,) = details(scan(data_root).findings, 'manifest')
    assert 'line 3' in detail and 'damaged' in detail


def test_processes_find_what_one_finds_in_the_same_order(data_root):
    source = data_root / 'train/n00000000/img_0.JPEG'
    for i in range(300):  # ten chunks
        (data_root / f'train/n00000001/copy_{i:03d}.JPEG').symlink_to(source)
    one, two = scan(data_root, workers=1), scan(data_root, workers=2)
    assert len(one.findings) == 300
    assert one == two


@pytest.mark.parametrize('changed', [False, True])
def test_maps_whose_palettes_differ_are_found(data_root, changed):
    colours = [(20 * i, 0, 0) for i in range(9)]
    for number, path in enumerate(sorted((data_root / 'semantic').rglob('*.png'))):
        order = colours[::-1] if changed and number == 3 else colours
        image = Image.fromarray(np.asarray(Image.open(path)), 'P')
        image.putpalette(sum(order, ()))
        image.save(path)
    found = details(scan(data_root).findings, 'palette')
    assert found == [f'({20 * i}, 0, 0) is {min(i, 8 - i)}, {max(i, 8 - i)}'
                     for i in range(9) if i != 4] * changed  # fmt: skip


def test_classes_of_edges_alone_are_found(data_root):
    for path in (data_root / 'semantic').rglob('*.png'):
        ids = np.kron(np.eye(2, dtype=np.uint8), np.full((20, 24), 8, np.uint8))
        ids[:, 24] = 4  # one pixel wide
        Image.fromarray(ids).save(path)
    assert details(scan(data_root).findings, 'edges') == ['class ids 4']
