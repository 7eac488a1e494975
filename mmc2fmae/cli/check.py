"""Check a multi-granular dataset: pairs, files, ids and classes; exit 1 where there is a defect."""

import argparse
import sys
from io import TextIOWrapper
from pathlib import Path

from mmc2fmae.cli.dataset_options import add_layout_arguments
from mmc2fmae.cli.parsing import at_least_one

EXPECTED = (RuntimeError,)  # a worker died


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_layout_arguments(parser)
    parser.add_argument('--ann-file', help='check only these photographs, as ann_file in training')
    parser.add_argument(
        '--num-instances',
        type=at_least_one,
        default=32,
        metavar='N',
        help="the model's classes (32)",
    )
    parser.add_argument(
        '--rerank', action='store_true', help='any instance ids: training renumbers them'
    )
    parser.add_argument(
        '--decode',
        action='store_true',
        help='decode every photograph; by default only those that end unexpectedly',
    )
    parser.add_argument('--out', type=Path, help='folder of the report (ROOT/check_SPLIT)')
    parser.add_argument('--workers', type=at_least_one, metavar='N', help='processes (one a core)')


def run(args: argparse.Namespace) -> int:
    """Scan, write the report and return 1 where there are defects."""
    from mmc2fmae.label_ids import check_num_classes
    from mmc2fmae.preparation.folders import find_classes, find_layout
    from mmc2fmae.preparation.photograph_checks import Rules
    from mmc2fmae.preparation.report import describe, summarise, write_report
    from mmc2fmae.preparation.scan import scan_dataset

    layout = find_layout(args.root, args.split, args.folders, args.suffix)
    classes, source = find_classes(args.root, args.classes)
    check_num_classes('instance', args.num_instances)
    rules = Rules(args.num_instances, classes, args.rerank, args.decode)
    try:
        scan = scan_dataset(layout, rules, args.ann_file, args.workers)
    except KeyboardInterrupt:
        raise KeyboardInterrupt('no report was written') from None
    settings = rules._asdict() | dict(
        root=args.root,
        folders=layout.folders,
        granularities=layout.granularities,
        suffix=args.suffix,
        ann_file=args.ann_file,
        classes=source,
    )
    report = summarise(scan, settings, classes)
    out = args.out or Path(args.root, f'check_{Path(layout.folders["rgb"]).name}')
    write_report(out, report, scan)
    if isinstance(sys.stdout, TextIOWrapper):  # not where a test or a notebook took its place
        sys.stdout.reconfigure(errors='backslashreplace')  # names of files need not be UTF-8
    print(describe(report))
    print(f'{out / "report.html"}')
    return 1 if report['defects'] else 0
