"""Read Markdown pages: what is code, what is a link, and where."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]

FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.DOTALL | re.MULTILINE)
CODE = re.compile(r'`([^`]+)`')
LINK = re.compile(r'\[[^\]]*\]\(([^)\s]+)\)')
HEADING = re.compile(r'^#+ (.+)$', re.MULTILINE)


class Piece(NamedTuple):
    """Text of a page and the line on which it starts."""

    line: int
    text: str


@dataclass(frozen=True)
class Page:
    """A Markdown page.

    Args:
        path: Where it is, relative to the checkout.
        text: What it says.
    """

    path: Path
    text: str

    @cached_property
    def prose(self) -> str:
        """The text with fenced blocks blanked, so that lines keep their numbers."""
        return FENCE.sub(lambda fence: '\n' * fence[0].count('\n'), self.text)

    def fenced(self, language: str) -> list[Piece]:
        """Return the lines of the fenced blocks of one language, continued lines joined."""
        lines = []
        for fence in FENCE.finditer(self.text):
            if fence[1] == language:
                start = _line(self.text, fence.start(2))
                for logical in re.finditer(r'(?:.*\\\n)*.*\n', fence[2]):
                    line = start + fence[2][: logical.start()].count('\n')
                    lines.append(Piece(line, logical[0].replace('\\\n', ' ').strip()))
        return [line for line in lines if line.text]

    def inline_code(self) -> list[Piece]:
        """Return what stands in backticks, line breaks as blanks, table pipes unescaped."""
        return [
            Piece(_line(self.prose, code.start()), ' '.join(code[1].split()).replace(r'\|', '|'))
            for code in CODE.finditer(self.prose)
        ]

    def links(self) -> list[Piece]:
        """Return the targets of the links."""
        prose = CODE.sub(lambda code: '`' + ' ' * (len(code[0]) - 2) + '`', self.prose)
        return [Piece(_line(prose, link.start()), link[1]) for link in LINK.finditer(prose)]

    def anchors(self) -> set[str]:
        """Return the anchors of the headings, as GitHub names them."""
        names = (re.sub(r'[^\w\- ]', '', title.lower()) for title in HEADING.findall(self.prose))
        return {name.replace(' ', '-') for name in names}


def read_page(path: Path) -> Page:
    """Read a page of the checkout."""
    return Page(path.relative_to(ROOT), path.read_text())


def all_pages() -> list[Page]:
    """Return the pages at the top and below docs/."""
    return [read_page(path) for path in sorted([*ROOT.glob('*.md'), *ROOT.glob('docs/**/*.md')])]


def _line(text: str, position: int) -> int:
    return text[:position].count('\n') + 1
