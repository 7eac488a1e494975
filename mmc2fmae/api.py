"""The most common things in Python: train, embed images, load an encoder (docs/python.md)."""

import os
from argparse import Action, ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from mmpretrain.models import VisionTransformer
    from PIL.Image import Image
    from torch import Tensor

    from mmc2fmae.checkpoints import Preprocessing

    Picture = str | os.PathLike[str] | Image | np.ndarray


def train(
    config: str | os.PathLike[str],
    data_root: str | os.PathLike[str] | None = None,
    work_dir: str | os.PathLike[str] | None = None,
    **options: object,
) -> Path | None:
    """Train what a config describes, as ``mmc2fmae train`` does, in this process.

    Args:
        config: A file, or ``mmc2fmae::...`` for a config of the project.
        data_root: Folder of the data, in place of the config's.
        work_dir: Folder of the run (``work_dirs/CONFIG_NAME``).
        **options: Further options of ``mmc2fmae train``, with underscores: ``resume='auto'``,
            ``seed=0``, ``cfg_options={'train_cfg.max_epochs': 10}``, ...

    Returns:
        The newest checkpoint of the run, None where it saved none.

    Raises:
        TypeError: There is no such option.
        ValueError: An option cannot be what it is given.
        FileNotFoundError: Config, data or a checkpoint does not exist.
        ValueError: Config and options do not fit together.

    >>> import mmc2fmae
    >>> checkpoint = mmc2fmae.train(
    ...     'mmc2fmae::mini/c2fmae_mini_scenes.py',
    ...     data_root='data/scenes',
    ...     cfg_options={'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 2},
    ... )
    >>> print(checkpoint)
    work_dirs/c2fmae_mini_scenes/epoch_1.pth
    """
    from mmc2fmae.checkpoints.finding import latest_checkpoint
    from mmc2fmae.cli.run_options import add_common_arguments, add_train_arguments
    from mmc2fmae.engine import launch
    from mmc2fmae.engine.train_options import apply_train_options
    from mmc2fmae.engine.work_dirs import let_go
    from mmc2fmae.errors import nearest
    from mmc2fmae.paths import expand_values
    from mmc2fmae.probes import apply_probes

    parser = ArgumentParser()
    add_common_arguments(parser)
    add_train_arguments(parser)
    args = parser.parse_args([str(config)])
    actions = {action.dest: action for action in parser._actions}
    named = dict(data_root=data_root, work_dir=work_dir, **options)
    for name, value in named.items():
        if name not in args:
            raise TypeError(f'train() has no option {name!r}{nearest(name, vars(args))}')
        if value is not None:
            text = str(value) if isinstance(value, os.PathLike) else value
            setattr(args, name, expand_values(_as_option(actions[name], text)))
    cfg = launch.load_config(args)
    apply_probes(cfg, args)
    try:
        apply_train_options(cfg, args)
        launch.build_runner(cfg).train()
    finally:
        let_go(cfg.work_dir)
    return latest_checkpoint(cfg.work_dir)


def _as_option(action: Action, value: Any) -> Any:
    """Return a value as the command line would read it, of the type and choices that it has.

    Raises:
        ValueError: It is none of them.
    """
    if action.nargs == 0 and not isinstance(value, bool):
        raise ValueError(f'{action.dest} is {value!r}: expected True or False')
    if callable(action.type):
        try:
            value = action.type(str(value))
        except (ArgumentTypeError, ValueError) as error:
            raise ValueError(f'{action.dest} is {error}') from error
    if action.choices and value not in action.choices:
        raise ValueError(
            f'{action.dest} is {value!r}: expected one of {", ".join(map(str, action.choices))}'
        )
    return value


