"""How mmengine and mmpretrain find other packages."""

import pkgutil

import mmengine

from mmc2fmae.compat import packages
from tests.compat.conftest import COMPAT_ALONE, COMPILED


def test_models_of_mmpretrain_import_beside_transformers(tmp_path, python):
    (tmp_path / 'transformers').mkdir()
    (tmp_path / 'transformers' / '__init__.py').touch()  # has nothing that mmpretrain looks for
    metadata = tmp_path / 'transformers-5.0.0.dist-info' / 'METADATA'
    metadata.parent.mkdir()
    metadata.write_text('Metadata-Version: 2.1\nName: transformers\nVersion: 5.0.0\n')

    use = 'import mmpretrain.models'
    assert python('-c', use, path=[tmp_path]).returncode == 1  # the gap is there
    filled = python('-c', COMPAT_ALONE + use, path=[tmp_path])
    assert filled.returncode == 0, filled.stderr


def test_a_config_of_another_package_is_found(tmp_path, python):
    config = tmp_path / 'config.py'
    config.write_text("_base_ = ['mmdet::_base_/default_runtime.py', "
                      "'mmseg::_base_/datasets/ade20k.py']\n")  # fmt: skip
    # mmengine.config comes first, as in a launcher that reads `custom_imports` from the config.
    code = (
        f'from mmengine.config import Config; {COMPAT_ALONE} c = Config.fromfile({str(config)!r});'
        'print(c.env_cfg.mp_cfg.mp_start_method, c.data_root)'
    )
    done = python('-c', code)
    assert done.stdout == 'fork data/ade/ADEChallengeData2016\n', done.stderr


def test_an_absent_package_is_reported_as_absent():
    assert mmengine.utils.is_installed('mmsegmentation')
    assert not mmengine.utils.is_installed('mmabsent')


def test_python_without_find_loader_still_learns_whether_mmcv_is_compiled(monkeypatch):
    monkeypatch.delattr(pkgutil, 'find_loader', raising=False)
    assert packages.restore_find_loader().state == 'filled in'
    assert mmengine.utils.dl_utils.mmcv_full_available() == COMPILED
    assert packages.restore_find_loader().state == 'ok'
