"""Which weights of a file are read: raw or averaged ones, under wrappers, of every precision."""

import pytest
import torch
from safetensors.torch import save_file

from mmc2fmae.checkpoints import read_backbone
from mmc2fmae.checkpoints.files import read_file
from mmc2fmae.checkpoints.wrappers import unwrap
from mmc2fmae.errors import CheckpointMismatch
from tests.checkpoints.conftest import timm_vit
from tests.checkpoints.test_backbone import saved

RAW, EMA = ({'norm.weight': torch.full((3,), value)} for value in (1.0, 2.0))
AVERAGED = {'module.norm.weight': EMA['norm.weight'], 'steps': torch.tensor(7)}
MMENGINE = dict(mmengine_version='0.10.7')

# Content, what is read by default, and the values of 'raw' and 'ema'.
BOTH = [
    (dict(model=RAW, model_ema=EMA), 1, 1, 2),  # DeiT
    (dict(state_dict=RAW, state_dict_ema=EMA, epoch=3), 1, 1, 2),  # timm
    (dict(student=RAW, teacher=EMA), 2, 1, 2),  # DINO
    (dict(model_state_dict=RAW, ema_model=AVERAGED), 1, 1, 2),
    (dict(state_dict=RAW, ema_state_dict=AVERAGED), 1, 1, 2),
    (dict(model=dict(state_dict=RAW), ema=dict(state_dict=EMA)), 1, 1, 2),
    # mmengine's EMAHook exchanges the two before it saves.
    (
        dict(
            meta=MMENGINE,
            state_dict=EMA,
            ema_state_dict={'module.norm.weight': RAW['norm.weight'], 'steps': torch.tensor(7)},
        ),
        2, 1, 2,
    ),
]  # fmt: skip


@pytest.mark.parametrize(('content', 'default', 'raw', 'ema'), BOTH)
def test_either_can_be_chosen_and_what_was_read_is_said(content, default, raw, ema, tmp_path):
    lines = []
    patch = pytest.MonkeyPatch()
    patch.setattr('mmc2fmae.checkpoints.wrappers.print_log', lambda text, _: lines.append(text))
    torch.save(content, tmp_path / 'x.pth')
    for which, value in ((None, default), ('raw', raw), ('ema', ema)):
        assert read_file(tmp_path / 'x.pth', which).weights['norm.weight'].tolist() == [value] * 3
        said = lines.pop()
        assert ('weights: averaged ones (EMA) of' in said) == (value == ema)
        assert f'(--weights {"raw" if value == ema else "ema"})' in said
    patch.undo()


@pytest.mark.parametrize('content', [RAW, dict(model=RAW), dict(state_dict=RAW, meta=MMENGINE)])
def test_weights_that_are_not_there_are_refused(content, tmp_path):
    torch.save(content, tmp_path / 'x.pth')
    with pytest.raises(CheckpointMismatch, match=r'x\.pth has one set of weights.*--weights ema'):
        read_file(tmp_path / 'x.pth', 'ema')
    assert read_file(tmp_path / 'x.pth', 'raw').weights.keys() == RAW.keys()


@pytest.mark.parametrize('name', ['x.pth', 'x.safetensors'])
def test_weights_of_no_kind_are_refused(tmp_path, name):
    save = save_file if name.endswith('.safetensors') else torch.save
    save(RAW, tmp_path / name)
    with pytest.raises(ValueError, match=r"^which is 'averaged': expected ema or raw weights$"):
        read_file(tmp_path / name, 'averaged')
    with pytest.raises(ValueError, match=r"^which is 'EMA'"):
        unwrap(dict(model=RAW, model_ema=EMA), which='EMA')


@pytest.mark.parametrize('prefix', ['', 'module.', '_orig_mod.', 'module._orig_mod.',
                                    '_orig_mod.module.backbone.', 'model.encoder.'])  # fmt: skip
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
def test_wrappers_and_half_precision_change_nothing(tmp_path, prefix, dtype):
    weights = {key: value.to(dtype) for key, value in timm_vit().state_dict().items()}
    wrapped = {prefix + key: value for key, value in weights.items()}
    found = read_backbone(saved(dict(state_dict=wrapped), tmp_path)).weights
    assert len(found) == len(weights)
    key = 'blocks.1.mlp.fc2.weight', 'layers.1.ffn.layers.1.weight'
    assert torch.equal(found[key[1]].float(), weights[key[0]].float())


@pytest.mark.parametrize('dtype', [torch.int8, torch.uint8, torch.int32, torch.float8_e4m3fn])
def test_quantised_weights_are_refused_by_name(tmp_path, dtype):
    weights = {key: (10 * value).to(dtype) for key, value in timm_vit().state_dict().items()}
    with pytest.raises(CheckpointMismatch, match=rf'checkpoint\.pth has 30 tensors of {dtype}'):
        read_backbone(saved(weights, tmp_path))


def test_weights_of_zeros_are_no_trained_ones(tmp_path):
    weights = {key: torch.zeros_like(value) for key, value in timm_vit().state_dict().items()}
    with pytest.raises(CheckpointMismatch, match='has zeros alone in patch_embed'):
        read_backbone(saved(weights, tmp_path))
