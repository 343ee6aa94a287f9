"""Augmentation of training images: whole batches of tensors, on the device that trains."""
