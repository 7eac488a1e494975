"""Images of the robustness sets: from class folders, corrupted on the fly where asked for."""

from collections.abc import Callable, Sequence
from functools import cached_property
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from mmpretrain.registry import TRANSFORMS
from torch.utils.data import Dataset

LIBRARY = 'imagecorruptions-imaug'


class LabelledImages(Dataset):
    """Labelled image files behind a pipeline of mmpretrain.

    Args:
        folder: What the names are relative to.
        names: Paths of the images.
        labels: Class indices.
        pipeline: Transform configs, from ``LoadImageFromFile`` to ``PackInputs``.
        corruption: Corruption and severity to put on the prepared image, if any; see
            :func:`corrupt`.
    """

    def __init__(
        self,
        folder: str | Path,
        names: Sequence[str],
        labels: Sequence[int],
        pipeline: Sequence[dict],
        corruption: tuple[str, int] | None = None,
    ) -> None:
        self.folder, self.names, self.labels = Path(folder), names, labels
        self.pipeline, self.corruption = pipeline, corruption

    @cached_property
    def transforms(self) -> list[Callable[[dict], dict]]:
        """The pipeline, built; the corruption comes just before the packing."""
        *prepare, pack = (TRANSFORMS.build(dict(step)) for step in self.pipeline)
        return [*prepare, self._corrupt, pack]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        """Return ``inputs`` (3, H, W) and ``data_samples`` of an image.

        Raises:
            RuntimeError: The image cannot be read or prepared; the message names the file.
        """
        path = self.folder / self.names[index]
        sample = dict(img_path=str(path), gt_label=self.labels[index], name=self.names[index])
        try:
            for transform in self.transforms:
                sample = transform(sample)
        except Exception as error:
            raise RuntimeError(f'{path}: {type(error).__name__}: {error}') from error
        return sample

    def _corrupt(self, sample: dict) -> dict:
        if self.corruption:
            rgb = sample['img'][..., ::-1]  # mmcv reads BGR
            rgb = corrupt(rgb, *self.corruption, key=sample['name'])
            sample['img'] = np.ascontiguousarray(rgb[..., ::-1])
        return sample


def corrupt(image: np.ndarray, corruption: str, severity: int, key: str) -> np.ndarray:
    """Corrupt an image by the library's functions, which follow those of ImageNet-C.

    Args:
        image: (H, W, 3) uint8, RGB, at least 32 pixels a side.
        corruption: One of the 15 names.
        severity: 1 to 5.
        key: Name of the image; with corruption and severity it seeds every random draw, so that
            each start, process and worker makes the same image.

    Returns:
        (H, W, 3) uint8.
    """
    require_library()
    import imagecorruptions

    seed = int.from_bytes(sha256(f'{corruption}/{severity}/{key}'.encode()).digest()[:4], 'little')
    # Two functions draw from generators of their own, the others from NumPy's global one.
    own = dict(seed=seed) if corruption in ('impulse_noise', 'glass_blur') else {}
    state = np.random.get_state()
    np.random.seed(seed)
    try:
        return imagecorruptions.corrupt(np.ascontiguousarray(image), severity, corruption, **own)
    finally:
        np.random.set_state(state)


def require_library() -> str:
    """Return name and version of the library behind :func:`corrupt`.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return f'{LIBRARY} {version(LIBRARY)}'
    except PackageNotFoundError as error:
        raise ImportError(
            f"corrupting images on the fly needs a package: pip install '{LIBRARY}>=1.1.5' "
            "(or this project's extra 'corruptions')"
        ) from error
