"""Put what lies outside docs/ into the site: README as front page, and files that pages link."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')
LINK = re.compile(r'(\]\()(?!\w+:|#)([^)\s#]+)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top of the checkout, and each file outside docs/ that a page links."""
    texts = {name: (ROOT / name).read_text() for name in PAGES}
    for name in PAGES:
        files.append(File.generated(config, _in_site(name), content=texts[name]))
    texts |= {f'docs/{file.src_uri}': file.content_string for file in _pages_below(files)}
    links = ((page, link[2]) for page, text in texts.items() for link in LINK.finditer(text))
    linked = {_target(page, link) for page, link in links}
    for path in sorted(linked):
        if not files.get_file_from_path(_in_site(path)) and (ROOT / path).is_file():
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links within the checkout be links within the site; pipes in code need no backslash."""
    uri = page.file.src_uri
    source = next((name for name in PAGES if _in_site(name) == uri), f'docs/{uri}')

    def moved(link: re.Match) -> str:
        target = _in_site(_target(source, link[2]))
        return link[1] + posixpath.relpath(target, posixpath.dirname(uri) or '.')

    plain = re.sub(r'`[^`\n]+`', lambda code: code[0].replace(r'\|', '|'), markdown)
    return LINK.sub(moved, plain)


def _pages_below(files: Files) -> list[File]:
    return [file for file in files.documentation_pages() if file.generated_by is None]


def _target(page: str, link: str) -> str:
    """Return what a link of a page names, from the top of the checkout."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), link))


def _in_site(path: str) -> str:
    """Return where a file of the checkout is in the site."""
    return 'index.md' if path == 'README.md' else path.removeprefix('docs/')
