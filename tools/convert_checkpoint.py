"""Convert a checkpoint of any house to this project, timm or Hugging Face, and check the result."""

import argparse

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.checkpoints import export_backbone, options, read_backbone, timm_call
from mmc2fmae.checkpoints.export import TARGETS, check_destination


def main() -> None:
    """Parse the command line and convert."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('src', help='checkpoint file, or Hugging Face or timm folder')
    parser.add_argument('dst', help='.safetensors file, or folder for Hugging Face')
    parser.add_argument('--to', choices=TARGETS, required=True)
    parser.add_argument('--force', action='store_true', help='overwrite what is there')
    options.add_statement_arguments(parser)
    args = parser.parse_args()
    try:
        check_destination(args.src, args.dst, args.to, args.force)
        backbone = read_backbone(args.src, **options.stated(args))
        print(backbone.report())
        export_backbone(backbone, args.dst, args.to)
    except (ValueError, OSError) as error:
        parser.exit(1, f'error: {error}\n')
    print(f'wrote {args.dst}, read back and found the same')
    if args.to == 'timm':
        name, kwargs = timm_call(backbone.arch)
        kwargs = dict(kwargs, num_classes=0, checkpoint_path=args.dst)
        print(f'timm.create_model({name!r}, {", ".join(f"{k}={v!r}" for k, v in kwargs.items())})')
        if backbone.arch.norm_eps != 1e-6:
            print(f'timm builds layer norms with eps 1e-6, here it is {backbone.arch.norm_eps:g}')
    if args.to == 'huggingface':
        print(f'transformers.ViTModel.from_pretrained({args.dst!r}, add_pooling_layer=False)')


if __name__ == '__main__':
    main()
