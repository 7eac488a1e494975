"""A model and a sample under given settings: masks, pictures, losses and attention."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from mmpretrain.registry import TRANSFORMS
from torch import Tensor

from mmc2fmae.errors import CheckpointMismatch
from mmc2fmae.masking import count_hidden
from mmc2fmae.visualization.colours import label_palette, legend_of, semantic_palette
from mmc2fmae.visualization.figures.attention import attention_weights, picture_of, query_map
from mmc2fmae.visualization.figures.autoencoder import Autoencoder, load_autoencoder, masking_of
from mmc2fmae.visualization.figures.granularities import fill_masked
from mmc2fmae.visualization.figures.inputs import (
    Sample,
    label_of,
    samples_of_dataset,
    samples_of_photographs,
)
from mmc2fmae.visualization.reconstruction import MASKED, hide_masked, to_picture
from mmc2fmae.web.settings import Settings, choose_counts, curriculum_of, draw_masks

NUM_EXAMPLES = 12
LEAST_SIDE = 224
"""Smaller pictures are enlarged by whole numbers, so that a browser does not blur their patches."""

Legend = list[tuple[str, tuple[int, ...]]]


@dataclass
class Scene:
    """A sample as the model reads it.

    Attributes:
        name: What it is called.
        present: Granularities that it has, rgb first.
        inputs: Batch of one; maps that it lacks are made up.
        attention: (heads, P + N, P + N) of the unmasked photograph, once it was asked for.
    """

    name: str
    present: list[str]
    inputs: dict[str, Tensor]
    attention: Tensor | None = field(default=None, repr=False)


@dataclass
class View:
    """What the page shows of a scene under some settings.

    Attributes:
        alphas: alpha_S and alpha_I of Eq. 10.
        shares: Share of the masked patches that each of ``STRATEGIES`` explains.
        objects_hidden: Whether no token of an object is visible; None without objects.
        visible: Visible tokens of each granularity.
        pictures: (S, S, 3) uint8 pictures ``visible``, ``predicted`` and ``original`` of each
            granularity; None where the sample has no map.
        losses: Loss of each task as in training, by granularity; None where there is no target or
            nothing is masked.
        legends: Names and colours of the ids that the pictures show, of each label granularity.
        attention: (S, S, 3) uint8 attention over the photograph.
        peak: The attention that has the lightest colour, in multiples of even attention.
    """

    alphas: tuple[float, float]
    shares: list[float]
    objects_hidden: bool | None
    visible: dict[str, int]
    pictures: dict[str, dict[str, np.ndarray | None]]
    losses: dict[str, dict[str, float | None]]
    legends: dict[str, Legend]
    attention: np.ndarray
    peak: float


class Study:
    """A pre-trained model whose views can be asked for from several threads.

    Args:
        autoencoder: The model and the config of its run.

    Raises:
        CheckpointMismatch: Its config masks nothing.
    """

    def __init__(self, autoencoder: Autoencoder) -> None:
        step = masking_of(autoencoder.cfg)
        if step is None:
            raise CheckpointMismatch(
                f'the config of {autoencoder.label} has no ProgressiveMasking in its pipeline: '
                'expected that of a pre-training'
            )
        self.autoencoder, self.model = autoencoder, autoencoder.model
        self.masking = TRANSFORMS.build(step)
        self.granularities, self.grid = autoencoder.granularities, autoencoder.grid
        names = dict(semantic=autoencoder.class_names, instance=('background',))
        self.names, self.palettes = {}, {}  # of the ids of every label granularity
        for name, number in self.model.data_preprocessor.num_classes.items():
            kind = 'object' if name == 'instance' else 'class'
            known = names.get(name, ())
            self.names[name] = (*known, *(f'{kind} {i}' for i in range(len(known), number)))
            self.palettes[name] = semantic_palette(known) if name == 'semantic' else label_palette()
        self._lock = Lock()

    @property
    def uploads(self) -> list[str]:
        """Granularities whose maps are files; others are made from them."""
        given = self.autoencoder.cfg.train_dataloader.dataset.get('data_prefix', self.granularities)
        return [name for name in self.granularities if name != 'rgb' and name in given]

    def read(self, name: str, files: dict[str, str]) -> Scene:
        """Read a sample through the transforms of the training, the centre square of it.

        Args:
            name: What it is called.
            files: File of rgb and of each map there is.

        Raises:
            SampleError: A file is unreadable, sizes differ, or ids are out of range.
        """
        inputs, absent = self.autoencoder.read([Sample(name, files)], ['rgb'])
        return Scene(name, [g for g in self.granularities if g not in absent], inputs)

    def view(self, scene: Scene, settings: Settings) -> View:
        """Mask, reconstruct and attend.

        Args:
            scene: The sample.
            settings: The controls.

        Raises:
            ValueError: The settings do not suit the sample.
        """
        rng = np.random.default_rng(settings.seed)
        alphas = curriculum_of(settings.strategy, self.masking.curriculum)(settings.t)
        num_patches = self.autoencoder.num_patches
        counts = choose_counts(
            settings,
            self.granularities,
            present=scene.present,
            num_patches=num_patches,
            concentration=self.masking.concentration,
            rng=rng,
        )
        present = {name: scene.inputs[name][0] for name in scene.present}
        cells = self.model.backbone.cells
        drawn, shares = draw_masks(
            self.masking, alphas, counts=counts, inputs=present, cells=cells, rng=rng
        )
        hidden = None
        if 'instance' in present:
            maps = present['instance'].numpy()[None]
            count, number = count_hidden(maps, [mask[None] for mask in drawn.values()])
            hidden = bool(count) if number else None
        masks = {name: torch.from_numpy(mask)[None] for name, mask in drawn.items()}
        with self._lock, torch.no_grad():
            predicted, losses = self._reconstruct(scene.inputs, masks, settings.target_stats)
            weights = self._attention(scene)
        pictures = {
            name: self._pictures(name, scene, masks[name][0], predicted[name][0])
            for name in self.granularities
        }
        for name in self.granularities:
            if name not in scene.present or counts[name] == num_patches:
                losses[name] = dict.fromkeys(losses[name])
        attention, peak = self._attention_picture(weights, scene, settings.query)
        legends = {name: self._legend(name, scene, predicted[name]) for name in self.names}
        return View(
            alphas=alphas,
            shares=shares.tolist(),
            objects_hidden=hidden,
            visible=counts,
            pictures=pictures,
            losses=losses,
            legends=legends,
            attention=attention,
            peak=peak,
        )

    def _reconstruct(
        self, inputs: dict[str, Tensor], masks: dict[str, Tensor], target_stats: bool
    ) -> tuple[dict[str, Tensor], dict[str, dict[str, float | None]]]:
        """Predict, and compute the losses from the very features of the prediction."""
        caught, batch = [], dict(inputs=inputs, masks=masks)
        hook = self.model.neck.register_forward_hook(lambda _, __, output: caught.append(output))
        try:
            predicted = self.model.reconstruct(batch, target_stats)
        finally:
            hook.remove()
        data = self.model.data_preprocessor(batch)
        head = self.model.head
        values = head.loss(caught[0], data['inputs'], data['data_samples'])
        losses: dict[str, dict[str, float | None]] = {name: {} for name in self.granularities}
        for task, name in head.tasks.items():
            losses[name][task] = float(values[f'loss_{task}'])
        return predicted, losses

    def _attention(self, scene: Scene) -> Tensor:
        if scene.attention is None:
            image = self.model.data_preprocessor(dict(inputs=scene.inputs))['inputs']['rgb']
            scene.attention = attention_weights(self.model.backbone, image, -1)[0]
        return scene.attention

    def _attention_picture(
        self, weights: Tensor, scene: Scene, query: tuple[int, int] | int | None
    ) -> tuple[np.ndarray, float]:
        if isinstance(query, tuple) and not all(
            0 <= q < n for q, n in zip(query, self.grid, strict=True)
        ):
            raise ValueError(
                f'patch {query} is outside of the {self.grid[0]} x {self.grid[1]} patches'
            )
        values = query_map(weights, 'cls' if query is None else query, self.grid, self.grid).mean(
            dim=0
        )
        photo = enlarge(to_picture(scene.inputs['rgb'][0], self._side(scene)))
        peak = float(values.max())
        return picture_of('overlay', photo, values, peak), peak

    def _pictures(
        self, name: str, scene: Scene, mask: Tensor, predicted: Tensor
    ) -> dict[str, np.ndarray | None]:
        side, palette, original = self._side(scene), self.palettes.get(name), None
        target = scene.inputs[name][0] if name in scene.present else None
        filled = to_picture(predicted, side, palette)
        shown = np.full_like(filled, MASKED)
        if target is not None:
            original = to_picture(target, side, palette)
            filled = fill_masked(original, filled, mask)
            shown = hide_masked(original, mask)
            original = enlarge(original)
        return dict(visible=enlarge(shown), predicted=enlarge(filled), original=original)

    def _legend(self, name: str, scene: Scene, predicted: Tensor) -> Legend:
        ids = set(predicted.unique().tolist())
        if name in scene.present:
            ids |= set(scene.inputs[name].unique().tolist())
        return legend_of(sorted(ids), self.names[name], self.palettes[name])

    @staticmethod
    def _side(scene: Scene) -> int:
        return scene.inputs['rgb'].shape[-1]


def enlarge(picture: np.ndarray) -> np.ndarray:
    """Enlarge a (S, S, 3) picture pixel by pixel to at least :data:`LEAST_SIDE`."""
    times = -(-LEAST_SIDE // len(picture))
    return picture.repeat(times, 0).repeat(times, 1)


def open_study(
    source: str | Path, config: str | Path | None = None, data_root: str | Path | None = None
) -> Study:
    """Load the model of a pre-training run.

    Args:
        source: Checkpoint or work dir.
        config: Config of the run, in place of the one that the checkpoint carries.
        data_root: Folder of the data, in place of the config's.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointMismatch: There is no decoder in it, no config, or it is another kind of model.
    """
    autoencoder = load_autoencoder(source, label_of(source), config)
    if data_root:
        autoencoder.cfg.train_dataloader.dataset.data_root = str(data_root)
    return Study(autoencoder)


def find_examples(study: Study, images: Sequence[str | Path] | None = None) -> list[Sample]:
    """Choose the examples that the page offers.

    Args:
        study: The model; samples come evenly from its dataset.
        images: Photographs or folders of them in place of the dataset.

    Raises:
        FileNotFoundError: There are none.
    """
    if images:
        return samples_of_photographs(images)[:NUM_EXAMPLES]
    return samples_of_dataset(
        study.autoencoder.cfg.train_dataloader.dataset.to_dict(), NUM_EXAMPLES
    )
