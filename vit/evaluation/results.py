"""Plots and `report.html` of a finished training run."""

import csv
import textwrap
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from torchvision.transforms.v2.functional import to_pil_image

from vit.atomic import replacing
from vit.data.images import Images
from vit.data.texts import TokenizedTexts
from vit.evaluation.metrics import Evaluation
from vit.evaluation.plots import confusion, curves, png, wrongest
from vit.evaluation.report import write_report
from vit.viewer.fonts import font, one_line

WRONGEST = 12  # mistakes in the plot


def write_results(
    folder: Path,
    *,
    labels: list[str],
    parameters: int,
    val: Images | TokenizedTexts,
    result: Evaluation,
    config_yaml: str,
    machine: dict[str, Any],
) -> None:
    """Write `plots/*.png` and `report.html` into a run folder.

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
    what = "texts" if isinstance(val, TokenizedTexts) else "pictures"
    wrong = (result.predicted != result.targets).nonzero()[:, 0]
    worst = wrong[result.scores[wrong].argsort(descending=True)][:WRONGEST].tolist()
    figures = {
        "Curves": png(curves(rows)),
        "Confusion on validation": png(confusion(result.confusion, labels)),
        "Most confidently wrong": png(
            wrongest(
                [_picture(val, index) for index in worst],
                [labels[result.targets[index]] for index in worst],
                [labels[result.predicted[index]] for index in worst],
                [float(result.scores[index]) for index in worst],
                [val.names[index] for index in worst],
            )
        ),
    }
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    for file, content in zip(("curves", "confusion", "wrongest"), figures.values(), strict=True):
        with replacing(plots / f"{file}.png") as temporary:
            temporary.write_bytes(content)
    write_report(
        folder,
        title=folder.name,
        facts={
            "val accuracy": f"{100 * result.accuracy:.2f} %",
            **({"val top-5": f"{100 * result.accuracy_top5:.2f} %"} if len(labels) > 5 else {}),
            f"val {what}": f"{result.n:,}",
            "epochs": f"{rows[-1]['epoch'] or 0:.0f}",
            "time": f"{(rows[-1]['seconds'] or 0) / 60:.1f} min",
            f"{what}/s": f"{rows[-1]['images_per_second'] or 0:,.0f}",
            "parameters": f"{parameters / 1e6:.2f} M",
        },
        rows=rows,
        figures=figures,
        config_yaml=config_yaml,
        environment={key: str(value) for key, value in machine.items()},
    )


def read_metrics(file: Path) -> list[dict[str, float | None]]:
    """The rows of `metrics.csv`; empty cells are None."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(stream)
        ]


def _picture(examples: Images | TokenizedTexts, index: int) -> Image.Image:
    """An image of one example: the image itself, or the text drawn on a card."""
    if not isinstance(examples, TokenizedTexts):
        return to_pil_image(examples[[index]][0][0])
    card = Image.new("RGB", (360, 270), (246, 247, 248))
    lines = textwrap.wrap(one_line(examples.texts[index]), 32)[:9]
    ImageDraw.Draw(card).multiline_text(
        (14, 12), "\n".join(lines), (34, 38, 44), font(20, "".join(lines)), spacing=7
    )
    return card
