"""Photographs of any suffix with their masks, for MMSegmentation.

Apart from the other data sets because MMSegmentation is loaded with it: a config imports it.
"""

import os

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmc2fmae.datasets.photograph_lists import require_unique_stems
from mmc2fmae.errors import DatasetError
from mmc2fmae.files import IMAGE_SUFFIXES, list_photographs


@DATASETS.register_module()
class SegmentationFolders(BaseSegDataset):
    """BaseSegDataset that reads the photographs of a folder whatever their suffix.

    A mask has the photograph's relative path but for the suffix. With ``ann_file``, the names in
    it are read with ``img_suffix``, as by BaseSegDataset.
    """

    def load_data_list(self) -> list[dict]:
        """List photographs and masks, sorted.

        Raises:
            DatasetError: There are no photographs, or two share one mask.
        """
        images, masks = self.data_prefix.get('img_path'), self.data_prefix.get('seg_map_path')
        if self.ann_file or not images:
            return super().load_data_list()
        names = list_photographs(images)
        if not names:
            raise DatasetError(
                f'{images} holds no photographs ({", ".join(IMAGE_SUFFIXES)}): set data_root and '
                'data_prefix=dict(img_path=...)'
            )
        require_unique_stems(images, names)
        common = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        return [
            dict(
                common,
                img_path=os.path.join(images, name),
                seg_fields=[],
                **({} if masks is None else
                   dict(seg_map_path=os.path.join(
                       masks, os.path.splitext(name)[0] + self.seg_map_suffix))),
            )
            for name in names
        ]  # fmt: skip
