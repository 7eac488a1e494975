"""Read and check the files of tables, protocols and presets."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mmc2fmae.configs import FOLDER
from mmc2fmae.errors import nearest
from mmc2fmae.reproduce.fields import REQUIRED, Fields, TableError
from mmc2fmae.reproduce.tables import (
    SCRATCH,
    TASKS,
    Metric,
    Preset,
    Protocol,
    Row,
    Source,
    Suite,
    Table,
)

TABLES = FOLDER / 'tables'
SUITE = TABLES / 'suite.yaml'


def load_suite(path: Path = SUITE) -> Suite:
    """Read protocols and presets.

    Raises:
        TableError: The file is wrong.
    """
    data = Fields.of_file(path)
    protocols = _protocols(data)
    presets = {}
    for name, fields in data.take('presets', dict).parts():
        quick = fields.take('quick', dict, {})
        presets[name] = _preset(name, fields)
        if quick.data:  # the same preset with another budget
            merged = {**fields.whole, **quick.data}
            presets[f'{name}-quick'] = _preset(f'{name}-quick', Fields(path, quick.where, merged))
    data.nothing_else()
    return Suite(protocols, presets)


def built_in_tables() -> list[str]:
    """Return the names of the tables that come with the project, those of the paper first."""
    names = sorted(path.stem for path in TABLES.glob('*.yaml') if path != SUITE)
    return sorted(names, key=lambda name: not name.startswith('table'))


def load_tables(names: Iterable[str], suite: Suite) -> tuple[list[Table], Suite]:
    """Read tables by name or by the path of a file of one's own.

    Args:
        names: 'table1', 'table6' (all of its parts), 'all' (of the paper), 'semanticmim', 'masks',
            'own_photographs', or a YAML file.
        suite: See :func:`load_suite`.

    Returns:
        The tables, each once, and the suite with the protocols that the files declare.

    Raises:
        TableError: There is no such table, or a file is wrong.
    """
    built_in = built_in_tables()
    paths = []
    for name in names:
        if name.endswith(('.yaml', '.yml')):
            found = [Path(name)]
        else:
            part = re.compile('table.*' if name == 'all' else f'{re.escape(name)}[a-z]?')
            found = [TABLES / f'{t}.yaml' for t in built_in if part.fullmatch(t)]
        if not found:
            known = [*built_in, 'table6', 'all']
            raise TableError(
                f'there is no table {name!r}{nearest(name, known)}; tables are '
                f'{", ".join(known)}, or the path of a file of your own that ends in .yaml '
                '(docs/reproduce.md)'
            )
        paths += [path for path in found if path not in paths]
    tables: list[Table] = []
    protocols = dict(suite.protocols)
    for path in paths:
        table = load_table(path, Suite(protocols, suite.presets))
        if table.id in [other.id for other in tables]:
            raise TableError(f'{path}: another table is called {table.id}: rename the file')
        tables.append(table)
        protocols |= table.protocols
    return tables, Suite(protocols, suite.presets)


def load_table(path: str | Path, suite: Suite) -> Table:
    """Read one table file.

    Raises:
        TableError: The file is wrong; the message names file, key and what is expected.
    """
    path = Path(path)
    data = Fields.of_file(path)
    own = _protocols(data, {}) if 'protocols' in data.data else {}
    known = Suite({**suite.protocols, **own}, suite.presets)
    metrics = []
    for key, fields in data.take('metrics', dict).parts():
        metric = Metric(
            key=key,
            name=fields.take('name', str),
            unit=fields.take('unit', str, '%'),
            higher_is_better=fields.take('higher_is_better', bool, True),
            names=fields.take('names', dict, {}).data,
        )
        metrics.append(metric)
        fields.nothing_else()
    attributes = tuple(map(str, data.take('attributes', list, [])))
    defaults = data.take('protocols_of_presets', dict, {}).data
    rows = []
    for number, entry in enumerate(data.take('rows', list)):
        fields = Fields(path, f'rows[{number}]', entry)
        rows.append(_row(fields, attributes, [m.key for m in metrics], defaults, known))
        if rows[-1].id in [row.id for row in rows[:-1]]:
            fields.wrong('id', rows[-1].id, 'an id that no other row of the table has')
    reference = data.take('reference', str)
    if reference not in [row.id for row in rows]:
        ids = [row.id for row in rows]
        data.wrong('reference', reference, f'the id of a row{nearest(reference, ids)}')
    table = Table(
        id=path.stem,
        title=data.take('title', str),
        caption=data.take('caption', str),
        attributes=attributes,
        metrics=tuple(metrics),
        rows=tuple(rows),
        reference=reference,
        protocols=own,
    )
    data.nothing_else()
    return table


def pick_rows(tables: Iterable[Table], names: Iterable[str] | None) -> dict[str, list[Row]]:
    """Choose rows by id.

    Args:
        tables: Tables.
        names: Ids of rows; None takes all.

    Returns:
        Table id to its rows.

    Raises:
        TableError: No table has such a row.
    """
    tables = list(tables)
    known = [row.id for table in tables for row in table.rows]
    for name in names or ():
        if name not in known:
            titles = ', '.join(table.id for table in tables)
            raise TableError(
                f'there is no row {name!r} in {titles}{nearest(name, known)}; rows are '
                f'{", ".join(dict.fromkeys(known))}'
            )
    return {t.id: [row for row in t.rows if names is None or row.id in names] for t in tables}


def _protocols(data: Fields, default: Any = REQUIRED) -> dict[str, Protocol]:
    found = {}
    for name, fields in data.take('protocols', dict, default).parts():
        if not re.fullmatch(r'[\w.-]+@\d+', name):
            data.wrong('protocols', name, 'a name and a version, such as in1k-ft@1')
        task = fields.take('task', str)
        if task not in TASKS:
            fields.wrong('task', task, f'one of {", ".join(TASKS)}')
        found[name] = Protocol(
            id=name,
            about=fields.take('about', str),
            task=task,
            config=fields.file('config'),
            docs=fields.take('docs', str),
            metrics=fields.take('metrics', dict).data,
            images=fields.take('images', int),
            train_images=fields.take('train_images', int, 0),
            after=fields.take('after', str, None),
            digest=fields.take('digest', str, None),
            printed=fields.take('printed', dict, {}).data,
        )
        if (task == 'robustness') != (found[name].after is not None):
            fields.wrong('after', found[name].after, 'a protocol for robustness, none elsewhere')
        fields.nothing_else()
    return found


def _preset(name: str, fields: Fields) -> Preset:
    seeds = fields.take('seeds', list)
    if not seeds or not all(isinstance(seed, int) for seed in seeds):
        fields.wrong('seeds', seeds, 'a list of whole numbers')
    preset = Preset(
        name=name,
        about=fields.take('about', str),
        seeds=tuple(seeds),
        comparable=fields.take('comparable', bool),
        pretrain_images=_counts(fields, 'pretrain_images'),
        docs=fields.take('docs', str),
        devices=fields.take('devices', int),
        tflops=fields.take('tflops', float),
        startup=fields.take('startup', float),
        hardware=fields.take('hardware', str),
        hides=tuple(fields.take('hides', list, [])),
        scenes=fields.take('scenes', dict, {}).data,
        overrides=fields.take('overrides', dict, {}).data,
    )
    fields.data.pop('quick', None)
    fields.nothing_else()
    return preset


def _counts(fields: Fields, key: str) -> dict[str, int]:
    counts: dict[str, int] = fields.take(key, dict).data
    for folder, count in counts.items():
        if not isinstance(count, int) or count < 1:
            fields.wrong(f'{key}.{folder}', count, 'a number of images')
    return counts


def _row(
    fields: Fields,
    attributes: tuple[str, ...],
    metrics: list[str],
    defaults: Mapping[str, Any],
    suite: Suite,
) -> Row:
    published = fields.take('published', dict, {}).data
    for key, value in published.items():
        if key not in metrics or not isinstance(value, int | float):
            fields.wrong(f'published.{key}', value, f'a number of a metric ({", ".join(metrics)})')
    cells = fields.take('attributes', list, [])
    if len(cells) != len(attributes):
        fields.wrong('attributes', cells, f'{len(attributes)} cells: {", ".join(attributes)}')
    sources = {}
    for preset in dict.fromkeys(name.partition('-')[0] for name in suite.presets):
        if preset in fields.data:
            part = fields.take(preset, dict)
            pretrain = part.take('pretrain', str)
            config = None if pretrain == SCRATCH else part.file('pretrain', pretrain)
            start = part.file('start') if 'start' in part.data else None
            if start and config is None:
                part.wrong('start', str(start), 'none, as nothing is pre-trained')
            protocols = _choose_protocols(part, defaults.get(preset), metrics, suite)
            sources[preset] = Source(config, protocols, start)
            part.nothing_else()
    bring: dict[str, str] | None = None
    brought: tuple[str, ...] = ()
    if 'bring' in fields.data:
        part = fields.take('bring', dict)
        brought = _choose_protocols(part, defaults.get('paper'), metrics, suite)
        bring = dict(file=part.take('file', str), source=part.take('from', str))
        part.nothing_else()
    row = Row(
        id=fields.take('id', str),
        name=fields.take('name', str),
        attributes=tuple(map(str, cells)),
        published=published,
        sources=sources,
        bring=bring,
        brought_protocols=brought,
        note=fields.take('note', str, ''),
    )
    fields.nothing_else()
    return row


def _choose_protocols(
    part: Fields, default: Any, metrics: list[str], suite: Suite
) -> tuple[str, ...]:
    """Return the protocols of a row, a name or a list of them, that measure its metrics."""
    chosen = part.data.pop('protocol', default)
    if chosen is None:
        part.take('protocol', str)  # says that it is missing
    names = tuple(chosen) if isinstance(chosen, list) else (chosen,)
    for name in names:
        if name not in suite.protocols:
            near = nearest(str(name), suite.protocols)
            part.wrong('protocol', name, f'one of {", ".join(suite.protocols)}{near}')
    measured = [metric for name in names for metric in suite.protocols[name].metrics]
    wrong = [metric for metric in metrics if measured.count(metric) != 1]
    if wrong:
        part.wrong(
            'protocol',
            chosen,
            f'one, or a list, of which one measures {", ".join(wrong)} (measured are '
            f'{", ".join(measured)})',
        )
    return tuple(n for n in names if set(suite.protocols[n].metrics) & set(metrics))
