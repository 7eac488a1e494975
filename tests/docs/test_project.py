"""Files around the code name versions and paths that are so."""

import re

from mmc2fmae import configs
from tests.docs.pages import ROOT


def test_pre_commit_has_the_ruff_of_the_tests():
    (wanted,) = re.findall(r'"(ruff==[^"]+)"', (ROOT / 'pyproject.toml').read_text())
    assert set(re.findall(r'ruff==[^\']+', (ROOT / '.pre-commit-config.yaml').read_text())) == {
        wanted
    }


def test_ci_tests_every_python_of_the_readme():
    listed = re.findall(r'^\| (3\.\d+) \|', (ROOT / 'README.md').read_text(), re.MULTILINE)
    workflow = (ROOT / '.github/workflows/ci.yml').read_text()
    assert re.findall(r"'([\d.]+)'", re.search(r'python: (\[.*\])', workflow)[1]) == listed


def test_what_ci_and_make_name_is_there():
    text = ''.join((ROOT / f).read_text() for f in ('.github/workflows/ci.yml', 'Makefile'))
    named = re.findall(r'(?<![\w/.])(?:tests|tools|configs)/[\w/.-]+\w', text)
    assert {'tests/images', 'tools/demo.py'} <= set(named)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_lists_configs_with_their_encoders_and_epochs():
    listed = re.findall(
        r'^\| \[pretrain/\w+\]\((\S+)\) \| (\S+) \| (\d+) \|',
        (ROOT / 'README.md').read_text(),
        re.MULTILINE,
    )
    assert len(listed) > 10
    names = {'deit-tiny': 'Ti', 'deit-small': 'S', 'base': 'B', 'large': 'L', 'huge': 'H'}
    for path, encoder, epochs in listed:
        cfg = configs.read(ROOT / path)
        backbone = cfg.model.backbone
        found = f'ViT-{names[backbone.arch]}/{backbone.get("patch_size", 16)}'
        assert (path, encoder, epochs) == (path, found, str(cfg.train_cfg.max_epochs))
