"""Reproduce tables: say what they cost, run what is missing, report what is there."""

import argparse
import sys
from io import TextIOWrapper
from pathlib import Path

from mmc2fmae.cli.parsing import KeyValues
from mmc2fmae.reproduce.lock import AlreadyRunning

EXPECTED = (AlreadyRunning,)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    commands = parser.add_subparsers(dest='command', required=True)
    plan = commands.add_parser('plan', help='stages, what is done and shared, GPU hours, disk')
    run = commands.add_parser('run', help='run what is missing')
    report = commands.add_parser('report', help='Markdown, CSV, LaTeX and HTML of what is there')
    commands.add_parser('recipes', help='write docs/recipes.md from the configs')
    for part in (plan, run, report):
        part.add_argument(
            'tables',
            nargs='+',
            help="table1 ... table6, 'all' of them, semanticmim, masks, or a YAML file",
        )
        part.add_argument('--rows', nargs='+', metavar='ROW', help='these rows alone')
        part.add_argument('--preset', choices=['paper', 'mini', 'own'], default='paper')
        part.add_argument('--quick', action='store_true', help='the short version of the preset')
        part.add_argument('--seeds', nargs='+', type=int, help="in place of the preset's")
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
    for part in (plan, run):
        part.add_argument('--gpus', type=int, help='processes of a stage')
        part.add_argument(
            '--tflops', type=float, help='TFLOP/s that a device reaches in training, for the plan'
        )
        part.add_argument('--limit', type=int, metavar='N', help='smoke run of N steps, no result')
    run.add_argument(
        '--predictions',
        action='store_true',
        help='keep what classifiers say of each validation photograph (Parquet)',
    )
    run.add_argument('--launcher', choices=['none', 'pytorch', 'slurm'], default='none')
    run.add_argument('--partition', help='of Slurm')
    run.add_argument('--jobs', type=int, default=1, help='stages side by side')
    report.add_argument('--out', type=Path, help='folder (WORK_DIR/PRESET/report)')


def run(args: argparse.Namespace) -> int:
    """Plan, run or report.

    Raises:
        PlanError: The request does not fit the preset.
    """
    import time

    from mmengine.logging import MMLogger

    from mmc2fmae.reproduce import cost, prerequisites, recipes, report_html, results, runner, show
    from mmc2fmae.reproduce.commands import RunOptions
    from mmc2fmae.reproduce.plan import PlanError, make_plan
    from mmc2fmae.reproduce.report import make_report
    from mmc2fmae.reproduce.table_files import load_suite, load_tables, pick_rows

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file shows progress at once, too
    MMLogger.get_current_instance().setLevel('ERROR')  # counting builds models, which log
    if args.command == 'recipes':
        print(recipes.write())
        return 0
    preset = f'{args.preset}-quick' if args.quick else args.preset
    suite = load_suite()
    if preset not in suite.presets:
        raise PlanError(f'the preset {args.preset} has no quick version; mini has one')
    tables, suite = load_tables(args.tables, suite)
    preset, limit = suite.presets[preset], getattr(args, 'limit', None)
    if limit is not None and limit < 1:
        raise PlanError(f'--limit {limit}: expected at least 1')
    folder = f'{preset.name}-limit{limit}' if limit else preset.name
    work_dir = (args.work_dir / folder).absolute()
    plan = make_plan(
        tables,
        pick_rows(tables, args.rows),
        suite,
        preset,
        args.seeds,
        args.cfg_options,
        limit,
        args.data_root.absolute(),
        getattr(args, 'predictions', False),
    )
    if not plan.cells:
        known = sorted({name for t in tables for row in t.rows for name in row.sources})
        raise PlanError(
            f'{", ".join(t.id for t in tables)}: no row that was asked for has a recipe in the '
            f'preset {preset.name}: expected --preset {" or ".join(known)}'
        )
    if args.command == 'report':
        out = args.out or work_dir / 'report'
        for path in report_html.write_report(make_report(plan, work_dir), out):
            print(path)
        return 0
    devices = args.gpus or (1 if getattr(args, 'launcher', '') == 'none' else preset.devices)
    machine = cost.Machine(devices, args.tflops or preset.tflops, preset.startup)
    found = {key: results.read_result(work_dir, stage) for key, stage in plan.stages.items()}
    measured = {key: result['seconds'] for key, result in found.items() if result}
    costs = cost.estimate(plan, machine, measured)
    if args.command == 'plan':
        print(show.show_plan(plan, work_dir, costs, machine, args.tflops is not None))
        print(show.show_relative_cost(plan, costs))
        return 0
    options = RunOptions(
        work_dir, args.data_root.absolute(), args.launcher, devices, args.partition, args.jobs
    )
    todo = results.pending(work_dir, plan.stages)
    prerequisites.check_run(plan, todo, options, sum(costs[stage.key].disk for stage in todo))
    start = time.monotonic()
    outcome = runner.run_plan(plan, options, costs)
    after = ['python tools/reproduce.py report', *args.tables, '--preset', args.preset]
    after += ['--quick'] if args.quick else []
    print(
        f'{len(outcome.done)} stages done, {len(outcome.failed)} failed, '
        f'{len(outcome.skipped)} skipped, {time.monotonic() - start:.0f} s; '
        + ('a smoke run, no result' if limit else ' '.join(after))
    )
    return outcome.status
