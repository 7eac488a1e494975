from math import exp

import numpy as np
import pytest
import torch
from PIL import Image

from mmc2fmae.datasets.image_folders import LabelsError
from mmc2fmae.evaluation import knn
from mmc2fmae.evaluation.features import FeatureOptions
from mmc2fmae.evaluation.knn import evaluate_knn, knn_votes, top_k_accuracy
from tests.checkpoints.conftest import timm_vit

TRAIN = torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.6, 0.8], [-1.0, 0.0]])
LABELS = torch.tensor([0, 1, 2, 1])


def test_votes_by_hand():
    # The query points along the first axis: similarities 1, 0, 0.6, -1. Three neighbours vote.
    votes = knn_votes(TRAIN, LABELS, torch.tensor([[5.0, 0.0]]), 3, k=3, temperature=0.5)
    expected = torch.tensor([[1, exp(-1 / 0.5), exp(-0.4 / 0.5)]])
    torch.testing.assert_close(votes, expected)


def test_votes_of_one_class_add_up():
    labels = torch.tensor([0, 1, 1, 1])
    votes = knn_votes(TRAIN, labels, torch.tensor([[0.0, 1.0]]), 2, k=4, temperature=1.0)
    expected = torch.tensor([[exp(-1), 1 + exp(-0.2) + exp(-1)]])
    torch.testing.assert_close(votes, expected)


@pytest.mark.parametrize('chunk', [1, 7, 64])
def test_blocks_change_nothing(chunk):
    generator = torch.Generator().manual_seed(0)
    train, queries = (torch.randn(n, 8, generator=generator) for n in (50, 20))
    labels = torch.randint(5, (50,), generator=generator)
    whole = knn_votes(train, labels, queries, 5, k=10)
    torch.testing.assert_close(knn_votes(train, labels, queries, 5, k=10, chunk=chunk), whole)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_votes_in_blocks_are_those_of_all_similarities_sorted(dtype):
    rng = np.random.default_rng(1)
    known, asked = (rng.normal(size=(n, 8)).astype(np.float32) for n in (301, 37))
    known, asked = torch.from_numpy(known).to(dtype), torch.from_numpy(asked).to(dtype)
    labels = rng.integers(0, 6, 301)
    votes = knn_votes(known, torch.from_numpy(labels), asked, 6, k=20, temperature=0.2, chunk=32)
    expected = np.zeros((37, 6))
    for row, query in enumerate(asked.double().numpy()):
        similar = [
            (query @ other / np.linalg.norm(query) / np.linalg.norm(other), label)
            for other, label in zip(known.double().numpy(), labels, strict=True)
        ]
        for similarity, label in sorted(similar, reverse=True)[:20]:
            expected[row, label] += exp((similarity - 1) / 0.2)
    assert votes.dtype == torch.float32
    np.testing.assert_allclose(votes.numpy(), expected, rtol=1e-4)


def test_features_are_never_copied_as_a_whole(monkeypatch):
    rows = []
    whole = knn.normalize
    monkeypatch.setattr(knn, 'normalize', lambda x, dim: rows.append(len(x)) or whole(x, dim=dim))
    knn_votes(torch.randn(100, 4), torch.arange(100) % 3, torch.randn(20, 4), 3, k=5, chunk=16)
    assert max(rows) == 16 and sum(rows) == 20 + 2 * 100  # the features once a block of queries


def test_too_few_neighbours_and_strange_labels_are_errors():
    with pytest.raises(ValueError, match='k is 5, but there are 4'):
        knn_votes(TRAIN, LABELS, TRAIN, 3, k=5)
    with pytest.raises(ValueError, match='from 0 to 2: expected 4 from 0 to 1'):
        knn_votes(TRAIN, LABELS, TRAIN, 2, k=1)
    for temperature in (0.0, -1.0, float('nan')):
        with pytest.raises(ValueError, match=r'temperature is .*: expected a number above 0'):
            knn_votes(TRAIN, LABELS, TRAIN, 3, k=1, temperature=temperature)