def embed(
    checkpoint: str | os.PathLike[str],
    images: 'Picture | Sequence[Picture]',
    token: str = 'cls',
    size: int | None = None,
    batch_size: int = 64,
    workers: int = 0,
    device: str | None = None,
    **stated: Any,
) -> 'Tensor':
    """Return one feature vector an image, from the plain ViT of any checkpoint.

    Args:
        checkpoint: Checkpoint of this project, MAE, timm, Hugging Face, ... (docs/checkpoints.md).
        images: A folder, a file, a ``.txt`` list, or a sequence of files, PIL images (read as files
            are: turned by EXIF, 16-bit grey scaled) or uint8 arrays (H, W, 3) in RGB.
        token: 'cls' for the class token, 'mean' for the mean over patches, of the last block.
        size: Side of the square input in pixels (the checkpoint's).
        batch_size: Images of a forward pass.
        workers: Processes that read images; 0 reads in this one.
        device: 'cpu', 'cuda', ...; by default a GPU where there is one.
        **stated: What the file may not say: ``num_heads``, ``mean``, ``std``, ...

    Returns:
        (N, D) float32 on the CPU, in the order of the images; a folder's are sorted by name.

    Raises:
        FileNotFoundError: There is no such checkpoint or image.
        ValueError: The checkpoint is no ViT's, an image cannot be read or is of another kind, or an
            option does not fit.

    >>> import mmc2fmae
    >>> mmc2fmae.embed('work_dirs/c2fmae_mini_scenes/epoch_1.pth', 'data/scenes/val').shape
    torch.Size([2, 192])
    """
    from PIL import Image

    from mmc2fmae.devices import find_device
    from mmc2fmae.evaluation.features import FeatureOptions, compute_features
    from mmc2fmae.evaluation.image_files import find_images

    if token not in ('cls', 'mean'):
        raise ValueError(f"token {token!r}: expected 'cls' or 'mean'")
    if isinstance(images, str | os.PathLike):
        sources: list[Path | Image.Image] = [*find_images(images)]
    else:
        pictures = images if isinstance(images, Sequence) else [images]
        sources = []
        for one in pictures:
            if isinstance(one, str | os.PathLike):
                sources += find_images(one)
            else:
                sources.append(one if isinstance(one, Image.Image) else _picture(one))
    if not sources:
        raise ValueError('no images to embed')
    vit, preprocessing = load_encoder(checkpoint, **stated)
    how = FeatureOptions(
        tokens=(token,),
        blocks=(),
        size=size,
        batch_size=batch_size,
        workers=workers,
        device=str(find_device(device)),
    )
    (features,) = compute_features(vit, preprocessing, sources, how).values()
    return features


def _picture(pixels: Any) -> 'Image':
    from PIL import Image

    kind = getattr(pixels, 'dtype', type(pixels).__name__)
    shape = tuple(getattr(pixels, 'shape', ()))
    if str(kind) != 'uint8' or len(shape) != 3 or shape[2] != 3:
        raise ValueError(
            f'an image is {kind} of shape {shape}: expected a file, a PIL image or a uint8 array '
            '(H, W, 3) in RGB'
        )
    return Image.fromarray(pixels)


def load_encoder(
    checkpoint: str | os.PathLike[str], out_type: str = 'raw', **stated: Any
) -> 'tuple[VisionTransformer, Preprocessing]':
    """Return the plain ViT of any checkpoint with its weights, and how images are prepared for it.

    Args:
        checkpoint: Checkpoint of this project, MAE, timm, Hugging Face, ... (docs/checkpoints.md).
        out_type: What the module returns for a block: 'raw' (B, P + N, D), class tokens first
            (one, or SemanticMIM's proxies), 'cls_token' (B, D), their mean, or 'featmap'
            (B, D, h, w).
        **stated: What the file may not say: ``num_heads``, ``mean``, ``std``, ...

    Returns:
        The module in evaluation mode, and the preprocessing: ``preprocessing.transform()`` makes a
        (3, H, W) tensor of a PIL image.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no checkpoint of a plain ViT; the message lists the keys. Or what the
            caller states is unknown or cannot be.

    >>> import mmc2fmae
    >>> from PIL import Image
    >>> vit, preprocessing = mmc2fmae.load_encoder('work_dirs/c2fmae_mini_scenes/epoch_1.pth')
    >>> image = preprocessing.transform()(Image.new('RGB', (640, 480)))
    >>> (tokens,) = vit(image[None])  # the class token, then 8 x 8 patches
    >>> tokens.shape
    torch.Size([1, 65, 192])
    """
    from mmc2fmae.checkpoints import build_backbone
    from mmc2fmae.paths import expand_path

    return build_backbone(expand_path(checkpoint), out_type, **stated)
