"""Training and evaluation on Lightning. It knows no architecture: a model is a module with logits."""
