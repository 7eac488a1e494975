"""Kinds of findings about a dataset: what each means and what to do."""

from typing import NamedTuple

from mmc2fmae.images.opening import LARGE_PIXELS


class Kind(NamedTuple):
    """A kind of finding.

    Args:
        title: What it is.
        advice: What follows from it and what to do.
        defect: Whether training fails or goes wrong; others are warnings.
    """

    title: str
    advice: str
    defect: bool


KINDS = {
    'photograph': Kind(
        'photograph cannot be read',
        'restore or remove the file, or train on usable.txt',
        True,
    ),
    'missing': Kind(
        'photograph without map',
        'finish the labelling with the same command, add the map, or train on usable.txt',
        True,
    ),
    'orphan': Kind(
        'map without photograph',
        'nothing reads it: restore the photograph, or remove the map',
        True,
    ),
    'twin': Kind(
        'photographs of one name',
        'names that differ by their suffix alone share one map: rename one of them',
        True,
    ),
    'map': Kind('map cannot be read', 'make the map again, or train on usable.txt', True),
    'size': Kind(
        'map and photograph differ in size',
        'a map has the size of the stored photograph, before any EXIF rotation: make it again',
        True,
    ),
    'ids': Kind(
        'instance ids are not 1, 2, 3, ... by falling area',
        'ids above the number of instances are dropped in training, so the largest objects must '
        'come first: renumber the map, or train with CanonicalInstances(rerank=True) and check '
        'with --rerank',
        True,
    ),
    'classes': Kind(
        'semantic ids outside the classes',
        'correct the map, or give the names of all classes',
        True,
    ),
    'temporary': Kind(
        'temporary file left by an interrupted run',
        'remove it when nothing is writing to the dataset',
        True,
    ),
    'manifest': Kind(
        'manifest and files disagree',
        'the maps are not those that the manifest describes: label again, or remove the manifest',
        True,
    ),
    'unlabelled': Kind(
        'photograph that could not be labelled',
        'it has no maps, which training refuses: train on usable.txt',
        False,
    ),
    'many': Kind(
        'more instances than the model has classes',
        'the smallest count as background in training',
        False,
    ),
    'empty': Kind('no instance', 'instance-guided masking has nothing to follow there', False),
    'unknown': Kind('no known semantic class', 'the semantic loss learns nothing there', False),
    'rotated': Kind(
        'photograph with an EXIF rotation',
        'the map must show the stored pixels, not the upright picture: training turns both alike',
        False,
    ),
    'turned': Kind(
        'photograph that EXIF data turn at the same size',
        'nothing tells whether its map shows the turned or the stored picture: write it anew with '
        '`tools/convert_dataset.py upright`, with --as-stored where the map fits the stored one',
        True,
    ),
    'huge': Kind(
        f'photograph of more than {LARGE_PIXELS / 1e6:.0f} million pixels',
        'each epoch decodes it whole: make it smaller',
        False,
    ),
    'dark': Kind(
        'photograph that is nearly black',
        'its pixels have fewer bits than the file says, 10, 12 or 14 of 16: multiply them up to '
        '65,535, or save 8 bits',
        False,
    ),
    'frames': Kind(
        'photograph of several frames or pages',
        'the first alone is read: save each as a file of its own where the others count',
        False,
    ),
    'profile': Kind(
        'photograph with a colour profile other than sRGB',
        'its colours are read as they are stored: convert it to sRGB where colours matter',
        False,
    ),
    'edges': Kind(
        'ids that are nowhere two pixels wide, between other ids',
        'was the map resized by interpolation, which invents ids at edges? Resize maps by nearest '
        'neighbour',
        False,
    ),
    'palette': Kind(
        'a colour of the palettes stands for several class ids',
        'ids count, not colours: were the maps saved with a palette each? Save all with one',
        False,
    ),
    'unseen': Kind('class that no map has', 'expected? Else the ids are wrong', False),
    'single': Kind('all maps have one and the same class', 'there is nothing to tell apart', False),
}  # fmt: skip


class Finding(NamedTuple):
    """Something to know about a file.

    Args:
        kind: Key of :data:`KINDS`.
        file: Path relative to the dataset; empty where it concerns the whole of it.
        detail: What was seen.
    """

    kind: str
    file: str = ''
    detail: str = ''
