"""The published models: which by default, what a folder must hold, how one is loaded and named."""

import json
import re
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch

from mmc2fmae.checkpoints.finding import FOLDER_WEIGHTS
from mmc2fmae.files import file_sha256
from mmc2fmae.texts import read_text

DETECTOR = 'IDEA-Research/grounding-dino-base'
SEGMENTER = 'syscv-community/sam-hq-vit-huge'
SEMANTIC = 'facebook/mask2former-swin-large-coco-panoptic'

SEEM = 'seem:'
"""What a specification of a SEEM checkout starts with, see :func:`seem_files`."""
SEEM_CONFIG = 'configs/seem/focall_unicl_lang_v1.yaml'

_INDICES = tuple(f'{name}.index.json' for name in FOLDER_WEIGHTS)  # of weights in several files
_PROCESSORS = ('processor_config.json', 'preprocessor_config.json')


class ModelError(ValueError):
    """A model that cannot be used: the message names what is missing and the fix."""


class UnusableOutput(ValueError):
    """A model gave no numbers for a photograph.

    Args:
        what: What is not finite.
        index: Place of the photograph in the call.
    """

    def __init__(self, what: str, index: int) -> None:
        super().__init__(
            f'{what} of photograph {index} of this call are not finite: the numbers overflowed, '
            'use bfloat16 instead of float16 or no mixed precision'
        )
        self.index = index


def import_transformers() -> ModuleType:
    """Import transformers, which only labelling needs.

    Raises:
        ModelError: It is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            f'labelling needs the package transformers ({error}): '
            "python -m pip install -e '.[labeling]'"
        ) from error
    transformers.utils.logging.disable_progress_bar()  # one for each set of weights
    return transformers


def model_folder(model: str) -> Path:
    """Return the folder of a model, downloaded where it is named by its hub id.

    Weights in safetensors are preferred. A repository without them, such as the default semantic
    model, gives its ``pytorch_model.bin``, which transformers unpickles weights-only.

    Args:
        model: Folder, or id on the Hugging Face hub (``owner/name``).

    Raises:
        ModelError: There is no such folder, and no such repository in reach.
    """
    if Path(model).is_dir():
        return Path(model)
    if not re.fullmatch(r'\w[\w.-]*/[\w.-]+', model):
        raise ModelError(f'{model} is no folder, and no hub id (owner/name) either')
    import_transformers()  # brings huggingface_hub
    from huggingface_hub import snapshot_download

    patterns = ['*.json', '*.txt', '*.safetensors']
    try:
        folder = Path(snapshot_download(model, allow_patterns=patterns))
        if not _weights(folder):
            folder = Path(snapshot_download(model, allow_patterns=[*patterns[:2], '*.bin']))
    except Exception as error:  # the hub's client has a class of its own for each way to fail
        raise ModelError(
            f'{model} is no folder, and cannot be had from the hub ({type(error).__name__}: '
            f'{str(error).splitlines()[0]}). Without network, copy the repository to this machine '
            'and give its folder; where it lies in the cache already, set HF_HUB_OFFLINE=1'
        ) from error
    return folder


def _weights(folder: Path) -> list[Path]:
    """Return the files of weights in a folder, the ones that transformers would load."""
    for name, index in zip(FOLDER_WEIGHTS, _INDICES, strict=True):
        if (folder / name).is_file():
            return [folder / name]
        if (folder / index).is_file():
            parts = json.loads(read_text(folder / index))['weight_map'].values()
            return [folder / part for part in sorted(set(parts))]
    return []


def check_folder(folder: Path, model_type: str, tokenizer: bool = False) -> None:
    """Check that a folder holds a model of a type with all that belongs to it.

    Args:
        folder: Folder of the model.
        model_type: As in its ``config.json``.
        tokenizer: Whether it needs one.

    Raises:
        ModelError: Files are missing, or the model is of another type.
    """
    weights = _weights(folder)
    needed = {
        'config.json': (folder / 'config.json').is_file(),
        ' or '.join(FOLDER_WEIGHTS): bool(weights),
        ' or '.join(_PROCESSORS): any((folder / name).is_file() for name in _PROCESSORS),
        **{part.name: part.is_file() for part in weights},
    }
    if tokenizer:  # vocab.txt alone does not say where a token starts and ends
        needed['tokenizer.json'] = (folder / 'tokenizer.json').is_file()
    missing = [name for name, there in needed.items() if not there]
    if missing:
        raise ModelError(
            f'{folder} lacks {", ".join(missing)}: copy all files of the repository on the hub '
            '(or save_pretrained of model and processor)'
        )
    try:
        found = json.loads(read_text(folder / 'config.json'))['model_type']
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f'{folder}/config.json is damaged ({error!r})') from error
    if found.replace('-', '_') != model_type.replace('-', '_'):
        raise ModelError(f'{folder} is a model of type {found!r}, expected {model_type!r}')


class SeemFiles(NamedTuple):
    """What :class:`~mmc2fmae.labeling.semantics.SeemLabeller` is made of.

    Args:
        checkout: Folder of the SEEM repository, branch v1.0.
        weights: File of weights, e.g. ``seem_focall_v1.pt``.
        config: YAML file that the weights belong to.
    """

    checkout: Path
    weights: Path
    config: Path


def seem_files(spec: str) -> SeemFiles:
    """Read ``seem:CHECKOUT:WEIGHTS`` or ``seem:CHECKOUT:WEIGHTS:CONFIG``.

    Args:
        spec: The specification; CONFIG is relative to CHECKOUT, :data:`SEEM_CONFIG` by default.

    Raises:
        ModelError: It is written in another way, or a file is missing.
    """
    parts = spec.removeprefix(SEEM).split(':')
    if len(parts) not in (2, 3) or not all(parts):
        raise ModelError(f'{spec!r} is not of the form seem:CHECKOUT:WEIGHTS or ...:CONFIG')
    checkout = Path(parts[0])
    files = SeemFiles(checkout, Path(parts[1]), checkout / ([*parts, SEEM_CONFIG][2]))
    needed = (checkout / 'modeling' / 'BaseModel.py', files.weights, files.config)
    missing = [str(path) for path in needed if not path.is_file()]
    if missing:
        raise ModelError(
            f'missing: {", ".join(missing)}. CHECKOUT is a clone of branch v1.0 of '
            'github.com/UX-Decoder/Segment-Everything-Everywhere-All-At-Once, WEIGHTS comes from '
            'its README'
        )
    return files


def describe_model(model: str) -> dict[str, str]:
    """Say which model this is, for the record of what made a data set.

    Args:
        model: Folder, hub id, or specification of a SEEM checkout.

    Returns:
        ``name`` (of a folder its last part: records get published, paths need not), and
        ``revision`` (commit on the hub) or ``sha256`` (of the files of weights, one after the
        other).
    """
    if model.startswith(SEEM):
        weights = seem_files(model).weights
        return dict(name=SEEM + weights.name, sha256=file_sha256(weights))
    folder = model_folder(model)
    if Path(model).is_dir():
        return dict(name=Path(model).resolve().name, sha256=file_sha256(*_weights(folder)))
    return dict(name=model, revision=folder.name)


def batches(keys: Sequence[Hashable], size: int) -> Iterator[list[int]]:
    """Yield batches of indices with equal keys: nothing in a batch is padded for its neighbours.

    Args:
        keys: What must be equal within a batch, e.g. shapes.
        size: Most indices of a batch.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    for group in groups.values():
        for start in range(0, len(group), size):
            yield group[start : start + size]


