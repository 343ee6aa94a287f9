import json
import os
import pickle
import tarfile
from hashlib import md5
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from vit.data.datasets import load
from vit.data.images import FileImages, TensorImages
from vit.data.readers import cifar
from vit.errors import VitError


@pytest.fixture(autouse=True)
def no_ambient_data(request, monkeypatch, tmp_path):
    """Tests see their own files only, and no network."""
    if "real" not in request.node.name:
        monkeypatch.delenv("VIT_DATA", raising=False)
        monkeypatch.setattr(cifar, "cache_folder", lambda name: tmp_path / "cache" / name)

        def refuse(*args, **kwargs):
            raise OSError("no network in tests")

        monkeypatch.setattr("urllib.request.urlopen", refuse)


def noise(seed, height=23, width=29):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path, seed=0, **size):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(seed, **size)).save(path)


def tree(root, classes=("cat", "dog", "emu"), each=10, suffix="png", seed=0):
    for index, label in enumerate(classes):
        for i in range(each):
            write(root / label / f"{i:02d}.{suffix}", seed=seed + 1000 * index + i)
    return root


def encoded(seed, **size):
    from io import BytesIO

    file = BytesIO()
    Image.fromarray(noise(seed, **size)).save(file, "PNG")
    return file.getvalue()


# digits


def test_digits():
    splits = load("digits")
    assert splits.name == "digits"
    assert splits.labels == list("0123456789")
    assert splits.train.size == (8, 8)
    assert splits.train.channels == 1
    assert len(splits.train) + len(splits.val) + len(splits.test) == 1797
    from sklearn.datasets import load_digits

    digits = load_digits()
    row = int(splits.val.names[5].split("/")[1])
    pixels, targets, _ = splits.val[[5]]
    assert np.array_equal(pixels[0, 0], np.rint(digits.images[row] * 255 / 16))
    assert targets.item() == digits.target[row]


def test_parts_are_disjoint_stratified_and_chosen_by_the_seed():
    splits = load("digits", val_fraction=0.1, test_fraction=0.25)
    names = [set(images.names) for images in (splits.train, splits.val, splits.test)]
    assert len(set.union(*names)) == 1797
    every = torch.cat([images.targets for images in (splits.train, splits.val, splits.test)]).bincount()
    held = splits.test.targets.bincount()
    assert held.tolist() == [round(0.25 * n) for n in every.tolist()]
    assert splits.val.targets.bincount().tolist() == [round(0.1 * n) for n in (every - held).tolist()]
    assert load("digits").val.names == load("digits").val.names
    assert load("digits", split_seed=1).test.names != load("digits").test.names
    assert load("digits", test_fraction=0).test is None


def test_digits_at_another_size():
    assert load("digits", image_size=(11, 13)).train.size == (11, 13)
    assert load("digits", image_size=16).train[[0]][0].shape == (1, 1, 16, 16)


# folders


def test_one_tree_is_split(tmp_path):
    splits = load("folder", tree(tmp_path), image_size=(11, 13))
    assert splits.labels == ["cat", "dog", "emu"]
    sizes = [len(images) for images in (splits.train, splits.val, splits.test)]
    assert sum(sizes) == 30
    assert min(sizes) >= 3  # one of each class
    assert isinstance(splits.train, TensorImages)
    assert splits.train.size == (11, 13)
    assert splits.skipped == []
    assert load("folder", tmp_path).train.size == (64, 64)


@pytest.mark.parametrize("val", ["val", "valid", "validation", "dev"])
def test_given_parts_are_kept(tmp_path, val):
    tree(tmp_path / "train")
    tree(tmp_path / val, each=2, seed=100)
    tree(tmp_path / "test", classes=("emu",), each=3, seed=200)
    splits = load("folder", tmp_path, image_size=8)
    assert [len(images) for images in (splits.train, splits.val, splits.test)] == [30, 6, 3]
    assert splits.test.targets.tolist() == [2, 2, 2]
    assert splits.notes == []
    assert splits.test.names[0] == "test/emu/00.png"


