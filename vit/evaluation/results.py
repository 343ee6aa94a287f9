"""Files of an evaluation: tables, plots and `report.html`; the same for a run and for `vit evaluate`."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vit.atomic import replacing, write_text
from vit.data.images import Images
from vit.data.texts import TokenizedTexts
from vit.data.windows import NextTokens
from vit.errors import VitError
from vit.evaluation.classes import class_figures, most_confused, unique_names
from vit.evaluation.examples import Examples
from vit.evaluation.language import LanguageEvaluation, language_contents
from vit.evaluation.metrics import Evaluation
from vit.evaluation.mistakes import Mistake, find_mistakes, mistake_rows, write_csv, wrong_indices
from vit.evaluation.plots import figures as plots
from vit.evaluation.plots.curves import curves
from vit.evaluation.plots.drawing import NUMBERED, drawable_names, png
from vit.evaluation.report import LISTED, Contents, write_report
from vit.evaluation.several.contents import several_labels
from vit.evaluation.several.metrics import MultilabelEvaluation

Result = Evaluation | MultilabelEvaluation | LanguageEvaluation

WRONGEST = 12  # mistakes in the plot
CONFUSIONS = 20  # pairs of classes in the report

# Of each plot, the name of its file and its heading in the report, in that order.
HEADINGS = {
    "curves": "Curves",
    "precision_recall": "Precision and recall",
    "reliability": "Reliability",
    "confusion": "Confusion",
    "classes": "Classes",
    "wrongest": "Most confidently wrong",
}


def write_results(
    folder: Path,
    *,
    labels: list[str],
    parameters: int,
    val: Images | TokenizedTexts | NextTokens,
    result: Result,
    config_yaml: str,
    machine: dict[str, Any],
) -> None:
    """Write plots, tables and `report.html` into a run folder.

    Args:
        folder: The run folder, with its `metrics.csv`.
        labels: Class names.
        parameters: Number of parameters of the model.
        val: The validation images or texts, in the order of `result`.
        result: Predictions of the best model for them.
        config_yaml: The config of the run.
        machine: The environment of the run: versions and hardware.
    """
    rows = read_metrics(folder / "metrics.csv")
    examples = Examples(val)
    seconds, speed = rows[-1]["seconds"] or 0, rows[-1]["images_per_second"] or 0
    _write(
        folder,
        examples,
        labels,
        result,
        pictures={"curves": png(curves(rows))},
        title=folder.name,
        subtitle=f"validation split, {examples.count}",
        more_facts={
            "epochs": f"{rows[-1]['epoch'] or 0:.0f}",
            "time": f"{seconds / 60:.1f} min",
            f"{examples.noun}/s in training": f"{speed:,.0f}",
            "parameters": f"{parameters / 1e6:.2f} M",
        },
        rows=rows,
        config_yaml=config_yaml,
        environment={key: str(value) for key, value in machine.items()},
    )


def write_evaluation(
    folder: Path,
    *,
    labels: list[str],
    examples: Examples,
    result: Result,
    figures: Mapping[str, Any],
) -> None:
    """Write `evaluation.json`, plots, tables and `report.html` into a folder.

    Args:
        folder: It is made if it is missing.
        labels: Class names of the model.
        examples: What was measured, in the order of `result`.
        result: The predictions.
        figures: What `vit evaluate --json` prints: with `model`, `data` and `split`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "evaluation.json", json.dumps(figures, indent=1) + "\n")
    mirrored = ", with mirror images" if figures.get("flip") else ""
    _write(
        folder,
        examples,
        labels,
        result,
        pictures={},
        title=str(figures["model"]),
        subtitle=f"{figures['data']}, {figures['split']} split, {examples.count}{mirrored}",
    )


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something already.

    Raises:
        VitError: It is a file, or not empty.
    """
    if folder.exists() and not folder.is_dir():
        raise VitError(f"{folder} is a file, expected a folder: choose another name")
    if not overwrite and folder.is_dir() and any(folder.iterdir()):
        raise VitError(f"{folder} is not empty: --overwrite replaces its evaluation")


def read_metrics(file: Path) -> list[dict[str, float | None]]:
    """The rows of `metrics.csv`; empty cells are None."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(stream)
        ]


