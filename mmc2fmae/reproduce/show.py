"""A plan as text: what is there, what is shared, what it costs."""

from collections.abc import Mapping
from pathlib import Path

from mmc2fmae.reproduce import results
from mmc2fmae.reproduce.cost import Cost, Machine
from mmc2fmae.reproduce.plan import Plan


def show_plan(
    plan: Plan, work_dir: Path, costs: Mapping[str, Cost], machine: Machine, given: bool
) -> str:
    """Return the plan as text: one line a stage, then the bill.

    Args:
        plan: The plan.
        work_dir: Work dir.
        costs: Key of a stage to its cost.
        machine: What the time was counted for.
        given: Whether the user gave the throughput.
    """
    todo = {stage.key for stage in results.pending(work_dir, plan.stages)}
    unit = 'GPU h' if machine.devices > 1 else 'hours'
    rows = [('stage', 'state', unit, 'disk', 'serves')]
    waiting: dict[str, str] = {}
    for key, stage in plan.stages.items():
        if results.is_waiting(work_dir, stage) or results.state(work_dir, stage) == 'absent':
            if stage.kind == 'bring':
                waiting[key] = f'{stage.name}.* from {stage.options["source"]}'
            continue
        state = results.state(work_dir, stage)
        serves = plan.serves(key) if stage.kind != 'scenes' else ['all']
        more = f' and {len(serves) - 4} more' if len(serves) > 4 else ''
        rows.append(
            (
                key,
                state if key in todo or state.startswith('done') else f'{state}, not needed',
                f'{costs[key].seconds * machine.devices / 3600:.2f}',
                _size(costs[key].disk),
                ', '.join(serves[:4]) + more,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        '  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    active = [key for key in plan.stages if not results.is_waiting(work_dir, plan.stages[key])]
    counts = plan.by_kind(key for key in active if plan.stages[key].kind != 'bring')
    lines += ['', f'{sum(counts.values())} distinct stages: ' + ', '.join(
        f'{number} {kind}' for kind, number in counts.items())]  # fmt: skip
    for name, keys in (('all of them', active), ('still to run', [k for k in active if k in todo])):
        seconds = sum(costs[key].seconds for key in keys)
        hours = f'{seconds * machine.devices / 3600:,.0f} GPU hours, '
        on = f' on {machine.devices} devices'
        several = machine.devices > 1
        lines.append(
            f'{name}: {hours if several else ""}{_duration(seconds)}{on if several else ""}, one '
            f'stage after the other; disk {_size(sum(costs[key].disk for key in keys))}'
        )
    lines += _basis(plan, costs, machine, given)
    if waiting:
        served = sum(results.is_waiting(work_dir, s) for s in plan.stages.values() if s.protocol)
        lines.append(
            f'not counted: {served} stages wait for checkpoints of others in '
            f'{work_dir / results.BROUGHT}/ (docs/reproduce.md):'
        )
        lines += [f'  {text}' for text in waiting.values()]
    return '\n'.join(lines)


def _basis(plan: Plan, costs: Mapping[str, Cost], machine: Machine, given: bool) -> list[str]:
    """Say where the times come from."""
    measured = {plan.stages[key].subject for key, cost in costs.items() if cost.measured}
    rest = {plan.stages[key].subject for key in costs} - measured - {'bring'}
    lines = []
    if measured:
        lines.append(f'measured here: the speed of {", ".join(sorted(measured))}')
    if rest:
        basis = f'{machine.tflops:g} TFLOP/s a device, as given' if given else plan.preset.hardware
        lines.append(f'estimated: {", ".join(sorted(rest))}; operations counted, {basis}')
    return lines


def show_relative_cost(plan: Plan, costs: Mapping[str, Cost]) -> str:
    """Set the counted cost of pre-trainings beside the column PT cost of Table I."""
    table = next((table for table in plan.tables if 'PT cost' in table.attributes), None)
    if table is None:
        return ''
    column, found = table.attributes.index('PT cost'), {}
    for row in plan.rows[table.id]:
        cells = (keys for (t, r, _), keys in plan.cells.items() if (t, r) == (table.id, row.id))
        keys = next(cells, None)
        start = plan.stages[keys[0]].upstream if keys else None
        if start is not None and start.kind == 'pretrain':
            found[row.id] = (costs[start.key].seconds, row.attributes[column])
    if table.reference not in found:
        return ''
    unit = found[table.reference][0]
    texts = [f'{row} {seconds / unit:.1f} ({paper})' for row, (seconds, paper) in found.items()]
    return (
        f"pre-training relative to {table.reference}, the paper's in brackets: {', '.join(texts)}"
    )


def _size(number: float) -> str:
    return f'{number / 2**30:.1f} GiB' if number >= 2**28 else f'{number / 2**20:.0f} MiB'


def _duration(seconds: float) -> str:
    return f'{seconds / 86400:.1f} days' if seconds > 2 * 86400 else f'{seconds / 3600:.1f} h'
