from types import SimpleNamespace

import pytest
import torch
from mmpretrain.models.heads import MAEPretrainHead

from mmc2fmae.visualization.reconstruction import reconstruct_mae


@pytest.mark.parametrize('norm_pix', [True, False])
def test_a_perfect_prediction_gives_the_photograph_back(norm_pix):
    pixels = torch.randint(0, 256, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    mean, std = torch.full((3, 1, 1), 120.0), torch.full((3, 1, 1), 60.0)
    inputs = (pixels - mean) / std
    loss = dict(type='PixelReconstructionLoss', criterion='L2')
    head = MAEPretrainHead(loss, norm_pix=norm_pix, patch_size=8)
    masks = torch.tensor([[0.0, 1, 1, 1], [1, 0, 1, 1]])
    model = SimpleNamespace(
        backbone=lambda images: (images, masks, None),
        neck=lambda latent, order: head.construct_target(latent),
        head=head,
        data_preprocessor=SimpleNamespace(mean=mean, std=std),
    )
    found, hidden = reconstruct_mae(model, inputs)
    torch.testing.assert_close(found, pixels.float(), rtol=0, atol=1e-3)
    assert hidden.tolist() == [[False, True, True, True], [True, False, True, True]]
