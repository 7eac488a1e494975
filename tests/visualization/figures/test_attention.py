import numpy as np
import pytest
import torch
from mmpretrain.models import VisionTransformer
from PIL import Image

from mmc2fmae.visualization.figures.attention import (
    Looks,
    attention_weights,
    choose_heads,
    draw_attention,
    look_at,
    parse_query,
    picture_of,
    query_map,
)
from tests.checkpoints.conftest import proxy_vit

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)


@pytest.fixture
def vit():
    torch.manual_seed(0)
    module = VisionTransformer(arch=ARCH, img_size=32, patch_size=8, out_type='raw')
    for parameter in module.parameters():
        parameter.data.normal_(std=0.2)
    module.eval()
    return module


@pytest.mark.parametrize('block', [0, 1, -1])
def test_the_weights_give_the_block_s_own_output(vit, block):
    images, layer = torch.randn(2, 3, 32, 32), vit.layers[block]
    caught = {}
    layer.attn.register_forward_hook(lambda _, args, out: caught.update(x=args[0], out=out))
    weights = attention_weights(vit, images, block)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 2, 17), atol=1e-6)
    values = layer.attn.qkv(caught['x'])[..., 48:].unflatten(2, (2, 12)).transpose(1, 2)
    mixed = (weights @ values).transpose(1, 2).flatten(2)
    assert torch.allclose(layer.attn.proj(mixed), caught['out'], atol=1e-5)
    assert not layer.attn.qkv._forward_hooks


def test_a_block_that_is_not_there_is_named(vit):
    with pytest.raises(ValueError, match='no block 3: the ViT has blocks 0 to 2'):
        attention_weights(vit, torch.randn(1, 3, 32, 32), 3)


@pytest.mark.parametrize('text', ['4,0', '0,6', '-1,0'])
def test_a_query_outside_of_the_grid_is_refused(text):
    with pytest.raises(ValueError, match=r'outside of the 4 x 6 patches: rows are 0 to 3'):
        parse_query(text, (4, 6))


def test_queries():
    assert [parse_query(text, (4, 6)) for text in ('cls', 'mean', '3,5')] == ['cls', 'mean', (3, 5)]
    with pytest.raises(ValueError, match='ROW,COLUMN'):
        parse_query('centre', (4, 6))


def test_a_map_is_relative_to_even_attention():
    weights = torch.zeros(1, 5, 5)
    weights[0, 0] = torch.tensor([0.2, 0.8, 0, 0, 0])  # the class token's, to itself 0.2
    weights[0, 1:] = torch.tensor([0.5, 0.2, 0.1, 0.1, 0.1])
    weights[0, 4] = torch.tensor([0, 0, 0, 0, 1.0])
    grid = (2, 2)
    assert query_map(weights, 'cls', grid, grid)[0].tolist() == [[4, 0], [0, 0]]
    assert query_map(weights, (1, 1), grid, grid)[0].tolist() == [[0, 0], [0, 4]]
    # Mean over patches: (3 * [.2 .1 .1 .1] + [0 0 0 1]) / 4 = [.15 .075 .075 .325], mean .15625
    mean = torch.tensor([[0.96, 0.48], [0.48, 2.08]])
    assert torch.allclose(query_map(weights, 'mean', grid, grid)[0], mean)


def test_queries_of_several_class_tokens():
    weights = torch.zeros(1, 6, 6)  # two proxies, 2 x 2 patches
    weights[0, 0] = torch.tensor([0.2, 0.2, 0.6, 0, 0, 0])
    weights[0, 1] = torch.tensor([0.3, 0.3, 0, 0, 0, 0.4])
    weights[0, 2:] = torch.tensor([0.4, 0.4, 0, 0.2, 0, 0])
    weights[0, 3] = torch.tensor([0, 0, 0, 0, 1.0, 0])
    grid = (2, 2)
    assert parse_query('proxy:1', grid) == 1
    assert torch.allclose(query_map(weights, 0, grid, grid)[0], torch.tensor([[4.0, 0], [0, 0]]))
    assert torch.allclose(query_map(weights, 1, grid, grid)[0], torch.tensor([[0, 0], [0, 4.0]]))
    # Mean of [.6 0 0 0] and [0 0 0 .4]: [.3 0 0 .2], mean .125
    expected = torch.tensor([[2.4, 0], [0, 1.6]])
    assert torch.allclose(query_map(weights, 'cls', grid, grid)[0], expected)
    assert query_map(weights, (0, 1), grid, grid)[0].tolist() == [[0, 0], [4, 0]]
    for wrong in (2, -1):
        message = f'query proxy:{wrong}: the ViT has class tokens 0 to 1'
        with pytest.raises(ValueError, match=message):
            query_map(weights, wrong, grid, grid)
    with pytest.raises(ValueError, match='proxy:I'):
        parse_query('proxy:a', grid)


