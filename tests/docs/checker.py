"""Everything that a page says about the checkout, checked."""

import importlib
import re

from tests.docs import commands, fields
from tests.docs.pages import ROOT, Page, Piece, read_page

TOP = (
    r'model|(?:train|val|test)_(?:dataloader|cfg|evaluator)|optim_wrapper|param_scheduler'
    r'|custom_hooks|default_hooks|randomness|robustness'
)
FIELD = re.compile(rf'(?:{TOP})(?!\.json)(?:\.[\w-]+)+(?:=\S*)?')
SAID = re.compile(
    rf'(?<!\S)(?:--[a-z-]+|{FIELD.pattern})(?![\w(-])'
)  # in a comment beside a command
FILE = re.compile(r'(?:mmc2fmae|configs|tools|tests|docs)/[\w./{},*-]*')
WRONG_ON_PURPOSE = {'model.bakbone.depth=6'}  # of which a page says how it is refused
NAME = re.compile(r'(mmc2fmae(?:\.\w+)+)(?:\(.*\))?')
IMPORT = re.compile(r'from (mmc2fmae[\w.]*) import (.+)')


def check_page(page: Page) -> list[str]:
    """Return what is wrong on a page: PAGE:LINE: what."""
    tools, found = [], []
    code = page.inline_code()
    for piece in page.fenced('bash'):
        if piece.text.startswith('...'):
            code.append(Piece(piece.line, piece.text[3:].strip()))
            continue
        code += [Piece(piece.line, said[0]) for said in SAID.finditer(_comment(piece.text))]
        started, problems = commands.check_line(piece.text)
        tools += started
        found += [(piece, problem) for problem in problems]
    for piece in code:
        if commands.is_command(piece.text):
            started, problems = commands.check_line(piece.text, whole=False)
            tools += started
            found += [(piece, problem) for problem in problems]
    configs = [path for path in _configs(page) if (ROOT / path).is_file()]
    for piece in code:
        if commands.is_command(piece.text):
            continue
        found += [(piece, problem) for problem in _check_code(piece.text, tools, configs)]
    for piece in page.fenced('python'):
        found += [(piece, problem) for problem in _check_import(piece.text)]
    for piece in page.links():
        found += [(piece, problem) for problem in _check_link(piece.text, page)]
    return [f'{page.path}:{piece.line}: `{piece.text}`: {problem}' for piece, problem in found]


def _comment(line: str) -> str:
    """Return the comment of a line of shell."""
    return re.split(r'(?:^|\s)#', line, maxsplit=1)[-1] if '#' in line else ''


def _configs(page: Page) -> list[str]:
    """Return the configs that a page names."""
    return list(dict.fromkeys(re.findall(r'configs/[\w/]+\.py', page.text)))


def _check_code(text: str, tools: list[str], configs: list[str]) -> list[str]:
    """Check code within a sentence that is no command: options, config fields, files, names."""
    words = text.split()
    # Any page may speak of the options of a training.
    named = [*dict.fromkeys([*tools, 'tools/train.py'])] if tools else _all_tools()
    if words[0].startswith('--'):
        settings = [word for word in words if '=' in word and not word.endswith('=VALUE')]
        if not {'--cfg-options', '--set'} & set(words):
            settings = []
        known = _known(settings, configs)
        return commands.check_options(words, named) + commands.check_fields(settings, known)
    if text in WRONG_ON_PURPOSE:
        return []
    if all(FIELD.fullmatch(word) for word in words):
        return commands.check_fields(words, _known(words, configs))
    if FILE.fullmatch(words[0]):
        missing = [] if _exists(words[0]) else [f'there is no {words[0]}']
        return missing + commands.check_options(words[1:], named)
    name = NAME.fullmatch(text)
    return _check_name(name[1]) if name else []


def _known(settings: list[str], configs: list[str]) -> list[str]:
    """Return the configs of which settings may speak: a page's own, else all."""
    return (configs or list(fields.config_files())) if settings else []


def _all_tools() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in sorted(ROOT.glob('tools/*.py'))]


def _exists(path: str) -> bool:
    """Tell whether a path is there; {a,b}, * and words in capitals stand for others."""
    pattern = re.sub(r'\{[^}]*\}|\b[A-Z]{2,}(?=[_./])', '*', path).rstrip('/')
    return any(ROOT.glob(pattern)) or any(ROOT.glob(f'{pattern}.py'))


def _check_name(dotted: str) -> list[str]:
    """Check the dotted name of something in the package."""
    module, _, name = dotted.rpartition('.')
    for parent, attribute in ((dotted, None), (module, name)):
        try:
            part = importlib.import_module(parent)
        except ImportError:
            continue
        if attribute is None or hasattr(part, attribute):
            return []
    return [f'there is no {dotted}']


def _check_import(line: str) -> list[str]:
    """Check a line of Python that imports from the package."""
    match = IMPORT.fullmatch(line.split('#')[0].strip())
    names = [name.split()[0] for name in match[2].strip('()').split(',')] if match else []
    return [problem for name in names for problem in _check_name(f'{match[1]}.{name}')]


def _check_link(target: str, page: Page) -> list[str]:
    """Check a link to a file of the checkout or to a heading."""
    if re.match(r'(https?|mailto):', target):
        return []
    name, _, anchor = target.partition('#')
    path = (ROOT / page.path.parent / name).resolve()
    if not path.exists():
        return [f'there is no {name}']
    if anchor and (not name or path.suffix == '.md'):
        other = read_page(path) if name else page
        return [] if anchor in other.anchors() else [f'{other.path} has no heading #{anchor}']
    return []
