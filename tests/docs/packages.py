"""Check what a page says of make, pip and python -m."""

import re
import sys

from tests.docs.pages import ROOT

if sys.version_info < (3, 11):
    import tomli as tomllib
else:
    import tomllib


def check_make(words: list[str]) -> str | None:
    """Return what is wrong with the words after ``make``: targets and variables."""
    makefile = (ROOT / 'Makefile').read_text()
    for word in words:
        name, _, value = word.partition('=')
        line = rf'^{re.escape(name)} \?=' if value else rf'^{re.escape(name)}:'
        if not re.search(line, makefile, re.MULTILINE):
            return f'the Makefile has no {"variable" if value else "target"} {name}'
    return None


def check_pip(words: list[str]) -> str | None:
    """Return what is wrong with the words after ``pip``: extras of this project."""
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    for word in words:
        ours = re.match(r'(?:\.|mmc2fmae)\[([\w, -]+)\]', word)
        for extra in re.split(r',\s*', ours[1]) if ours else []:
            if extra not in project['optional-dependencies']:
                return f'pyproject.toml has no extra {extra}'
    return None


def check_module(name: str) -> str | None:
    """Return what is wrong with the word after ``python -m``."""
    path = ROOT / name.replace('.', '/')
    if name.startswith('mmc2fmae') and not (
        path.with_suffix('.py').is_file() or (path / '__main__.py').is_file()
    ):
        return f'there is no module {name}'
    return None
