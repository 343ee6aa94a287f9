import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from vit.errors import VitError
from vit.evaluation.plots.curves import curves
from vit.evaluation.plots.drawing import png, svg
from vit.evaluation.plots.figures import confusion, wrongest
from vit.evaluation.report import write_report

HOSTILE = "<img src=x onerror=alert(1)>"


def row(epoch: int, **changes) -> dict:
    values = {
        "epoch": epoch,
        "step": 7 * epoch,
        "seconds": 40.0 * epoch,
        "lr": 1e-3,
        "train_loss": 2 / epoch,
        "train_accuracy": 1 - 0.7 / epoch,
        "val_loss": 2.2 / epoch,
        "val_accuracy": 1 - 0.8 / epoch,
        "images_per_second": 5230.5,
    }
    return {**values, **changes}


def drawn(figure) -> list[str]:
    """All texts of a figure, which is drawn first, so that what cannot be drawn fails here."""
    assert png(figure, dpi=50).startswith(b"\x89PNG")
    return [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]


def report(folder, **changes) -> str:
    values = {
        "title": "digits",
        "facts": {"val accuracy": "97.8 %"},
        "rows": [row(1), row(2)],
        "figures": {"Curves": png(curves([row(1), row(2)]), dpi=50)},
        "config_yaml": "seed: 1\n",
        "environment": {"torch": "2.11"},
    }
    return write_report(folder, **{**values, **changes}).read_text(encoding="utf-8")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def tags(page: str) -> list[tuple[str, dict]]:
    parser = Tags()
    parser.feed(page)
    return parser.tags


def test_curves_mark_the_best_epoch():
    rows = [row(1), row(2), row(3), row(4, val_accuracy=0.5)]
    words = drawn(curves(rows))
    assert "best epoch 3: 73.3 %" in words
    assert {"loss", "accuracy, %", "train", "validation", "1 min", "2 min"} <= set(words)


def test_curves_of_one_row():
    words = drawn(curves([row(1)]))
    assert "best epoch 1: 20.0 %" in words
    assert not any("min" in word.split() for word in words)


def test_curves_without_accuracy_take_the_lowest_loss():
    rows = [{"epoch": epoch, "val_loss": loss} for epoch, loss in [(1, 3.0), (2, 1.5), (3, float("nan"))]]
    words = drawn(curves(rows))
    assert "best epoch 2: 1.5" in words
    assert "train" not in words


@pytest.mark.parametrize("gap", [None, "", float("nan"), float("inf")])
def test_curves_leave_out_what_was_not_measured(gap):
    drawn(curves([row(1, val_accuracy=gap), row(2, train_loss=gap, seconds=gap), row(3)]))


def test_curves_of_a_resumed_clock_show_no_minutes():
    words = drawn(curves([row(1), row(2), row(3, seconds=1.0)]))
    assert not any(word.endswith(" min") for word in words)


def test_curves_of_no_rows_say_so():
    assert "No epoch was finished." in drawn(curves([]))


def test_confusion_rows_are_true():
    matrix = torch.tensor([[5, 0, 0], [11, 7, 0], [0, 0, 0]])  # the last class has no picture
    figure = confusion(matrix, ["a", "b", "c"])
    assert "12 of 23 right, 52.2 %" in drawn(figure)
    axes = figure.axes[0]
    assert {text.get_text(): text.get_position() for text in axes.texts} == {
        "5": (0, 0),
        "11": (0, 1),
        "7": (1, 1),
    }
    assert axes.images[0].get_array()[1].tolist() == pytest.approx([11 / 18, 7 / 18, 0])


@pytest.mark.parametrize(
    ("classes", "counts", "names"), [(20, True, True), (23, False, True), (53, False, False)]
)
def test_confusion_writes_what_is_legible(classes, counts, names):
    figure = confusion(torch.eye(classes, dtype=torch.long), [f"class {index}" for index in range(classes)])
    words = drawn(figure)
    assert ("1" in words) == counts
    assert ("class 7" in words) == names


def test_confusion_of_odd_names_is_drawn():
    drawn(confusion(torch.zeros(3, 3, dtype=torch.long), [r"$\frac{", "猫", "bad\udcff\n" * 20]))


def test_confusion_of_another_shape_is_refused():
    with pytest.raises(VitError, match=r"\(2, 3\)"):
        confusion(torch.zeros(2, 3, dtype=torch.long), ["a", "b"])
    with pytest.raises(VitError, match="2 classes and 3 labels"):
        confusion(torch.zeros(2, 2, dtype=torch.long), ["a", "b", "c"])


