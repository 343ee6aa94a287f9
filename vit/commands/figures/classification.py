"""The figures of a model with one label per example, or with several: the whole split, then each class."""

from typing import TYPE_CHECKING, Any

from vit.commands.figures.cells import new_table, percent

if TYPE_CHECKING:
    from rich.console import Console

CLASSES_SHOWN = 20  # with more, only the worst ones get a row
WORST = 10
CONFUSIONS = 3
UNEVEN = 1.5  # times as many examples of the largest class as of the smallest
NAMES = 10  # class names in one line
WIDEST = 40  # terminal cells of a class name


def print_figures(console: "Console", figures: dict[str, Any]) -> None:
    """Print what `vit evaluate --json` has: the whole split, then each class, then what is confused.

    Args:
        console: Without markup, so that class names are printed as they are.
        figures: Of a model with one label per example, or with several.
    """
    if "map" in figures:
        _print_several(console, figures)
        return
    console.print(_headline(figures))
    if "temperature" in figures:
        console.print(
            f"with the temperature that suits its validation split, {figures['temperature']:.3g}: "
            f"calibration error {figures['calibration_error_scaled']:.4f}"
        )
    sizes = [row["n"] for row in figures["classes"].values() if row["n"]]
    if max(sizes) > UNEVEN * min(sizes):
        console.print(
            f"balanced accuracy {percent(figures['balanced_accuracy'])}, "
            f"macro F1 {percent(figures['f1_macro'])}; "
            f"always the most frequent class: {percent(figures['majority'])}"
        )
    from vit.evaluation.plots.drawing import short_names  # long names are cut; equal ones get their numbers

    names = short_names(figures["labels"], WIDEST)
    _print_classes(console, figures, names)
    _print_confusions(console, figures, names)
    _print_absent(console, figures, names)


def _print_several(console: "Console", figures: dict[str, Any]) -> None:
    """The figures of a model with several labels per example: the whole split, then each label."""
    from vit.evaluation.plots.drawing import short_names

    low, high = figures["interval"]
    console.print(
        f"{_measured(figures)}: mean average precision {percent(figures['map'])}, "
        f"micro F1 {percent(figures['f1_micro'])}, macro F1 {percent(figures['f1_macro'])}, "
        f"loss {figures['loss']:.4f}; all labels right {percent(figures['accuracy'])}, 95 % interval "
        f"{100 * low:.2f} to {percent(high)}"
    )
    rows = zip(short_names(figures["labels"], WIDEST), figures["classes"].values(), strict=True)
    shown = [(name, row) for name, row in rows if row["n"]]
    if len(shown) > CLASSES_SHOWN:
        console.print(f"the {WORST} labels with the lowest average precision, of {len(shown)}:")
        shown = sorted(shown, key=lambda item: item[1]["average_precision"])[:WORST]
    table = new_table("label", ("average precision", "precision", "recall", "F1", "threshold", "n"))
    for name, row in shown:
        shares = (percent(row[key]) for key in ("average_precision", "precision", "recall", "f1"))
        table.add_row(name, *shares, f"{row['threshold']:.3f}", f"{row['n']:,}")
    console.print(table)
    absent = [name for name, row in figures["classes"].items() if not row["n"]]
    if absent:
        more = f", ... ({len(absent) - NAMES} more)" if len(absent) > NAMES else ""
        console.print(f"no examples of {len(absent)} labels: {', '.join(absent[:NAMES])}{more}")


def _measured(figures: dict[str, Any]) -> str:
    """What was measured: the data, the split, and how many examples."""
    mirrored = ", with mirror images" if figures["flip"] else ""
    return f"{figures['data']}, {figures['split']}{mirrored}, n = {figures['n']}"


def _headline(figures: dict[str, Any]) -> str:
    low, high = figures["interval"]
    return (
        f"{_measured(figures)}: accuracy {percent(figures['accuracy'])}, "
        f"top-5 {percent(figures['accuracy_top5'])}, loss {figures['loss']:.4f}, "
        f"calibration error {figures['calibration_error']:.4f}; "
        f"95 % interval of the accuracy {100 * low:.2f} to {percent(high)}"
    )


def _print_classes(console: "Console", figures: dict[str, Any], names: list[str]) -> None:
    """A row per class that has examples; of many classes the worst."""
    rows = zip(names, figures["classes"].values(), strict=True)
    shown = [(name, row) for name, row in rows if row["n"]]
    if len(shown) > CLASSES_SHOWN:
        console.print(f"the {WORST} classes with the lowest F1, of {len(shown)}:")
        shown = sorted(shown, key=lambda item: item[1]["f1"])[:WORST]
    table = new_table("class", ("precision", "recall", "F1", "n"))
    for name, row in shown:
        shares = (percent(row[figure]) for figure in ("precision", "recall", "f1"))
        table.add_row(name, *shares, f"{row['n']:,}")
    console.print(table)


def _print_confusions(console: "Console", figures: dict[str, Any], names: list[str]) -> None:
    """The most frequent mistakes, by true and predicted class."""
    import torch

    from vit.evaluation.classes import most_confused

    confusions = most_confused(torch.tensor(figures["confusion"]), CONFUSIONS)
    if confusions:
        pairs = (f"{names[row]} → {names[column]} ({n:,})" for row, column, n in confusions)
        console.print(f"most frequent confusions, true → predicted: {', '.join(pairs)}")


def _print_absent(console: "Console", figures: dict[str, Any], names: list[str]) -> None:
    """The classes of the model that the split lacks, and how often they were predicted all the same."""
    absent = [index for index, row in enumerate(figures["classes"].values()) if not row["n"]]
    if absent:
        predicted = sum(row[index] for row in figures["confusion"] for index in absent)
        listed = ", ".join(names[index] for index in absent[:NAMES])
        more = f", ... ({len(absent) - NAMES} more)" if len(absent) > NAMES else ""
        console.print(
            f"no examples of {len(absent)} of the model's {len(names)} classes, which are {predicted:,} of "
            f"the predictions: {listed}{more}"
        )
