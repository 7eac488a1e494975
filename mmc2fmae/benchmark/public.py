"""Training steps of public code, from checkouts that are not part of this project.

MAE (facebookresearch/mae), MultiMAE (EPFL-VILAB/MultiMAE) and SemanticMIM (yyk-wew/SemanticMIM) get
the same batches, precision and optimizer as ours; what today's libraries no longer offer them is
filled in here.
"""

import contextlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[dict[str, Any]], Tensor]
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)


@contextlib.contextmanager
def _importing(checkout: Path, file: str) -> Iterator[None]:
    """Import from a checkout, with what its code expects of torch of its time."""
    if not (checkout / file).is_file():
        raise FileNotFoundError(f'{checkout} is no such checkout: it has no {file}')
    stub = types.ModuleType('torch._six')
    stub.inf, stub.string_classes = float('inf'), (str,)  # type: ignore[attr-defined]
    sys.modules.setdefault('torch._six', stub)
    # A package without its __init__: MultiMAE's imports what data sets and logs need.
    utils = types.ModuleType('utils')
    utils.__path__ = [str(checkout / 'utils')]
    sys.modules['utils'] = utils
    sys.path.insert(0, str(checkout))
    try:
        yield
    finally:
        sys.path.remove(str(checkout))
        del sys.modules['utils']


def mae(checkout: Path, device: torch.device) -> tuple[nn.Module, Loss]:
    """Build MAE's ViT-B and the function that gives its loss of a batch (75 % masked)."""
    import numpy as np
    from timm.models import vision_transformer

    class Block(vision_transformer.Block):
        """timm's block without the argument that it has lost."""

        def __init__(self, *args, qk_scale=None, **kwargs) -> None:
            super().__init__(*args, **kwargs)

    original = vision_transformer.Block
    vision_transformer.Block = Block  # type: ignore[misc]
    np.float = float  # type: ignore[attr-defined]
    try:
        with _importing(checkout, 'models_mae.py'):
            import models_mae

            model = models_mae.mae_vit_base_patch16(norm_pix_loss=True).to(device).train()
    finally:
        vision_transformer.Block = original  # type: ignore[misc]
        del np.float  # type: ignore[attr-defined]
    normalise = _normaliser(device)

    def loss(batch: dict[str, Any]) -> Tensor:
        value: Tensor = model(normalise(batch), mask_ratio=0.75)[0]
        return value

    return model, loss


def multimae(
    checkout: Path, device: torch.device, classes: Mapping[str, int], visible: int
) -> tuple[nn.Module, Loss]:
    """Build MultiMAE's ViT-B and the function that gives its loss of a batch.

    Args:
        checkout: Folder of its code.
        device: Where it runs.
        classes: Classes of each label granularity, whose maps have stride 4.
        visible: Tokens that are encoded; the batch's masks say which.
    """
    with _importing(checkout, 'multimae/multimae.py'):
        from multimae import criterion, input_adapters, output_adapters
        from multimae import multimae as public

        inputs = dict(rgb=input_adapters.PatchedInputAdapter(3, 1, 16))
        criteria = dict(rgb=criterion.MaskedMSELoss(patch_size=16, stride=1, norm_pix=True))
        for name, number in classes.items():
            inputs[name] = input_adapters.SemSegInputAdapter(number, 4, 16)
            criteria[name] = criterion.MaskedCrossEntropyLoss(patch_size=16, stride=4)
        outputs = {
            name: output_adapters.SpatialOutputAdapter(
                num_channels=classes.get(name, 3),
                stride_level=4 if name in classes else 1,
                patch_size_full=16,
                dim_tokens=256,
                depth=2,
                num_heads=8,
                task=name,
                context_tasks=list(inputs),
            )
            for name in inputs
        }
        model = public.MultiMAE(
            input_adapters=inputs,
            output_adapters=outputs,
            num_global_tokens=1,
            dim_tokens=768,
            depth=12,
            num_heads=12,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )
    model.to(device).train()
    normalise = _normaliser(device)

    def loss(batch: dict[str, Any]) -> Tensor:
        maps = {n: batch['inputs'][n].to(device, non_blocking=True).long() for n in classes}
        images = dict(rgb=normalise(batch), **maps)
        masks = {n: batch['masks'][n].to(device, non_blocking=True).long() for n in criteria}
        order = torch.cat(list(masks.values()), dim=1).argsort(dim=1, stable=True)
        # Masks passed in are taken for one image (all tokens would be encoded for a batch), so ours
        # replace its random ones, drawing excluded from its time.
        drawn = (masks, order[:, :visible], order.argsort(dim=1))
        model.generate_random_masks = lambda *args, **kwargs: drawn
        predictions, used = model(images, num_encoded_tokens=visible)
        losses = [criteria[n](predictions[n].float(), images[n], mask=used[n]) for n in criteria]
        return torch.stack(losses).sum()

    return model, loss


def semanticmim(checkout: Path, device: torch.device, arch: str) -> tuple[nn.Module, Loss]:
    """Build SemanticMIM on MaskFeat with 8 proxies and the function that gives its loss."""
    with _importing(checkout, 'maskfeat/maskfeat.py'):
        from maskfeat import maskfeat
    from mmpretrain.structures import DataSample

    width = maskfeat.MaskFeatViTOurs.arch_zoo[arch]['embed_dims']
    model = maskfeat.MaskFeatOurs(
        backbone=dict(
            type='MaskFeatViTOurs', arch=arch, patch_size=16, num_cls_tokens=8, use_bottleneck=True
        ),
        neck=dict(type='LinearNeck', in_channels=width, out_channels=108, norm_cfg=None),
        head=dict(type='MIMHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')),
        target_generator=dict(type='HOGGenerator', nbins=9, pool=8, gaussian_window=16),
    )
    model.init_weights()
    model.to(device).train()
    normalise = _normaliser(device)

    def loss(batch: dict[str, Any]) -> Tensor:
        samples = []
        for mask in batch['masks']['rgb'].to(device).view(-1, 14, 14):
            samples.append(DataSample())
            samples[-1].img_index, samples[-1].mask_index = 1.0 - mask.float(), mask.long()
        value: Tensor = model(normalise(batch), samples, mode='loss')['loss']
        return value

    return model, loss


def _normaliser(device: torch.device) -> Callable[[dict[str, Any]], Tensor]:
    mean, std = (torch.tensor(values, device=device).view(3, 1, 1) for values in (MEAN, STD))

    def normalise(batch: dict[str, Any]) -> Tensor:
        return (batch['inputs']['rgb'].to(device, non_blocking=True).float() - mean) / std

    return normalise


def training_step(
    model: nn.Module, loss: Loss, device: torch.device, precision: str = 'fp32'
) -> Callable[[dict[str, Any]], Tensor]:
    """Return forward pass, backward pass and AdamW as these projects do them.

    Args:
        model: The model.
        loss: Gives its loss of a batch.
        device: Where it is.
        precision: 'bf16' (autocast; so no scaling of the loss) or 'fp32'.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, betas=(0.9, 0.95))

    def step(batch: dict[str, Any]) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
            value = loss(batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value

    return step
