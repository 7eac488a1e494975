"""Semantic maps of photographs: what every pixel shows (III-A)."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import pil_to_tensor, resize

from mmc2fmae.checkpoints.files import read_state_dict
from mmc2fmae.label_ids import IGNORE, check_num_classes
from mmc2fmae.labeling.models import (
    SEEM,
    SEMANTIC,
    ModelError,
    PublishedModel,
    SeemFiles,
    UnusableOutput,
    batches,
    seem_files,
)
from mmc2fmae.preparation.layout import coco_panoptic_classes

LONG_SIDE = 640
"""Classes are decided at most at this size: 133 scores a pixel would fill the memory."""


class SemanticMap(NamedTuple):
    """Classes of an image's pixels.

    Args:
        labels: (h, w) uint8 class ids, 255 = unknown.
        score: Mean confidence of the pixels that have a class; 0 where none has.
    """

    labels: np.ndarray
    score: float


class SemanticLabeller(Protocol):
    """Names every pixel of images."""

    classes: tuple[str, ...]
    """Names of the ids from 0, at most 255."""

    def __call__(self, images: Sequence[np.ndarray]) -> list[SemanticMap]:
        """Label (h, w, 3) uint8 RGB images."""


def decided_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width at which the classes of an image are decided."""
    share = min(LONG_SIDE / max(height, width), 1)
    return max(round(height * share), 1), max(round(width * share), 1)


def class_evidence(
    class_logits: Tensor, mask_logits: Tensor, input_size: tuple[int, int], size: tuple[int, int]
) -> Tensor:
    """Sum what the queries of a mask classifier say (MaskFormer's semantic inference).

    s_c(x) = sum_q softmax(class_q)[c] * sigmoid(mask_q(x)), at the model's input size.

    Args:
        class_logits: (Q, C + 1), the last for 'no object'.
        mask_logits: (Q, h, w).
        input_size: Height and width of the model's input.
        size: Height and width of the result.

    Returns:
        (C, *size) evidence, 0 or more.
    """
    masks = _resize(mask_logits, input_size).sigmoid()
    evidence = torch.einsum('qc,qhw->chw', class_logits.softmax(dim=-1)[:, :-1], masks)
    return _resize(evidence, size)


def _resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return functional.interpolate(maps[None], size, mode='bilinear', align_corners=False)[0]


def decide(evidence: Tensor, min_confidence: float) -> tuple[Tensor, float]:
    """Give each pixel the class with most evidence.

    Its confidence is s_c / max(1, sum of s): the share of the class where the queries account for
    the pixel or more, and where they account for less, the rest counts for no class at all. It is
    no calibrated probability.

    Args:
        evidence: (C, h, w) s_c(x).
        min_confidence: Pixels with less become unknown.

    Returns:
        (h, w) uint8 ids, 255 = unknown, and the mean confidence of the others.
    """
    best, labels = evidence.max(dim=0)
    confidence = best / evidence.sum(dim=0).clamp(min=1)
    known = confidence >= min_confidence
    score = confidence[known].mean().item() if known.any() else 0.0
    return labels.to(torch.uint8).masked_fill(~known, IGNORE), score


def semantic_map(
    evidence: Tensor, size: tuple[int, int], min_confidence: float, index: int
) -> SemanticMap:
    """Decide the classes of an image and enlarge the map to it by nearest neighbour.

    Args:
        evidence: (C, h, w) at :func:`decided_size`.
        size: Height and width of the image.
        min_confidence: Pixels with less become unknown.
        index: Place of the image in the call.

    Raises:
        UnusableOutput: The evidence is not finite.
    """
    if not evidence.isfinite().all():
        raise UnusableOutput('class scores', index)
    labels, score = decide(evidence, min_confidence)
    labels = functional.interpolate(labels[None, None], size, mode='nearest-exact')[0, 0]
    return SemanticMap(labels.cpu().numpy(), score)