def _write(
    folder: Path,
    examples: Examples,
    labels: list[str],
    result: Result,
    *,
    pictures: dict[str, bytes],
    **report: Any,
) -> None:
    """Write the tables, the plots and the report; `report` holds further arguments of `write_report`."""
    if isinstance(result, LanguageEvaluation):
        texts = [text for part in examples.parts for text in getattr(part, "texts", ())]
        contents = language_contents(result, texts, examples.names)
    elif isinstance(result, MultilabelEvaluation):
        contents = several_labels(result, labels, examples)
    else:
        contents = _one_label(result, labels, examples)
    for name, (columns, lines) in contents.files.items():
        write_csv(folder / name, columns, lines)
    pictures = pictures | contents.pictures
    (folder / "plots").mkdir(exist_ok=True)
    for name, content in pictures.items():
        with replacing(folder / "plots" / f"{name}.png") as temporary:
            temporary.write_bytes(content)
    write_report(
        folder,
        facts=contents.facts,
        figures={HEADINGS[name]: pictures[name] for name in HEADINGS if name in pictures},
        tables=contents.tables,
        **report,
    )


def _one_label(result: Evaluation, labels: list[str], examples: Examples) -> Contents:
    """The contents for a model that gives each example one label.

    Args:
        result: The predictions.
        labels: Class names of the model.
        examples: What was measured, in the order of `result`.
    """
    mistakes = find_mistakes(result, labels, examples.names)
    classes = _class_rows(result, labels)
    matrix = zip(labels, result.confusion.tolist(), strict=True)
    return Contents(
        _facts(result, len(labels)),
        _plots(result, labels, examples),
        _tables(classes, result, labels, mistakes),
        {
            "mistakes.csv": (list(Mistake._fields), mistake_rows(mistakes)),
            "classes.csv": (list(classes[0]), [list(row.values()) for row in classes]),
            "confusion.csv": (["label", *labels], [[label, *row] for label, row in matrix]),
        },
    )


def _plots(result: Evaluation, labels: list[str], examples: Examples) -> dict[str, bytes]:
    worst = wrong_indices(result)[:WRONGEST]
    names, shown = examples.names, drawable_names(labels)
    figures = {
        "reliability": plots.reliability_diagram(
            result.reliability, result.scaled_reliability, result.temperature
        ),
        "confusion": plots.confusion(result.confusion, labels),
        "classes": plots.classes(result.confusion, labels),
        "wrongest": plots.wrongest(
            [examples.picture(index) for index in worst],
            [shown[result.targets[index]] for index in worst],
            [shown[result.predicted[index]] for index in worst],
            [float(result.scores[index]) for index in worst],
            [names[index] for index in worst],
            remark="" if shown == labels else NUMBERED,
        ),
    }
    return {name: png(figure) for name, figure in figures.items()}


def _facts(result: Evaluation, classes: int) -> dict[str, str]:
    """The cards of the report."""
    figures = result.figures()
    low, high = figures["interval"]
    facts = {
        "accuracy": f"{100 * figures['accuracy']:.2f} %",
        "95 % interval": f"{100 * low:.1f}–{100 * high:.1f} %",
        "always the most frequent class": f"{100 * figures['majority']:.2f} %",
        "balanced accuracy": f"{100 * figures['balanced_accuracy']:.2f} %",
        "macro F1": f"{100 * figures['f1_macro']:.2f} %",
    }
    if classes > 5:
        facts["top-5 accuracy"] = f"{100 * figures['accuracy_top5']:.2f} %"
    facts |= {
        "cross-entropy": f"{figures['loss']:.3f}",
        "calibration error": f"{100 * figures['calibration_error']:.1f} %",
    }
    if "temperature" in figures:
        facts[f"calibration error with temperature {figures['temperature']:.3g}"] = (
            f"{100 * figures['calibration_error_scaled']:.1f} %"
        )
    return facts


def _class_rows(result: Evaluation, labels: list[str]) -> list[dict[str, Any]]:
    figures = class_figures(result.confusion)
    columns = zip(*(values.tolist() for values in figures), strict=True)
    return [
        {"label": name, **dict(zip(figures._fields, row, strict=True))}
        for name, row in zip(unique_names(labels), columns, strict=True)
    ]


def _tables(
    classes: list[dict[str, Any]], result: Evaluation, labels: list[str], mistakes: list[Mistake]
) -> dict[str, list[dict[str, Any]]]:
    """The tables of the report, without those that would be empty."""
    confusions = [
        {"label": labels[row], "predicted": labels[column], "n": n}
        for row, column, n in most_confused(result.confusion, CONFUSIONS)
    ]
    listed = [mistake._asdict() for mistake in mistakes[:LISTED]]
    first = f", the first {LISTED} of mistakes.csv" if len(mistakes) > LISTED else ""
    tables = {
        f"Classes ({len(classes)})": classes,
        "Most frequent confusions": confusions,
        f"Mistakes ({len(mistakes):,}{first})": listed,
    }
    return {name: rows for name, rows in tables.items() if rows}
