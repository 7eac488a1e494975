"""torch.hub: `torch.hub.load(CHECKOUT, 'c2fmae', source='local', checkpoint=...)`."""

dependencies = ['torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'timm']


def c2fmae(checkpoint: str, **options: object):
    """Return the plain ViT of a checkpoint, in evaluation mode.

    Args:
        checkpoint: Checkpoint of this project or of any other source (docs/checkpoints.md).
        **options: See ``mmc2fmae.load_encoder``.
    """
    import mmc2fmae

    vit, _ = mmc2fmae.load_encoder(checkpoint, **options)
    return vit
