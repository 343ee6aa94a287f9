"""Augmentation of training examples: whole batches of tensors, on the device that trains."""
