"""Muon against torch's own, and against a singular value decomposition."""

import pytest
import torch
from torch import Tensor, nn

from vit.training.muon import Muon, newton_schulz


@pytest.mark.parametrize("shape", [(3, 11, 29), (2, 29, 11), (1, 17, 17)])
def test_newton_schulz_keeps_singular_vectors_and_evens_singular_values(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(5)
    matrices = torch.randn(shape)
    left, _, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    within = left.mT @ newton_schulz(matrices).double() @ right.mT  # in the singular vectors' own frame
    lengths = within.diagonal(dim1=1, dim2=2)
    assert lengths.min() > 0.5
    assert lengths.max() < 1.3
    assert (within - torch.diag_embed(lengths)).abs().max() < 0.05


def stepped(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], steps: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    for _ in range(steps):
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def parameters(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    torch.manual_seed(3)
    return [nn.Parameter(torch.randn(shape)) for shape in shapes]


def test_steps_are_those_of_torch() -> None:
    shapes = (11, 23), (23, 11), (11, 23), (13, 13)
    before = parameters(*shapes)
    ours, theirs = parameters(*shapes), parameters(*shapes)
    moved = stepped(Muon(ours, lr=0.1, weight_decay=0.3), ours, 3)
    expected = stepped(torch.optim.Muon(theirs, lr=0.1, weight_decay=0.3, momentum=0.95), theirs, 3)
    for start, one, other in zip(before, moved, expected, strict=True):
        assert (one - other).norm() < 0.03 * (other - start).norm()  # both round to bfloat16 on the way


def test_a_kernel_is_a_matrix_with_a_row_per_output() -> None:
    kernels, matrices = parameters((7, 5, 3, 3)), parameters((7, 45))
    moved = stepped(Muon(kernels, lr=0.1), kernels, 2)
    expected = stepped(Muon(matrices, lr=0.1), matrices, 2)
    assert moved[0].shape == (7, 5, 3, 3)  # the same numbers were drawn for both, in the same order
    torch.testing.assert_close(moved[0].flatten(1), expected[0])


def test_a_parameter_without_gradient_stays() -> None:
    first, second = parameters((3, 5), (3, 5))
    before = second.detach().clone()
    first.grad = torch.randn(3, 5)
    Muon([first, second], lr=0.1, weight_decay=0.5).step()
    assert torch.equal(second, before)


def test_a_vector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\)"):
        Muon([nn.Parameter(torch.zeros(5))])