def _spelled_as_coco(names: Sequence[str]) -> tuple[str, ...]:
    """Return the 133 COCO panoptic names where these are the same in another spelling."""

    def letters(name: str) -> str:
        return ''.join(filter(str.isalnum, name.lower()))

    coco = coco_panoptic_classes()
    return coco if [*map(letters, names)] == [*map(letters, coco)] else tuple(names)


class Mask2FormerLabeller(PublishedModel):
    """Semantic maps by a Mask2Former of transformers.

    Args:
        model: Folder or hub id.
        device: Where it runs.
        amp: Type of mixed precision, or None for float32.
        batch_size: Most images at a time.
        min_confidence: Pixels below are unknown, see :func:`decide`.

    Attributes:
        classes: The model's own names, whatever it was trained on.
    """

    def __init__(
        self,
        model: str = SEMANTIC,
        device: str | torch.device = 'cpu',
        amp: torch.dtype | None = None,
        batch_size: int = 8,
        min_confidence: float = 0.0,
    ) -> None:
        classes = ('Mask2FormerForUniversalSegmentation', 'Mask2FormerImageProcessor')
        super().__init__(model, classes, device, amp, batch_size)
        self.min_confidence = min_confidence
        names = self.model.config.id2label
        check_num_classes('semantic', len(names))
        self.classes = _spelled_as_coco([names[i] for i in range(len(names))])

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[SemanticMap]:
        """Label (h, w, 3) uint8 RGB images.

        Raises:
            UnusableOutput: Scores of an image are not finite.
        """
        maps: dict[int, SemanticMap] = {}
        # The released processors stretch to one square; with others, equal sizes avoid padding.
        for batch in batches([self.input_size(image) for image in images], self.batch_size):
            pixels = self.preprocess([images[i] for i in batch])['pixel_values']
            with self.autocast():
                output = self.model(pixel_values=pixels)
            logits = output.class_queries_logits.float(), output.masks_queries_logits.float()
            for i, own, masks in zip(batch, *logits, strict=True):
                size = images[i].shape[:2]
                evidence = class_evidence(own, masks, pixels.shape[2:], decided_size(*size))
                maps[i] = semantic_map(evidence, size, self.min_confidence, i)
        return [maps[i] for i in range(len(images))]


SHORT_SIDE = 512
"""Short side of SEEM's input, as in the inference scripts of its authors."""


