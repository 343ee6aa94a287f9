"""Training with Lightning. It knows no architecture: a model is a module from inputs to logits."""
