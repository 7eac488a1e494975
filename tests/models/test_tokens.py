import pytest
import torch

from mmc2fmae.models.tokens import TokenLayout, gather_patches, scatter_patches


def test_layout_of_hand_made_masks():
    masks = dict(  # two samples, two granularities of two patches, True is masked
        rgb=torch.tensor([[False, True], [True, True]]),
        semantic=torch.tensor([[True, False], [False, False]]),
    )
    layout = TokenLayout.from_masks(masks)
    assert layout.visible.tolist() == [[0, 3], [2, 3]]
    assert layout.sources['rgb'].tolist() == [0]
    assert layout.slots['rgb'].tolist() == [0]
    assert layout.sources['semantic'].tolist() == [1, 2, 3]
    assert layout.slots['semantic'].tolist() == [1, 2, 3]
    assert layout.masked['rgb'].tolist() == [1, 2, 3]
    assert layout.masked['semantic'].tolist() == [0]


def test_uneven_budgets_are_refused():
    masks = dict(rgb=torch.tensor([[False, True], [False, False]]))
    with pytest.raises(ValueError, match=r'\[1, 2\] visible tokens: expected one number'):
        TokenLayout.from_masks(masks)


def test_patches_of_an_image_are_the_convolutions_windows():
    images = torch.randn(2, 3, 8, 12)
    patches = gather_patches(images, 4, torch.arange(12))
    unfolded = torch.nn.functional.unfold(images, 4, stride=4)  # (B, C * 16, N)
    assert torch.equal(patches.flatten(1), unfolded.transpose(1, 2).flatten(0, 1))


def test_chosen_patches_of_a_label_map():
    maps = torch.arange(32).view(2, 4, 4)
    # Patch 3 of sample 0 and patch 0 of sample 1, with 4 patches a sample.
    patches = gather_patches(maps, 2, torch.tensor([3, 4]))
    assert patches.tolist() == [[[10, 11], [14, 15]], [[16, 17], [20, 21]]]


@pytest.mark.parametrize('shape', [(2, 3, 8, 8), (2, 8, 8)])
def test_scatter_undoes_gather(shape):
    maps = torch.randn(shape)
    patches = gather_patches(maps, 4, torch.arange(8))
    assert torch.equal(scatter_patches(patches.unflatten(0, (2, 4)), (2, 2)), maps)
