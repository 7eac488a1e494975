"""Make COCO annotation files of photographs and instance masks (PNGs, 0 = background)."""

import argparse
import json
from pathlib import Path

from mmc2fmae.cli.parsing import share, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('images', help='folder of photographs')
    parser.add_argument('masks', help='folder of instance PNGs with the same names')
    parser.add_argument('out', type=Path, help='json to write, e.g. my_data/instances.json')
    parser.add_argument('--classes', nargs='+', default=['object'], help='class names (object)')
    parser.add_argument(
        '--semantic', help='folder of PNGs of class ids, 0 = the first of --classes, 255 = unknown'
    )
    parser.add_argument(
        '--val-share',
        type=share,
        default=0.0,
        metavar='S',
        help='draw this share for validation and write OUT_train and OUT_val instead',
    )
    parser.add_argument('--seed', type=whole_number, default=0, help='seed of the draw (0)')


def run(args: argparse.Namespace) -> None:
    """Write the files."""
    from mmc2fmae.files import write_atomically
    from mmc2fmae.preparation.coco_json import coco_from_masks, split_names, subset

    content = coco_from_masks(args.images, args.masks, args.classes, args.semantic)
    parts = {args.out: content}
    if args.val_share:
        names = [image['file_name'] for image in content['images']]
        shares = split_names(names, args.val_share, args.seed)
        parts = {
            args.out.with_name(f'{args.out.stem}_{split}.json'): subset(content, share)
            for split, share in zip(('train', 'val'), shares, strict=True)
        }
    for path, part in parts.items():
        write_atomically(json.dumps(part).encode(), path)
        listed = '\n'.join(image['file_name'] for image in part['images'])
        write_atomically(listed.encode(), path.with_suffix('.txt'))
        print(f'{path}: {len(part["images"])} images, {len(part["annotations"])} objects')
