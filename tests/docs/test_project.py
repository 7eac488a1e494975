"""Files around the code that repeat a version say the same version."""

import re

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
