import numpy as np
import pytest
import torch

from mmc2fmae.visualization.figures.autoencoder import load_autoencoder
from mmc2fmae.visualization.figures.granularities import (
    draw_cross_predictions,
    draw_masked_predictions,
    fill_masked,
    predict,
    random_masks,
    single_masks,
)
from mmc2fmae.visualization.figures.inputs import samples_of_dataset

NAMES = ('rgb', 'instance', 'semantic')


@pytest.fixture
def autoencoder(checkpoint):
    return load_autoencoder(checkpoint, 'ours')


@pytest.fixture
def samples(autoencoder):
    return samples_of_dataset(autoencoder.cfg.train_dataloader.dataset.to_dict(), 2)


def notes(page) -> str:
    return ' '.join(page.notes)


def pictures(page) -> list[np.ndarray]:
    return [ax.images[0].get_array() for ax in page.figure.axes]


def test_random_masks_share_the_budget():
    masks = random_masks(NAMES, 16, 12, np.random.default_rng(0), 1e6)
    assert [int((~mask).sum()) for mask in masks.values()] == [4, 4, 4]
    with pytest.raises(ValueError, match='49 visible tokens: expected 1 to 48'):
        random_masks(NAMES, 16, 49, np.random.default_rng(0), 1)


def test_one_granularity_is_seen_alone():
    masks = single_masks(NAMES, 16, 'instance', 5, np.random.default_rng(0))
    assert [int((~masks[name]).sum()) for name in NAMES] == [0, 5, 0]
    everything = single_masks(NAMES, 16, 'rgb', None, np.random.default_rng(0))
    assert not everything['rgb'].any() and everything['semantic'].all()
    with pytest.raises(ValueError, match="'depth': the model reads rgb, instance, semantic"):
        single_masks(NAMES, 16, 'depth', None, np.random.default_rng(0))
    with pytest.raises(ValueError, match='17 visible tokens of rgb: expected 1 to 16'):
        single_masks(NAMES, 16, 'rgb', 17, np.random.default_rng(0))


def test_predictions_fill_masked_patches_alone():
    original, predicted = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 9, np.uint8)
    filled = fill_masked(original, predicted, torch.tensor([True, False, False, True]))
    assert (filled[:2, :2] == 9).all() and (filled[:2, 2:] == 0).all()


def test_what_is_not_seen_does_not_change_label_predictions(autoencoder, samples):
    inputs, _ = autoencoder.read(samples, NAMES)
    masks = [single_masks(NAMES, 16, 'rgb', None, np.random.default_rng(0))] * 2
    others = inputs | {name: torch.full_like(inputs[name], 255) for name in NAMES[1:]}
    first, second = (predict(autoencoder, x, masks, True) for x in (inputs, others))
    assert all(torch.equal(first[name], second[name]) for name in NAMES)


def test_figure_4_shows_every_granularity_and_says_what_was_done_to_pixels(autoencoder, samples):
    page = draw_masked_predictions(autoencoder, samples, draws=2)
    assert len(pictures(page)) == 2 * 2 * 9
    assert '8 of 48 tokens' in notes(page) and "target patch's mean" in notes(page)
    raw = draw_masked_predictions(autoencoder, samples, draws=2, target_stats=False)
    assert 'raw normalised output' in notes(raw)
    assert (pictures(page)[0] == pictures(raw)[0]).all()  # the same masks
    assert (pictures(page)[1] != pictures(raw)[1]).any()


def test_more_tokens_than_in_training_are_said(autoencoder, samples):
    page = draw_masked_predictions(autoencoder, samples, num_visible=24)
    assert '24 of 48 tokens' in notes(page) and 'Trained with 8 of 48 tokens' in notes(page)


def test_masks_depend_on_the_seed_alone(autoencoder, samples):
    first, again, other = (
        pictures(draw_masked_predictions(autoencoder, samples, seed=seed)) for seed in (0, 0, 1)
    )
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_plain_pixels_need_no_word_about_statistics(autoencoder, samples):
    autoencoder.model.head.normalised = set()
    assert 'mean and deviation' not in notes(draw_masked_predictions(autoencoder, samples))


def test_figure_5_needs_no_maps(autoencoder, samples):
    photos = [sample._replace(files=dict(rgb=sample.files['rgb'])) for sample in samples]
    bare = draw_cross_predictions([autoencoder], photos)
    full = draw_cross_predictions([autoencoder], samples)
    assert len(pictures(bare)) == 2 * 3 and len(pictures(full)) == 2 * 5
    assert all((a == b).all() for a, b in zip(pictures(bare), pictures(full), strict=False))
    assert 'all of 16 tokens' in notes(full) and 'Trained with 8 of 48' in notes(full)


def test_figure_5_compares_checkpoints(autoencoder, samples):
    page = draw_cross_predictions([autoencoder, autoencoder], samples)
    assert len(pictures(page)) == 2 * (1 + 2 + 2 + 2)


def test_figure_6_shows_each_mask_alone(autoencoder, samples):
    page = draw_cross_predictions([autoencoder], samples, ['instance', 'semantic'], tokens=4)
    assert len(pictures(page)) == 2 * 9
    assert '4 of 16 tokens' in notes(page) and "target patch's mean" in notes(page)
    grey = (pictures(page)[0] == 170).all(-1).mean()
    assert grey == pytest.approx(12 / 16)
