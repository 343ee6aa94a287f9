import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vit.errors import VitError

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def bench(script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return script("bench_attribution")


def test_goes_on_where_it_was_cut_off(
    bench: ModuleType,
    digits_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "captum", None)  # as if it were not installed
    monkeypatch.setattr(bench, "recognised", lambda logits, targets: targets >= 0)  # it has learned little
    file = tmp_path / "bench.jsonl"
    sizes = "--pictures 40 --slow-pictures 3 --mosaics 4 --marks 4 --batch-size 20 --steps 4"
    words = [
        str(digits_run),
        "--data",
        "digits",
        *sizes.split(),
        "--rise-samples",
        "9",
        "--training-steps",
        "2",
    ]
    words += ["--methods", "rollout,legrad,libra,libra_fullgrad,rise,captum_deeplift", "--output", str(file)]
    assert bench.main([*words, "--minutes", "0"]) == 0
    assert len(file.read_text().splitlines()) == 2  # the settings, and one batch
    assert "out of time" in capsys.readouterr().err
    file.write_text(file.read_text() + '{"model": "cut o')
    with pytest.raises(VitError, match="with steps 4, not 5"):
        bench.main([*words, "--steps", "5"])
    assert bench.main(words) == 0
    lines = [json.loads(text) for text in file.read_text().splitlines()[1:] if "cut o" not in text]
    assert [(line["part"], line["first"], line["n"]) for line in lines] == [
        ("faithfulness", 0, 20), ("faithfulness", 20, 20), ("mosaics", 0, 4), ("marks", 0, 4), ("marks", 0, 4)
    ]  # fmt: skip
    assert "rise" in lines[0]["values"]
    assert "rise" not in lines[1]["values"]  # not among the first three pictures
    assert "captum_deeplift" not in lines[0]["values"]
    assert np.array(lines[1]["values"]["libra"]["blur"]).shape == (20, 2)
    assert np.array(lines[2]["values"]["libra"]).shape == (4, 2)
    capsys.readouterr()
    assert bench.main(words) == 0  # nothing is left to do
    shown = capsys.readouterr().out
    assert "auto, libra_fullgrad / rise (target 0.95)" in shown
    assert "libra_fullgrad / legrad (target 1.15)" in shown
    assert shown.count("the class asked for is the predicted one") == 3


def test_ratios_are_of_the_same_pictures(bench: ModuleType) -> None:
    one = {index: [0.3 + index / 100, 0.0] for index in range(9)}
    other = {index: [0.15 + index / 200, 0.0] for index in range(4, 30)}
    assert bench._ratio(one, other, 0) == "2.00 [2.00, 2.00] (n = 5)"
