"""The calls of docs/python.md, and the examples of their docstrings."""

import doctest

import numpy as np
import pytest
import torch
from PIL import Image

import mmc2fmae
from mmc2fmae import api
from mmc2fmae.checkpoints import export_backbone, read_backbone
from mmc2fmae.scenes import SceneSpec, write_scenes
from tests.checkpoints.conftest import timm_vit
from tests.conftest import ROOT


@pytest.fixture(scope='module')
def place(tmp_path_factory):
    """Return a folder with four scenes to train on and two to look at."""
    folder = tmp_path_factory.mktemp('place')
    write_scenes(folder / 'data/scenes', SceneSpec(), 4, 2, workers=1, quiet=True)
    return folder


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(timm_vit().state_dict(), tmp_path / 'vit.pth')
    return tmp_path / 'vit.pth'


class Shown(doctest.OutputChecker):
    """Compares what an example shows; where it shows nothing, a training logs all the same."""

    def check_output(self, want, got, flags):
        return not want or super().check_output(want, got, flags)


@pytest.mark.parametrize('name', ['train', 'embed', 'load_encoder'])  # the first makes a checkpoint
def test_the_examples_of_the_docstrings_run(place, monkeypatch, name):
    monkeypatch.chdir(place)
    (example,) = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs={})
    runner = doctest.DocTestRunner(Shown(), verbose=False)
    told = []
    runner.run(example, out=told.append)
    assert example.examples and runner.summarize(verbose=False).failed == 0, ''.join(told)


def test_files_pictures_and_arrays_have_the_same_features(checkpoint, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    how = dict(device='cpu', token='mean')
    one = mmc2fmae.embed(checkpoint, tmp_path / 'a.png', **how)
    several = [str(tmp_path / 'a.png'), Image.fromarray(pixels), pixels]
    assert one.shape == (1, 128)
    assert torch.equal(mmc2fmae.embed(checkpoint, several, **how), one.expand(3, -1))
    assert torch.equal(mmc2fmae.embed(checkpoint, pixels, **how), one)


def test_pictures_in_memory_are_read_as_files_are(checkpoint, tmp_path):
    """Turned by EXIF, 16-bit grey scaled, palettes and alpha converted: the same features."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 50, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / 'turned.png', exif=turned)
    Image.fromarray(rng.integers(0, 2**16, (40, 50), np.uint16)).save(tmp_path / 'deep.png')
    Image.fromarray(pixels).quantize(16).save(tmp_path / 'palette.png')
    Image.fromarray(np.dstack([pixels, pixels[..., 0]])).save(tmp_path / 'alpha.png')
    Image.fromarray(pixels[:1].repeat(40, 1)).save(tmp_path / 'long.png')  # 2,000 x 1
    how = dict(device='cpu', token='mean')
    vit, preprocessing = mmc2fmae.load_encoder(checkpoint)
    names = ['turned', 'deep', 'palette', 'alpha', 'long']
    files = mmc2fmae.embed(checkpoint, [tmp_path / f'{name}.png' for name in names], **how)
    for name, features in zip(names, files, strict=True):
        picture = Image.open(tmp_path / f'{name}.png')
        assert torch.equal(mmc2fmae.embed(checkpoint, [picture], **how)[0], features), name
        for given in (picture, picture if name == 'deep' else picture.convert('RGB')):
            with torch.no_grad():
                (tokens,) = vit(preprocessing.transform()(given)[None])
            assert torch.allclose(tokens[0, 1:].mean(0), features, atol=1e-5), name
    upright = Image.fromarray(np.rot90(pixels, 3))
    assert torch.equal(mmc2fmae.embed(checkpoint, [upright], **how)[0], files[0])


@pytest.mark.parametrize(
    'pixels',
    [np.zeros((4, 5, 3), np.float32), np.zeros((4, 5), np.uint8), np.zeros((2, 4, 5, 3), np.uint8),
     torch.zeros(3, 4, 5), 7],
)  # fmt: skip
def test_an_array_of_another_kind_is_refused(checkpoint, pixels):
    with pytest.raises(ValueError, match=r'expected a file, a PIL image or a uint8 array'):
        mmc2fmae.embed(checkpoint, [pixels], device='cpu')


def test_an_empty_path_is_not_this_folder(checkpoint):
    with pytest.raises(ValueError, match='the path of the images is empty'):
        mmc2fmae.embed(checkpoint, '')


def test_an_unknown_option_names_the_nearest(tmp_path):
    with pytest.raises(TypeError, match=r"no option 'cfg_option', did you mean cfg_options\?"):
        mmc2fmae.train('mmc2fmae::mini/demo.py', cfg_option={})
    with pytest.raises(FileNotFoundError, match=r'did you mean mmc2fmae::mini/demo\.py'):
        mmc2fmae.train('mini/demmo.py')
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mmc2fmae.trian  # noqa: B018


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(epochs=0), "epochs is '0': expected a number above 0"),
        (dict(lr=-1e-4), "lr is '-0.0001': expected a number above 0"),
        (dict(workers=1.5), "workers is '1.5': expected a whole number"),
        (dict(amp='int8'), "amp is 'int8': expected one of"),
        (dict(overwrite='no'), "overwrite is 'no': expected True or False"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_starts(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        mmc2fmae.train('mmc2fmae::mini/demo.py', work_dir=tmp_path / 'run', **options)
    assert not (tmp_path / 'run').exists()


def test_torch_hub_loads_the_encoder_from_the_checkout(checkpoint):
    vit = torch.hub.load(str(ROOT), 'c2fmae', source='local', checkpoint=str(checkpoint))
    mine, _ = mmc2fmae.load_encoder(checkpoint)
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(vit(images)[0], mine(images)[0])


def test_an_exported_folder_goes_to_the_hub_and_back(checkpoint, tmp_path, monkeypatch):
    transformers = pytest.importorskip('transformers')
    hub = pytest.importorskip('huggingface_hub')
    export_backbone(read_backbone(checkpoint), tmp_path / 'hf', 'huggingface')
    vit = transformers.ViTModel.from_pretrained(tmp_path / 'hf', add_pooling_layer=False).eval()
    mine, _ = mmc2fmae.load_encoder(checkpoint)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(vit(images).last_hidden_state, mine(images)[0], atol=1e-5)

    sent = {}
    monkeypatch.setattr(hub.HfApi, 'upload_folder', lambda self, **how: sent.update(how))
    hub.HfApi(token='none').upload_folder(repo_id='me/vit', folder_path=tmp_path / 'hf')
    assert {path.name for path in sent['folder_path'].iterdir()} == {
        'config.json', 'model.safetensors', 'preprocessor_config.json',
    }  # fmt: skip
    vit.save_pretrained(tmp_path / 'back')  # what push_to_hub uploads
    assert read_backbone(tmp_path / 'back').arch == read_backbone(checkpoint).arch
