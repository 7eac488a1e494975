"""CocoDataset and CocoMetric of MMDetection, which check before they load and go by names.

MMDetection counts classes by the place of their category in the json. Two jsons, or a json and a
config, that list the same names in another order would swap them without a word.
"""

from collections.abc import Sequence

from mmdet.datasets import CocoDataset
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import DATASETS, METRICS

from mmc2fmae.errors import DatasetError
from mmc2fmae.preflight.boxes import check_coco, class_ids
from mmc2fmae.preflight.coco_json import read_coco, renumbered
from mmc2fmae.preflight.defects import Found


class CocoByName(COCO):
    """A COCO file that was read and checked, whose ids are those of the names asked for.

    Args:
        path: The file, for messages.
        content: What it holds.
    """

    def __init__(self, path: str, content: dict) -> None:
        super().__init__()
        self.path = path
        self.dataset = renumbered(content)
        self.createIndex()
        self.img_ann_map, self.cat_img_map = self.imgToAnns, self.catToImgs

    def get_cat_ids(
        self,
        cat_names: Sequence[str] = (),
        sup_names: Sequence[str] = (),
        cat_ids: Sequence[int] = (),
    ) -> list[int]:
        """Return category ids, of names in the order of the names."""
        if len(cat_names) and not len(sup_names) and not len(cat_ids):
            return class_ids(self.path, self.dataset['categories'], cat_names)
        return super().get_cat_ids(cat_names, sup_names, cat_ids)


@DATASETS.register_module(name='CocoDataset', force=True)
class CheckedCocoDataset(CocoDataset):
    """CocoDataset that is checked before it is loaded; ``found`` says what was found."""

    found: Found

    def load_data_list(self) -> list[dict]:
        """Load the annotations.

        Raises:
            DatasetError: The file is damaged, or does not fit images or classes.
        """
        masks = any(getattr(step, 'with_mask', False) for step in self.pipeline.transforms)
        coco = read_coco(self.ann_file, masks)
        self.found = check_coco(
            self.ann_file, self.data_prefix['img'], self.metainfo['classes'], masks, coco=coco
        )
        self.COCOAPI = lambda path: CocoByName(self.ann_file, coco.content)
        try:
            return super().load_data_list()
        finally:
            del self.COCOAPI


def _check_relatives() -> None:
    """Let the data sets of MMDetection that read such files as CocoDataset does be checked alike.

    Cityscapes, iSAID, V3Det and more; LVIS and panoptic files are others.
    """
    for name, kind in list(DATASETS.module_dict.items()):
        if (
            issubclass(kind, CocoDataset)
            and not issubclass(kind, CheckedCocoDataset)
            and (kind.load_data_list, kind.COCOAPI) == (CocoDataset.load_data_list, COCO)
        ):
            checked = type(name, (CheckedCocoDataset, kind), dict(__module__=__name__))
            globals()[name] = checked  # so that workers that are spawned find it
            DATASETS.register_module(name=name, module=checked, force=True)


_check_relatives()


@METRICS.register_module(name='CocoMetric', force=True)
class CheckedCocoMetric(CocoMetric):
    """CocoMetric that goes by the names of classes, as :class:`CheckedCocoDataset` does.

    Args:
        ann_file: COCO file of the truth; None takes what the data set hands on.
        metric: What is measured.
        **kwargs: Passed to :class:`mmdet.evaluation.CocoMetric`.

    Raises:
        DatasetError: The file is damaged.
    """

    def __init__(
        self, ann_file: str | None = None, metric: str | Sequence[str] = 'bbox', **kwargs
    ) -> None:
        super().__init__(None, metric, **kwargs)
        if ann_file is not None:
            content = read_coco(ann_file, 'segm' in self.metrics).content
            if kwargs.get('sort_categories'):
                content['categories'].sort(key=lambda category: category['id'])
            self._coco_api = CocoByName(ann_file, content)

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the metrics.

        Raises:
            DatasetError: Figures of single classes are asked for, which MMDetection looks up by
                the order of category ids, in another order than that of the classes.
        """
        if self.classwise and self._coco_api is not None:
            ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
            if ids != sorted(ids):
                raise DatasetError(
                    f'{self._coco_api.path}: classwise=True would mix up the classes, as the '
                    f'category ids of {self.dataset_meta["classes"]} are {ids}: give '
                    'metainfo=dict(classes=...) in the order of the ids, or classwise=False'
                )
        return super().compute_metrics(results)
