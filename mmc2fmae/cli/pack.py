"""Publish or install label maps: shards with checksums, without the photographs."""

import argparse

from mmc2fmae.cli.parsing import at_least_one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-commands."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='pack | verify | unpack')
    packing = kinds.add_parser('pack', help='write the maps of a dataset as shards')
    packing.add_argument('root', help='folder of the dataset')
    packing.add_argument('out', help='folder to write; the same command continues it')
    packing.add_argument('--split', nargs='+', default=['train'], help='(train)')
    packing.add_argument(
        '--shard-mb', type=at_least_one, default=512, help='most MiB of a shard (512)'
    )
    checking = kinds.add_parser('verify', help='check the files of a pack')
    checking.add_argument('pack', help='folder of the pack')
    unpacking = kinds.add_parser('unpack', help='check a pack and write its maps')
    unpacking.add_argument('pack', help='folder of the pack')
    unpacking.add_argument('root', help='folder of the dataset, with the photographs in ROOT/SPLIT')


def run(args: argparse.Namespace) -> None:
    """Pack, verify or unpack."""
    from mmc2fmae.preparation.packs import pack, unpack, verify

    if args.kind == 'pack':
        number = pack(args.root, args.out, args.split, args.shard_mb * 2**20)
        print(f'{args.out}: the maps of {number:,} photographs')
    elif args.kind == 'verify':
        print(f'{args.pack}: {len(verify(args.pack)):,} files are whole')
    else:
        print(f'{args.root}: {unpack(args.pack, args.root):,} maps are there')
        print(f'to compare them with the photographs: tools/check_dataset.py {args.root}')
