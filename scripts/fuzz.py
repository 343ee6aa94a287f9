"""Fuzz the readers of untrusted files, guided by coverage.

pip install atheris
python scripts/fuzz.py --seconds 300

Two targets: the decoder of image files, and the reader of bundles (`config.json` and `model.safetensors`).
Each may return, or raise the error that it documents; anything else is a finding, and the input that caused
it is saved in `--findings`.
"""

import argparse
import io
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SPLIT = b"\0\0SPLIT\0\0"  # between config.json and model.safetensors in one input


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    if arguments.target:
        return fuzz(arguments.target, arguments.rest)
    arguments.findings.mkdir(parents=True, exist_ok=True)
    worst = 0
    for target in TARGETS:
        with tempfile.TemporaryDirectory() as corpus:
            SEEDS[target](Path(corpus))
            command = [sys.executable, __file__, "--target", target, "--", corpus]
            command += [f"-max_total_time={arguments.seconds}", "-print_final_stats=1", "-timeout=60"]
            command += ["-rss_limit_mb=4096", f"-artifact_prefix={arguments.findings}/{target}-"]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
        tried = re.findall(r"number_of_executed_units: (\d+)", ended.stderr)
        outcome = "no finding" if ended.returncode == 0 else f"a finding in {arguments.findings}"
        print(f"{target}: {int(tried[-1]) if tried else 0:,} inputs in {arguments.seconds} s: {outcome}")
        if ended.returncode:
            print("\n".join(ended.stderr.splitlines()[-30:]), file=sys.stderr)
        worst = max(worst, abs(ended.returncode))
    return 1 if worst else 0


def _parse(argv: list[str] | None) -> argparse.Namespace:
    first, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=first, epilog=rest, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--target", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def fuzz(target: str, options: list[str]) -> int:
    """Run one target in this process, which the fuzzer terminates."""
    import atheris

    with atheris.instrument_imports(include=["vit", "PIL"]):
        import PIL.Image  # noqa: F401

    atheris.Setup([__file__, *options], TARGETS[target])
    atheris.Fuzz()
    return 0


def read_picture(content: bytes) -> None:
    from vit.data.decode import DecodeError, open_image

    try:
        picture = open_image(content, max_pixels=4_000_000)
    except DecodeError:
        return
    assert picture.mode in ("RGB", "L"), picture.mode


def read_bundle(content: bytes) -> None:
    from vit.errors import VitError
    from vit.weights import bundle

    description, _, weights = content.partition(SPLIT)
    folder = Path(tempfile.gettempdir()) / "vit-fuzz-bundle"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_bytes(description)
    (folder / "model.safetensors").write_bytes(weights)
    try:
        bundle.read_bundle(folder)
    except VitError:
        return


def seed_pictures(folder: Path) -> None:
    """A small image in each format."""
    from PIL import Image

    from vit.data.decode import FORMATS

    for kind in FORMATS:
        for mode in ("RGB", "L"):
            stream = io.BytesIO()
            with suppress(ValueError):  # QOI has no grey
                Image.effect_noise((24, 16), 40).convert(mode).save(stream, kind)
                (folder / f"{kind}-{mode}").write_bytes(stream.getvalue())


def seed_bundles(folder: Path) -> None:
    """A bundle of two small tensors."""
    import torch
    from safetensors.torch import save

    from vit.bundle import FORMAT

    parts = {name: {} for name in ("architecture", "preprocess", "scores", "training")}
    description = {"format": FORMAT, "labels": ["a", "b"], **parts}
    weights = save({"head.weight": torch.zeros(2, 3), "head.bias": torch.zeros(2)})
    (folder / "bundle").write_bytes(json.dumps(description).encode() + SPLIT + weights)


TARGETS: dict[str, Callable[[bytes], None]] = {"picture": read_picture, "bundle": read_bundle}
SEEDS: dict[str, Callable[[Path], None]] = {"picture": seed_pictures, "bundle": seed_bundles}

if __name__ == "__main__":
    raise SystemExit(main())
