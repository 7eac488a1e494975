"""Reproduce tables: say what they cost, run what is missing, report what is there."""

import argparse
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from mmc2fmae.cli.parsing import KeyValues, at_least_one, positive, whole_number
from mmc2fmae.reproduce.lock import AlreadyRunning

if TYPE_CHECKING:
    from mmc2fmae.reproduce.cost import Cost, Machine
    from mmc2fmae.reproduce.plan import Plan

EXPECTED = (AlreadyRunning,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    commands = parser.add_subparsers(dest='command', required=True)
    plan = commands.add_parser('plan', help='stages, what is done and shared, GPU hours, disk')
    run = commands.add_parser('run', help='run what is missing')
    report = commands.add_parser('report', help='Markdown, CSV, LaTeX and HTML of what is there')
    adopt = commands.add_parser(
        'adopt', help='take over numbers from the CSV of a report elsewhere'
    )
    commands.add_parser('recipes', help='write docs/recipes.md from the configs')
    for part in (plan, run, report, adopt):
        _add_choice(part)
    for part in (plan, run):
        part.add_argument('--gpus', type=at_least_one, help='processes of a stage')
        part.add_argument(
            '--tflops',
            type=positive,
            help='TFLOP/s that a device reaches in training, for the plan',
        )
        part.add_argument(
            '--limit', type=at_least_one, metavar='N', help='smoke run of N steps, no result'
        )
    run.add_argument(
        '--predictions',
        action='store_true',
        help='keep what classifiers say of each validation photograph (Parquet)',
    )
    run.add_argument(
        '--probe-health',
        action='store_true',
        help='pre-trainings log the ranks of their features, for the report',
    )
    run.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    run.add_argument('--partition', help='of Slurm')
    run.add_argument('--jobs', type=at_least_one, default=1, help='stages side by side')
    report.add_argument('--out', type=Path, help='folder (WORK_DIR/PRESET/report)')
    adopt.add_argument(
        '--from',
        type=Path,
        nargs='+',
        required=True,
        dest='files',
        metavar='CSV',
        help='reports, as of another machine or of docs/results',
    )


def _add_choice(part: argparse.ArgumentParser) -> None:
    """Add what says which stages are meant, and where they lie."""
    part.add_argument(
        'tables',
        nargs='+',
        help="table1 ... table6, 'all' of them, semanticmim, masks, or a YAML file",
    )
    part.add_argument('--rows', nargs='+', metavar='ROW', help='these rows alone')
    part.add_argument('--preset', choices=['paper', 'mini', 'own'], default='paper')
    part.add_argument('--quick', action='store_true', help='the short version of the preset')
    part.add_argument('--seeds', nargs='+', type=whole_number, help="in place of the preset's")
    part.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce'))
    part.add_argument('--data-root', type=Path, default=Path('data'))
    part.add_argument(
        '--cfg-options',
        nargs='+',
        action=KeyValues,
        default={},
        metavar='KEY=VALUE',
        help='fields of every training; what changes a result is a recipe of its own',
    )


def run(args: argparse.Namespace) -> int:
    """Plan, run, report or adopt.

    Raises:
        PlanError: The request does not fit the preset.
    """
    from mmengine.logging import MMLogger

    from mmc2fmae.reproduce import recipes

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file shows progress at once, too
    MMLogger.get_current_instance().setLevel('ERROR')  # counting builds models, which log
    if args.command == 'recipes':
        print(recipes.write())
        return 0
    plan, work_dir = _plan(args)
    part = {'plan': _show, 'run': _run, 'report': _report, 'adopt': _adopt}[args.command]
    return part(args, plan, work_dir)


def _plan(args: argparse.Namespace) -> 'tuple[Plan, Path]':
    """Return what the arguments ask for, and the folder of its stages."""
    from mmc2fmae.reproduce.plan import make_plan
    from mmc2fmae.reproduce.stage import PlanError
    from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows

    name = f'{args.preset}-quick' if args.quick else args.preset
    suite = load_suite()
    if name not in suite.presets:
        raise PlanError(f'the preset {args.preset} has no quick version; mini has one')
    tables, suite = load_tables(args.tables, suite)
    limit = getattr(args, 'limit', None)
    plan = make_plan(
        tables,
        pick_rows(tables, args.rows),
        suite=suite,
        preset=suite.presets[name],
        seeds=args.seeds,
        overrides=args.cfg_options,
        limit=limit,
        data_root=args.data_root.absolute(),
        predictions=getattr(args, 'predictions', False),
    )
    if not plan.cells:
        known = sorted({name for t in tables for row in t.rows for name in row.sources})
        raise PlanError(
            f'{", ".join(t.id for t in tables)}: no row that was asked for has a recipe in the '
            f'preset {name}: expected --preset {" or ".join(known)}'
        )
    folder = f'{name}-limit{limit}' if limit else name
    return plan, (args.work_dir / folder).absolute()


def _report(args: argparse.Namespace, plan: 'Plan', work_dir: Path) -> int:
    from mmc2fmae.reproduce.report import make_report
    from mmc2fmae.reproduce.report_html import write_report

    for path in write_report(make_report(plan, work_dir), args.out or work_dir / 'report'):
        print(path)
    return 0


def _adopt(args: argparse.Namespace, plan: 'Plan', work_dir: Path) -> int:
    from mmc2fmae.reproduce.adopt import adopt

    for path in args.files:
        print(f'{path}: {adopt(plan, path, work_dir).told()}')
    return 0


def _estimate(
    args: argparse.Namespace, plan: 'Plan', work_dir: Path
) -> 'tuple[Machine, dict[str, Cost]]':
    """Return the machine that is counted on and what each stage costs, or did cost, there."""
    from mmc2fmae.reproduce.cost import Machine, estimate
    from mmc2fmae.reproduce.results import read_result

    preset = plan.preset
    devices = args.gpus or (1 if getattr(args, 'launcher', '') == 'none' else preset.devices)
    machine = Machine(devices, args.tflops or preset.tflops, preset.startup)
    found = {key: read_result(work_dir, stage) for key, stage in plan.stages.items()}
    measured = {key: result['seconds'] for key, result in found.items() if result}
    return machine, estimate(plan, machine, measured)


def _show(args: argparse.Namespace, plan: 'Plan', work_dir: Path) -> int:
    from mmc2fmae.reproduce.show import show_plan, show_relative_cost

    machine, costs = _estimate(args, plan, work_dir)
    print(show_plan(plan, work_dir, costs, machine, args.tflops is not None))
    print(show_relative_cost(plan, costs))
    return 0


def _run(args: argparse.Namespace, plan: 'Plan', work_dir: Path) -> int:
    import time

    from mmc2fmae.reproduce.commands import RunOptions
    from mmc2fmae.reproduce.prerequisites import check_run
    from mmc2fmae.reproduce.results import pending
    from mmc2fmae.reproduce.runner import run_plan

    machine, costs = _estimate(args, plan, work_dir)
    options = RunOptions(
        work_dir=work_dir,
        data_root=args.data_root.absolute(),
        launcher=args.launcher,
        gpus=machine.devices,
        partition=args.partition,
        jobs=args.jobs,
        probe_health=args.probe_health,
    )
    todo = pending(work_dir, plan.stages)
    check_run(plan, todo, options, sum(costs[stage.key].disk for stage in todo))
    start = time.monotonic()
    outcome = run_plan(plan, options, costs)
    after = ['python tools/reproduce.py report', *args.tables, '--preset', args.preset]
    after += ['--quick'] if args.quick else []
    print(
        f'{len(outcome.done)} stages done, {len(outcome.failed)} failed, '
        f'{len(outcome.skipped)} skipped, {time.monotonic() - start:.0f} s; '
        + ('a smoke run, no result' if args.limit else ' '.join(after))
    )
    return outcome.status
