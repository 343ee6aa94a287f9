"""Classes of timm's image models: the arguments of our tower, and the tensors, of each."""
