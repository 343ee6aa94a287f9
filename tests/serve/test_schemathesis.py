"""Requests made from the OpenAPI description, valid and not: no answer is an accident."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .serving import Server


@pytest.mark.slow
@pytest.mark.parametrize("reads", ["image", "text"])
def test_schemathesis_finds_nothing(start: Callable[..., Server], texts_run: Path, reads: str) -> None:
    program = shutil.which("schemathesis")
    if program is None:
        pytest.skip("schemathesis is not on the PATH: pipx install schemathesis")
    server = start("cifar10" if reads == "image" else str(texts_run))
    command = [program, "run", f"{server.url}/openapi.json", "--continue-on-failure", "--no-color"]
    # A schema cannot say which bytes are a picture, nor which options a method has.
    command += ["--exclude-checks", "positive_data_acceptance", "--max-time", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