def test_a_file_with_proxies_looks_at_photographs(tmp_path):
    reference = proxy_vit(3)
    torch.save(reference.state_dict(), tmp_path / 'proxies.pth')
    photo = tmp_path / 'photo.png'
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(photo)
    looks = look_at(tmp_path / 'proxies.pth', [photo], 'name', size=48)
    assert looks.weights[0].shape == (2, 3 + 36, 3 + 36)
    page = draw_attention([looks], ['photo'], ['cls', 'proxy:2', '5,5'])
    notes = ' '.join(text.get_text().replace('\n', ' ') for text in page.figure.texts)
    assert 'from the class token, class token 2, the marked patches' in notes
    with pytest.raises(ValueError, match='query proxy:3: the ViT has class tokens 0 to 2'):
        draw_attention([looks], ['photo'], ['proxy:3'])


def test_another_grid_is_asked_at_the_same_place():
    weights = torch.eye(17)[None]  # every token looks at itself
    found = query_map(weights, (1, 0), (4, 4), asked=(2, 2))
    assert found[0].nonzero().tolist() == [[3, 1]]  # the patch at the centre of the asked one


def test_heads():
    maps = torch.tensor([[[1.0]], [[3.0]]])
    assert choose_heads(maps, 'mean')[0][1].item() == 2
    assert [(title, m.item()) for title, m in choose_heads(maps, '1')] == [('head 1', 3)]
    assert len(choose_heads(maps, 'each')) == 2
    for wrong in ('2', '-1', 'some'):
        with pytest.raises(ValueError, match='numbers from 0 to 1'):
            choose_heads(maps, wrong)


def test_heat_has_one_colour_a_patch():
    photo = np.zeros((8, 8, 3), np.uint8)
    picture = picture_of('heat', photo, torch.tensor([[0.0, 2.0], [1.0, 4.0]]), top=2.0)
    colours = [tuple(picture[4 * i, 4 * j]) for i in (0, 1) for j in (0, 1)]
    assert colours[0] == (68, 1, 84) and colours[1] == colours[3] == (253, 231, 37)  # viridis' ends
    assert (picture[:4, :4] == picture[0, 0]).all()


def test_a_figure_has_a_row_an_image_and_query_and_a_column_a_checkpoint():
    looks = [
        Looks(name, [torch.rand(2, 17, 17)] * 2, [np.zeros((32, 32, 3), np.uint8)] * 2, (4, 4))
        for name in 'ab'
    ]
    page = draw_attention(looks, ['x', 'y'], ['cls', '1,2'], styles=['overlay', 'heat'])
    assert sum(len(ax.images) for ax in page.figure.axes) == 2 * 2 * (1 + 2 * 2)
    texts = {text.get_text() for text in page.figure.texts}
    assert {'x, cls', 'x, 1,2', 'y, cls', 'y, 1,2', 'a', 'b'} <= texts


@pytest.mark.parametrize('size', [None, 48])
def test_a_checkpoint_looks_at_photographs(checkpoint, tmp_path, size):
    photo = tmp_path / 'photo.png'
    Image.new('RGB', (50, 40), (200, 100, 50)).save(photo)
    looks = look_at(checkpoint, [photo], 'name', size=size, num_heads=2)
    side = (size or 32) // 8
    assert looks.grid == (side, side) and looks.weights[0].shape == (2, side**2 + 1, side**2 + 1)
    assert (looks.photos[0] == (200, 100, 50)).all()
    with pytest.raises(ValueError, match='no multiple of the patch 8'):
        look_at(checkpoint, [photo], 'name', size=30, num_heads=2)
    photo.write_bytes(photo.read_bytes()[:60])
    with pytest.raises(ValueError, match='is no readable image'):
        look_at(checkpoint, [photo], 'name', num_heads=2)
