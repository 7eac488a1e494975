"""Layer-wise learning-rate decay, one implementation for all three frameworks."""

from dataclasses import dataclass

from mmengine.hooks import RuntimeInfoHook
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

NO_DECAY = ('cls_token', 'mask_token', 'pos_embed', 'granularity_embed')
"""Parameters of more than one dimension that weight decay leaves alone, as in MAE and BEiT."""


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate and a weight decay.

    Attributes:
        name: ``embeddings``, ``block i`` (from 1) or ``rest``.
        lr_scale: Factor of the learning rate.
        weight_decay: Weight decay itself.
        parameters: Name to parameter.
    """

    name: str
    lr_scale: float
    weight_decay: float
    parameters: dict[str, nn.Parameter]


def layer_of(name: str, num_layers: int) -> int:
    """Return a parameter's depth: 0 embeddings, i block i (from 1), ``num_layers + 1`` the rest.

    Args:
        name: Name within the backbone, such as ``layers.0.attn.qkv.weight``.
        num_layers: Blocks of the backbone.
    """
    if name in ('cls_token', 'pos_embed') or name.startswith(('patch_embed.', 'label_embeds.')):
        return 0
    if name.startswith('layers.'):
        return int(name.split('.')[1]) + 1
    return num_layers + 1


def layer_groups(
    model: nn.Module, layer_decay: float, weight_decay: float, prefix: str = 'backbone.'
) -> list[ParameterGroup]:
    """Sort a model's trainable parameters by depth and weight decay.

    The rate of depth i is ``layer_decay ** (num_layers + 1 - i)`` of the base rate, as in BEiT and
    MAE: the head has the base rate, the last block ``layer_decay``, the embeddings the least.

    Args:
        model: Model with a ViT as ``model.backbone``; all else counts as head.
        layer_decay: Factor from one block to the one below it, in (0, 1].
        weight_decay: Decay of matrices; vectors, tokens and positions have none.
        prefix: Name of the backbone within the model.

    Returns:
        Groups from the embeddings to the head.

    Raises:
        ValueError: ``layer_decay`` is out of range.
        TypeError: The backbone is no plain ViT.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(f'layer_decay is {layer_decay}: expected a factor in (0, 1]')
    backbone = model.get_submodule(prefix.rstrip('.'))
    layers = getattr(backbone, 'layers', None)
    if not isinstance(layers, nn.ModuleList):
        raise TypeError(f'layer decay needs a plain ViT, but the backbone is {type(backbone)}')
    num_layers = len(layers)
    buckets: dict[tuple[int, float], dict[str, nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        inner = name.startswith(prefix)
        depth = layer_of(name.removeprefix(prefix), num_layers) if inner else num_layers + 1
        free = parameter.ndim <= 1 or name.rsplit('.', 1)[-1] in NO_DECAY
        buckets.setdefault((depth, 0.0 if free else weight_decay), {})[name] = parameter
    names = {0: 'embeddings', num_layers + 1: 'rest'}
    return [
        ParameterGroup(
            names.get(depth, f'block {depth}'), layer_decay ** (num_layers + 1 - depth), decay, part
        )
        for (depth, decay), part in sorted(buckets.items(), key=lambda item: item[0])
    ]


def group_table(groups: list[ParameterGroup], lr: float) -> str:
    """Return the groups as a text table: group, lr scale, lr, decay, tensors, parameters."""
    lines = [f'{"group":<11} {"lr scale":>9} {"lr":>10} {"decay":>6} {"tensors":>7} {"params":>11}']
    for group in groups:
        count = sum(p.numel() for p in group.parameters.values())
        lines.append(
            f'{group.name:<11} {group.lr_scale:>9.6f} {lr * group.lr_scale:>10.3e} '
            f'{group.weight_decay:>6g} {len(group.parameters):>7} {count:>11,}'
        )
    return '\n'.join(lines)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayConstructor(DefaultOptimWrapperConstructor):
    """Build an optimizer with layer-wise decay for any model whose ``backbone`` is a plain ViT.

    ``paramwise_cfg`` has one field, ``layer_decay``; see :func:`layer_groups`. The groups are
    printed once as a table.

    Raises:
        ValueError: ``paramwise_cfg`` has a field that would be ignored.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        unknown = set(paramwise_cfg or {}) - {'layer_decay'}
        if unknown or not paramwise_cfg:
            raise ValueError(
                f'paramwise_cfg has {sorted(paramwise_cfg or {})}: LayerDecayConstructor reads '
                "'layer_decay' and nothing else; biases, norms, tokens and positions never decay"
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Return the optimizer wrapper of a model."""
        model = getattr(model, 'module', model)
        optimizer = dict(self.optimizer_cfg)
        lr = optimizer['lr']
        groups = layer_groups(
            model, self.paramwise_cfg['layer_decay'], optimizer.get('weight_decay', 0.0)
        )
        print_log(f'layer-wise learning rates:\n{group_table(groups, lr)}', logger='current')
        optimizer['params'] = [
            dict(
                params=list(group.parameters.values()),
                lr=lr * group.lr_scale,
                weight_decay=group.weight_decay,
            )
            for group in groups
        ]
        wrapper = dict(self.optim_wrapper_cfg)
        wrapper.setdefault('type', 'OptimWrapper')
        return OPTIM_WRAPPERS.build(
            wrapper, default_args=dict(optimizer=OPTIMIZERS.build(optimizer))
        )


@HOOKS.register_module()
class LearningRateRangeHook(RuntimeInfoHook):
    """mmengine's RuntimeInfoHook, but the log shows the smallest and the largest learning rate.

    The parent logs the first group's, which under layer decay is the smallest and looks wrong.
    """

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Note iteration and learning rates."""
        hub = runner.message_hub
        hub.update_info('iter', runner.iter)
        rates = runner.optim_wrapper.get_lr()['lr']
        hub.update_scalar('train/min_lr', min(rates))
        hub.update_scalar('train/max_lr', max(rates))
