"""Evaluation halves its batch where memory runs out, and finds the same."""

import numpy as np
import pytest
import torch
from mmengine.structures import BaseDataElement

from mmc2fmae.engine.batches import batch_length, sample_names, take
from mmc2fmae.engine.halving import Halving

BATCHES = {
    'tensor': torch.arange(14.0).view(7, 2),
    'stacked': dict(inputs=torch.arange(7.0), path=list('abcdefg')),
    'listed': dict(inputs=list(torch.arange(14.0).view(7, 2)), data_samples=[*range(7)]),
    'granular': dict(inputs=dict(rgb=torch.rand(7, 3)), masks=dict(rgb=torch.rand(7, 4)), note='x'),
}


def rows(batch):
    """A list of a row a sample, whatever the batch."""
    if isinstance(batch, torch.Tensor):
        return batch.tolist()
    inputs = batch['inputs']['rgb'] if 'masks' in batch else batch['inputs']
    return [part.tolist() for part in inputs]


@pytest.mark.parametrize('name', BATCHES)
@pytest.mark.parametrize('fits', [1, 2, 3, 5, 7])
def test_results_do_not_depend_on_the_batch_that_fits(name, fits, capsys):
    batch, sizes = BATCHES[name], []

    def predict(part):
        sizes.append(batch_length(part))
        if sizes[-1] > fits:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return rows(part)

    halving = Halving(predict)
    assert halving(batch) == rows(batch)
    assert halving(batch) == rows(batch)
    assert sizes.count(7) == (2 if fits == 7 else 1)  # the whole is tried once
    assert capsys.readouterr().err.count('batch of 7') <= 1


@pytest.mark.parametrize('kind', ['tensor', 'mapping'])
def test_tensors_and_mappings_of_them_are_joined(kind):
    def predict(part):
        if len(part) > 3:
            raise torch.OutOfMemoryError('CUDA out of memory')
        return part + 1 if kind == 'tensor' else dict(cls=part + 1)

    found = Halving(predict)(BATCHES['tensor'])
    found = found if kind == 'tensor' else found['cls']
    np.testing.assert_array_equal(found, BATCHES['tensor'] + 1)


def test_one_sample_that_does_not_fit_is_an_error():
    def predict(part):
        raise torch.OutOfMemoryError('CUDA out of memory')

    with pytest.raises(torch.OutOfMemoryError):
        Halving(predict)(BATCHES['tensor'])


@pytest.mark.parametrize('name', BATCHES)
def test_parts_of_a_batch_have_its_structure(name):
    part = take(BATCHES[name], [6, 0])
    assert batch_length(part) == 2
    assert rows(part) == [rows(BATCHES[name])[6], rows(BATCHES[name])[0]]


def test_names_of_samples_come_from_either_structure():
    sample = BaseDataElement(metainfo=dict(img_path='b.jpg'))
    assert sample_names(dict(path=('a.jpg',))) == ['a.jpg']
    assert sample_names(dict(data_samples=[sample])) == ['b.jpg']
    assert sample_names({}) == []
