"""A classifier whose answers are known by hand: it names the class of the nearest colour."""

import os
import signal
from pathlib import Path

import numpy as np
import torch
from mmengine.model import BaseModule
from mmpretrain.registry import MODELS
from PIL import Image

COLOURS = {
    'red': (255, 0, 0),
    'green': (0, 255, 0),
    'blue': (0, 0, 255),
    'white': (255, 255, 255),
    'black': (0, 0, 0),
}
"""Classes in the order of the outputs, which is not that of the alphabet."""

PAINTS = COLOURS | {'pink': (255, 160, 160)}

SIDE = 40


@MODELS.register_module()
class MeanColour(BaseModule):
    """Mean of each channel; kills its process in the forward pass number ``DIE_AT``, if set."""

    calls = 0

    def forward(self, x):
        type(self).calls += 1
        if os.environ.get('DIE_AT') == f'{os.environ.get("RANK")}:{type(self).calls}':
            os.kill(os.getpid(), signal.SIGKILL)
        return (x.mean((2, 3)),)


MODEL = """
custom_imports = dict(imports=['mmc2fmae', 'tests.evaluation.colours'])
default_scope = 'mmpretrain'
data_preprocessor = dict(mean=[0, 0, 0], std=[255, 255, 255], to_rgb=True)
model = dict(
    type='ImageClassifier',
    backbone=dict(type='MeanColour'),
    head=dict(type='LinearClsHead', num_classes=5, in_channels=3),
)
test_dataloader = dict(
    dataset=dict(pipeline=[dict(type='LoadImageFromFile'), dict(type='PackInputs')])
)
"""


def write_model(folder: Path, classes=tuple(COLOURS)) -> tuple[Path, Path]:
    """Write config and checkpoint of the nearest-colour classifier."""
    points = torch.tensor([COLOURS[name] for name in COLOURS]) / 255
    # |x - c|^2 is smallest where c x - |c|^2 / 2 is largest.
    weights = {'head.fc.weight': points, 'head.fc.bias': -(points**2).sum(1) / 2}
    config, checkpoint = folder / 'colours.py', folder / 'colours.pth'
    config.write_text(MODEL)
    meta = dict(dataset_meta=dict(classes=classes))
    torch.save(dict(state_dict=weights, meta=meta), checkpoint)
    return config, checkpoint


def paint(path: Path, colour: str) -> None:
    """Write a plain image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIDE, SIDE, 3), PAINTS[colour], np.uint8)).save(path)
