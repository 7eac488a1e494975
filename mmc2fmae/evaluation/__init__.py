"""Evaluation of pre-trained encoders and of fine-tuned models."""