def test_memory_decides_between_tensors_and_files(tmp_path):
    tree(tmp_path)
    (tmp_path / "cat" / "03.png").write_bytes(b"not a picture")
    small, large = (load("folder", tmp_path, image_size=8, memory_gb=gb) for gb in (4.0, 0.0))
    assert isinstance(small.train, TensorImages)
    assert isinstance(large.train, FileImages)
    assert small.train.names == large.train.names
    assert small.skipped == large.skipped
    assert torch.equal(small.train[[4, 2]][0], large.train[[4, 2]][0])


def test_bad_files_are_left_out_and_reported(tmp_path):
    tree(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("a note")
    (tmp_path / "cat" / ".hidden.png").write_text("a note")
    (tmp_path / "README.md").write_text("beside the classes")
    good = tmp_path / "dog" / "00.png"
    good.write_bytes(good.read_bytes()[:400])
    write(tmp_path / "dog" / "deep" / "er" / "x.png")
    splits = load("folder", tmp_path, image_size=8)
    assert [name for name, _ in splits.skipped] == ["cat/notes.txt", "dog/00.png"]
    assert splits.skipped[0][1].startswith("not_an_image")
    assert splits.skipped[1][1].startswith("truncated")
    names = splits.train.names + splits.val.names + splits.test.names
    assert len(names) == 30
    assert "dog/deep/er/x.png" in names


def test_pictures_of_all_modes_become_rgb(tmp_path):
    tree(tmp_path, classes=("a", "b"), each=2)
    Image.fromarray(noise(0)[..., 0]).save(tmp_path / "a" / "grey.png")
    Image.fromarray(np.full((9, 9), 65535, np.uint16)).save(tmp_path / "a" / "deep.png")
    Image.new("RGBA", (9, 7), (0, 0, 0, 0)).save(tmp_path / "a" / "clear.png")
    splits = load("folder", tmp_path, image_size=8, test_fraction=0.0, val_fraction=0.2)
    every = {
        name: images[[i]][0] for images in (splits.train, splits.val) for i, name in enumerate(images.names)
    }
    assert every["a/clear.png"].min() == 255
    assert every["a/deep.png"].min() == 255
    assert torch.equal(every["a/grey.png"][0, 0], every["a/grey.png"][0, 2])
    assert splits.skipped == []


def refused(match, *args, **kwargs):
    with pytest.raises(VitError, match=match) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)


