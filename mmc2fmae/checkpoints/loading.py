"""Loading weights without silent gaps: how much was filled is always said, a gap is an error."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.logging import print_log
from mmengine.model import update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS
from mmpretrain.models import VisionTransformer
from torch import Tensor, nn

from mmc2fmae.checkpoints import Backbone, describe_module, read_backbone, weights_for
from mmc2fmae.checkpoints.architecture import count_tokens, tokens_fit
from mmc2fmae.errors import CheckpointMismatch, first_names

LABELS = 'label_embeds.'  # of a multi-granular encoder, with the name of the label map after it


@dataclass
class Coverage:
    """How much of a module a state dict fills.

    Attributes:
        tensors: Tensors of the module.
        filled: Tensors found in the state dict with the right shape.
        parameters: Numbers in the filled tensors.
        missing: Keys of the module that the state dict lacks.
        misshapen: Keys whose shapes differ, with both shapes.
        unused: Keys of the state dict that the module does not have.
        fresh: Keys of the module that start anew on purpose.
    """

    tensors: int
    filled: int
    parameters: int
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)

    def summary(self, source: str) -> str:
        """Return a line such as ``150/150 tensors, 85.8 M parameters from FILE``."""
        text = f'{self.filled}/{self.tensors} tensors, {self.parameters / 1e6:.1f} M parameters'
        fresh = f'; fresh: {", ".join(self.fresh)}' if self.fresh else ''
        return f'{text} from {source}{fresh}'


def coverage(state_dict: dict[str, Tensor], module: nn.Module) -> Coverage:
    """Compare a state dict with a module's, key by key and shape by shape.

    Args:
        state_dict: Weights to load.
        module: Module that is to hold them; its load hooks (resampled positions) count.
    """
    state_dict = dict(state_dict)
    for name, part in module.named_modules():  # let position embeddings fit themselves first
        prepare = getattr(part, '_prepare_pos_embed', None)
        if prepare is None:
            continue
        prefix, own = f'{name}.' if name else '', getattr(part, 'cls_token', None)
        tokens = [count_tokens(x) for x in (state_dict.get(f'{prefix}cls_token'), own)]
        if tokens_fit(*tokens):  # else no row is known to be a patch's
            prepare(state_dict, prefix)
    own = module.state_dict()
    missing = [key for key in own if key not in state_dict]
    misshapen = [
        f'{key}: {tuple(state_dict[key].shape)} in the file, {tuple(own[key].shape)} in the model'
        for key in own
        if key in state_dict and state_dict[key].shape != own[key].shape
    ]
    bad = {*missing, *(line.split(':')[0] for line in misshapen)}
    filled = [key for key in own if key not in bad]
    return Coverage(
        tensors=len(own),
        filled=len(filled),
        parameters=sum(own[key].numel() for key in filled),
        missing=missing,
        misshapen=misshapen,
        unused=[key for key in state_dict if key not in own],
    )


def require_full(found: Coverage, part: str, source: str, differences: Sequence[str] = ()) -> None:
    """Print the coverage of a part and refuse less than all of it.

    Args:
        found: What :func:`coverage` found.
        part: What it is called.
        source: The file.
        differences: What is already known to differ, in words; an error as well.

    Raises:
        CheckpointMismatch: Some tensors would keep their random values, or something differs.
    """
    print_log(f'{part}: {found.summary(source)}', logger='current')
    if found.filled + len(found.fresh) == found.tensors and not differences:
        return
    lines = list(differences)
    if found.missing:
        lines.append(f'missing {first_names(found.missing, 8)}')
    if found.misshapen:
        lines.append(f'shape of {first_names(found.misshapen)}')
    if found.unused:
        names = first_names(found.unused, 8)
        lines.append(f'the file has {len(found.unused)} other keys, {names}')
    raise CheckpointMismatch(
        f'{part}: {found.summary(source)}, which does not fit: {"; ".join(lines)}: use the '
        'architecture and granularities that the file was trained with'
    )


def load_backbone(
    backbone: nn.Module, path: str | Path, which: str | None = None, new_labels: bool = False
) -> Coverage:
    """Fill a backbone from a checkpoint of any house, completely or not at all.

    Positions are resampled to the backbone's grid. The norm of pooled features (``ln2``) may start
    fresh, as in MAE's fine-tuning; embeddings of labels only where the run learns them.

    Args:
        backbone: The module to fill.
        path: Checkpoint; see :func:`mmc2fmae.checkpoints.read_backbone`.
        which: 'ema' or 'raw' weights, of files with both.
        new_labels: Let the embeddings of a label map that the file does not have, or has with
            other classes, start fresh.

    Returns:
        What was filled; keys of other granularities are listed as unused.

    Raises:
        CheckpointMismatch: The file does not fill every tensor of the backbone, or has another
            number of class tokens.
    """
    file = read_backbone(path, which)
    weights = weights_for(file, backbone)
    found = coverage(weights, backbone)
    if new_labels:
        weights = _without_other_labels(weights, found)
        found = coverage(weights, backbone)
    found.fresh = [
        key for key in found.missing if key.startswith(('ln2.', *([LABELS] if new_labels else [])))
    ]
    found.missing = [key for key in found.missing if key not in found.fresh]
    differences = []
    if isinstance(backbone, VisionTransformer):
        differences = _differences(file, backbone, Path(path).name)
        grids = file.arch.grid, tuple(backbone.patch_resolution)
        if grids[0] != grids[1]:
            texts = [f'{rows}x{columns}' for rows, columns in grids]
            print_log(f'backbone: positions resampled from {" to ".join(texts)}', 'current')
        eps = file.arch.norm_eps, describe_module(backbone).norm_eps
        if eps[0] != eps[1]:
            text = f'layer-norm epsilon {eps[0]:g} in the file, {eps[1]:g} in the model'
            print_log(f'backbone: {text} (norm_cfg); features differ slightly', 'current')
    require_full(found, 'backbone', str(path), differences)
    backbone.load_state_dict(weights, strict=False)
    return found


def _without_other_labels(weights: dict[str, Tensor], found: Coverage) -> dict[str, Tensor]:
    """Leave out the embeddings of label maps of which any tensor does not fit: they go together."""
    keys = [*found.missing, *(line.split(':')[0] for line in found.misshapen)]
    new = tuple('.'.join(key.split('.')[:2]) + '.' for key in keys if key.startswith(LABELS))
    return {key: value for key, value in weights.items() if not key.startswith(new)}


def _differences(file: Backbone, module: VisionTransformer, name: str) -> list[str]:
    """Say in words what of a file's architecture a module contradicts."""
    model = describe_module(module)
    fields = {
        'embed_dims': 'arch.embed_dims',
        'num_layers': 'arch.num_layers',
        'feedforward_channels': 'arch.feedforward_channels',
        'patch_size': 'patch_size',
        'in_channels': 'in_channels',
        'qkv_bias': 'qkv_bias',
    }
    if 'num_heads' in file.stated:  # else it is a guess
        fields['num_heads'] = 'arch.num_heads'
    if model.final_norm:  # a model without one leaves the file's unused, as fine-tuning does
        fields['final_norm'] = 'final_norm'
    return [
        f'{field} {getattr(file.arch, field)} in {name}, {getattr(model, field)} in the model: set '
        f'backbone.{option} to {getattr(file.arch, field)}'
        for field, option in fields.items()
        if getattr(file.arch, field) != getattr(model, field)
    ]


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """``init_cfg`` type that fills a backbone from a checkpoint, completely or not at all.

    Args:
        checkpoint: Checkpoint of any house; see :func:`load_backbone`.
        which: 'ema' or 'raw' weights, of files with both.
        new_labels: Let embeddings of labels start fresh, where the file does not have them.
    """

    def __init__(self, checkpoint: str, which: str | None = None, new_labels: bool = False) -> None:
        self.checkpoint = checkpoint
        self.which = which
        self.new_labels = new_labels

    def __call__(self, module: nn.Module) -> None:
        """Fill ``module``; see :func:`load_backbone`.

        Raises:
            CheckpointMismatch: The module would draw weights anew after this, as ViTs of mmpretrain
                do; PlainViT, and a run of tools/train.py, fill last.
        """
        if hasattr(module, '_params_init_info') and not getattr(module, 'is_init', True):
            raise CheckpointMismatch(
                f'{type(module).__name__} draws weights anew after its init_cfg was read, and '
                f'would lose those of {self.checkpoint}: take PlainViT, or tools/train.py '
                '--checkpoint, which fills last'
            )
        load_backbone(module, self.checkpoint, self.which, self.new_labels)
        if hasattr(module, '_params_init_info'):
            update_init_info(module, f'StrictPretrained: {self.checkpoint}')
