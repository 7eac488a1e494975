"""Constants that a command repeats, because their module is heavy, are those of that module."""

from mmc2fmae.checkpoints import export
from mmc2fmae.cli import browse, convert, convert_data, features, figures, label, labelling
from mmc2fmae.cli.parsing import Parser
from mmc2fmae.evaluation.features import TOKENS
from mmc2fmae.labeling import models
from mmc2fmae.labeling.instances import ThresholdSchedule
from mmc2fmae.labeling.labeller import MergeOptions
from mmc2fmae.preparation.converters import ADE_SPLITS
from mmc2fmae.preparation.ranking import MEASURES
from mmc2fmae.visualization.figures.page import WIDTH


def test_choices_are_those_of_the_code_behind():
    assert tuple(MEASURES) == browse.MEASURES
    assert convert.TARGETS == export.TARGETS
    assert tuple(ADE_SPLITS) == convert_data.ADE_SPLITS
    assert features.TOKENS == TOKENS
    assert figures.WIDTH == WIDTH
    assert tuple(labelling.AMP) == label.AMP


def test_labelling_starts_from_the_declared_settings():
    parser = Parser()
    label.add_arguments(parser)
    args = parser.parse_args(['images', 'out'])
    schedule = ThresholdSchedule(args.threshold, args.step, args.floor, args.min_detections)
    assert MergeOptions(schedule, min_area=args.min_area) == MergeOptions()
    assert (args.detector, args.segmenter, args.semantic) == (
        models.DETECTOR, models.SEGMENTER, models.SEMANTIC,
    )  # fmt: skip
