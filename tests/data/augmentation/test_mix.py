import pytest
import torch

from vit.data.augmentation.mix import Mix
from vit.errors import VitError


def test_mixing_is_off_at_zero():
    images, targets = torch.randn(4, 3, 5, 7), torch.arange(4)
    mixed, same = Mix(0.0, 0.0, 4, 0)(images, targets, 0, 0)
    assert mixed is images
    assert same is targets


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0), (0.2, 1.0)])
def test_mixing_blends_pictures_and_targets_alike(mixup, cutmix):
    images = (
        torch.eye(5)[:, :, None, None].expand(5, 5, 13, 17).contiguous()
    )  # channel i is all that picture i has
    mix = Mix(mixup, cutmix, 5, 3)
    state = torch.get_rng_state()
    mixed, targets = mix(images, torch.arange(5), 2, 17)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(mixed.mean((2, 3)), targets)
    torch.testing.assert_close(targets.sum(1), torch.ones(5))
    again = mix(images, torch.arange(5), 2, 17)
    assert torch.equal(again[0], mixed)
    draws = {mix(images, torch.arange(5), epoch, 17)[1].flatten()[0].item() for epoch in range(10)}
    assert len(draws) > 3


def test_negative_alphas_are_refused():
    with pytest.raises(VitError, match=r"augment\.mixup is -1"):
        Mix(-1, 0, 5, 0)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.8, 0.0), (0.0, 1.0)])
def test_several_labels_are_mixed_as_the_pictures_are(mixup, cutmix):
    images = torch.eye(5)[:, :, None, None].expand(5, 5, 13, 17).contiguous()
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, float("nan"), 1], [1, 0, 0]])
    mixed, targets = Mix(mixup, cutmix, 3, 3)(images, labels, 2, 17)
    shares = mixed.mean((2, 3))  # of each picture in each mixture
    known = ~((shares > 0).float() @ labels.isnan().float()).bool()
    torch.testing.assert_close(targets[known], (shares @ labels.nan_to_num())[known])
    assert torch.equal(targets.isnan(), ~known)
    assert int((~known).sum()) == 2
