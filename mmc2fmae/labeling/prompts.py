"""What the detector looks for in each photograph, as text prompts within its limit."""

import functools
import json
import os
import re
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

from timm.data import ImageNetInfo

from mmc2fmae.errors import DatasetError, first_names
from mmc2fmae.texts import read_text

WNID = re.compile(r'n\d{8}(?!\d)')


class PromptChunk(NamedTuple):
    """One prompt and where its classes stand in it.

    Args:
        text: The prompt, e.g. 'tench . tinca tinca . goldfish .'.
        classes: Indices of its classes in the list of names.
        tokens: For each of ``classes``, the positions of its tokens in the tokenised text.
    """

    text: str
    classes: tuple[int, ...]
    tokens: tuple[tuple[int, ...], ...]


class Prompts(NamedTuple):
    """Class names to look for in each photograph; made by :func:`read_prompts`.

    Args:
        table: Class names by key; its values are all lists that a run asks for.
        key: Finds the key of a photograph from its relative path.
    """

    table: dict[str, tuple[str, ...]]
    key: Callable[[str], str | None]

    def names_of(self, path: str) -> tuple[str, ...]:
        """Return the class names of a photograph.

        Args:
            path: Its path relative to the image folder, one of those given to `read_prompts`.
        """
        return self.table[self.key(path) or '']  # read_prompts refused paths without a key

    def digest(self) -> str:
        """Return 16 hexadecimal digits that change with what is asked for."""
        return sha256(json.dumps(self.table, sort_keys=True).encode()).hexdigest()[:16]


def phrases(name: str) -> tuple[str, ...]:
    """Split a class name into the phrases of a prompt.

    Lower case, underscores as spaces, and without '.' and '?', which end a phrase for the detector.

    Args:
        name: Class name; commas separate synonyms ('tench, Tinca tinca').

    Returns:
        Its phrases in order, each once.

    Raises:
        ValueError: Nothing is left of the name.
    """
    parts = re.sub(r'[.?]', '', name).replace('_', ' ').lower().split(',')
    found = tuple(dict.fromkeys(filter(None, (' '.join(part.split()) for part in parts))))
    if not found:
        raise ValueError(
            f"class name {name!r} holds nothing to look for: expected words, e.g. 'tench, Tinca "
            "tinca'"
        )
    return found


