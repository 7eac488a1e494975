"""The config that a checkpoint carries, read as data: nothing in it decides what code is run.

OpenMMLab's registries build whatever a config names, ``os.system`` included, and people try
checkpoints of people they do not know. So the text is parsed, never run; of its fields only model
and data of the pre-training are taken; and in these every ``type`` must stand in :data:`MODEL` or
:data:`DATASET`, with the arguments that are listed there and plain values alone. What fills in
weights or compiles (``init_cfg``, ``compile``) is passed over, since the weights are there; hooks,
optimizer, ``custom_imports`` and all else are not read.
"""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmc2fmae.checkpoints.files import read_meta, read_state_dict
from mmc2fmae.errors import CheckpointMismatch, shown

Types = Mapping[str, Mapping[str, Any]]
"""Type to its arguments; an argument is None (a plain value) or the types that may stand there."""

OWN_CONFIG = 'give the config of its pre-training as a file of your own (--config FILE)'
PASSED_OVER = ('init_cfg', 'compile')


def _plain(names: str) -> dict[str, None]:
    return dict.fromkeys(names.split())


_NORM: Types = {'LN': _plain('eps')}
_DECODER = _plain('granularities num_patches in_dims order dims num_heads depth mlp_ratio')
_HEAD = _plain('cells num_classes in_channels dims loss_weights norm_pix')

ENCODER: Types = {
    'MultiGranularViT': _plain(
        'granularities arch img_size patch_size in_channels out_indices drop_rate drop_path_rate '
        'qkv_bias final_norm out_type with_cls_token frozen_stages interpolate_mode '
        'layer_scale_init_value pre_norm num_cls_tokens window_size global_blocks checkpointing'
    )
    | dict(norm_cfg=_NORM)
}
_PREPROCESSOR: Types = {
    'MultiGranularPreprocessor': _plain('num_classes mean std granularities'),
}
_C2FMAE = dict(
    backbone=ENCODER,
    neck={
        'CascadedDecoder': _DECODER | _plain('cross_attention proxies'),
        'ParallelDecoder': _DECODER | _plain('cross_attention proxies'),
    },
    head={'MultiGranularHead': _HEAD},
    data_preprocessor=_PREPROCESSOR,
)
MODEL: Types = {
    'C2FMAE': _C2FMAE,
    'MultiMAE': _C2FMAE | dict(neck={'MultiMAEDecoder': _DECODER}, head={'MultiMAEHead': _HEAD}),
    'MAE': dict(
        backbone={
            'MAEViT': _plain('arch img_size patch_size mask_ratio final_norm')
            | dict(norm_cfg=_NORM)
        },
        neck={
            'MAEPretrainDecoder': _plain(
                'num_patches patch_size embed_dim decoder_embed_dim decoder_depth '
                'decoder_num_heads mlp_ratio'
            )
            | dict(norm_cfg=_NORM)
        },
        head={
            'MAEPretrainHead': _plain('norm_pix patch_size')
            | dict(loss={'PixelReconstructionLoss': _plain('criterion')})
        },
        data_preprocessor={'RgbPreprocessor': _plain('mean std')},
    ),
}
_STEPS: Types = {
    'LoadMultiGranular': _plain('num_classes continuous dali'),
    'SemanticFromInstance': _plain('class_id'),
    'CanonicalInstances': _plain('num_instances rerank'),
    'JointRandomResizedCrop': _plain('size label_stride scale ratio'),
    'JointCenterCrop': _plain('size label_stride crop_ratio'),
    'JointRandomFlip': _plain('prob'),
    'ProgressiveMasking': _plain(
        'granularities patch_size num_visible curriculum concentration alpha min_area '
        'max_instances class_weights blend object_cap prefer'
    ),
    'PackMultiGranular': {},
}
DATASET: Types = {
    'MultiGranularDataset': _plain(
        'data_root data_prefix ann_file label_suffix image_suffixes classes on_error indices '
        'test_mode'
    )
    | dict(pipeline=_STEPS)
}


