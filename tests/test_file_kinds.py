"""Files that are no checkpoints: said before torch or safetensors stumble over them."""

import gzip
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from mmc2fmae.checkpoints.files import read_file
from mmc2fmae.compat.checkpoints import load_from_local
from mmc2fmae.errors import CheckpointMismatch

WEIGHTS = {'norm.weight': torch.ones(3)}
POINTER = b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 343273528\n'


def content_of(write) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def archive(**members) -> bytes:
    def write(file):
        with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as made:
            for name, data in members.items():
                made.writestr(name.replace('__', '/'), data)

    return content_of(write)


def tar(file) -> None:
    with tarfile.open(fileobj=file, mode='w') as made:
        made.addfile(tarfile.TarInfo('epoch_1.pth'))


TORCH = content_of(lambda file: torch.save(WEIGHTS, file))
SAFETENSORS = save(WEIGHTS)
KINDS = {
    'empty': (b'', r'is empty \(0 bytes\)'),
    'pointer': (POINTER, 'a git-LFS pointer of a file of 343,273,528 bytes, .*git lfs pull'),
    'html': (b'<!DOCTYPE html><html><title>Sign in</title>', 'an HTML page'),
    'html after blanks': (b'\n\n  <html lang="en">', 'an HTML page'),
    'xml': (b'<?xml version="1.0"?><Error>AccessDenied</Error>', 'an HTML page'),
    'json': (b'{"message": "Not Found"}', 'JSON text'),
    'json list': (b'[{"url": ""}]', 'JSON text'),
    'gzip': (gzip.compress(TORCH), 'a gzip archive: unpack it'),
    'tar': (content_of(tar), 'a tar archive: unpack it'),
    'zip': (archive(photographs__1='x', readme='y'), 'a zip archive of photographs/1, readme'),
    'zip of nothing': (archive(), 'a zip archive of nothing'),
    'npz': (content_of(lambda f: np.savez(f, a=np.ones(3))), r'a zip archive of a\.npy'),
    'npy': (content_of(lambda f: np.save(f, np.ones(3))), 'a NumPy array'),
    'picture': (content_of(lambda f: Image.new('RGB', (8, 8)).save(f, 'JPEG')), 'a picture'),
    'hdf5': (b'\x89HDF\r\n\x1a\n' + b'\0' * 99, 'an HDF5 file'),
    'pdf': (b'%PDF-1.7', 'a PDF'),
    'script': (archive(**{'x__data.pkl': '', 'x__constants.pkl': ''}), 'a TorchScript program'),
    'bomb': (archive(**{'x__data.pkl': b'\0' * 30_000_000}), 'bytes that unpack to 30,000,000'),
}


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
@pytest.mark.parametrize('kind', KINDS)
def test_what_a_file_is_is_said_in_one_line(kind, suffix, tmp_path):
    data, message = KINDS[kind]
    if kind == 'bomb' and suffix == '.safetensors':
        message = 'of torch.save'
    path = tmp_path / f'x{suffix}'
    path.write_bytes(data)
    for read in (read_file, lambda p: load_from_local(str(p))):  # ours, and mmengine's
        with pytest.raises(CheckpointMismatch, match=rf'x{suffix} is no readable.*{message}') as e:
            read(path)
        assert '\n' not in str(e.value)


def test_weights_under_the_suffix_of_the_other_format_are_told_apart(tmp_path):
    (tmp_path / 'x.pth').write_bytes(SAFETENSORS)
    (tmp_path / 'y.safetensors').write_bytes(TORCH)
    for read in (read_file, lambda p: load_from_local(str(p))):
        with pytest.raises(CheckpointMismatch, match=r'safetensors: rename it to x\.safetensors'):
            read(tmp_path / 'x.pth')
        with pytest.raises(CheckpointMismatch, match=r'of torch\.save: rename it to \.pth'):
            read(tmp_path / 'y.safetensors')