class PublishedModel:
    """A model of transformers with its image processor, ready to be asked.

    Args:
        model: Folder or hub id.
        classes: Names of the classes of model and image processor in transformers.
        device: Where it runs.
        amp: Type of mixed precision, or None for float32.
        batch_size: Most images, or image and prompt pairs, at a time.
        tokenizer: Whether it has one.

    Raises:
        ModelError: The folder is not what is expected, or its weights do not fill the model.
    """

    def __init__(
        self,
        model: str,
        classes: tuple[str, str],
        device: str | torch.device,
        amp: torch.dtype | None,
        batch_size: int,
        tokenizer: bool = False,
    ) -> None:
        transformers = import_transformers()
        model_class, processor_class = (getattr(transformers, name) for name in classes)
        folder = model_folder(model)
        check_folder(folder, model_class.config_class.model_type, tokenizer)
        self.device, self.amp, self.batch_size = torch.device(device), amp, batch_size
        try:
            self.processor = processor_class.from_pretrained(folder)
            if tokenizer:
                # Said, since the default asks whether to run code that comes with the files.
                self.tokenizer = transformers.AutoTokenizer.from_pretrained(
                    folder, trust_remote_code=False
                )
            self.model, loading = model_class.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:  # damaged files raise anything
            raise ModelError(
                f'{folder} cannot be loaded, copy it again ({type(error).__name__}: {error})'
            ) from error
        # transformers draws missing weights at random, with a warning.
        lost = set(loading['missing_keys']) & {name for name, _ in self.model.named_parameters()}
        if lost:
            raise ModelError(
                f'{folder} lacks {len(lost)} weights of the model, e.g. '
                f'{", ".join(sorted(lost)[:3])}: its files do not belong together'
            )
        self.model.eval().to(self.device)

    def preprocess(self, images: Sequence[np.ndarray]) -> Any:
        """Return what the model's own processor makes of uint8 (h, w, 3) images, on the device."""
        # Said, not guessed: a strip of three pixels would be taken for channels.
        return self.processor(
            list(images), return_tensors='pt', device=self.device, input_data_format='channels_last'
        )

    def input_size(self, image: np.ndarray) -> tuple[int, int]:
        """Return the height and width to which the processor resizes an image.

        Images of one input size share a batch without padding, whatever their own shapes.

        Args:
            image: (h, w, 3).
        """
        size, own = self.processor.size, (image.shape[0], image.shape[1])
        if size.get('height') and size.get('width'):
            return size['height'], size['width']
        if size.get('shortest_edge') and size.get('longest_edge'):
            from transformers.image_transforms import get_size_with_aspect_ratio

            return get_size_with_aspect_ratio(own, size['shortest_edge'], size['longest_edge'])
        return own

    def autocast(self) -> torch.autocast:
        """Return the context of mixed precision."""
        return torch.autocast(self.device.type, self.amp, enabled=self.amp is not None)