def test_folders_that_cannot_be_used(tmp_path):
    refused("does not exist", "folder", tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    refused("no class folders", "folder", empty)
    write(empty / "picture.png")
    refused("no class folders", "folder", empty)
    refused("is not a folder", "folder", empty / "picture.png")
    lacking = tree(tmp_path / "lacking")
    (lacking / "fox").mkdir()
    splits = load("folder", lacking)
    assert splits.labels == ["cat", "dog", "emu"]
    assert splits.notes == ["the folder fox is empty"]
    strange = tmp_path / "strange"
    tree(strange / "train", each=2)
    tree(strange / "val", classes=("cat", "yak"), each=2, seed=100)
    refused("train has no example of 'yak'", "folder", strange)
    refused("has one class, 'cat'", "folder", tree(tmp_path / "one", classes=("cat",)))
    lonely = tree(tmp_path / "lonely", each=1)
    refused("val is empty", "folder", lonely)


# parquet


def table(n, label, metadata=None, image=None, **size):
    image = image or (lambda i: {"bytes": encoded(i, **size), "path": f"{i}.png"})
    built = pa.table({"extra": pa.array([0.5] * n), "image": [image(i) for i in range(n)], "label": label})
    if metadata:
        features = {"info": {"features": {"label": {"names": metadata, "_type": "ClassLabel"}}}}
        built = built.replace_schema_metadata({"huggingface": json.dumps(features)})
    return built


def test_parquet_with_names_in_its_metadata(tmp_path):
    pq.write_table(
        table(20, [i % 2 for i in range(20)], ["no", "yes"]), tmp_path / "train-00000-of-00002.parquet"
    )
    pq.write_table(table(4, [1] * 4, ["no", "yes"]), tmp_path / "train-00001-of-00002.parquet")
    others = table(5, [0, 1, 0, 1, 0], ["no", "yes"], lambda i: encoded(100 + i))
    pq.write_table(others, tmp_path / "validation.parquet")
    splits = load("parquet", tmp_path, test_fraction=0.25)
    assert splits.labels == ["no", "yes"]
    assert (len(splits.train), len(splits.val), splits.test) == (24, 5, None)  # nothing is carved out of it
    assert splits.val.size == (23, 29)
    assert np.array_equal(splits.val[[3]][0][0].permute(1, 2, 0), noise(103))
    assert splits.val.names[3] == "val/00003"


def test_one_parquet_file_with_words_for_labels_and_plain_bytes(tmp_path):
    file = tmp_path / "things.parquet"
    labels = ["sea", "air", "land", "air", "sea", "land"] * 5
    pq.write_table(table(30, labels, image=lambda i: encoded(i)), file)
    splits = load("parquet", file, image_size=8)
    assert splits.labels == ["air", "land", "sea"]
    row = int(splits.test.names[0].split("/")[1])
    assert splits.labels[splits.test.targets[0]] == labels[row]
    assert len(load("parquet", tmp_path, image_size=8).train) == len(splits.train)


def test_whole_numbers_without_names_become_names(tmp_path):
    pq.write_table(table(30, [30, 7, 100] * 10), tmp_path / "train.parquet")
    assert load("parquet", tmp_path, image_size=8).labels == ["7", "30", "100"]


def test_bad_rows_are_left_out_and_reported(tmp_path):
    def image(i):
        return {3: {"bytes": None, "path": "x.png"}, 5: None, 7: {"bytes": b"junk", "path": ""}}.get(
            i, {"bytes": encoded(i), "path": ""}
        )

    pq.write_table(table(20, [i % 2 for i in range(20)], image=image), tmp_path / "train.parquet")
    splits = load("parquet", tmp_path, image_size=8)
    assert [name for name, _ in splits.skipped] == ["train/00003", "train/00005", "train/00007"]
    assert len(splits.train) + len(splits.val) + len(splits.test) == 17


def test_parquet_that_cannot_be_used(tmp_path):
    refused("no parquet files", "parquet", tmp_path)
    path = tmp_path / "train.parquet"
    path.write_text("no parquet")
    refused("cannot read the parquet files", "parquet", tmp_path)
    pq.write_table(pa.table({"label": [1, 2]}), path)
    refused("expected one of image bytes", "parquet", tmp_path)
    pq.write_table(pa.table({"image": [b"", b""], "a": [1, 2], "b": [1, 2]}), path)
    refused("expected a label", "parquet", tmp_path)
    pq.write_table(table(2, [0, 1], image=lambda i: b"junk"), path)
    refused("no readable picture", "parquet", tmp_path)
    pq.write_table(table(4, [0, 1, 0, 2], ["a", "b"]), path)
    refused("row 3 has the label 2, expected 0 to 1", "parquet", tmp_path)
    pq.write_table(table(4, [0, 1, 0, 1], ["a", "b"]), path)
    refused("memory_gb is 1e-09", "parquet", tmp_path, memory_gb=1e-9)


# CIFAR


def test_cifar_from_parquet_without_names(tmp_path, monkeypatch):
    for part, n in (("train", 40), ("test", 10)):
        rows = [{"bytes": encoded(i, height=32, width=32), "path": None} for i in range(n)]
        pq.write_table(
            pa.table({"img": rows, "label": [i % 10 for i in range(n)]}), tmp_path / f"{part}-0.parquet"
        )
    monkeypatch.setenv("VIT_DATA", str(tmp_path.parent))
    (tmp_path.parent / "cifar10").unlink(missing_ok=True)
    (tmp_path.parent / "cifar10").symlink_to(tmp_path)
    splits = load("cifar10", val_fraction=0.25)
    assert splits.labels[:3] == ["airplane", "automobile", "bird"]
    assert [len(images) for images in (splits.train, splits.val, splits.test)] == [30, 10, 10]
    assert {name.split("/")[0] for name in splits.val.names} == {"train"}


def fake_cifar100(folder, monkeypatch):
    """The original layout with few pictures, and torchvision's MD5 sums to match."""
    from torchvision.datasets import CIFAR100

    inner = folder / "cifar-100-python"
    inner.mkdir(parents=True)
    sums = {}
    for name, n in (("train", 20), ("test", 4), ("meta", 0)):
        rows = [noise(i, 32, 32).transpose(2, 0, 1).flatten() for i in range(n)]
        entry = {"data": np.array(rows), "fine_labels": [i % 2 for i in range(n)]}
        if name == "meta":
            entry = {"fine_label_names": ["apple", "bee"]}
        (inner / name).write_bytes(pickle.dumps(entry))
        sums[name] = md5((inner / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": sums["meta"]})
    archive = folder / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inner, "cifar-100-python")
    monkeypatch.setattr(CIFAR100, "tgz_md5", md5(archive.read_bytes()).hexdigest())
    return inner, archive


def test_cifar_from_the_extracted_folder_and_from_the_archive(tmp_path, monkeypatch):
    inner, archive = fake_cifar100(tmp_path / "a", monkeypatch)
    splits = load("cifar100", tmp_path / "a", val_fraction=0.2)
    assert splits.labels == ["apple", "bee"]
    assert [len(images) for images in (splits.train, splits.val, splits.test)] == [16, 4, 4]
    assert np.array_equal(splits.test[[3]][0][0].permute(1, 2, 0), noise(3, 32, 32))
    (tmp_path / "b").mkdir()
    archive.rename(tmp_path / "b" / archive.name)
    assert torch.equal(load("cifar100", tmp_path / "b").test[[3]][0], splits.test[[3]][0])
    (inner / "train").write_bytes(b"damaged")
    refused("torchvision cannot read", "cifar100", tmp_path / "a")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / archive.name).write_bytes(b"damaged")
    refused("MD5 sum", "cifar100", tmp_path / "c")


def test_cifar_that_cannot_be_reached_says_what_was_tried(tmp_path):
    refused("nothing in .*cache.* and the download of https.* failed .*no network.*put train-", "cifar10")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    refused("neither parquet files nor cifar-10-python.tar.gz; put", "cifar10", tmp_path / "other")
    assert not (tmp_path / "cache").exists()


def test_standard_names():
    assert [len(cifar.LABELS[name]) for name in ("cifar10", "cifar100")] == [10, 100]
    for labels in cifar.LABELS.values():
        assert labels == sorted(set(labels))


def test_real_cifar10_of_this_machine():
    root = Path(os.environ.get("VIT_DATA", "")) / "cifar10"
    if "VIT_DATA" not in os.environ or not list(root.glob("test-*.parquet")):
        pytest.skip("CIFAR-10 is not there: set VIT_DATA to a folder with cifar10/test-*.parquet in it")
    [file] = root.glob("test-*.parquet")
    splits = load("parquet", file)  # the test part alone: all of it would take long
    assert splits.labels == cifar.LABELS["cifar10"]
    sizes = [len(images) for images in (splits.train, splits.val, splits.test)]
    assert sum(sizes) == 10_000
    assert sizes == pytest.approx([7200, 800, 2000], rel=0.1)
    assert splits.test.targets.bincount().tolist() == pytest.approx([200] * 10, rel=0.25)
    assert splits.train.size == (32, 32)
    assert splits.skipped == []


# names and roots


def test_unknown_names_and_missing_roots(monkeypatch, tmp_path):
    refused("data.name is 'cifar'; did you mean cifar10", "cifar")
    refused("neither data.root nor VIT_DATA is set", "folder")
    monkeypatch.setenv("VIT_DATA", str(tmp_path))
    refused(f"{tmp_path}/parquet does not exist", "parquet")
    refused("data.val_fraction is 0", "digits", val_fraction=0)
    refused("data.test_fraction is 1.5, expected between 0 and 1", "digits", test_fraction=1.5)
    refused("image_size is 0 x 0", "digits", image_size=0)


def test_importing_is_light():
    import subprocess
    import sys

    code = (
        "import sys, vit.data; print([m for m in ('sklearn', 'torchvision', 'pyarrow') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
