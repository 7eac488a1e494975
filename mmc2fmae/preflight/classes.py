"""Classes are known by their names: two lists of them are compared, and both are shown."""

from collections.abc import Sequence
from unicodedata import normalize

from mmc2fmae.errors import DatasetError, first_names


def require_same_classes(
    first: Sequence[str], second: Sequence[str], of_first: str, of_second: str
) -> None:
    """Refuse two data sets, or weights and a data set, that count their classes differently.

    Args:
        first: Class names in the order of their indices.
        second: Those of the other.
        of_first: Whose the first are, for the message.
        of_second: Whose the second are.

    Raises:
        DatasetError: They differ; both lists and the fix are shown.
    """
    if tuple(first) == tuple(second):
        return
    lacking = [name for name in first if name not in second]
    extra = [name for name in second if name not in first]
    if not lacking and not extra:
        differ, fix = 'in their order', 'give both the same metainfo=dict(classes=...)'
    elif {*map(_plain, first)} == {*map(_plain, second)}:
        # In ASCII, as the two forms of an accent, one letter or two, look alike.
        differ = f'in their spelling ({lacking[0]!a} and {_twin(lacking[0], extra)!a})'
        fix = 'rename the class folders or categories so that they are spelt alike'
    else:
        differ = 'in their names: ' + '; '.join(
            f'{len(names)} are only in {whose} ({first_names(names, 8)})'
            for names, whose in ((lacking, of_first), (extra, of_second))
            if names
        )
        fix = 'add the class folders or categories that lack, remove or rename the others'
    raise DatasetError(
        f'classes of {of_first}: {first_names(first, 8)}; of {of_second}: '
        f'{first_names(second, 8)}: they differ {differ}; classes are known by name: {fix}'
    )


def _twin(name: str, others: Sequence[str]) -> str:
    return next((other for other in others if _plain(other) == _plain(name)), others[0])


def _plain(name: str) -> str:
    return normalize('NFC', name).casefold()
