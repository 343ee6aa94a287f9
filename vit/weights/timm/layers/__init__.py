"""Layers of timm: what each is in terms of ours, and its tensors under our names."""