def read_embedded(path: str | Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read model and data set of the pre-training that a checkpoint comes from.

    Args:
        path: Checkpoint file.

    Returns:
        Configs of the model and of its training data set, which may be built: types of this
        project, plain values, folders below ``data_root``.

    Raises:
        CheckpointMismatch: It carries no config, or something in it is not of these; the message
            names it.
    """
    text = read_meta(path).config
    if text is None:
        groups = sorted({key.split('.')[0] for key in read_state_dict(path)})
        raise CheckpointMismatch(
            f'{path} does not carry its config, so its model is not known; it holds '
            f'{", ".join(groups[:12])}. Give the config of its pre-training (--config); weights of '
            'an encoder alone (exports, other houses) have no decoder to reconstruct with'
        )
    try:
        fields = parse_config(text)
        loader = fields.get('train_dataloader')
        dataset = loader.get('dataset') if isinstance(loader, dict) else None
        spec = check(fields.get('model'), MODEL, 'model')
        data = check(dataset, DATASET, 'train_dataloader.dataset')
        _check_folders(data)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise CheckpointMismatch(
            f'{path}: its embedded config is not used, {str(error) or type(error).__name__}; if '
            f'you trust the run, {OWN_CONFIG}'
        ) from None
    return spec, data


def embedded_type(path: str | Path) -> str | None:
    """Return what a checkpoint's config calls its model, None where it has no config to read.

    Args:
        path: Checkpoint file.
    """
    try:
        model = parse_config(read_meta(path).config or '').get('model')
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    found = model.get('type') if isinstance(model, dict) else None
    return found if isinstance(found, str) else None


def parse_config(text: str) -> dict[str, Any]:
    """Read a config that holds nothing but values, as checkpoints do, without running it.

    Args:
        text: Assignments of literals and ``dict(...)``, what ``Config.pretty_text`` writes.

    Raises:
        ValueError: There is something else in it, such as a call or an import.
    """
    fields = {}
    for statement in ast.parse(text).body:
        try:
            match statement:
                case ast.Assign([ast.Name(name)], value):
                    fields[name] = ast.literal_eval(_DictCalls().visit(value))
                case _:
                    raise ValueError(f'{type(statement).__name__} is no assignment to a name')
        except (ValueError, TypeError) as error:
            raise ValueError(f'line {statement.lineno} is no plain value ({error})') from error
    return fields


class _DictCalls(ast.NodeTransformer):
    """Write ``dict(a=1)`` and ``dict({'a': 1})`` as ``{'a': 1}``, a literal."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name('dict'), [], keywords) if all(k.arg for k in keywords):
                return ast.Dict(
                    [ast.Constant(k.arg) for k in keywords], [k.value for k in keywords]
                )
            case ast.Call(ast.Name('dict'), [ast.Dict() as inner], []):
                return inner
        return node


def check(spec: Any, types: Types, place: str) -> dict[str, Any]:
    """Return a part's config without what is passed over, once every name in it is known.

    Args:
        spec: Config of a part, ``dict(type=..., ...)``; where only one type may stand, the type may
            be left out.
        types: What may stand there.
        place: Its name in messages, such as ``model.backbone``.

    Raises:
        ValueError: A type or an argument is not listed, or a value is not plain.
    """
    if not isinstance(spec, dict):
        raise ValueError(f'{place} is {shown(spec, 80)}, expected a dict')
    found = spec.get('type', next(iter(types)) if len(types) == 1 else None)
    if not isinstance(found, str) or found not in types:
        names = ' or '.join(map(repr, types))
        if len(types) > 2:
            names = f'one of {len(types)} of this project'
        raise ValueError(f'{place}.type is {shown(found, 80)}, expected {names}')
    arguments = types[found]
    kept: dict[str, Any] = dict(type=found)
    for name, value in spec.items():
        where = f'{place}.{name}'
        if name == 'type' or name in PASSED_OVER:
            continue
        elif name not in arguments:
            raise ValueError(f'{where} is no argument of {found} that is taken from a checkpoint')
        elif arguments[name] is None:
            kept[name] = _plain_value(value, where)
        elif isinstance(value, list | tuple):
            inner = arguments[name]
            kept[name] = [check(v, inner, f'{where}[{i}]') for i, v in enumerate(value)]
        elif value is not None:
            kept[name] = check(value, arguments[name], where)
    return kept


def _plain_value(value: Any, place: str) -> Any:
    """Return a value of numbers, texts and containers that names no type.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, dict):
        if named := {'type', '_scope_', '_delete_', '_base_'} & set(value):
            raise ValueError(
                f'{place}.{min(named)} is {shown(value[min(named)], 80)}, expected none'
            )
        return {key: _plain_value(inner, f'{place}.{key}') for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain_value(inner, place) for inner in value)
    if not isinstance(value, bool | int | float | str | None):
        raise ValueError(f'{place} is {shown(value, 80)}, expected numbers and texts')
    return value


def _check_folders(dataset: dict[str, Any]) -> None:
    """Refuse a list or a folder beyond the data set's own folder, and anything but local files.

    Raises:
        ValueError: A path leads elsewhere.
    """
    prefixes = dataset.get('data_prefix') or {}
    inside = {'ann_file': dataset.get('ann_file')}
    inside |= prefixes if isinstance(prefixes, dict) else {'data_prefix': prefixes}
    for name, path in inside.items():
        parts = Path(path).parts if isinstance(path, str) else ('..',)
        if path and ('..' in parts or Path(path).is_absolute()):
            raise ValueError(
                f'its data lies at {name} = {shown(path, 80)}, outside of its data_root'
            )
    root = dataset.get('data_root') or ''
    if not isinstance(root, str) or '://' in root:
        raise ValueError(f'its data_root is {shown(root, 80)}, expected a folder')