def class_phrases(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the phrases of each class; see :func:`phrases`.

    Classes may share a phrase, but not all: of two that ask for the same, one would never be found.

    Raises:
        ValueError: There are no names, one is empty, or two ask for the same phrases.
    """
    if not names:
        raise ValueError('no class names: expected at least one')
    found = [phrases(name) for name in names]
    first: dict[frozenset[str], str] = {}
    for name, own in zip(names, found, strict=True):
        if frozenset(own) in first:
            raise ValueError(
                f'the classes {first[frozenset(own)]!r} and {name!r} ask for the same, '
                f'{_text(own)!r}: remove one, or tell them apart by a synonym'
            )
        first[frozenset(own)] = name
    return found


def chunk_prompts(
    names: Sequence[str],
    offsets: Callable[[str], list[tuple[int, int]]],
    max_tokens: int = 256,
) -> list[PromptChunk]:
    """Write class names as prompts that the text model takes, cut at class boundaries only.

    A prompt is filled, in the order of the names, until the next class does not fit.

    Args:
        names: C class names; commas separate synonyms, all of them phrases of the one class.
        offsets: Tokeniser: the first and one past the last character of every token of a text;
            (0, 0) for special tokens.
        max_tokens: Most tokens of a prompt, special ones included.

    Returns:
        Prompts, each class in exactly one. The tokens of a class are those of its phrases, without
        the dots between them.

    Raises:
        ValueError: One class alone is too long or has no tokens, or the names are unusable
            (:func:`class_phrases`).
    """
    found = class_phrases(names)
    groups: list[list[int]] = []
    left = 0
    for k, own in enumerate(found):
        spans = offsets(_text(own))
        if len(spans) > max_tokens:
            raise ValueError(
                f'class {names[k]!r} alone has {len(spans)} tokens, but the text model takes '
                f'{max_tokens}: shorten it, or leave synonyms out'
            )
        size = sum(end > start for start, end in spans)
        if not groups or size > left:
            groups.append([])
            left = max_tokens - (len(spans) - size)  # special tokens are paid once a prompt
        groups[-1].append(k)
        left -= size
    return [_chunk(group, names, found, offsets, max_tokens) for group in groups]


def _text(own: Sequence[str]) -> str:
    return ' . '.join(own) + ' .'


def _chunk(
    group: list[int],
    names: Sequence[str],
    found: Sequence[tuple[str, ...]],
    offsets: Callable[[str], list[tuple[int, int]]],
    max_tokens: int,
) -> PromptChunk:
    text = _text([phrase for k in group for phrase in found[k]])
    owners = []  # of each character: the place of its class in the group, -1 between phrases
    for place, k in enumerate(group):
        for phrase in found[k]:
            owners += [place] * len(phrase) + [-1] * len(' . ')
    spans = offsets(text)
    if len(spans) > max_tokens:  # a tokeniser that splits a name otherwise among other names
        raise ValueError(f'prompt has {len(spans)} tokens instead of {max_tokens}: {text!r}')
    tokens: list[list[int]] = [[] for _ in group]
    for position, (start, end) in enumerate(spans):
        # By its last character: some tokenisers count the space before a word as part of it.
        if end > start and owners[end - 1] >= 0:
            tokens[owners[end - 1]].append(position)
    for k, own in zip(group, tokens, strict=True):
        if not own:
            raise ValueError(f'class {names[k]!r} has no tokens: the text model cannot read it')
    return PromptChunk(text, tuple(group), tuple(map(tuple, tokens)))


def read_prompts(spec: str, paths: Sequence[str]) -> Prompts:
    """Read what to look for, and check that every photograph has it.

    Args:
        spec: One of

            - 'imagenet': the WordNet names of the wnid in a photograph's folder, or else at the
              start of its file name (ImageNet-1K and -22K),
            - 'folders': the name of the class folder, without a number in front ('012.oak_tree'),
            - a ``.json`` file: class names by class folder, ``{"cats": ["cat, kitten", "mouse"]}``,
            - a ``.txt`` file: one class a line, for all photographs,
            - the classes themselves, for all photographs: 'person; car, automobile'.

            Everywhere a comma separates synonyms of one class. The class folder is the first folder
            of a path.
        paths: Paths of all photographs relative to the image folder.

    Returns:
        Class names by photograph.

    Raises:
        DatasetError: A file is unusable, or a photograph or class has no names; the first are
            named.
    """
    key, lookup, fix = _source(spec)
    examples: dict[str, str] = {}
    lost = []
    for path in paths:
        if (name := key(path)) is None:
            lost.append(path)
        else:
            examples.setdefault(name, path)
    if lost:
        raise DatasetError(
            f'prompts {spec!r}: {len(lost)} of {len(paths)} photographs show no class by their '
            f'path, first {first_names(lost)}: {fix}'
        )
    answers = {name: lookup(name) for name in sorted(examples)}
    found = {name: names for name, names in answers.items() if names is not None}
    missing = [f'{name} (of {examples[name]})' for name in answers if name not in found]
    if missing:
        raise DatasetError(
            f'prompts {spec!r}: {len(missing)} of {len(answers)} classes have no name, '
            f'first {first_names(missing)}: {fix}'
        )
    for name, names in found.items():
        try:
            class_phrases(names)
        except ValueError as error:
            raise DatasetError(f'prompts {spec!r}{name and f", {name}"}: {error}') from error
    return Prompts({name: tuple(map(str.strip, names)) for name, names in found.items()}, key)


def _source(
    spec: str,
) -> tuple[Callable[[str], str | None], Callable[[str], Sequence[str] | None], str]:
    """Return what finds a photograph's key, what finds a key's names, and the fix if one fails."""
    word, suffix = spec.strip().lower(), os.path.splitext(spec)[1].lower()
    if word == 'imagenet':
        fix = (
            'expected wnids as in n01440764/n01440764_18.JPEG; name the classes themselves '
            "('person; car'), or use 'folders' or a .json file"
        )
        return _wnid, _wordnet_names, fix
    if word == 'folders':
        fix = "expected folders named by words; use 'imagenet' for wnids, or a .json or .txt file"
        return _folder, _folder_names, fix
    if suffix == '.json':
        fix = f'add them to {spec}; photographs in no folder need a .txt file'
        return _folder, _read_json(spec).get, fix
    if suffix == '.txt':
        return _anywhere, {'': _read_lines(spec)}.get, ''
    if os.path.isfile(spec):
        raise DatasetError(f'{spec}: expected prompts in a .txt or .json file')
    return _anywhere, {'': spec.split(';')}.get, ''


def _anywhere(path: str) -> str:
    return ''


def _folder(path: str) -> str | None:
    return path.split(os.sep, 1)[0] if os.sep in path else None


def _wnid(path: str) -> str | None:
    *folders, name = path.split(os.sep)
    matches = (WNID.match(part) for part in (*reversed(folders), name))
    return next((match[0] for match in matches if match), None)


@functools.cache
def _wordnet() -> ImageNetInfo:
    return ImageNetInfo()


def _wordnet_names(wnid: str) -> list[str] | None:
    try:
        return [_wordnet().label_name_to_description(wnid)]  # any of 22k, whatever the subset
    except KeyError:
        return None


def _folder_names(folder: str) -> list[str] | None:
    name = re.sub(r'^\d+\.', '', folder)
    known = not WNID.match(name) and any(map(str.isalpha, name))
    return [name] if known else None


def _read_lines(path: str) -> list[str]:
    return [line for line in _read(path).splitlines() if line.strip()]


def _read_json(path: str) -> dict[str, list[str]]:
    try:
        content = json.loads(_read(path))
    except ValueError as error:
        raise DatasetError(f'{path} is no JSON ({error})') from error
    expected = 'expected {"class folder": ["class name", ...], ...}'
    if not isinstance(content, dict):
        raise DatasetError(f'{path} holds a {type(content).__name__}: {expected}')
    for folder, names in content.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DatasetError(f'{path} holds {names!r} for {folder!r}: {expected}')
    return content


def _read(path: str) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise DatasetError(f'{path}: prompts cannot be read ({error})') from error
