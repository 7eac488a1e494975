"""Tiny models of the three labelling stages, drawn at random, in folders like the released ones."""

from pathlib import Path

import torch

import mmc2fmae  # noqa: F401  (first: it closes the gaps of the stack)
from mmc2fmae.preparation.layout import coco_panoptic_classes

WIDTH = 32  # the least that Grounding DINO's and SAM's norms and positions allow
LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789'
WORDS = ('tench', 'goldfish', 'tinca', 'person', 'car', 'dog')


def make_tiny_models(folder: str | Path, seed: int = 0) -> dict[str, str]:
    """Write a tiny Grounding DINO, HQ-SAM and Mask2Former with 133 classes.

    Args:
        folder: Where to make the three folders.
        seed: Seed of the weights.

    Returns:
        Folders of 'detector', 'segmenter' and 'semantic'.
    """
    made = {}
    with torch.random.fork_rng():
        for name, write in (
            ('detector', _write_detector),
            ('segmenter', _write_segmenter),
            ('semantic', _write_semantic),
        ):
            torch.manual_seed(seed)
            made[name] = str(Path(folder, name))
            write(made[name])
    return made


def _swin(**more):
    from transformers import SwinConfig

    return SwinConfig(
        image_size=64, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, **more
    )


def _write_detector(folder: str) -> None:
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
    )

    # Grounding DINO knows BERT's delimiters by number. Letters spell any other word.
    vocabulary = [f'[unused{i}]' for i in range(1030)]
    special = {0: '[PAD]', 100: '[UNK]', 101: '[CLS]', 102: '[SEP]', 103: '[MASK]'}
    for i, token in {**special, 1010: ',', 1011: '-', 1012: '.', 1029: '?'}.items():
        vocabulary[i] = token
    vocabulary += [*LETTERS, *(f'##{letter}' for letter in LETTERS), *WORDS]
    Path(folder).mkdir(parents=True)
    words = Path(folder, 'vocab.txt')
    words.write_text('\n'.join(vocabulary))
    tokenizer = BertTokenizer(vocab=str(words), model_max_length=512)
    text = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    config = GroundingDinoConfig(
        backbone_config=_swin(out_indices=[2, 3, 4]),
        text_config=text,
        d_model=WIDTH,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        num_queries=20,
    )
    # 96 pixels: the coarsest level of 64 would be a single value, which its norm refuses.
    pixels = GroundingDinoImageProcessor(size={'shortest_edge': 96, 'longest_edge': 160})
    model = GroundingDinoForObjectDetection(config)
    model.model.decoder.layer_norm.weight.data *= 0.3  # scores from 0.2 to 1 instead of 0 or 1
    model.save_pretrained(folder)
    GroundingDinoProcessor(pixels, tokenizer).save_pretrained(folder)
    words.unlink()  # the released tokenizer.json says it all


def _write_segmenter(folder: str) -> None:
    from transformers import (
        SamHQConfig,
        SamHQMaskDecoderConfig,
        SamHQModel,
        SamHQProcessor,
        SamHQPromptEncoderConfig,
        SamHQVisionConfig,
        SamImageProcessor,
    )

    side = 128
    vision = SamHQVisionConfig(
        hidden_size=WIDTH,
        output_channels=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=side,
        patch_size=16,
        window_size=4,
        global_attn_indexes=[1],
        num_pos_feats=WIDTH // 2,
        mlp_dim=WIDTH,
    )
    prompts = SamHQPromptEncoderConfig(hidden_size=WIDTH, image_size=side, mask_input_channels=4)
    decoder = SamHQMaskDecoderConfig(
        hidden_size=WIDTH,
        mlp_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        iou_head_hidden_dim=WIDTH,
        vit_dim=WIDTH,
    )
    pixels = SamImageProcessor(
        size={'longest_edge': side}, pad_size={'height': side, 'width': side}
    )
    config = SamHQConfig(
        vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
    )
    model = SamHQModel(config)
    for part in (model.mask_decoder.compress_vit_conv1, model.mask_decoder.compress_vit_conv2):
        torch.nn.init.normal_(part.weight)  # so that the encoder's early features count
    model.save_pretrained(folder)
    SamHQProcessor(pixels).save_pretrained(folder)


def _write_semantic(folder: str) -> None:
    from transformers import (
        Mask2FormerConfig,
        Mask2FormerForUniversalSegmentation,
        Mask2FormerImageProcessor,
    )

    names = coco_panoptic_classes()
    # Two channels in each of its norms' 32 groups: of one alone, an image of one colour leaves
    # nothing but rounding, which the norms after it enlarge.
    width = 2 * WIDTH
    config = Mask2FormerConfig(
        backbone_config=_swin(out_features=['stage1', 'stage2', 'stage3', 'stage4']),
        feature_size=width,
        mask_feature_size=width,
        hidden_dim=width,
        encoder_feedforward_dim=WIDTH,
        dim_feedforward=WIDTH,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=10,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )
    pixels = Mask2FormerImageProcessor(size={'height': 64, 'width': 64}, num_labels=len(names))
    model = Mask2FormerForUniversalSegmentation(config)
    # Queries that differ in class and in place: several classes in an image, not one everywhere.
    queries, pixel_decoder = model.model.transformer_module, model.model.pixel_level_module.decoder
    for part in (model.class_predictor, queries.queries_features, pixel_decoder.mask_projection):
        torch.nn.init.normal_(part.weight)
    for weight in queries.decoder.mask_predictor.mask_embedder.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder)
    pixels.save_pretrained(folder)
