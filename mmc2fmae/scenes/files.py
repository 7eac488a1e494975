"""Write one scene in the real formats: JPEG, label PNGs, COCO annotations, ADE20K PNG."""

import os
import shutil
from hashlib import sha256
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as rle

from mmc2fmae.scenes.render import Scene, make_scene
from mmc2fmae.scenes.spec import THINGS, SceneSpec

SPLITS = ('train', 'val')
ADE_SPLITS = {'train': 'training', 'val': 'validation'}

_JPEG = (
    cv2.IMWRITE_JPEG_QUALITY,
    95,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,  # small pictures lose too much to halved colour
)
_PNG = (cv2.IMWRITE_PNG_COMPRESSION, 4)


class Written(NamedTuple):
    """What is known of a scene on disk.

    Args:
        name: File name of the image, relative to the folder of its split.
        size: Its height and width.
        annotations: COCO annotations without `id` and `image_id`.
        hashes: Path relative to the dataset and SHA-256 of each file.
    """

    name: str
    size: int
    annotations: list[dict]
    hashes: list[tuple[str, str]]


def scene_at(spec: SceneSpec, seed: int, split: str, index: int) -> Scene:
    """The scene number `index` of a split, a function of these arguments alone.

    Labels are balanced: each run of len(THINGS) scenes holds every class once, shuffled.
    """
    code = SPLITS.index(split)
    block, place = divmod(index, len(THINGS))
    order = np.random.default_rng((seed, code, block, 1)).permutation(len(THINGS))
    return make_scene(spec, np.random.default_rng((seed, code, index, 0)), int(order[place]))


def make_folders(root: str) -> None:
    """Create the folders that `write_scene` writes to."""
    for split in SPLITS:
        for top in ('', 'instance', 'semantic'):
            for name in THINGS:
                os.makedirs(os.path.join(root, top, split, name))
        for kind in ('images', 'annotations'):
            os.makedirs(os.path.join(root, 'ade', kind, ADE_SPLITS[split]))
    os.makedirs(os.path.join(root, 'annotations'))


def write_scene(root: str, spec: SceneSpec, seed: int, split: str, index: int) -> Written:
    """Draw scene number `index` of a split and writes its files under `root`."""
    scene = scene_at(spec, seed, split, index)
    stem = f'{split}_{index:06d}'
    name = f'{THINGS[scene.label]}/{stem}'
    ade = f'ade/{{}}/{ADE_SPLITS[split]}/{stem}'
    photo = f'{split}/{name}.JPEG'
    contents = {
        photo: _encode('.jpg', cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR), _JPEG),
        f'instance/{split}/{name}.png': _encode('.png', scene.instance, _PNG),
        f'semantic/{split}/{name}.png': _encode('.png', scene.semantic, _PNG),
        # ADE20K's 0 is "other", which no pixel here is; its classes start at 1.
        ade.format('annotations') + '.png': _encode('.png', scene.semantic + np.uint8(1), _PNG),
    }
    hashes = []
    for path, content in contents.items():
        with open(f'{root}/{path}', 'wb') as file:
            file.write(content)
        hashes.append((path, sha256(content).hexdigest()))
    twin = ade.format('images') + '.jpg'
    _link(f'{root}/{photo}', f'{root}/{twin}')
    hashes.append((twin, hashes[0][1]))
    return Written(f'{name}.JPEG', spec.size, coco_annotations(scene), hashes)


def coco_annotations(scene: Scene) -> list[dict]:
    """COCO annotations of a scene's instances, by id, without `id` and `image_id`.

    Masks are compressed run lengths with text counts, boxes are x, y, width, height in pixels,
    category ids are the index in `THINGS` plus 1.
    """
    ids = np.arange(1, len(scene.categories) + 1, dtype=np.uint8)
    masks = np.asfortranarray(scene.instance[..., None] == ids).view(np.uint8)
    runs = rle.encode(masks)
    areas, boxes = rle.area(runs), rle.toBbox(runs)
    return [
        {
            'category_id': category + 1,
            'segmentation': {'size': run['size'], 'counts': run['counts'].decode('ascii')},
            'area': int(area),
            'bbox': [int(x) for x in box],
            'iscrowd': 0,
        }
        for category, run, area, box in zip(scene.categories, runs, areas, boxes, strict=True)
    ]


def coco_file(scenes: list[Written], split: str) -> dict:
    """The content of a COCO instances file for the scenes of a split, in order."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes, 1):
        images.append(
            {'id': number, 'file_name': scene.name, 'width': scene.size, 'height': scene.size}
        )
        for annotation in scene.annotations:
            head = {'id': len(annotations) + 1, 'image_id': number}
            annotations.append(head | annotation)
    return {
        'info': {'description': f'mmc2fmae built-in scenes, {split}'},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': [
            {'id': k, 'name': name, 'supercategory': 'thing'} for k, name in enumerate(THINGS, 1)
        ],
    }


def _encode(kind: str, array: np.ndarray, options: tuple[int, ...]) -> bytes:
    good, content = cv2.imencode(kind, array, options)
    if not good:
        raise RuntimeError(f'OpenCV {cv2.__version__} could not encode a {kind} of {array.shape}')
    return content.tobytes()


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # the file system has no hard links
        shutil.copyfile(source, target)
