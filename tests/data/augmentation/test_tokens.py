import torch

from vit.data.augmentation.tokens import TokenMasking


def test_masking_is_a_function_of_seed_epoch_and_index() -> None:
    masking = TokenMasking(7, 0.5, mask_id=99, keep=[0, 1])
    ids = torch.arange(40).view(2, 20)
    indices = torch.tensor([4, 8])
    changed = masking(ids, indices, 3)
    assert torch.equal(changed, masking(ids, indices, 3))
    assert torch.equal(changed[1], masking(ids[1:], indices[1:], 3)[0])
    assert not torch.equal(changed, masking(ids, indices, 4))
    assert changed[0, :2].tolist() == [0, 1]
    assert 10 < int((changed == 99).sum()) < 30
    assert torch.equal(TokenMasking(7, 0.0, 99, [])(ids, indices, 3), ids)
