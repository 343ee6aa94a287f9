"""No change to a folder or a table moves an example that a run has learnt from into test."""

from hashlib import sha256

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vit.data.found import Found
from vit.data.splits.division import Division, by_record, divide
from vit.data.splits.record import SplitRecord, read_record, record_of, write_record
from vit.data.texts import RawTexts
from vit.errors import VitError

LABELS = ["cat", "dog"]


def examples(files):
    """Path -> (content, class), as a reader would return them."""
    names = sorted(files)
    return RawTexts(
        [files[name][0] for name in names],
        torch.tensor([files[name][1] for name in names], dtype=torch.int64),
        names,
        [sha256(files[name][0].encode()).hexdigest() for name in names],
    )


def found(files, named_by_path=True):
    return Found({"all": examples(files)}, LABELS, named_by_path=named_by_path)


FILES = st.dictionaries(
    st.integers(0, 60).map(lambda number: f"{number}.png"),
    st.tuples(st.integers(0, 30).map(str), st.integers(0, 1)),
    min_size=12,
    max_size=40,
).filter(lambda files: len({content for content, label in files.values()}) > 8)


def change(data, files):
    """The folder after a few changes: adding, removing, renaming, copying, damaging, relabelling."""
    files = dict(files)
    for _ in range(data.draw(st.integers(1, 12))):
        kind = data.draw(st.sampled_from(["add", "remove", "rename", "copy", "damage", "relabel"]))
        new = f"{data.draw(st.integers(0, 90))}.png"
        name = data.draw(st.sampled_from(sorted(files))) if files else new
        if kind == "add":
            files[new] = (str(data.draw(st.integers(0, 60))), data.draw(st.integers(0, 1)))
        elif not files:
            continue
        elif kind == "remove":
            del files[name]
        elif kind == "rename":
            files[new] = files.pop(name)
        elif kind == "copy":
            files[new] = files[name]
        elif kind == "damage":
            files[name] = (files[name][0] + "!", files[name][1])
        else:
            files[name] = (files[name][0], 1 - files[name][1])
    return files


@given(FILES, st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=60)
def test_what_a_run_has_learnt_is_never_test(files, seed, data):
    splits = divide("folder", found(files), Division(seed=seed))
    record = record_of(splits.as_dict(), LABELS)
    learnt = {*splits.train.digests, *splits.val.digests}
    changed = change(data, files)
    parts = by_record(found(changed), record)
    for part in ("test", "new"):
        if part in parts:
            assert not learnt & set(parts[part].digests)
    # All of the folder is somewhere, once.
    assert sorted(name for part in parts.values() for name in part.names) == sorted(changed)
    if "test" in parts:
        assert set(parts["test"].digests) <= set(splits.test.digests) | {
            digest
            for digest, name in zip(parts["test"].digests, parts["test"].names, strict=True)
            if name in splits.test.names
        }
    # A file that was edited in place is not test material either.
    for name, content in changed.items():
        if name in files and name in splits.train.names and content[0] == files[name][0] + "!":
            assert name not in parts.get("test", examples({})).names


@given(FILES, st.data())
@settings(deadline=None, max_examples=60)
def test_rows_of_a_table_are_known_by_their_text_alone(files, data):
    """A row that is put in front moves all others: line numbers mean nothing."""
    splits = divide("text", found(files, named_by_path=False), Division())
    record = record_of(splits.as_dict(), LABELS)
    parts = by_record(found(change(data, files), named_by_path=False), record)
    seen = {*splits.train.digests, *splits.val.digests, *splits.test.digests}
    assert not {*splits.train.digests, *splits.val.digests} & set(getattr(parts.get("test"), "digests", []))
    assert not seen & set(getattr(parts.get("new"), "digests", []))


def test_an_unchanged_folder_is_divided_as_before():
    files = {f"{number}.png": (str(number), number % 2) for number in range(40)}
    splits = divide("folder", found(files), Division())
    parts = by_record(found(files), record_of(splits.as_dict(), LABELS))
    assert {name: part.names for name, part in parts.items()} == {
        name: part.names for name, part in splits.as_dict().items()
    }


def test_copies_between_given_parts_are_learnt_once():
    train = examples({f"{n}.png": (str(n), n % 2) for n in range(20)})
    test = examples({f"t{n}.png": (str(n), n % 2) for n in range(15, 30)})
    splits = divide("folder", Found({"train": train, "test": test}, LABELS), Division())
    assert len(splits.train) + len(splits.val) == 20
    assert sorted(splits.test.texts) == [str(n) for n in range(20, 30)]
    assert splits.notes == ["5 of test left aside: their content is in train or val as well"]


