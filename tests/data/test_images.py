import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from vit.data.decode import DecodeError
from vit.data.images import FileImages, TensorImages, check_memory, resize_images, statistics
from vit.data.preprocess import Preprocess
from vit.errors import VitError


@pytest.fixture
def tensors():
    pixels = torch.randint(
        0, 256, (7, 3, 11, 13), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return TensorImages(pixels, torch.arange(7) % 3, [f"n{i}" for i in range(7)])


@pytest.fixture
def files(tensors, tmp_path):
    """The same pictures as files."""
    paths = [tmp_path / f"{name}.png" for name in tensors.names]
    for path, pixels in zip(paths, tensors.pixels, strict=True):
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
    return FileImages(paths, tensors.targets, tensors.names, Preprocess(11, 13))


@pytest.mark.parametrize("indices", [[5, 0, 5], torch.tensor([1, 6]), []])
def test_both_classes_have_one_interface(tensors, files, indices):
    for left, right in zip(tensors[indices], files[indices], strict=True):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    assert tensors.size == files.size == (11, 13)
    assert tensors.channels == files.channels == 3
    assert len(tensors) == len(files) == 7


def test_subsets_are_numbered_from_zero(tensors, files):
    for images in (tensors, files):
        some = images.subset(torch.tensor([6, 2, 3]))
        pixels, targets, indices = some[[0, 2]]
        assert torch.equal(pixels, tensors.pixels[[6, 3]])
        assert targets.tolist() == [0, 0]
        assert indices.tolist() == [0, 2]
        assert some.names == ["n6", "n2", "n3"]


def test_files_pickle(files):
    files[[0]]
    assert torch.equal(pickle.loads(pickle.dumps(files))[[3]][0], files[[3]][0])


def test_many_large_files_keep_their_order(tmp_path):
    paths = []
    for level in range(5):
        noise = np.random.default_rng(level).integers(0, 20, (101, 103, 3), dtype=np.uint8)
        paths.append(tmp_path / f"{level}.png")
        Image.fromarray(noise + np.uint8(level * 50)).save(paths[-1], compress_level=0)
    images = FileImages(paths, torch.zeros(5, dtype=torch.int64), list("abcde"), Preprocess(1, 1))
    found = images[[4, 0, 3, 1, 2] * 300][0].flatten(1).float().mean(1)
    assert (found // 50).tolist() == [4, 0, 3, 1, 2] * 300


def test_a_file_gone_bad_is_named(files):
    files.paths[2].write_text("no more")
    with pytest.raises(DecodeError, match=r"n2\.png: not_an_image"):
        files[[1, 2]]


def test_lengths_and_types_are_checked():
    pixels = torch.zeros(3, 1, 5, 7, dtype=torch.uint8)
    with pytest.raises(VitError, match="3 pictures, targets of shape"):
        TensorImages(pixels, torch.arange(2), ["a", "b", "c"])
    with pytest.raises(VitError, match=r"expected torch.uint8 \(n, C, height, width\)"):
        TensorImages(pixels.float(), torch.arange(3), ["a", "b", "c"])
    with pytest.raises(VitError, match="2 names"):
        FileImages([], torch.zeros(0), ["a", "b"], Preprocess(5, 7))


def test_statistics_are_those_of_float64(tensors):
    mean, std = statistics(tensors)
    values = tensors.pixels.double() / 255
    assert mean == pytest.approx(values.mean((0, 2, 3)).tolist())
    assert std == pytest.approx(values.std((0, 2, 3), correction=0).tolist())
    assert statistics(tensors, limit=2) == statistics(tensors.subset([0, 3]))


def test_statistics_of_a_flat_channel_and_of_nothing():
    flat = TensorImages(torch.full((3, 1, 5, 7), 51, dtype=torch.uint8), torch.arange(3), list("abc"))
    mean, std = statistics(flat)
    assert mean == pytest.approx((0.2,))
    assert std == pytest.approx((1e-3,))
    with pytest.raises(VitError, match="0 pictures"):
        statistics(flat.subset([]))


def test_images_in_memory_are_resized_as_files_are(tensors):
    assert resize_images(tensors.pixels, Preprocess(11, 13)) is tensors.pixels
    picture = Image.fromarray(tensors.pixels[4].permute(1, 2, 0).numpy())
    assert torch.equal(resize_images(tensors.pixels, Preprocess(5, 7))[4], Preprocess(5, 7).pixels(picture))
    assert resize_images(tensors.pixels[:, :1], Preprocess(5, 7)).shape == (7, 1, 5, 7)
    zoomed = Preprocess(11, 13, crop=0.8)
    assert torch.equal(resize_images(tensors.pixels, zoomed)[4], zoomed.pixels(picture))


def test_memory_is_refused_with_both_numbers(tmp_path):
    check_memory(tmp_path, 1000, (10, 10), 1.0)
    with pytest.raises(
        VitError, match=r"1,000,000 pictures of 224 x 224 .* need 150\.5 GB, data.memory_gb is 4"
    ):
        check_memory(tmp_path, 1_000_000, (224, 224), 4.0)
