"""Labelled features of a model that does not change, with the interface of `vit.data.found.Examples`."""

from collections.abc import Sequence

import torch
from torch import Tensor

from vit.data.images import Batch, at


class FeatureExamples:
    """Features in memory.

    Args:
        features: float32 (n, F).
        targets: int64 (n,); with several labels float32 (n, classes).
        names: n strings.
        digests: n hashes of what the features are of; empty for a dataset that never changes.
    """

    def __init__(self, features: Tensor, targets: Tensor, names: Sequence[str], digests: Sequence[str] = ()):
        self.features, self.targets = features, targets
        self.names, self.digests = list(names), list(digests)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, indices: list[int] | Tensor) -> Batch:
        """Features (B, F), targets (B,) or (B, classes), and the indices themselves."""
        indices = torch.as_tensor(indices, dtype=torch.int64)
        return self.features[indices], self.targets[indices], indices

    def subset(self, indices: list[int] | Tensor) -> "FeatureExamples":
        """The features at `indices`, copied, numbered from 0."""
        features, targets, indices = self[indices]
        return FeatureExamples(features, targets, at(self.names, indices), at(self.digests, indices))

    def joined(self, other: "FeatureExamples") -> "FeatureExamples":
        """These features, followed by the others."""
        return FeatureExamples(
            torch.cat([self.features, other.features]),
            torch.cat([self.targets, other.targets]),
            self.names + other.names,
            self.digests + other.digests,
        )
