"""How large the acceptance benchmark is: the paper's models on a GPU, or everything small."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class FineTuning:
    """One fine-tuning step that is measured.

    Attributes:
        config: Config, as `mmc2fmae configs` lists it.
        batch: Images of a pass.
        size: Height and width of an image in pixels.
    """

    config: str
    batch: int
    size: tuple[int, int]


@dataclass(frozen=True)
class Scale:
    """Sizes of all parts.

    Attributes:
        pretraining: Configs of pre-trainings that are measured, by name; the first is C2FMAE's.
        batches: Batch sizes, ascending: they are tried until memory ends.
        batch: Batch of the comparisons: compiled and not, public code.
        compile: Options of ``torch.compile``.
        agreement: Config of the pre-training whose losses are compared between precisions.
        fine_tuning: Fine-tunings by name.
        arch: ViT of the feature extraction.
        images: Images of the feature extraction.
        neighbours: Features and queries of the k-NN evaluation, of ``dims`` numbers each.
        dims: See neighbours.
        matrix: Side of the square matrices whose product measures the peak.
        warm_up: Steps before the clock starts.
        steps: Steps between two readings of the clock.
        rounds: Readings; medians are taken over them.
    """

    pretraining: Mapping[str, str]
    batches: tuple[int, ...]
    batch: int
    compile: Mapping[str, object]
    agreement: str
    fine_tuning: Mapping[str, FineTuning]
    arch: str | Mapping[str, int]
    images: int
    neighbours: tuple[int, int]
    dims: int
    matrix: int
    warm_up: int
    steps: int
    rounds: int


GPU = Scale(
    pretraining={
        'C2FMAE': 'pretrain/c2fmae_vitb_1600e.py',
        'MAE': 'pretrain/mae_vitb_1600e.py',
        'MultiMAE': 'pretrain/multimae_ris_vitb_400e.py',
        'SemanticMIM': 'pretrain/semanticmim/semanticmim_maskfeat_vitb_300e.py',
    },
    batches=(64, 128, 256, 512, 1024, 2048, 4096),
    batch=256,
    compile={'mode': 'default'},
    agreement='mini/c2fmae_mini_scenes.py',
    fine_tuning={
        'Mask R-CNN': FineTuning('det/mask_rcnn_vitb_1x_coco.py', 2, (800, 1333)),
        'Mask R-CNN, 24 GB preset': FineTuning(
            'det/mask_rcnn_vitb_1x_coco_24gb.py', 4, (800, 1333)
        ),
        'UperNet': FineTuning('seg/upernet_vitb_160k_ade20k.py', 2, (512, 512)),
        'classification': FineTuning('cls/vitb_ft_100e.py', 256, (224, 224)),
    },
    arch='base',
    images=4096,
    neighbours=(1_281_167, 50_000),
    dims=768,
    matrix=8192,
    warm_up=2,
    steps=4,
    rounds=3,
)

TOY = Scale(
    pretraining={
        'C2FMAE': 'mini/c2fmae_mini_scenes.py',
        'MAE': 'mini/pretrain/mae_mini_scenes.py',
    },
    batches=(2, 4),
    batch=2,
    compile={'backend': 'eager'},  # needs no compiler
    agreement='mini/c2fmae_mini_scenes.py',
    fine_tuning={
        'Mask R-CNN': FineTuning('mini/det.py', 1, (64, 64)),
        'UperNet': FineTuning('mini/seg.py', 2, (64, 64)),
        'classification': FineTuning('mini/cls.py', 2, (64, 64)),
    },
    arch={'embed_dims': 48, 'num_layers': 2, 'num_heads': 3, 'feedforward_channels': 96},
    images=8,
    neighbours=(200, 50),
    dims=16,
    matrix=64,
    warm_up=1,
    steps=1,
    rounds=2,
)