@pytest.mark.parametrize(('suffix', 'data'), [('.pth', TORCH), ('.safetensors', SAFETENSORS)])
def test_every_truncation_is_refused(suffix, data, tmp_path):
    path = tmp_path / f'x{suffix}'
    for length in range(0, len(data), max(len(data) // 40, 1)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointMismatch, match=rf'x{suffix} is no readable checkpoint'):
            read_file(path)
    path.write_bytes(data)
    assert read_file(path).weights.keys() == WEIGHTS.keys()


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_weights_that_are_not_finite_are_refused_by_name(value, dtype, tmp_path):
    weights = {'a': torch.ones(3), 'b.weight': torch.tensor([1, value, 2], dtype=dtype)}
    torch.save(dict(state_dict=weights), tmp_path / 'x.pth')
    (tmp_path / 'x.safetensors').write_bytes(save(weights))
    for name in ('x.pth', 'x.safetensors'):
        with pytest.raises(CheckpointMismatch, match=rf'{name}: b\.weight has 1 of 3 numbers'):
            read_file(tmp_path / name)


def sharded(folder, suffix='safetensors', **changes):
    """A Hugging Face folder whose weights are in two files."""
    parts = {f'model-{i}-of-2.{suffix}': {f'{i}.weight': torch.full((2,), i)} for i in (1, 2)}
    for name, weights in parts.items():
        data = save(weights) if suffix == 'safetensors' else None
        if data is None:
            torch.save(weights, folder / name)
        else:
            (folder / name).write_bytes(data)
    places = {key: name for name, weights in parts.items() for key in weights} | changes
    stem = 'model.safetensors' if suffix == 'safetensors' else 'pytorch_model.bin'
    (folder / f'{stem}.index.json').write_text(json.dumps(dict(weight_map=places)))
    return folder


@pytest.mark.parametrize('suffix', ['safetensors', 'bin'])
def test_weights_in_several_files_are_read(suffix, tmp_path):
    weights = read_file(sharded(tmp_path, suffix)).weights
    assert {key: value.tolist() for key, value in weights.items()} == {
        '1.weight': [1, 1], '2.weight': [2, 2],
    }  # fmt: skip


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'x': 'gone.safetensors'}, r'1 of them are not there \(gone'),
        ({'x': 'model-1-of-2.safetensors'}, 'lists x, which its files lack'),
        ({'x': '../model-1-of-2.safetensors'}, 'lists no files beside it'),
        ({'x': 3}, 'lists no files beside it'),
    ],
)
def test_a_folder_of_several_files_must_be_whole(changes, message, tmp_path):
    with pytest.raises(CheckpointMismatch, match=rf'index\.json {message}|index\.json.*{message}'):
        read_file(sharded(tmp_path, **changes))


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.2, 0.1]


@pytest.mark.parametrize(
    'said',
    [
        dict(),
        dict(do_normalize=False),
        dict(do_rescale=False),
        dict(do_rescale=False, do_normalize=False),
        dict(rescale_factor=1 / 127.5),
        dict(rescale_factor=1 / 127.5, do_normalize=False),
        dict(do_rescale=True, do_normalize=True, rescale_factor=0.00392156862745098),
    ],
)
def test_a_processor_without_a_step_is_honoured(said, tmp_path):
    (tmp_path / 'model.safetensors').write_bytes(SAFETENSORS)
    (tmp_path / 'config.json').write_text('{}')
    processor = dict(image_mean=MEAN, image_std=STD) | said
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(processor))
    stated = read_file(tmp_path).stated
    pixels = np.array([0.0, 51.0, 255.0])  # of three channels
    expected = (
        pixels * said.get('rescale_factor', 1 / 255) if said.get('do_rescale', True) else pixels
    )
    if said.get('do_normalize', True):
        expected = (expected - MEAN) / STD
    got = (pixels / 255 - stated['mean']) / stated['std']
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    'said', [dict(do_rescale='no'), dict(rescale_factor=0), dict(do_normalize=3)]
)
def test_a_processor_of_strange_types_is_refused(said, tmp_path):
    (tmp_path / 'model.safetensors').write_bytes(SAFETENSORS)
    (tmp_path / 'preprocessor_config.json').write_text(json.dumps(said))
    with pytest.raises(CheckpointMismatch, match=r'preprocessor_config\.json: do_rescale'):
        read_file(tmp_path)
