"""What the facts about a dataset mean for training: a sentence each, with the option that answers it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from vit.data.roster import KIND_NAMES

IMBALANCE = 3.0  # the largest class over the smallest
CROPPED = 0.15  # mean share of the area
FEW = 10  # examples of a class
LARGER = 2.0  # times the side that is read

Facts = dict[str, Any]


def findings(facts: Facts) -> list[dict[str, str]]:
    """The findings, most serious first: `about`, a word for programs, and `sentence`.

    Args:
        facts: As `vit.recipes.inspection.inspect_data` gathers them.
    """
    steps = (
        _refusal, _exact_across, _exact_labels, _near_across, _broken, _near_labels, _absent, _few, _balance,
        _crop, _small_input, _copies, _origins,
    )  # fmt: skip
    return [
        {"about": step.__name__.removeprefix("_"), "sentence": sentence}
        for step in steps
        for sentence in step(facts)
    ]


def _refusal(facts: Facts) -> Iterator[str]:
    if facts["refusal"]:
        yield f"vit train refuses these data: {facts['refusal']}"


def _exact_across(facts: Facts) -> Iterator[str]:
    exact = facts["duplicates"]["exact"]
    for row in exact["across_parts"]:
        answer = (
            f"vit train leaves them out of {row['part']}"
            if exact["left_out"]
            else f"the parts of this dataset are taken as they are, so figures of {row['part']} are too good"
        )
        yield f"{_part_of(facts, row)} also in {row['other']}, {_such_as(row)}: {answer}"


def _exact_labels(facts: Facts) -> Iterator[str]:
    two = facts["duplicates"]["exact"]["two_labels"]
    if two["n"]:
        yield f"{_pairs(two['n'])} of equal {_noun(facts)} {_different(two)}: keep one of each pair"


def _near_across(facts: Facts) -> Iterator[str]:
    near = facts["duplicates"]["near"]
    for row in near["across_parts"] if near else ():
        duplicates = "a near duplicate" if row["n"] == 1 else "near duplicates"
        many = f"{_part_of(facts, row)} {duplicates} of {_noun(facts)} of {row['other']}"
        yield f"{many}, {_such_as(row)}: {_near_answer(near, row['part'])}"


def _near_answer(near: Facts, part: str) -> str:
    if not near["divisible"]:
        return f"figures of {part} are too good where they are copies; --output DIR lists them"
    if near["grouped"]:
        return "the expression of --data.group puts them into different groups"
    if near["group"]:
        return f"--data.group '{near['group']}' keeps those whose names begin alike in one part"
    return (
        "--data.group, an expression whose group is the origin in a file's name, keeps an origin in one part"
    )


def _near_labels(facts: Facts) -> Iterator[str]:
    near = facts["duplicates"]["near"]
    if near and near["two_labels"]["n"]:
        two = near["two_labels"]
        yield f"{_pairs(two['n'])} of near duplicates {_different(two)}: check their labels"


def _broken(facts: Facts) -> Iterator[str]:
    if skipped := facts["skipped"]:
        reasons = Counter(row["error"].partition(":")[0] for row in skipped)
        listed = ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common(5))
        what = "file or row is" if len(skipped) == 1 else "files or rows are"
        yield f"{len(skipped):,} {what} not read ({listed}): vit train goes on without"


def _absent(facts: Facts) -> Iterator[str]:
    for part in ("val", "test"):
        counts = facts["counts"].get(part, [])
        absent = [label for label, n in zip(facts["labels"], counts, strict=False) if not n]
        if absent:
            yield (
                f"{part} has no {_noun(facts)} of {_listed(absent)}, so its figures say nothing about them: "
                "give more examples"
            )


def _few(facts: Facts) -> Iterator[str]:
    totals = [sum(column) for column in zip(*facts["counts"].values(), strict=True)]
    few = {label: n for label, n in zip(facts["labels"], totals, strict=True) if n < FEW}
    if few:
        fewest = min(few, key=few.__getitem__)
        classes = "1 class has" if len(few) == 1 else f"{len(few):,} classes have"
        yield f"{classes} fewer than {FEW} {_noun(facts)}, {fewest!r} has {few[fewest]}: give more"


def _balance(facts: Facts) -> Iterator[str]:
    balance = facts["balance"]
    ratio, majority = balance["ratio"], balance["majority_accuracy"]
    if ratio is not None and ratio > IMBALANCE:
        largest, smallest = (repr(balance[key]["label"]) for key in ("largest", "smallest"))
        always = f" (always answering {largest} is right for {majority:.0%})" if majority else ""
        yield (
            f"the largest class, {largest}, is {ratio:.1f} times the smallest, {smallest}{always}: "
            "--data.balance weights"
        )


def _crop(facts: Facts) -> Iterator[str]:
    crop = facts["crop"]
    if crop and crop["mean"] > CROPPED:
        yield (
            f"the centre crop cuts away {crop['mean']:.0%} of a picture on average, and "
            f"{crop['worst']:.0%} of {crop['worst_path']}: --data.resize pad or squash keeps all of it"
        )


def _small_input(facts: Facts) -> Iterator[str]:
    sizes = facts["sizes"]
    if not sizes:
        return
    (height, width), (old_height, old_width) = facts["image_size"], sizes["median"]
    if min(old_height / height, old_width / width) >= LARGER:
        yield (
            f"pictures have {_pixels(sizes['median'])} pixels (median) and are read at {height} x {width}: "
            f"--data.image_size {2 * min(height, width)} shows more detail, and takes longer"
        )


def _copies(facts: Facts) -> Iterator[str]:
    exact = facts["duplicates"]["exact"]
    if n := exact["copies"] - sum(row["n"] for row in exact["across_parts"]):
        what = (
            f"{_noun(facts)} are exact duplicates" if n > 1 else f"{_noun(facts)[:-1]} is an exact duplicate"
        )
        yield f"{n:,} {what}, which count more than once: remove them (--output DIR lists them)"


def _origins(facts: Facts) -> Iterator[str]:
    near = facts["duplicates"]["near"]
    if near and near["group"] and not near["across_parts"]:
        yield (
            "files are named like ORIGIN_NUMBER: if an origin is a person, a patient or a film, --data.group "
            f"'{near['group']}' keeps it in one part"
        )


def _noun(facts: Facts) -> str:
    return KIND_NAMES[facts["kind"]]


def _part_of(facts: Facts, row: Facts) -> str:
    noun, verb = (_noun(facts), "are") if row["n"] != 1 else (_noun(facts)[:-1], "is")
    return f"{row['n']:,} {noun} of {row['part']} {verb}"


def _such_as(row: Facts) -> str:
    first, second = row["examples"][0]
    return f"such as {first} ({second})"


def _pairs(n: int) -> str:
    return "1 pair" if n == 1 else f"{n:,} pairs"


def _different(two: Facts) -> str:
    first, second = two["examples"][0]
    has = "has" if two["n"] == 1 else "have"
    return (
        f"{has} different labels, such as {first['path']} ({first['label']}) and {second['path']} "
        f"({second['label']})"
    )


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 5:,} more" if len(labels) > 5 else ""
    return ", ".join(map(repr, labels[:5])) + more


def _pixels(size: Sequence[float]) -> str:
    return " x ".join(f"{side:,.0f}" for side in size)
