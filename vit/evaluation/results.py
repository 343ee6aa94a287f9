"""What a finished run leaves to look at: plots and `report.html`."""

import csv
import textwrap
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw
from torchvision.transforms.v2.functional import to_pil_image

from vit.atomic import replacing
from vit.data.images import Images
from vit.data.texts import Texts
from vit.evaluation.metrics import Evaluation
from vit.evaluation.plots import confusion, curves, png, wrongest
from vit.evaluation.report import write_report
from vit.viewer.fonts import font, one_line

WRONGEST = 12


def write_results(
    folder: Path,
    *,
    labels: list[str],
    parameters: int,
    val: Images | Texts,
    result: Evaluation,
    config_yaml: str,
    machine: dict[str, Any],
) -> None:
    """Write `plots/*.png` and `report.html` into a run folder.

    Args:
        folder: The run folder, with its `metrics.csv`.
        labels: Class names.
        parameters: Number of the model's parameters.
        val: The validation pictures or texts, in the order of `result`.
        result: What the best model did on them.
        config_yaml: The run's config.
        machine: The run's environment.
    """
    rows = read_metrics(folder / "metrics.csv")
    what = "texts" if isinstance(val, Texts) else "pictures"
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
        with replacing(plots / f"{file}.png") as beside:
            beside.write_bytes(content)
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
    """The rows of `metrics.csv`, numbers as numbers, empty cells as None."""
    with file.open(newline="", encoding="utf-8") as stream:
        return [
            {name: float(cell) if cell else None for name, cell in row.items()}
            for row in csv.DictReader(stream)
        ]


def _picture(examples: Images | Texts, index: int) -> Image.Image:
    """A picture as it is, a text written out."""
    if not isinstance(examples, Texts):
        return to_pil_image(examples[[index]][0][0])
    page = Image.new("RGB", (360, 270), (246, 247, 248))
    lines = textwrap.wrap(one_line(examples.texts[index]), 32)[:9]
    ImageDraw.Draw(page).multiline_text(
        (14, 12), "\n".join(lines), (34, 38, 44), font(20, "".join(lines)), spacing=7
    )
    return page
