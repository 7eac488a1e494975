import json

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.checkpoints import Preprocessing, build_backbone
from mmc2fmae.evaluation.feature_files import extract_features
from mmc2fmae.evaluation.features import FeatureOptions, check_options, compute_features, pool
from mmc2fmae.evaluation.image_files import ImageFiles, find_images, stack_images
from tests.checkpoints.conftest import proxy_vit, timm_vit


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(timm_vit().state_dict(), tmp_path / 'vit.pth')
    return tmp_path / 'vit.pth'


@pytest.fixture
def photos(tmp_path):
    """Five noisy photographs of different sizes in two folders."""
    rng = np.random.default_rng(0)
    for i in range(5):
        path = tmp_path / 'photos' / 'ab'[i % 2] / f'{i}.png'
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (40 + i, 50 - i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path / 'photos'


def prepare(path, preprocessing):
    """Prepare an image by hand: shorter side to 32 * 256 / 224, centre crop, normalise."""
    image = Image.open(path).convert('RGB')
    short = 37  # 36.57
    width, height = image.size
    if width < height:
        size = short, int(short * height / width)
    else:
        size = int(short * width / height), short
    image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - 32) / 2), round((size[1] - 32) / 2)
    pixels = np.asarray(image.crop((left, top, left + 32, top + 32)), np.float32) / 255
    pixels = (pixels - np.float32(preprocessing.mean)) / np.float32(preprocessing.std)
    return torch.from_numpy(pixels).permute(2, 0, 1)


@torch.no_grad()
def test_features_on_disk_are_those_of_the_backbone_call(checkpoint, photos, tmp_path):
    options = FeatureOptions(tokens=('cls', 'mean', 'patches'), blocks=(1, 0), batch_size=2)
    written, _ = extract_features(checkpoint, photos, tmp_path / 'out', options, mean=[0.5] * 3,
                               std=[0.2] * 3)  # fmt: skip
    assert written == {
        f'{token}_{block}': (5, *([4, 4] if token == 'patches' else []), 128)
        for block in (0, 1)
        for token in ('cls', 'mean', 'patches')
    }
    vit, preprocessing = build_backbone(checkpoint, mean=[0.5] * 3, std=[0.2] * 3)
    said = json.loads((tmp_path / 'out/features.json').read_text())
    names = ['a/0.png', 'a/2.png', 'a/4.png', 'b/1.png', 'b/3.png']
    assert said['images'] == [str(photos / name) for name in names]
    assert said['preprocessing']['mean'] == [0.5] * 3
    images = torch.stack([prepare(photos / name, preprocessing) for name in names])
    tokens = vit(images)[0]
    cls, mean, patches = (
        torch.from_numpy(np.load(tmp_path / f'out/{kind}_1.npy'))
        for kind in ('cls', 'mean', 'patches')
    )
    close = dict(atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cls, tokens[:, 0], **close)
    torch.testing.assert_close(mean, tokens[:, 1:].mean(dim=1), **close)
    torch.testing.assert_close(patches[:, 2, 3], tokens[:, 1 + 2 * 4 + 3], **close)
    first = vit.layers[0](_embed(vit, images))
    found = torch.from_numpy(np.load(tmp_path / 'out/cls_0.npy'))
    torch.testing.assert_close(found, first[:, 0], **close)


def _embed(vit, images):
    patches = vit.patch_embed(images)[0]
    return torch.cat([vit.cls_token.expand(len(images), -1, -1), patches], dim=1) + vit.pos_embed


@torch.no_grad()
def test_mean_of_a_fine_tuned_vit_passes_through_its_own_norm(photos, tmp_path):
    reference = timm_vit(global_pool='avg')
    torch.save(reference.state_dict(), tmp_path / 'ft.pth')
    vit, preprocessing = build_backbone(tmp_path / 'ft.pth')
    paths = find_images(photos)
    options = FeatureOptions(tokens=('mean',), workers=0)
    found = compute_features(vit, preprocessing, paths, options)['mean_1']
    images = torch.stack([prepare(path, preprocessing) for path in paths])
    torch.testing.assert_close(found, reference(images), atol=1e-4, rtol=1e-4)


def test_another_size_gives_another_grid(checkpoint, photos):
    vit, preprocessing = build_backbone(checkpoint)
    options = FeatureOptions(tokens=('patches',), size=48, workers=0)
    found = compute_features(vit, preprocessing, find_images(photos), options)
    assert found['patches_1'].shape == (5, 6, 6, 128)


