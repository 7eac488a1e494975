"""`python -m mmc2fmae.env` tells whether training can run, and what is missing when it cannot."""

import importlib
import json
import subprocess

import pytest
import torch

from mmc2fmae import compat, configs, env

HIDE = """
from importlib.machinery import PathFinder
search = PathFinder.find_spec
PathFinder.find_spec = classmethod(
    lambda cls, name, *rest: None if name == '{name}' else search(name, *rest)
)
"""


@pytest.fixture
def hide(tmp_path):
    """Return a function that makes a folder; on the path of a Python, it hides one package."""

    def make(name: str):
        (tmp_path / 'sitecustomize.py').write_text(HIDE.format(name=name))
        return tmp_path

    return make


def test_the_check_passes_here_and_prints_every_gap(python):
    done = python('-m', 'mmc2fmae.env')
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith('Training can run.')
    for gap in compat.gaps():
        assert f'{gap.state:<12}{gap.name}: {gap.detail}' in done.stdout
    assert torch.__version__.split('+')[0] in done.stdout


@pytest.mark.parametrize(
    ('name', 'requirement'),
    [
        ('mmpretrain', 'mmpretrain==1.2.0'),
        ('mmcv', 'mmcv-lite==2.1.0'),
        ('torch', 'torch>=2.6'),
    ],
)
def test_a_missing_package_is_named_with_its_command(hide, python, name, requirement):
    done = python('-m', 'mmc2fmae.env', path=[hide(name)])
    assert done.returncode == 1
    assert 'Traceback' not in done.stderr
    assert f"python -m pip install '{requirement}'" in done.stdout
    assert 'Training cannot run' in done.stdout
    assert name in done.stdout


def test_importing_the_package_without_mmcv_says_what_to_install(hide, python):
    done = python('-c', 'import mmc2fmae', path=[hide('mmcv')])
    assert done.returncode == 1
    assert 'ImportError: mmc2fmae cannot run' in done.stderr
    assert "python -m pip install 'mmcv-lite==2.1.0'" in done.stderr


@pytest.mark.parametrize(
    ('error', 'shown', 'fix'),
    [
        (AssertionError('MMCV==2.2.0 is used'), 'AssertionError: MMCV==2.2.0', 'mmcv-lite==2.1.0'),
        (ModuleNotFoundError('No einops', name='einops.layers'), 'No einops', "install 'einops'\n"),
    ],
)
def test_a_package_that_fails_on_import_is_reported(monkeypatch, capsys, error, shown, fix):
    def refuse(name: str) -> None:
        if name == 'mmdet.models':
            raise error

    monkeypatch.setattr(importlib, 'import_module', refuse)
    assert env.main() == 1
    printed = capsys.readouterr().out
    assert shown in printed
    assert fix in printed
    assert printed.endswith('Training cannot run: mmdet.models.\n')


def test_collect_is_json_and_names_the_versions_that_run():
    found = json.loads(json.dumps(env.collect()))
    assert found['versions']['torch'] == torch.__version__.split('+')[0]
    assert found['versions']['mmengine'] == '0.10.7'
    assert found['hardware']['cores'] >= 1
    assert found['hardware']['memory_gib'] > 0


def test_collect_names_the_commit_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    def git(*arguments: str) -> str:
        who = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
        command = ['git', '-C', str(tmp_path), *who, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(env, '__file__', str(tmp_path / 'mmc2fmae' / 'env.py'))
    assert (env.collect()['commit'], env.collect()['dirty']) == (None, None)  # no checkout
    git('init')
    assert env.collect()['commit'] is None  # no commit yet
    git('commit', '--allow-empty', '-m', 'first')
    assert (env.collect()['commit'], env.collect()['dirty']) == (git('rev-parse', 'HEAD'), False)
    (tmp_path / 'new').touch()
    assert env.collect()['dirty'] is True


def test_the_report_names_the_package_and_a_checkout_of_another_version(tmp_path, capsys):
    own = tmp_path / 'mmc2fmae'
    own.mkdir()
    (own / '__init__.py').write_text("__version__ = '0.0.1'\n")
    (own / 'env.py').touch()
    inner = tmp_path / 'configs'
    inner.mkdir()
    detail, fix = env.other_checkout(inner)
    assert detail.startswith(f'the checkout {tmp_path} has mmc2fmae 0.0.1, used is ')
    assert detail.endswith(f' of {configs.PACKAGE}') and str(tmp_path) in fix
    assert env.other_checkout(configs.PACKAGE.parent) is None
    assert env.main() == 0
    assert f'{configs.PACKAGE}, a checkout' in capsys.readouterr().out