class SeemLabeller:
    """Semantic maps by SEEM, the paper's model, from a clone of its authors' repository.

    It needs a GPU and the packages of that repository (detectron2, deepspeed, ...), and was tested
    only against a stand-in for the repository that has the same modules and functions, never with
    the real one and its weights.

    Args:
        files: Clone, weights and config.
        device: Where it runs.
        amp: Type of mixed precision, or None for float32.
        batch_size: Most images at a time; only images of equal shapes share a batch.
        min_confidence: Pixels below are unknown, see :func:`decide`.

    Attributes:
        classes: The 133 COCO panoptic classes.

    Raises:
        ModelError: A package that SEEM needs is missing, or the weights do not fill the model.
    """

    def __init__(
        self,
        files: SeemFiles,
        device: str | torch.device = 'cuda',
        amp: torch.dtype | None = None,
        batch_size: int = 8,
        min_confidence: float = 0.0,
    ) -> None:
        self.device, self.amp, self.batch_size = torch.device(device), amp, batch_size
        self.min_confidence = min_confidence
        if self.device.type == 'cuda':
            torch.cuda.set_device(self.device)  # SEEM builds parts on the current GPU
        with _importable(files.checkout):
            load_options = import_module('utils.arguments').load_opt_from_config_files
            names = import_module('utils.constants').COCO_PANOPTIC_CLASSES
            # Not the repository's init_distributed: it would put every process on the first GPU.
            options = load_options([str(files.config)]) | dict(device=self.device)
            base = import_module('modeling.BaseModel').BaseModel
            self.model = base(options, import_module('modeling').build_model(options)).eval()
            self.model.to(self.device)
        core = self.model.model
        # Its from_pretrained may unpickle code, and leaves weights that are missing at random.
        lost, _ = core.load_state_dict(read_state_dict(files.weights), strict=False)
        lost = sorted(set(lost) & {name for name, _ in core.named_parameters()})
        if lost:
            raise ModelError(
                f'{files.weights} lacks {len(lost)} weights of the model of {files.config}, e.g. '
                f'{", ".join(lost[:3])}: give the config that belongs to the weights'
            )
        self.classes = _spelled_as_coco(names)
        core.semantic_on, core.instance_on, core.panoptic_on = True, False, False
        core.sem_seg_head.num_classes = len(names)
        with torch.inference_mode():
            core.sem_seg_head.predictor.lang_encoder.get_text_embeddings(
                [*names, 'background'], is_eval=True
            )

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray]) -> list[SemanticMap]:
        """Label (h, w, 3) uint8 RGB images.

        Raises:
            UnusableOutput: Scores of an image are not finite.
        """
        maps: dict[int, SemanticMap] = {}
        for batch in batches([image.shape for image in images], self.batch_size):
            height, width = decided_size(*images[batch[0]].shape[:2])
            inputs = [
                dict(image=self._pixels(images[i]), height=height, width=width) for i in batch
            ]
            with torch.autocast(self.device.type, self.amp, enabled=self.amp is not None):
                outputs = self.model(inputs)
            for i, output in zip(batch, outputs, strict=True):
                evidence = output['sem_seg'].float()  # s_c(x), as in class_evidence
                maps[i] = semantic_map(evidence, images[i].shape[:2], self.min_confidence, i)
        return [maps[i] for i in range(len(images))]

    def _pixels(self, image: np.ndarray) -> Tensor:
        # SEEM normalises by itself, from 0 to 255.
        small = resize(Image.fromarray(image), SHORT_SIDE, InterpolationMode.BICUBIC)
        return pil_to_tensor(small).to(self.device)


@contextmanager
def _importable(checkout: Path) -> Iterator[None]:
    """Let the modules of a SEEM checkout be imported.

    Raises:
        ModelError: A package that they need is missing, or other modules have their names.
    """
    taken = [
        name
        for name in ('modeling', 'utils')
        if (module := sys.modules.get(name))
        and checkout.resolve() not in Path(module.__file__ or '').resolve().parents
    ]
    if taken:
        raise ModelError(
            f'other modules named {", ".join(taken)} are imported already and hide those of '
            f'{checkout}: start Python elsewhere'
        )
    before = list(sys.path)
    sys.path.insert(0, str(checkout.resolve()))
    try:
        yield
    except ImportError as error:
        raise ModelError(
            f'SEEM needs a package that is not here ({error}): install what '
            f'{checkout}/assets/readmes/INSTALL.md lists, into an environment of its own'
        ) from error
    finally:
        sys.path[:] = before


def semantic_labeller(
    spec: str = SEMANTIC,
    device: str | torch.device = 'cpu',
    amp: torch.dtype | None = None,
    batch_size: int = 8,
    min_confidence: float = 0.0,
) -> SemanticLabeller:
    """Return the labeller of a specification.

    Args:
        spec: Folder or hub id of a Mask2Former, or ``seem:CHECKOUT:WEIGHTS`` (see
            :func:`~mmc2fmae.labeling.models.seem_files`).
        device: Where it runs.
        amp: Type of mixed precision, or None for float32.
        batch_size: Most images at a time.
        min_confidence: Pixels below are unknown, see :func:`decide`.
    """
    if spec.startswith(SEEM):
        return SeemLabeller(seem_files(spec), device, amp, batch_size, min_confidence)
    return Mask2FormerLabeller(spec, device, amp, batch_size, min_confidence)
