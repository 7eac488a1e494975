import pickle

import pytest

from mmc2fmae.errors import SampleError

ERROR = SampleError(
    'map is 3 x 4, its photograph {photograph} is 4 x 4', 'b.png', 'make them equal', 'a.jpg'
)


def test_the_message_names_files_and_advice():
    assert str(ERROR) == ('b.png: map is 3 x 4, its photograph a.jpg is 4 x 4; make them equal')


def test_files_can_be_called_otherwise_or_left_out():
    names = {'a.jpg': 'cat.jpg', 'b.png': 'ids.png'}
    text = 'map is 3 x 4, its photograph cat.jpg is 4 x 4; make them equal'
    assert ERROR.told(names) == f'ids.png: {text}'
    assert ERROR.told(names, with_path=False) == text


def test_it_goes_from_process_to_process():
    copy = pickle.loads(pickle.dumps(ERROR))
    assert (str(copy), copy.path, copy.advice) == (str(ERROR), 'b.png', 'make them equal')


def test_a_message_alone_is_an_error_too():  # as torch builds those of its workers
    with pytest.raises(SampleError, match=r'^no sample \{photograph\}$'):
        raise SampleError('no sample {photograph}')