def test_pooling_by_hand():
    tokens = torch.tensor([[[9.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]])
    assert pool(tokens, 'cls', (2, 3)).tolist() == [[9]]
    assert pool(tokens, 'mean', (2, 3)).tolist() == [[3.5]]
    assert pool(tokens, 'patches', (2, 3)).squeeze().tolist() == [[1, 2, 3], [4, 5, 6]]


def test_of_several_class_tokens_cls_is_the_mean_and_none_is_a_patch():
    tokens = torch.tensor([[[9.0], [6.0], [0.0], [1.0], [2.0], [3.0], [4.0]]])
    assert pool(tokens, 'cls', (2, 2)).tolist() == [[5]]  # (9 + 6 + 0) / 3
    assert pool(tokens, 'mean', (2, 2)).tolist() == [[2.5]]
    assert pool(tokens, 'patches', (2, 2)).squeeze().tolist() == [[1, 2], [3, 4]]


def test_features_of_proxies_are_those_of_the_raw_tokens(photos, tmp_path):
    torch.manual_seed(0)
    reference = proxy_vit(3)
    torch.save(reference.state_dict(), tmp_path / 'proxies.pth')
    vit, preprocessing = build_backbone(tmp_path / 'proxies.pth')
    options = FeatureOptions(tokens=('cls', 'mean', 'patches'), workers=0)
    paths = find_images(photos)
    found = compute_features(vit, preprocessing, paths, options)
    files = ImageFiles(paths, preprocessing.transform())
    with torch.no_grad():
        (tokens,) = reference(torch.stack([files[i] for i in range(len(files))]))
    torch.testing.assert_close(found['cls_1'], tokens[:, :3].mean(dim=1))
    torch.testing.assert_close(found['mean_1'], tokens[:, 3:].mean(dim=1))
    torch.testing.assert_close(found['patches_1'].flatten(1, 2), tokens[:, 3:])


def test_images_are_a_folder_a_list_or_a_file(photos, tmp_path, monkeypatch):
    assert len(find_images(photos)) == 5
    (tmp_path / 'list.txt').write_text('photos/b/1.png\n\nphotos/a/0.png\n')
    assert [p.name for p in find_images(tmp_path / 'list.txt')] == ['1.png', '0.png']
    assert find_images(photos / 'a/0.png') == [photos / 'a/0.png']
    monkeypatch.setenv('HERE', str(tmp_path))
    assert find_images('$HERE/photos/a/0.png') == [photos / 'a/0.png']
    (tmp_path / 'list.txt').write_text('photos/b/1.png \r\nphotos/a/0.png', encoding='utf-16')
    assert [p.name for p in find_images(tmp_path / 'list.txt')] == ['1.png', '0.png']
    (photos / 'a/a').symlink_to(photos)  # the folder contains itself
    (photos / '.ipynb_checkpoints').mkdir()
    (photos / '.ipynb_checkpoints/0.png').touch()
    assert len(find_images(photos)) == 5


def test_what_cannot_be_read_is_named_before_the_run(checkpoint, photos, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.png does not exist'):
        find_images(photos / 'none.png')
    lines = ['photos/a/0.png', *(f'photos/gone_{i}.png' for i in range(7))]
    (tmp_path / 'list.txt').write_text('\n'.join(lines))
    with pytest.raises(FileNotFoundError, match=r'list\.txt: 7 of 8 .*gone_4\.png and 2 more: '):
        find_images(tmp_path / 'list.txt')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='holds no images'):
        find_images(tmp_path / 'empty')
    (photos / 'b/broken.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'b/broken\.png is no readable image'):
        find_images(photos)


@pytest.mark.parametrize('workers', [0, 1])
def test_an_unreadable_image_is_named_and_the_rest_is_done(workers, checkpoint, photos, tmp_path):
    options = FeatureOptions(tokens=('cls', 'patches'), workers=workers, batch_size=2)
    extract_features(checkpoint, photos, tmp_path / 'all', options)
    whole = {key: np.load(tmp_path / f'all/{key}.npy') for key in ('cls_1', 'patches_1')}
    path = photos / 'a/2.png'
    path.write_bytes(path.read_bytes()[:2000])  # its header is whole
    (photos / 'a/3.png').write_bytes(b'no image')  # not even that
    written, reasons = extract_features(checkpoint, photos, tmp_path / 'out', options)
    assert written == {'cls_1': (4, 128), 'patches_1': (4, 4, 4, 128)}
    assert [reason.split(' is no')[0] for reason in reasons] == [
        str(photos / name) for name in ('a/3.png', 'a/2.png')
    ]
    for key, rows in whole.items():
        np.testing.assert_allclose(
            np.load(tmp_path / f'out/{key}.npy'), rows[[0, 2, 3, 4]], atol=1e-5
        )
    said = json.loads((tmp_path / 'out/features.json').read_text())
    names = ['a/0.png', 'a/4.png', 'b/1.png', 'b/3.png']
    assert said['images'] == [str(photos / name) for name in names]
    with pytest.raises(ValueError, match=r'a/2\.png is no readable image'):  # no row, no score
        compute_features(*build_backbone(checkpoint), [path], options)
    with pytest.raises(FileExistsError, match='out exists'):
        extract_features(checkpoint, photos, tmp_path / 'out', options)


def test_where_no_image_can_be_read_nothing_is_written(checkpoint, photos, tmp_path):
    for path in photos.glob('*/*.png'):
        path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r'no image of .*photos can be read: .*a/0\.png is no'):
        extract_features(checkpoint, photos, tmp_path / 'out', FeatureOptions(workers=0))
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('token', ['cls', 'mean', 'patches'])
def test_features_that_are_not_finite_are_never_written(token, checkpoint, photos, tmp_path):
    vit, preprocessing = build_backbone(checkpoint)
    vit.ln1.weight.data.fill_(float('inf'))  # weights that overflow, finite as they are
    options = FeatureOptions(tokens=(token,), workers=0)
    with pytest.raises(ValueError, match=rf'{token}_1 of .*a/0\.png is NaN or infinite'):
        compute_features(vit, preprocessing, find_images(photos), options)


def test_a_disk_without_room_is_said_before_the_run_goes_on(
    checkpoint, photos, tmp_path, monkeypatch
):
    usage = type('Usage', (), dict(free=1000))
    monkeypatch.setattr('shutil.disk_usage', lambda folder: usage)
    with pytest.raises(OSError, match=r'out has 0\.0 MiB free, .* of 5 images: take fewer tokens'):
        extract_features(checkpoint, photos, tmp_path / 'out', FeatureOptions(workers=0))


@pytest.mark.parametrize(
    ('options', 'size', 'message'),
    [
        (dict(blocks=(2,)), 32, r'no block \[2\]: the ViT has blocks 0 to 1'),
        (dict(tokens=('average',)), 32, r"tokens \['average'\]"),
        (dict(tokens=()), 32, 'expected some of'),
        (dict(), 36, 'no multiple of the patch 8'),
        (dict(half=True), 32, 'half precision is for GPUs'),
    ],
)
def test_options_are_checked_first(options, size, message, checkpoint):
    vit, _ = build_backbone(checkpoint)
    with pytest.raises(ValueError, match=message):
        check_options(vit, (size, size), FeatureOptions(**options))


def test_a_vit_of_other_channels_takes_no_photographs(tmp_path):
    torch.save(timm_vit(in_chans=4).state_dict(), tmp_path / 'x.pth')
    vit, _ = build_backbone(tmp_path / 'x.pth')
    with pytest.raises(ValueError, match='reads 4 channels'):
        check_options(vit, (32, 32), FeatureOptions())


@pytest.mark.skipif(not torch.cuda.is_available(), reason='half precision needs a GPU')
def test_half_precision_on_a_gpu_is_close(checkpoint, photos):
    vit, preprocessing = build_backbone(checkpoint)
    paths = find_images(photos)
    full = compute_features(vit, preprocessing, paths, FeatureOptions(device='cuda'))['cls_1']
    options = FeatureOptions(device='cuda', half=True)
    half = compute_features(vit, preprocessing, paths, options)['cls_1']
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), full, atol=2e-2, rtol=2e-2)


def test_bytes_become_the_numbers_of_the_transform_bit_for_bit():
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for size in (32, 48):
        for how in (Preprocessing((32, 32)), Preprocessing((16, 16), (0.5, 0.1, 0.3), (0.3,) * 3)):
            stored = how.pixels(size)(image)
            assert stored.dtype == torch.uint8 and stored.shape == (3, size, size)
            assert torch.equal(how.normalise(stored[None])[0], how.transform(size)(image))


def test_images_of_a_batch_are_one_tensor_and_the_others_keep_their_place():
    one, two = torch.zeros(3, 2, 2, dtype=torch.uint8), torch.ones(3, 2, 2, dtype=torch.uint8)
    images, reasons = stack_images([one, 'broken', two, 'gone'])
    assert torch.equal(images, torch.stack([one, two])) and reasons == {1: 'broken', 3: 'gone'}
    assert stack_images(['broken']) == (None, {0: 'broken'})


def test_preprocessing_of_a_size_that_is_not_square():
    image = Image.new('RGB', (100, 100), (255, 0, 0))
    out = Preprocessing((16, 32), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)).transform()(image)
    assert out.shape == (3, 16, 32)
    assert out[:, 8, 16].tolist() == [2, -2, -2]
