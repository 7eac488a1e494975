"""Fine-tuning with 10 % of ImageNet's labels, the same everywhere (not in the paper)."""

_base_ = ['vitb_ft_1percent.py']

train_dataloader = dict(dataset=dict(label_share=0.1))