def test_the_file(tmp_path):
    splits = divide("folder", found({f"ä {n}.png": (str(n), n % 2) for n in range(30)}), Division())
    write_record(tmp_path, record_of(splits.as_dict(), LABELS))
    header, *lines = (tmp_path / "splits.csv").read_text(encoding="utf-8").splitlines()
    assert header == "part,path,label,sha256"
    assert len(lines) == 30
    row = f"train,{splits.train.names[0]},{LABELS[splits.train.targets[0]]},{splits.train.digests[0]}"
    assert lines[0] == row
    record = read_record(tmp_path)
    assert record.part(splits.val.digests[0]) == "val"
    assert record.part("unknown", splits.test.names[0]) == "test"
    assert record.part("unknown", "unknown.png") is None
    assert read_record(tmp_path / "nowhere") is None


def test_a_damaged_file_is_refused(tmp_path):
    for content in (
        "",
        "part,path\n",
        "part,path,label,sha256\ntrain,a.png\n",
        "part,path,label,sha256\nx,a,b,c\n",
    ):
        (tmp_path / "splits.csv").write_text(content)
        with pytest.raises(VitError, match=r"splits\.csv is damaged"):
            read_record(tmp_path)


def test_several_labels_and_undecodable_names(tmp_path):
    texts = RawTexts(["a"], torch.tensor([[1.0, float("nan")]]), ["\udcff.png"], ["d"])
    record = record_of({"train": texts}, LABELS)
    assert record.rows[0].label == "cat"
    write_record(tmp_path, record)
    assert read_record(tmp_path).part("d") == "train"


def test_train_wins_where_an_example_is_in_two_parts():
    record = SplitRecord([*read("test", "train"), *read("val", "test")])
    assert record.part("x") == "train"


def read(*parts):
    from vit.data.splits.record import Row

    return [Row(part, f"{part}.png", "cat", "x") for part in parts]


def test_a_group_is_in_one_part_also_where_the_data_have_parts():
    train = examples({f"train/p{n % 5}_{n}.png": (str(n), n % 2) for n in range(40)})
    test = examples({f"test/p{n % 9}_{n}.png": (str(n), n % 2) for n in range(100, 140)})
    division = Division(group=r"(p\d)_")
    splits = divide("folder", Found({"train": train, "test": test}, LABELS, named_by_path=True), division)
    people = {part: {name.split("/")[1][:2] for name in got.names} for part, got in splits.as_dict().items()}
    assert not people["train"] & people["val"]
    assert people["test"] == {"p5", "p6", "p7", "p8"}
    assert any("content or group is in train or val as well" in note for note in splits.notes)


def test_groups_that_the_data_name_and_names_without_a_group():
    files = {f"{n}.png": (str(n), n % 2) for n in range(60)}
    data = Found({"all": examples(files)}, LABELS, groups={"all": [f"g{n % 20}" for n in range(60)]})
    splits = divide("folder", data, Division())
    groups = dict(zip(data.parts["all"].names, data.groups["all"], strict=True))
    assert not {groups[name] for name in splits.train.names} & {groups[name] for name in splits.test.names}
    # A name that the expression does not match is divided by its content: a rename does not move it.
    mixed = {f"p{n % 3}_{n}.png": (str(n), n % 2) for n in range(9)} | files
    renamed = {f"r{name}" if name in files else name: entry for name, entry in mixed.items()}
    parts = [divide("folder", found(some), Division(group=r"^(p\d)_")).as_dict() for some in (mixed, renamed)]
    assert {part: sorted(got.texts) for part, got in parts[0].items()} == {
        part: sorted(got.texts) for part, got in parts[1].items()
    }


def test_a_group_that_matches_nothing_is_refused():
    with pytest.raises(VitError, match=r"data\.group is 'nomatch\(x\)', which matches no name, such as"):
        divide(
            "folder", found({f"{n}.png": (str(n), n % 2) for n in range(40)}), Division(group="nomatch(x)")
        )


def test_a_label_that_came_after_the_run_began_is_left_aside():
    files = {f"{number}.png": (str(number), number % 2) for number in range(40)}
    splits = divide("folder", found(files), Division())
    record = record_of(splits.as_dict(), LABELS)
    more = examples(files | {f"b{n}.png": (f"b{n}", 2) for n in range(3)})
    more.targets = torch.where(more.targets == 2, 0, more.targets + 1)  # "ape" sorts first
    resumed = divide("folder", Found({"all": more}, ["ape", *LABELS], named_by_path=True), Division(), record)
    assert resumed.labels == LABELS
    assert torch.equal(resumed.train.targets, splits.train.targets)
    assert resumed.new is None
    assert resumed.notes == ["labels that came after the run began are left aside: ape"]


def test_texts_that_a_tokenizer_may_not_tell_apart_are_one():
    texts = RawTexts(
        [" A  Cat", "a cat", "a\ncat ", "a dog"], torch.zeros(4, dtype=torch.int64), list("abcd")
    )
    assert len(set(texts.digests)) == 2
