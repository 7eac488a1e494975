"""What the pages say of commands, options, configs, fields, files and links is so."""

import pytest

from tests.docs import commands
from tests.docs.checker import check_page
from tests.docs.pages import ROOT, all_pages, read_page


@pytest.mark.parametrize('page', all_pages(), ids=lambda page: str(page.path))
def test_a_page_names_what_there_is(page):
    assert check_page(page) == []


def test_the_commands_of_the_readme_are_seen():
    lines = [piece.text for piece in read_page(ROOT / 'README.md').fenced('bash')]
    tools = {tool for line in lines for tool in commands.check_line(line)[0]}
    assert {'tools/train.py', 'tools/eval_robustness.py', 'tools/label_images.py'} <= tools
