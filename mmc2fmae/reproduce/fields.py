"""Fields of a table file, taken one by one: what is missing, wrong or left over is named."""

from pathlib import Path
from typing import Any, NoReturn

import yaml

from mmc2fmae.configs import ROOT
from mmc2fmae.errors import nearest
from mmc2fmae.texts import read_text


class TableError(ValueError):
    """A table file, or a name asked for, is wrong; the message says which and what is expected."""


REQUIRED = object()
"""In place of a default: the field may not be missing."""


class Fields:
    """One mapping of a file: fields are taken one by one, and what is left over is an error."""

    def __init__(self, path: Path, where: str, data: Any) -> None:
        """Take a mapping apart.

        Args:
            path: The file, for messages.
            where: Dotted key of the mapping in it, '' for the whole.
            data: The mapping.

        Raises:
            TableError: It is none.
        """
        self.path, self.where = path, where
        if not isinstance(data, dict):
            raise TableError(f'{path}: {where or "the file"} is {data!r}: expected a mapping')
        self.whole, self.data = data, dict(data)

    @classmethod
    def of_file(cls, path: Path) -> 'Fields':
        """Read a YAML file.

        Raises:
            TableError: It is none, or holds no mapping.
        """
        try:
            return cls(path, '', yaml.safe_load(read_text(path)))
        except FileNotFoundError:
            raise TableError(f'{path} does not exist') from None
        except yaml.YAMLError as error:
            raise TableError(f'{path} is no YAML: {error}') from error

    def take(self, key: str, kind: type, default: Any = REQUIRED) -> Any:
        """Take a value; a whole number is a float, too, and a mapping becomes fields.

        Raises:
            TableError: It is missing and has no default, or is of another type.
        """
        value = self.data.pop(key, default)
        if value is REQUIRED:
            near = nearest(key, self.data)
            raise TableError(f'{self.path}: {self._name(key)} is missing{near}')
        if kind is float and isinstance(value, int):
            value = float(value)
        right = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
        if not right and not (value is None and default is None):
            self.wrong(key, value, f'of type {kind.__name__}')
        return Fields(self.path, self._name(key), value) if kind is dict else value

    def file(self, key: str, value: str | None = None) -> Path:
        """Take the path of a config, relative to the table's file or to the checkout.

        Raises:
            TableError: There is no such file.
        """
        value = self.take(key, str) if value is None else value
        for path in (self.path.parent / value, ROOT / value):
            if path.is_file():
                return path.resolve()
        folder = (ROOT / value).parent
        near = nearest(Path(value).stem, [p.stem for p in folder.glob('*.py')])
        self.wrong(key, value, f'a config that exists{near}')

    def parts(self) -> list[tuple[str, 'Fields']]:
        """Return every key with its fields."""
        return [(k, Fields(self.path, self._name(k), v)) for k, v in self.data.items()]

    def wrong(self, key: str, value: Any, expected: str) -> NoReturn:
        """Raise a ``TableError`` that says what was expected of a value."""
        raise TableError(f'{self.path}: {self._name(key)} is {value!r}: expected {expected}')

    def nothing_else(self) -> None:
        """Raise a ``TableError`` where a field was not taken."""
        if self.data:
            raise TableError(
                f'{self.path}: {self._name(next(iter(self.data)))} is not a field of '
                f'{self.where or "this file"}'
            )

    def _name(self, key: str) -> str:
        return f'{self.where}.{key}' if self.where else key
