"""Convert a checkpoint of any house to this project, timm, Hugging Face or ONNX, and check it."""

import argparse
from typing import Any

from mmc2fmae.cli import checkpoint_options

TARGETS = ('mmc2fmae', 'timm', 'huggingface', 'onnx')  # those of mmc2fmae.checkpoints.export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument('src', help='checkpoint file, or Hugging Face or timm folder')
    parser.add_argument('dst', help='.safetensors or .onnx file, or folder for Hugging Face')
    parser.add_argument('--to', choices=TARGETS, required=True)
    parser.add_argument('--force', action='store_true', help='overwrite what is there')
    checkpoint_options.add_statement_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Convert, and print how the result is opened."""
    from mmc2fmae.checkpoints import export_backbone, read_backbone, timm_call
    from mmc2fmae.checkpoints.export import check_destination

    stated = checkpoint_options.stated(args)
    check_destination(args.src, args.dst, args.to, args.force)
    backbone = read_backbone(args.src, **stated)
    print(backbone.report())
    if args.to == 'onnx':
        _to_onnx(args, stated)
        return
    export_backbone(backbone, args.dst, args.to)
    print(f'wrote {args.dst}, read back and found the same')
    if args.to == 'timm':
        name, kwargs = timm_call(backbone.arch)
        kwargs = dict(kwargs, num_classes=0, checkpoint_path=args.dst)
        print(f'timm.create_model({name!r}, {", ".join(f"{k}={v!r}" for k, v in kwargs.items())})')
        if backbone.arch.norm_eps != 1e-6:
            print(f'timm builds layer norms with eps 1e-6, here it is {backbone.arch.norm_eps:g}')
    if args.to == 'huggingface':
        print(f'transformers.ViTModel.from_pretrained({args.dst!r}, add_pooling_layer=False)')


def _to_onnx(args: argparse.Namespace, stated: dict[str, Any]) -> None:
    from mmc2fmae.checkpoints.onnx import export_onnx

    report = export_onnx(args.src, args.dst, **stated)
    print(f'wrote {args.dst}, in onnxruntime {report.apart:.1e} from PyTorch at most')
    for name, shape in report.outputs.items():
        print(f'{name}: (B, {", ".join(map(str, shape))})')
    print(report.note)
