"""Images and texts for training and prediction: reading, preprocessing, datasets, splits, augmentation.

Knows no model. Everything random in it is a function of (seed, epoch, index).
"""
