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
        corruptions: Corruptions and severities to put on the prepared image, each alone; None is
            none. See :func:`corrupt`.
    """

    def __init__(
        self,
        folder: str | Path,
        names: Sequence[str],
        labels: Sequence[int],
        pipeline: Sequence[dict],
        corruptions: Sequence[tuple[str, int] | None] = (None,),
    ) -> None:
        self.folder, self.names, self.labels = Path(folder), names, labels
        self.pipeline, self.corruptions = pipeline, corruptions

    @cached_property
    def transforms(self) -> list[Callable[[dict], dict]]:
        """The pipeline, built; corruptions come just before the packing, which is its last step."""
        return [TRANSFORMS.build(dict(step)) for step in self.pipeline]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> list[dict]:
        """Return ``inputs`` (3, H, W) and ``data_samples`` of an image, for each corruption.

        The file is read and prepared once.

        Raises:
            RuntimeError: The image cannot be read or prepared; the message names the file.
        """
        path = self.folder / self.names[index]
        sample = dict(img_path=str(path), gt_label=self.labels[index])
        *prepare, pack = self.transforms
        try:
            for transform in prepare:
                sample = transform(sample)
            return [
                pack(self._corrupted(sample, one, self.names[index])) for one in self.corruptions
            ]
        except Exception as error:
            raise RuntimeError(f'{path}: {type(error).__name__}: {error}') from error

    def _corrupted(self, sample: dict, corruption: tuple[str, int] | None, key: str) -> dict:
        if corruption is None:
            return sample
        rgb = corrupt(sample['img'][..., ::-1], *corruption, key=key)  # mmcv reads BGR
        return dict(sample, img=np.ascontiguousarray(rgb[..., ::-1]))


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
