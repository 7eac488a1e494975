"""Values of the command line, as --cfg-options and --set read them."""

import re
from collections.abc import Iterator
from typing import Any

_CLOSING = {'(': ')', '[': ']'}


def parse_value(text: str) -> Any:
    """Read a number, True, False, None, a list, a tuple or a text.

    ``1,2`` and ``[1,2]`` are lists, ``(1,2)`` is a tuple, all may be nested. Quotes make a text of
    whatever is between them, commas and digits included; without them spaces and equals signs stay.

    Args:
        text: The value as typed.

    Raises:
        ValueError: A bracket or quote is not closed, or there is nothing.
    """
    text = text.strip()
    if not text:  # data_root=$DATA, not set, would mean this folder
        raise ValueError("the value is empty: is a variable unset? An empty text is ''")
    parts = list(_split(text))
    if len(parts) > 1:
        return [parse_value(part) for part in _without_last_comma(parts)]
    if text[:1] in _CLOSING and text[-1:] == _CLOSING[text[0]]:
        parts = list(_split(text[1:-1]))
        items = [parse_value(part) for part in _without_last_comma(parts)]
        return tuple(items) if text[0] == '(' else items
    if len(text) > 1 and text[0] in '\'"' and text[-1] == text[0]:
        return text[1:-1]
    return _scalar(text)


def write_value(value: Any) -> str:
    """Write a value so that :func:`parse_value` reads it back."""
    if isinstance(value, list | tuple):
        inner = ','.join(write_value(part) for part in value)
        return f'[{inner}]' if isinstance(value, list) else f'({inner})'
    text = str(value)
    if not isinstance(value, str):
        return text
    try:
        if parse_value(text) == text:
            return text
    except ValueError:
        pass  # it is empty or holds a bracket or quote
    return f'"{text}"' if "'" in text else f"'{text}'"


def _scalar(text: str) -> int | float | bool | str | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    known = dict(true=True, false=False)
    if text.lower() in known:
        return known[text.lower()]
    return None if text == 'None' else text


def _split(text: str) -> Iterator[str]:
    """Yield what stands between the commas outside of brackets and quotes."""
    start, expected, quote = 0, [], ''
    for i, letter in enumerate(text):
        if quote:
            quote = '' if letter == quote else quote
        elif letter in '\'"' and re.fullmatch(r'.*[,(\[]\s*|\s*', text[:i], re.DOTALL):
            quote = letter  # one within a word, as in it's, is a letter
        elif letter in _CLOSING:
            expected.append(_CLOSING[letter])
        elif letter in _CLOSING.values():
            if not expected or expected.pop() != letter:
                raise ValueError(f'{text}: {letter!r} closes nothing; put a text in quotes')
        elif letter == ',' and not expected:
            yield text[start:i]
            start = i + 1
    if quote or expected:
        raise ValueError(f'{text}: {quote or expected[-1]!r} is missing; put a text in quotes')
    yield text[start:]


def _without_last_comma(parts: list[str]) -> list[str]:
    return parts if parts[-1].strip() else parts[:-1]
