"""Small reference models of other houses, with random weights everywhere."""

from functools import partial

import pytest
import torch
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

import mmc2fmae  # noqa: F401  (before any test imports mmpretrain: transformers may be there)
from mmc2fmae.models import PlainViT

SIZES = dict(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2)


def randomise(module: nn.Module) -> nn.Module:
    """Let no parameter keep a value that hides an error: zeros, ones, equal biases."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.add_(0.1 * noise)
    return module.eval()


def timm_vit(**options) -> VisionTransformer:
    """Return timm's ViT, which official MAE's, DINO's and MoCo v3's encoders are."""
    return randomise(VisionTransformer(**(SIZES | dict(num_classes=0) | options)))


def proxy_vit(proxies: int, **options) -> PlainViT:
    """Return a plain ViT with several class tokens, 4 x 4 patches."""
    arch = dict(embed_dims=128, num_layers=2, num_heads=2, feedforward_channels=256)
    sizes = dict(arch=arch, img_size=32, patch_size=8, out_type='raw')
    vit = PlainViT(num_cls_tokens=proxies, **(sizes | options))
    randomise(vit)
    vit.eval()
    return vit


class MultiMAEReference(nn.Module):
    """MultiMAE's rgb path put together from timm's blocks, under the published names."""

    def __init__(self) -> None:
        super().__init__()
        rgb, semseg = nn.Module(), nn.Module()
        rgb.proj, rgb.pos_emb = nn.Conv2d(3, 128, 8, 8), nn.Parameter(torch.zeros(1, 128, 4, 4))
        semseg.class_emb = nn.Embedding(9, 4)
        self.input_adapters = nn.ModuleDict(dict(rgb=rgb, semseg=semseg))
        self.output_adapters = nn.ModuleDict(dict(rgb=nn.Linear(128, 4)))
        self.global_tokens = nn.Parameter(torch.zeros(1, 1, 128))
        norm = partial(nn.LayerNorm, eps=1e-6)
        blocks = [Block(128, 2, qkv_bias=True, norm_layer=norm) for _ in range(2)]
        self.encoder = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens, the global one first; in MultiMAE it comes last and has no position."""
        rgb = self.input_adapters['rgb']
        patches = (rgb.proj(images) + rgb.pos_emb).flatten(2).transpose(1, 2)
        tokens = torch.cat([patches, self.global_tokens.expand(len(images), -1, -1)], dim=1)
        return self.encoder(tokens).roll(1, dims=1)


@pytest.fixture
def images() -> Tensor:
    """Return two random images."""
    return torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
