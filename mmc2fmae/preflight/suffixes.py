"""Photographs of a segmentation set that its img_suffix leaves out."""

from collections import Counter
from pathlib import Path

from mmc2fmae.errors import DatasetError
from mmc2fmae.files import list_photographs


def photographs_left_out(dataset) -> list[str]:
    """Say how many photographs a data set of mmseg does not read because of their suffix.

    Args:
        dataset: BaseSegDataset.

    Returns:
        A line with the counts by suffix, none where a list names the photographs or all are read.

    Raises:
        DatasetError: All are.
    """
    folder = dataset.data_prefix.get('img_path')
    if dataset.ann_file or not folder or not Path(folder).is_dir():
        return []
    suffix = dataset.img_suffix
    names = list_photographs(folder)
    others = [name for name in names if not name.endswith(suffix)]
    if not others or len(dataset) == len(names):  # SegmentationFolders reads them all
        return []
    counts = Counter(Path(name).suffix for name in others)
    words = (
        f'{len(others)} photographs in {folder} do not end in {suffix} and are not read '
        f'({", ".join(f"{n} {s}" for s, n in counts.most_common())}): '
        "type='SegmentationFolders' in place of the data set's type reads all suffixes"
    )
    if not len(dataset):
        raise DatasetError(words)
    return [words]
