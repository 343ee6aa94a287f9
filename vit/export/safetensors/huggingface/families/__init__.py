"""Families of transformers, from a tower to their configs and tensors."""