def test_wrongest_tells_truth_guess_score_and_name():
    digits = [Image.fromarray((image * 15).astype("uint8")) for image in load_digits().images[:7]]
    words = drawn(wrongest(digits, ["cat$"] * 7, ["dog_$"] * 7, [0.974] * 7, [f"{i}.png" for i in range(7)]))
    assert words.count("cat$\n→ dog_$, 97 %") == 7
    assert "6.png" in words


def test_wrongest_of_nothing_says_so():
    assert "No example was wrong." in drawn(wrongest([], [], [], [], []))


def test_wrongest_of_different_lengths_is_refused():
    with pytest.raises(VitError, match="'scores': 0"):
        wrongest([Image.new("L", (3, 5))], ["a"], ["b"], [], ["c"])


def test_svg_is_well_formed_and_the_same_each_time():
    text = svg(curves([row(1), row(2)]))
    assert text == svg(curves([row(1), row(2)]))
    assert ET.fromstring(text).tag.endswith("svg")
    assert "dc:date" not in text


def test_report_stands_alone(tmp_path):
    page = report(tmp_path)
    found = tags(page)
    policy = next(attrs for _, attrs in found if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert not {"script", "link", "iframe"} & {tag for tag, _ in found}
    assert not re.search(r"https?://", page)
    images = [attrs for tag, attrs in found if tag == "img"]
    assert [attrs["alt"] for attrs in images] == ["Curves"]
    assert images[0]["src"].startswith("data:image/png;base64,")
    assert (images[0]["width"], images[0]["height"]) == ("225", "92")  # 9 x 3.7 inches, half of 50 dots each


def test_report_escapes_every_name(tmp_path):
    page = report(
        tmp_path,
        title=HOSTILE,
        facts={HOSTILE: HOSTILE},
        rows=[{HOSTILE: HOSTILE}],
        figures={HOSTILE + '" onload="alert(1)': png(curves([]), dpi=50)},
        config_yaml=HOSTILE + "</pre><script>alert(1)</script>",
        environment={HOSTILE: HOSTILE},
    )
    assert HOSTILE not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 11
    assert "script" not in {tag for tag, _ in tags(page)}
    assert not any(name.startswith("on") for _, attrs in tags(page) for name in attrs)


def test_report_shows_numbers_as_people_read_them(tmp_path):
    page = report(tmp_path, rows=[row(3, val_loss=None, lr=0.00034567)])
    for cell in ("3", "73.33 %", "–", "0.0003457", "120", "5230"):
        assert f"<td>{cell}</td>" in page


def test_rows_may_come_as_text_from_the_file(tmp_path):
    rows = [{key: str(value) for key, value in row(epoch).items()} for epoch in (1, 2, 3)]
    assert report(tmp_path / "a", rows=rows) == report(tmp_path / "b", rows=[row(1), row(2), row(3)])
    assert "best epoch 3: 73.3 %" in drawn(curves(rows))


def test_report_without_rows_or_figures(tmp_path):
    page = report(tmp_path / "new" / "folder", rows=[], figures={}, facts={})
    assert "Epochs" not in page


def test_report_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    report(tmp_path, title="old")
    assert "caf\u00e9 ?" in report(tmp_path, title="caf\u00e9 \udcff")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_report_refuses_what_is_no_png(tmp_path):
    with pytest.raises(VitError, match="figure 'Curves' begins with b'<svg"):
        report(tmp_path, figures={"Curves": b"<svg></svg>"})
    assert not list(tmp_path.iterdir())


def test_report_shows_tables_of_typed_values(tmp_path):
    rows = [{"label": "7", "recall": 0.8125, "n": 12345}, {"label": HOSTILE, "recall": None, "n": 0}]
    page = report(tmp_path, tables={"Classes (2)": rows}, subtitle=HOSTILE, more_facts={"epochs": "3"})
    assert "<summary>Classes (2)</summary>" in page
    assert '<th class="text">label</th><th>recall</th><th>n</th>' in page
    assert '<td class="text">7</td><td>81.2 %</td><td>12,345</td>' in page
    assert "</td><td>–</td><td>0</td>" in page
    assert '<dl class="cards small"><div><dt>epochs</dt><dd>3</dd></div></dl>' in page
    assert HOSTILE not in page
