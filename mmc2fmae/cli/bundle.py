"""Write or verify bundles: photographs with their maps in shards, for clusters and stores."""

import argparse
from pathlib import Path

from mmc2fmae.cli.parsing import at_least_one

EXPECTED = (RuntimeError,)  # a worker died, a store does not answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='write | verify')
    writing = kinds.add_parser('write', help='write a data set as shards')
    writing.add_argument('root', help='folder of the data set')
    writing.add_argument('out', type=Path, help='data root to write; the same command continues it')
    writing.add_argument('--split', default='train', help='folder of the photographs (train)')
    writing.add_argument(
        '--folders',
        nargs='+',
        metavar='KEY=FOLDER',
        help='as data_prefix of the config, where it is another layout: rgb=images instance=masks',
    )
    writing.add_argument('--suffix', default='.png', help='suffix of the maps (.png)')
    writing.add_argument('--ann-file', default='', help='list of the photographs to bundle (all)')
    writing.add_argument(
        '--per-shard', type=at_least_one, default=1000, metavar='N', help='photographs (1000)'
    )
    writing.add_argument('--workers', type=at_least_one, metavar='N', help='processes (one a core)')
    checking = kinds.add_parser('verify', help='compare all shards with their checksums')
    checking.add_argument('bundle', help='folder with bundle.json, or its address')


def run(args: argparse.Namespace) -> None:
    """Write or verify."""
    from mmc2fmae.preparation.bundling import verify_bundle, write_bundle
    from mmc2fmae.preparation.folders import Layout
    from mmc2fmae.preparation.layout import GRANULARITIES

    if args.kind == 'verify':
        bundle = verify_bundle(args.bundle)
        print(f'{args.bundle}: {len(bundle.shards):,} shards are whole')
        return
    folders = dict(rgb=args.split) | {g: f'{g}/{args.split}' for g in GRANULARITIES}
    if args.folders:
        pairs = [text.partition('=') for text in args.folders]
        folders = {key: folder for key, _, folder in pairs}
        if 'rgb' not in folders or not all(equals for _, equals, _ in pairs):
            raise ValueError(f'--folders {" ".join(args.folders)}: expected rgb=FOLDER and others')
    layout = Layout(args.root, folders, args.suffix)
    folder = write_bundle(layout, args.out, args.ann_file, args.per_shard, args.workers)
    print(f'{folder}: {len(list(folder.glob("*.tar"))):,} shards of {", ".join(folders)}')
    print(f'train from it: mmc2fmae train CONFIG --data-root {args.out}')
