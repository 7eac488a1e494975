"""Mask R-CNN after SemanticMIM with 8 proxies; the published code has no detection."""

_base_ = './mask_rcnn_vitb_1x_coco.py'

model = dict(backbone=dict(num_cls_tokens=8))
