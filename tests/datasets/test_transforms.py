import numpy as np
import pytest
from PIL import Image

from mmc2fmae.datasets.transforms import (
    CanonicalInstances,
    JointCenterCrop,
    JointRandomFlip,
    JointRandomResizedCrop,
    LoadMultiGranular,
    PackMultiGranular,
    ProgressiveMasking,
    SemanticFromInstance,
    crop_labels,
)
from mmc2fmae.datasets.transforms.geometry import crop_pixels
from mmc2fmae.errors import SampleError
from tests.datasets.conftest import write_sample


def results_for(root, name='n0/a', **extra):
    paths = dict(
        rgb_path=str(root / f'train/{name}.JPEG'),
        instance_path=str(root / f'instance/train/{name}.png'),
        semantic_path=str(root / f'semantic/train/{name}.png'),
    )
    granularities = ['rgb', 'instance', 'semantic']
    rng = np.random.default_rng(0)
    return dict(paths, granularities=granularities, rng=rng, progress=0.0, **extra)


@pytest.fixture
def root(tmp_path):
    write_sample(tmp_path, 'n0/a')
    return tmp_path


def save(root, granularity, array_or_image):
    image = array_or_image
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(root / granularity / 'train/n0/a.png')


class TestLoad:
    def test_size_mismatch_names_both_files_and_sizes(self, root):
        save(root, 'instance', np.zeros((40, 47), np.uint8))
        with pytest.raises(SampleError, match=r'a\.png: instance map is 47 x 40.*a\.JPEG is 48 x'):
            LoadMultiGranular().transform(results_for(root))

    def test_class_out_of_range_names_file_and_value(self, root):
        save(root, 'semantic', np.full((40, 48), 133, np.uint8))
        with pytest.raises(SampleError, match=r'a\.png: semantic class ids \[133\].*0 to 132'):
            LoadMultiGranular(dict(semantic=133)).transform(results_for(root))

    def test_unknown_pixels_are_allowed(self, root):
        save(root, 'semantic', np.full((40, 48), 255, np.uint8))
        loaded = LoadMultiGranular(dict(semantic=133)).transform(results_for(root))
        assert np.unique(loaded['semantic']).tolist() == [255]

    def test_three_channel_labels_are_refused(self, root):
        save(root, 'semantic', np.zeros((40, 48, 3), np.uint8))
        with pytest.raises(SampleError, match=r'a\.png: label map has mode RGB \(3 channels\)'):
            LoadMultiGranular().transform(results_for(root))

    def test_palette_labels_keep_their_indices(self, root):
        image = Image.fromarray(np.full((40, 48), 3, np.uint8)).convert('P')
        image.putpalette([255, 0, 0] * 256)
        indices = np.asarray(image)
        save(root, 'instance', image)
        loaded = LoadMultiGranular().transform(results_for(root))
        assert (loaded['instance'] == indices).all()

    def test_16_bit_instances_keep_their_ids(self, root):
        ids = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 30
        save(root, 'instance', ids)
        loaded = LoadMultiGranular().transform(results_for(root))
        assert (loaded['instance'] == ids).all()

    @pytest.mark.parametrize('mode', ['L', 'CMYK'])
    def test_greyscale_and_cmyk_photographs_just_work(self, root, mode):
        path = root / 'train/n0/a.JPEG'
        Image.open(path).convert(mode).save(path)
        loaded = LoadMultiGranular().transform(results_for(root))
        assert loaded['rgb'].dtype == np.uint8
        assert loaded['rgb'].shape == (40, 48, 3)

    @pytest.mark.parametrize('granularity', ['rgb', 'instance'])
    def test_truncated_files_are_named(self, root, granularity):
        results = results_for(root)
        path = results[f'{granularity}_path']
        with open(path, 'rb') as file:
            content = file.read()
        with open(path, 'wb') as file:
            file.write(content[: len(content) // 2])
        with pytest.raises(SampleError, match=f'{path}: cannot be read'):
            LoadMultiGranular().transform(results)

    def test_too_many_classes_are_refused(self):
        with pytest.raises(ValueError, match='semantic has 300 classes: expected 2 to 255'):
            LoadMultiGranular(dict(semantic=300))


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize('stride', [1, 2, 4, 8])
def test_no_transform_invents_an_id(root, dtype, stride):
    top = 133 if dtype == np.uint8 else 700
    ids = np.random.default_rng(1).choice([0, top], (40, 48)).astype(dtype)
    for seed in range(20):
        results = results_for(root)
        results['rng'] = np.random.default_rng(seed)
        results = LoadMultiGranular().transform(results)
        results['instance'] = results['semantic'] = ids
        results = JointRandomResizedCrop(32, label_stride=stride).transform(results)
        results = JointRandomFlip(1.0).transform(results)
        assert results['instance'].shape == (32 // stride, 32 // stride)
        assert set(np.unique(results['instance'])) <= {0, top}
        assert results['instance'].dtype == dtype


def test_crop_without_scaling_is_a_slice():
    labels = np.arange(48).reshape(6, 8)
    assert (crop_labels(labels, (2, 1, 6, 5), (4, 4)) == labels[1:5, 2:6]).all()


def test_nearest_neighbour_takes_the_centre_of_each_cell():
    labels = np.arange(16).reshape(4, 4)
    # Cells of 2 x 2: their centres are at 1.0 and 3.0, which lie in pixels 1 and 3.
    assert crop_labels(labels, (0, 0, 4, 4), (2, 2)).tolist() == [[5, 7], [13, 15]]


@pytest.mark.parametrize('crop', [JointRandomResizedCrop(32, 2), JointCenterCrop(32, 2)])
def test_all_granularities_share_one_crop_and_one_flip(root, crop):
    for seed in range(10):
        results = LoadMultiGranular().transform(results_for(root))
        results['rng'] = np.random.default_rng(seed)
        # Left half dark and class 1, right half light and class 2: wherever the crop falls, pixels
        # and labels must agree.
        pixels = np.zeros((40, 48, 3), np.uint8)
        pixels[:, 24:] = 255
        results['rgb'] = pixels
        results['semantic'] = results['instance'] = np.where(np.arange(48) < 24, 1, 2) * np.ones(
            (40, 1), int
        )
        results = JointRandomFlip(0.5).transform(crop.transform(results))
        light = results['rgb'][::2, ::2, 0] > 127
        agree = (light == (results['semantic'] == 2)).mean()
        assert agree > 0.93  # all but the columns where bicubic filtering blurs the edge
        assert (results['instance'] == results['semantic']).all()


def test_crop_area_and_ratio_stay_in_range():
    crop = JointRandomResizedCrop(32, scale=(0.2, 1.0))
    rng = np.random.default_rng(0)
    boxes = np.array([crop.box(500, 375, rng) for _ in range(500)])
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    share = width * height / (500 * 375)
    assert share.min() > 0.19 and share.max() <= 1
    assert (width / height).min() > 0.74 and (width / height).max() < 1.35
    assert boxes.min() >= 0 and (boxes[:, 2] <= 500).all() and (boxes[:, 3] <= 375).all()


def test_center_crop_equals_pillow_bicubic(root):
    image = Image.open(root / 'train/n0/a.JPEG')
    results = JointCenterCrop(32, 2).transform(LoadMultiGranular().transform(results_for(root)))
    expected = image.crop((4, 0, 44, 40)).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.abs(results['rgb'].astype(int) - np.asarray(expected)).max() <= 1


@pytest.mark.parametrize('size', [(500, 375), (224, 224), (90, 340), (1600, 1200)])
def test_random_crops_equal_pillow_bicubic_but_for_a_grey_level(size):
    width, height = size
    rng, crop = np.random.default_rng(0), JointRandomResizedCrop(224)
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    planes = [np.sin(x / 31) * 90, np.cos(y / 17) * 90, ((x // 40 + y // 50) % 2) * 120 - 60]
    pixels = np.dstack(planes) + rng.normal(128, 12, (height, width, 3))
    pixels = pixels.clip(0, 255).astype(np.uint8)
    far = total = 0
    for seed in range(8):
        sample = dict(rgb=pixels, granularities=['rgb'], rng=np.random.default_rng(seed))
        box = crop.box(width, height, np.random.default_rng(seed))
        found = crop.transform(sample)['rgb']
        image = Image.fromarray(pixels).crop(box).resize((224, 224), Image.Resampling.BICUBIC)
        far += (np.abs(found.astype(int) - np.asarray(image)) > 1).sum()
        total += found.size
    assert far < total / 1000


def test_a_crop_of_the_final_size_is_a_slice():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    assert np.array_equal(crop_pixels(pixels, (5, 3, 37, 35), (32, 32)), pixels[3:35, 5:37])


def test_a_mirrored_photograph_is_cropped_as_any_other():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)[::-1, ::-1]
    for crop in (JointRandomResizedCrop(32), JointCenterCrop(32)):
        found = [
            crop.transform(dict(rgb=p, granularities=['rgb'], rng=np.random.default_rng(0)))['rgb']
            for p in (pixels, pixels.copy())
        ]
        assert np.array_equal(*found)


def test_packing_keeps_every_pixel_in_its_place():
    pixels = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    for flip in (0.0, 1.0):
        sample = dict(granularities=['rgb'], rng=np.random.default_rng(0), skipped='', rgb_path='')
        sample['rgb'] = crop_pixels(pixels, (5, 3, 37, 35), (32, 32))
        packed = PackMultiGranular()(JointRandomFlip(flip)(sample))['inputs']['rgb']
        expected = pixels[3:35, 5:37][:, :: -1 if flip else 1].transpose(2, 0, 1)
        assert packed.is_contiguous() and np.array_equal(packed.numpy(), expected)


def test_crop_size_must_fit_the_stride():
    with pytest.raises(ValueError, match='crop size 30 is no multiple of label_stride 4'):
        JointRandomResizedCrop(30, label_stride=4)


def test_ids_beyond_the_classes_become_background():
    results = dict(instance=np.array([[0, 1], [31, 32]]))
    assert CanonicalInstances(32).transform(results)['instance'].tolist() == [[0, 1], [31, 0]]


def test_reranking_numbers_instances_by_area():
    labels = np.array([[9, 9, 9, 0], [7, 7, 0, 0], [5, 300, 0, 0]])
    ranked = CanonicalInstances(32, rerank=True).transform(dict(instance=labels))['instance']
    # Areas: 9 -> 3, 7 -> 2, then 5 and 300 with one pixel each, lower id first.
    assert ranked.tolist() == [[1, 1, 1, 0], [2, 2, 0, 0], [3, 4, 0, 0]]


def test_reranking_a_map_without_background_starts_at_one():
    labels = np.array([[4, 4], [4, 2]])
    ranked = CanonicalInstances(32, rerank=True).transform(dict(instance=labels))['instance']
    assert ranked.tolist() == [[1, 1], [1, 2]]


def test_semantic_map_from_instances():
    results = dict(instance=np.array([[0, 7]]), granularities=['rgb', 'instance'])
    results = SemanticFromInstance(class_id=5).transform(results)
    assert results['semantic'].tolist() == [[0, 5]]
    assert results['granularities'] == ['rgb', 'instance', 'semantic']


class TestMasking:
    def packed(self, size=32, more={}, **options):  # noqa: B006
        maps = np.zeros((size // 2, size // 2), np.uint8)
        results = dict(
            rgb=np.zeros((size, size, 3), np.uint8),
            instance=maps,
            semantic=maps,
            granularities=['rgb', 'instance', 'semantic'],
            rng=np.random.default_rng(0),
            progress=0.25,
        )
        return ProgressiveMasking(patch_size=8, **options).transform(results | more)['masks']

    @pytest.mark.parametrize('num_visible', [1, 8, 48])
    def test_visible_tokens_sum_to_the_budget(self, num_visible):
        masks = self.packed(num_visible=num_visible)
        assert list(masks) == ['rgb', 'instance', 'semantic']
        assert sum((~m).sum() for m in masks.values()) == num_visible

    def test_subset_of_granularities(self):
        masks = self.packed(num_visible=8, granularities=('rgb', 'semantic'), curriculum='SG')
        assert list(masks) == ['rgb', 'semantic']

    def test_unknown_granularity_is_named(self):
        with pytest.raises(ValueError, match=r"names granularities \['depth'\], the sample has"):
            self.packed(num_visible=8, granularities=('rgb', 'depth'), curriculum='RD')

    def test_more_visible_tokens_than_tokens_are_refused(self):
        with pytest.raises(ValueError, match=r'num_visible is 49: expected 1 to 48 \(3 gran'):
            self.packed(num_visible=49)

    def test_image_must_be_a_multiple_of_the_patch(self):
        with pytest.raises(ValueError, match='image size 36 x 36 is no multiple of patch_size 8'):
            self.packed(size=36, num_visible=8)

    @pytest.mark.parametrize('alpha', [0.5, 1.01])
    def test_alpha_outside_its_range_is_refused(self, alpha):
        with pytest.raises(ValueError, match=f'alpha is {alpha}: expected more than 0.5'):
            ProgressiveMasking(alpha=alpha)

    def test_curriculum_needs_its_guide(self):
        with pytest.raises(ValueError, match=r"guided by the instance map.*curriculum='RD'"):
            ProgressiveMasking(granularities=('rgb', 'semantic'))

    @pytest.mark.parametrize('option', [dict(object_cap=0.9), dict(prefer='central')])
    def test_choosing_objects_needs_instance_maps(self, option):
        wanted = r"without instance maps there are no objects.*\['rgb', 'semantic'\]"
        with pytest.raises(ValueError, match=wanted):
            ProgressiveMasking(('rgb', 'semantic'), curriculum='SG', max_instances=1, **option)

    def test_a_cap_below_what_is_masked_is_refused_with_the_lowest_that_is_not(self):
        assert self.packed(num_visible=12, object_cap=0.75)
        with pytest.raises(ValueError, match=r'36 of 48 tokens are masked: expected 0\.75 to 1'):
            self.packed(num_visible=12, object_cap=0.7)

    def test_a_drawn_strategy_holds_for_all_granularities(self):
        # The left half, 8 of 16 patches, is an object of its own class; 12 patches are masked. Of
        # these floor(0.75 x 12) = 9 would be its own guided by the instances, so all 8 are; guided
        # by the semantics it is one half, 6.
        maps = np.zeros((16, 16), np.uint8)
        maps[:, :8] = 1
        seen = set()
        for seed in range(40):
            more = dict(instance=maps, semantic=maps, rng=np.random.default_rng(seed))
            options = dict(num_visible=12, concentration=1e9, blend='draw')
            masks = self.packed(more=more, **options)  # t = 0.25: one half each
            hidden = {int(mask.reshape(4, 4)[:, :2].sum()) for mask in masks.values()}
            assert len(hidden) == 1
            seen |= hidden
        assert seen == {6, 8}

    @pytest.mark.parametrize('t', [0, 0.1, 0.25, 0.4, 0.6, 1])
    @pytest.mark.parametrize('blend', ['top-k', 'draw'])
    def test_shares_of_the_strategies_add_up(self, blend, t):
        masking = ProgressiveMasking(patch_size=8, num_visible=8, blend=blend)
        results = dict(
            rgb=np.zeros((32, 32, 3), np.uint8),
            instance=np.eye(16, dtype=np.uint8),
            semantic=np.eye(16, dtype=np.uint8),
            granularities=['rgb', 'instance', 'semantic'],
            rng=np.random.default_rng(3),
            progress=t,
        )
        shares = masking.transform(results)['mask_shares']
        assert shares.shape == (3,) and shares.sum() == pytest.approx(1)
        assert blend == 'top-k' or set(shares) == {0, 1}

    def test_repr_prints_the_settings(self):
        text = repr(ProgressiveMasking(num_visible=147, alpha=0.8, blend='draw'))
        assert 'num_visible=147' in text and 'alpha=0.8' in text and "blend='draw'" in text


class TestDepth:
    """Continuous maps: quantities, resized as photographs are."""

    @pytest.fixture
    def sample(self, tmp_path):
        """A photograph of 48 x 40 and a 16-bit depth map that grows from left to right."""
        write_sample(tmp_path, 'a', seed=1)
        ramp = np.tile((np.arange(48) * 1000).astype(np.uint16), (40, 1))
        (tmp_path / 'depth/train').mkdir(parents=True)
        Image.fromarray(ramp).save(tmp_path / 'depth/train/a.png')
        return dict(
            rgb_path=str(tmp_path / 'train/a.JPEG'),
            depth_path=str(tmp_path / 'depth/train/a.png'),
            semantic_path=str(tmp_path / 'semantic/train/a.png'),
            granularities=['rgb', 'depth', 'semantic'],
            rng=np.random.default_rng(0),
            progress=0.0,
            skipped='',
        )

    @staticmethod
    def load(sample):
        return LoadMultiGranular(num_classes=dict(semantic=9), continuous=['depth'])(sample)

    def test_values_are_a_share_of_the_files_range(self, sample, tmp_path):
        depth = self.load(sample)['depth']
        assert depth.dtype == np.float32 and depth.shape == (40, 48)
        assert depth[7, 47] == np.float32(47000 / 65536)
        Image.fromarray(np.full((40, 48), 64, np.uint8)).save(tmp_path / 'depth/train/a.png')
        assert (self.load(sample)['depth'] == 0.25).all()

    def test_crop_keeps_the_full_size_and_blends_as_photographs_do(self, sample):
        loaded = self.load(sample)
        picture = Image.fromarray(loaded['depth'])
        found = JointCenterCrop(size=20, label_stride=2)(loaded)
        assert found['depth'].shape == (20, 20) and found['semantic'].shape == (10, 10)
        expected = picture.crop((4, 0, 44, 40)).resize((20, 20), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(found['depth'], np.asarray(expected))
        assert (np.diff(found['depth'], axis=1) > 0).all()

    def test_flip_and_packing(self, sample):
        found = JointCenterCrop(size=40, label_stride=2)(self.load(sample))
        found = JointRandomFlip(prob=1.0)(found)
        packed = PackMultiGranular()(found)['inputs']['depth']
        assert str(packed.dtype) == 'torch.float32' and packed.shape == (40, 40)
        assert packed[0, 0] == np.float32(43000 / 65536) and packed[0, 39] == 4000 / 65536

    def test_a_depth_map_of_another_size_or_with_colours_is_named(self, sample, tmp_path):
        path = tmp_path / 'depth/train/a.png'
        Image.fromarray(np.zeros((10, 12), np.uint16)).save(path)
        with pytest.raises(SampleError, match=r'a\.png: depth map is 12 x 10, its photograph'):
            self.load(sample)
        Image.fromarray(np.zeros((40, 48, 3), np.uint8)).save(path)
        with pytest.raises(SampleError, match=r'a\.png: .* mode RGB'):
            self.load(sample)


def test_instance_step_passes_over_samples_without_instances():
    sample = dict(granularities=['rgb'])
    assert CanonicalInstances()(sample) == dict(granularities=['rgb'])
