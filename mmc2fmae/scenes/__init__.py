"""Built-in scenes: a small multi-granular dataset, drawn by the machine, in real formats."""

from mmc2fmae.scenes.files import scene_at
from mmc2fmae.scenes.render import Scene, make_scene
from mmc2fmae.scenes.spec import PALETTE, STUFF, THINGS, SceneSpec
from mmc2fmae.scenes.store import write_scenes

__all__ = [
    'PALETTE',
    'STUFF',
    'THINGS',
    'Scene',
    'SceneSpec',
    'make_scene',
    'scene_at',
    'write_scenes',
]