def test_accuracy_by_hand():
    votes = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 3.0, 1.0]])
    labels = torch.tensor([0, 1, 2])
    assert top_k_accuracy(votes, labels, 1) == pytest.approx(100 / 3)
    assert top_k_accuracy(votes, labels, 2) == pytest.approx(200 / 3)
    assert top_k_accuracy(votes, labels, 5) == 100  # there are only three classes


def test_a_class_without_a_vote_is_never_right():
    # Two neighbours of three classes: the third has no vote, whatever the temperature.
    for temperature in (10, 0.07, 1e-3):
        votes = knn_votes(TRAIN, LABELS, torch.tensor([[0.6, 0.8]]), 9, 2, temperature)
        assert (votes > 0).tolist() == [[False, True, True, *[False] * 6]]
        assert [top_k_accuracy(votes, torch.tensor([n]), 5) for n in (1, 2, 0, 8)] == [
            100, 100, 0, 0,
        ]  # fmt: skip


@pytest.fixture
def folders(tmp_path):
    """Red and blue pictures in class folders."""
    rng = np.random.default_rng(0)
    for split, count in (('train', 4), ('val', 2)):
        for name, channel in (('red', 0), ('blue', 2)):
            for i in range(count):
                pixels = rng.integers(0, 60, (32, 32, 3), dtype=np.uint8)
                pixels[..., channel] += 180
                path = tmp_path / split / name / f'{i}.png'
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    torch.save(timm_vit().state_dict(), tmp_path / 'vit.pth')
    return tmp_path


@pytest.mark.parametrize('token', ['mean', 'cls'])
def test_colours_are_told_apart_and_settings_reported(token, folders):
    options = FeatureOptions(tokens=(token,), workers=0)
    result = evaluate_knn(
        folders / 'vit.pth', folders / 'train', folders / 'val', options, k=3, temperature=0.1
    )
    assert result['top1'] == 100
    assert (result['train_images'], result['val_images'], result['classes']) == (8, 4, 2)
    assert (result['k'], result['temperature']) == (3, 0.1)
    assert result['features']['tokens'] == (token,)


def test_other_classes_and_too_few_images_stop_before_the_run(folders):
    arguments = folders / 'vit.pth', folders / 'train', folders / 'val', FeatureOptions()
    with pytest.raises(ValueError, match=r'k is 20, but .* holds 8 images'):
        evaluate_knn(*arguments)
    (folders / 'val/blue').rename(folders / 'val/green')
    with pytest.raises(LabelsError, match='green'):
        evaluate_knn(*arguments, k=3)


def test_what_makes_the_number_worthless_is_said(folders, capsys):
    options = FeatureOptions(tokens=('mean',), workers=0)
    train = folders / 'train'
    evaluate_knn(folders / 'vit.pth', train, train, options, k=3)
    assert 'warning: 8 of 8 photographs to validate on are trained on' in capsys.readouterr().out
    (folders / 'one/train/red').mkdir(parents=True)
    (train / 'red/0.png').rename(folders / 'one/train/red/0.png')
    with pytest.raises(ValueError, match='has one class: there is nothing to tell apart'):
        evaluate_knn(folders / 'vit.pth', folders / 'one/train', folders / 'one/train', options, 1)


def test_a_collapsed_encoder_is_no_result(folders):
    weights = timm_vit().state_dict()
    last = {key: torch.zeros_like(value) for key, value in weights.items() if key == 'norm.weight'}
    torch.save(weights | last, folders / 'vit.pth')
    options = FeatureOptions(tokens=('mean',), workers=0)
    with pytest.raises(ValueError, match='gives all 8 images of train the same features'):
        evaluate_knn(folders / 'vit.pth', folders / 'train', folders / 'val', options, k=3)
