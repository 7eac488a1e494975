"""A backbone, and the linear classifier that was trained on it, as one ONNX file."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from mmc2fmae.checkpoints.backbone import build_backbone
from mmc2fmae.checkpoints.embedded import parse_config
from mmc2fmae.checkpoints.files import read_file, read_meta
from mmc2fmae.checkpoints.preprocessing import Preprocessing
from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.files import write_atomically

HEADS = ('head.fc', 'head.layers.head', 'head', 'classifier')
"""Names of the linear layer of a classifier: ours and mmpretrain's, timm's and MAE's, HF's."""
TOLERANCE = 1e-4
"""Of outputs in onnxruntime against PyTorch, relative to the largest, at least absolutely."""
OPSET = 18
LIMIT = 2**31  # bytes of a protocol buffer
FIX = "python -m pip install 'mmc2fmae[onnx]' (in a checkout: python -m pip install -e '.[onnx]')"


@dataclass(frozen=True)
class OnnxReport:
    """What an export holds.

    Attributes:
        outputs: Name to shape without the batch.
        apart: Largest difference between onnxruntime and PyTorch, relative to the largest output.
        note: Why there are no logits, or which feature they are of.
    """

    outputs: dict[str, tuple[int, ...]]
    apart: float
    note: str


class OnnxEncoder(nn.Module):
    """From pixels to features, normalisation included.

    Args:
        vit: Backbone of :func:`build_backbone`.
        preprocessing: Its preprocessing.
        head: Linear layer of a classifier, or None.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, vit: VisionTransformer, preprocessing: Preprocessing, head: nn.Linear | None
    ) -> None:
        super().__init__()
        self.vit, self.head = vit, head
        for name in ('mean', 'std'):
            values = 255 * torch.tensor(getattr(preprocessing, name)).view(-1, 1, 1)
            self.register_buffer(name, values)
        self.pooled = hasattr(vit, 'ln2')
        self.outputs = ['cls', 'mean', 'patches'] + (['logits'] if head else [])

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Encode (B, C, H, W) images in [0, 255].

        Returns:
            (B, D) class token (the mean of several), (B, D) mean over patches, through the norm of
            pooled features where there is one, (B, h, w, D) patches and, with a head, (B, classes).
        """
        (tokens,) = self.vit((images - self.mean) / self.std)
        first = tokens.shape[1] - int(np.prod(self.vit.patch_resolution))
        cls, patches = tokens[:, :first].mean(dim=1), tokens[:, first:]
        mean = self.vit.ln2(patches.mean(dim=1)) if self.pooled else patches.mean(dim=1)
        features = (cls, mean, patches.unflatten(1, tuple(map(int, self.vit.patch_resolution))))
        if self.head is None:
            return features
        return (*features, self.head(mean if self.pooled else cls))


def export_onnx(src: str | Path, dst: str | Path, **stated: Any) -> OnnxReport:
    """Write a checkpoint as ONNX and compare it with PyTorch in onnxruntime.

    The input ``images`` is a float batch (B, C, H, W) of any size B, RGB in [0, 255], already
    resized to the size of the backbone's positions.

    Args:
        src: Checkpoint of any house.
        dst: ``.onnx`` file; nothing is left there where the comparison fails.
        **stated: See :func:`mmc2fmae.checkpoints.read_backbone`.

    Raises:
        ModuleNotFoundError: The extra [onnx] is not installed.
        CheckpointMismatch: The checkpoint does not fit, is too large for one file, or the outputs
            differ by more than :data:`TOLERANCE`.
    """
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401  (torch's exporter needs it)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f'--to onnx needs {error.name}: {FIX}') from None
    vit, preprocessing = build_backbone(src, **stated)
    head, note = find_head(src, hasattr(vit, 'ln2'), vit.embed_dims, stated.get('which'))
    model = OnnxEncoder(vit, preprocessing, head)
    size = sum(4 * value.numel() for value in model.state_dict().values())
    if size >= LIMIT:
        raise CheckpointMismatch(
            f'{src} has {size / 2**30:.1f} GiB of weights in float32, an ONNX file holds less than '
            '2: export it with --to timm or --to huggingface'
        )
    height, width = (int(side) for side in preprocessing.size)
    channels = vit.patch_embed.projection.in_channels
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, channels, height, width), generator=generator).float()
    for part in model.modules():
        part.training = False  # mmpretrain's train() returns None
    with torch.no_grad():
        program = torch.onnx.export(
            model,
            (images[:2],),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=['images'],
            output_names=model.outputs,
            dynamic_shapes={'images': {0: torch.export.Dim('batch')}},
        )
        expected = model(images)
    buffer = io.BytesIO()
    assert program is not None  # without an optimiser of the caller's it never is
    proto = program.model_proto
    onnx.helper.set_model_props(proto, _properties(src, preprocessing, note))
    onnx.save_model(proto, buffer)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=['CPUExecutionProvider'])
    found = session.run(None, {'images': images.numpy()})
    apart = max(
        np.abs(a - b.numpy()).max() / max(1.0, b.abs().max().item())
        for a, b in zip(found, expected, strict=True)
    )
    if not apart <= TOLERANCE:
        raise CheckpointMismatch(
            f'{src}: outputs in onnxruntime differ by {apart:.1e}, expected {TOLERANCE:g} at most; '
            'nothing was written'
        )
    write_atomically(buffer.getvalue(), dst)
    shapes = {
        name: tuple(value.shape[1:]) for name, value in zip(model.outputs, expected, strict=True)
    }
    return OnnxReport(shapes, float(apart), note)


def find_head(
    src: str | Path, pooled: bool, dims: int, which: str | None = None
) -> tuple[nn.Linear | None, str]:
    """Return the linear classifier that a checkpoint holds beside its backbone.

    Args:
        src: Checkpoint.
        pooled: Whether the backbone has a norm of pooled features, which is then what is
            classified; otherwise it is the class token.
        dims: Width of the backbone.
        which: 'ema' or 'raw' weights.

    Returns:
        The layer and what it reads, or None and why there is none.
    """
    file = read_file(src, which)
    beside = {
        k: v for k, v in file.weights.items() if k.startswith(('head.', 'classifier.', 'neck.'))
    }
    name = next((n for n in HEADS if f'{n}.weight' in beside), None)
    if name is None:
        return None, 'no logits: the checkpoint has no linear classifier'
    weight = beside.pop(f'{name}.weight')
    bias = beside.pop(f'{name}.bias', torch.zeros(len(weight)))
    if weight.shape[1:] != (dims,) or beside:
        more = ', '.join(sorted(beside)[:3]) or f'a weight of {tuple(weight.shape)}'
        return None, f'no logits: the classifier is more than a linear layer ({more})'
    if reason := _not_of(file.path, 'avg_featmap' if pooled else 'cls_token'):
        return None, f'no logits: {reason}'
    head = nn.Linear(dims, len(weight))
    head.load_state_dict(dict(weight=weight, bias=bias))
    return head, f'logits: {name} on the {"mean over patches" if pooled else "class token"}'


def _not_of(path: Path, out_type: str) -> str | None:
    """Say why the run that wrote a checkpoint did not classify what its weights suggest."""
    text = read_meta(path).config
    if text is None:
        return None
    try:
        model = parse_config(text)['model']
        found = model['backbone'].get('out_type', 'cls_token'), model.get('neck')
    except (ValueError, SyntaxError, KeyError, TypeError, AttributeError):
        return 'the config that the checkpoint carries cannot be read'
    if found != (out_type, None):
        return f'its config classifies {found[0]!r} through the neck {found[1]!r}'
    return None


def _properties(src: str | Path, preprocessing: Preprocessing, note: str) -> dict[str, str]:
    """Return what the file says of itself."""
    height, width = preprocessing.size
    classes = read_meta(read_file(src).path).classes
    said = dict(
        input=f'RGB in [0, 255], resized (bicubic) and cropped to {height} x {width}; '
        'normalisation is part of the model',
        output=note,
    )
    return said | (dict(classes='\n'.join(classes)) if classes else {})
