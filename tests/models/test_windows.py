import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from mmc2fmae.models import FullPrecision, PlainViT
from mmc2fmae.models.windows import attend_in_windows, strips

ARCH = dict(embed_dims=24, num_layers=3, num_heads=2, feedforward_channels=48)
DENSE = dict(
    arch=ARCH, img_size=32, patch_size=8, out_type='featmap', out_indices=[0, 2], final_norm=False
)


def qkv(tokens: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 2, 2, tokens, 4, generator=torch.Generator().manual_seed(seed))


def vit(**options) -> PlainViT:
    torch.manual_seed(0)
    model = PlainViT(**DENSE, **options)
    model.init_weights()
    return model


def test_strips_are_whole_windows_and_a_narrow_rest():
    assert strips(14, 14) == [(0, 1, 14)]
    assert strips(50, 14) == [(0, 3, 14), (42, 1, 8)]
    assert strips(5, 14) == [(0, 1, 5)]


@pytest.mark.parametrize('extra', [0, 1, 2])
@pytest.mark.parametrize('grid', [(4, 4), (5, 7), (2, 9), (3, 2)])
def test_windows_equal_attention_under_a_mask(grid, extra):
    """Against global attention in which a mask forbids all keys of other windows."""
    height, width = grid
    q, k, v = qkv(extra + height * width)
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
    window = (rows // 3 * 100 + columns // 3).flatten()
    allowed = torch.ones(2 * [extra + len(window)], dtype=torch.bool)
    allowed[extra:, extra:] = window[:, None] == window
    expected = scaled_dot_product_attention(q, k, v, attn_mask=allowed)
    assert torch.allclose(attend_in_windows(q, k, v, grid, 3), expected, atol=1e-6)


def test_a_window_over_the_whole_image_is_global_attention():
    images = torch.randn(2, 3, 24, 40)
    windowed, plain = vit(window_size=5), vit()
    assert list(windowed.state_dict()) == list(plain.state_dict())
    for ours, expected in zip(windowed(images), plain(images), strict=True):
        assert ours.shape == (2, 24, 3, 5)
        assert torch.allclose(ours, expected, atol=1e-6)


def test_global_blocks_connect_windows():
    """Without one, a pixel of one window never reaches the features of another."""
    images = torch.zeros(1, 3, 32, 32)
    changed = images.clone()
    changed[..., :8, :8] = 1
    far = []
    for blocks in ([], [1]):
        model = vit(window_size=2, global_blocks=blocks)
        model.cls_token.requires_grad = False
        for layer in model.layers:  # close the path through the class token
            layer.attn.register_forward_hook(
                lambda module, inputs, out: torch.cat([0 * out[:, :1], out[:, 1:]], 1)
            )
            layer.ffn.register_forward_hook(
                lambda module, inputs, out: torch.cat([0 * out[:, :1], out[:, 1:]], 1)
            )
        model.eval()
        difference = (model(images)[-1] - model(changed)[-1]).abs()
        assert difference[..., 0, 0].max() > 1e-4
        far.append(float(difference[..., 3, 3].max().detach()))
    assert far[0] == 0
    assert far[1] > 1e-6


@pytest.mark.parametrize('windows', [{}, dict(window_size=2, global_blocks=[1])])
def test_checkpointing_changes_no_gradient(windows):
    """Also with drop path: the second computation drops the same paths."""
    images = torch.randn(4, 3, 40, 32)
    gradients, outputs = [], []
    for checkpointing in (False, True):
        model = vit(checkpointing=checkpointing, drop_path_rate=0.5, **windows)
        torch.manual_seed(5)
        out = model(images)[-1]
        out.square().mean().backward()
        outputs.append(out)
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert torch.equal(*outputs)
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-7), name


def test_checkpointing_keeps_less():
    def kept(model) -> int:
        sizes = {}

        def pack(x):
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            out = model(torch.randn(2, 3, 64, 64))
        assert out[0].requires_grad
        return sum(sizes.values())

    assert kept(vit(checkpointing=True)) < 0.5 * kept(vit())


def test_positions_follow_the_size_of_the_input():
    model = vit()
    seen = {}
    model.layers[0].register_forward_pre_hook(lambda m, args: seen.update(x=args[0]))
    model(torch.zeros(1, 3, 32, 64))
    positions = model.pos_embed[0, 1:].unflatten(0, (4, 4)).permute(2, 0, 1)
    expected = torch.nn.functional.interpolate(
        positions[None], size=(4, 8), mode='bicubic', align_corners=False
    )
    # zero images: a zero bias of the projection leaves the positions alone
    tokens = seen['x'][0, 1:].unflatten(0, (4, 8)).permute(2, 0, 1)
    assert torch.allclose(tokens, expected[0], atol=1e-6)


@pytest.mark.parametrize(
    'options', [dict(window_size=2, global_blocks=[3]), dict(global_blocks=[0]),
                dict(window_size=-1)],
)  # fmt: skip
def test_impossible_windows_are_refused(options):
    with pytest.raises(ValueError, match='blocks from 0 to 2'):
        vit(**options)


def test_full_precision_leaves_boxes_exact():
    (features,) = FullPrecision()([torch.zeros(1, 2, 3, 3, dtype=torch.bfloat16)])
    assert torch.tensor(1001.0).type_as(features) == 1001  # what mmdet does with boxes
