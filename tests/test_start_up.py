"""What a verb does not need is not imported: libraries that take a third of a second or more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SLOW = ("torchvision", "scipy", "sklearn", "timm", "transformers", "lightning", "matplotlib", "pandas")
SCRIPT = """
import json, sys
from vit.cli import main
code = main(sys.argv[1:])
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps([code, sorted(loaded)]))
"""


@pytest.mark.parametrize(
    "command",
    [
        "predict cifar10 picture.png --output rows.csv",
        "embed cifar10 picture.png --output rows.csv",
        "attend cifar10 picture.png --output maps",
        "info cifar10",
        "models",
    ],
)
def test_a_verb_imports_no_slow_library_that_it_does_not_need(command: str, tmp_path: Path) -> None:
    Image.new("RGB", (40, 32), (200, 90, 30)).save(tmp_path / "picture.png")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split()],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    drawn = {"matplotlib"} if command.startswith("attend") else set()  # its color maps
    assert set(SLOW) & set(loaded) - drawn == set()
