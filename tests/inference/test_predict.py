"""`vit predict` and `vit attend` on folders with readable and unreadable files."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

import vit
from vit import device
from vit.cli import main
from vit.inference import forward, predict, rows
from vit.inference.drawing import draw as overlays
from vit.inference.embed import embedder
from vit.inference.predict import labeller, nearly_tied
from vit.inference.rows import write_rows
from vit.jobs.folder import job_folder


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run_predict(run: Path, folder: Path, output: Path, *options: str) -> int:
    return main(["predict", str(run), str(folder), "--output", str(output), *options])


def test_rows_equal_the_model(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    assert run_predict(digits_run, pictures, tmp_path / "o.csv", "--batch-size", "3", "--topk", "2") == 0
    found = read_rows(tmp_path / "o.csv")
    assert list(found[0]) == ["path", "status", "error", "label", "index", "score", "topk"]
    assert [row["path"] for row in found] == sorted(
        str(p.relative_to(pictures)) for p in pictures.rglob("*.png")
    )
    model = vit.load_model(digits_run)
    for row in found:
        image = model.preprocess(Image.open(pictures / row["path"]))
        with torch.no_grad():
            probabilities = model(image[None]).softmax(-1)[0]
        best = json.loads(row["topk"])
        assert row["status"] == "ok"
        assert float(row["score"]) == pytest.approx(float(probabilities.max()), abs=2e-6)
        assert int(row["index"]) == int(probabilities.argmax())
        assert row["label"] == best[0]["label"] == model.labels[int(row["index"])]
        assert len(best) == 2
        assert best[0]["score"] >= best[1]["score"]


def test_precision_depends_on_the_size_of_the_model(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scores(name: str, *options: str) -> list[float]:
        assert run_predict(digits_run, pictures, tmp_path / name, *options) == 0
        return [float(row["score"]) for row in read_rows(tmp_path / name)]

    exact = scores("exact.csv", "--precision", "32-true")
    assert scores("auto.csv") == exact  # so small a model is computed in float32
    monkeypatch.setattr(predict, "TIE_MARGIN", 0.0)  # no row is computed twice
    rough = scores("rough.csv", "--precision", "bf16-mixed")
    assert rough != exact
    assert rough == pytest.approx(exact, abs=0.05)
    monkeypatch.setattr(device, "HALF_FROM", 0)
    monkeypatch.setattr(device, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert vit.load_model(digits_run, precision="auto").autocast == torch.bfloat16
    assert vit.load_model(digits_run).autocast is None


def scale_head(model: Any, factor: float) -> None:
    with torch.no_grad():
        model.head.weight.mul_(factor)
        model.head.bias.mul_(factor)


def test_nearly_tied_classes_are_computed_again_without_half_precision(
    digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "notes.txt").write_text("not a picture")
    model = vit.load_model(digits_run)
    scale_head(model, 100.0)

    def table(name: str) -> list[dict[str, str]]:
        write_rows(labeller(model), [str(pictures)], tmp_path / name, {})
        return read_rows(tmp_path / name)

    def scores(found: list[dict[str, str]]) -> list[str]:
        return [row["score"] for row in found if row["status"] == "ok"]

    far = table("far.csv")
    model.autocast = torch.bfloat16
    assert scores(table("far_half.csv")) != scores(far)
    assert model.autocast == torch.bfloat16
    model.autocast = None
    scale_head(model, 1e-5)  # all classes are now nearly tied
    close = table("close.csv")
    model.autocast = torch.bfloat16
    assert table("close_half.csv") == close


PIPELINES: dict[str, Callable[..., Any]] = {"labels": labeller, "vectors": embedder}


def test_two_calls_at_once_do_not_disturb_each_other(
    digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    """One pipeline runs to its end, in another thread, within a forward pass of the other."""
    model = vit.load_model(digits_run)
    model.autocast = torch.bfloat16
    scale_head(model, 1e-3)  # all classes are nearly tied: labels take a second pass, without half precision
    modules = dict(model.named_modules())

    def table(kind: str, name: str) -> bytes:
        write_rows(PIPELINES[kind](model, batch_size=3), [str(pictures)], tmp_path / name, {})
        return (tmp_path / name).read_bytes()

    alone = {kind: table(kind, f"{kind}.csv") for kind in PIPELINES}
    with ThreadPoolExecutor(2) as pool:
        for outer, inner, moment in (
            ("labels", "vectors", 1),
            ("labels", "vectors", 2),
            ("labels", "labels", 2),
            ("vectors", "labels", 1),
        ):
            passes, results = count(1), []

            def overlap(*_: Any) -> None:
                if next(passes) == moment:  # noqa: B023
                    name = f"{outer}{moment}{inner}.csv"  # noqa: B023
                    results.append(pool.submit(table, inner, name).result())  # noqa: B023

            with model.encoder.register_forward_pre_hook(overlap):
                assert table(outer, f"{inner}{moment}{outer}_.csv") == alone[outer]
            assert results == [alone[inner]]
        both = [pool.submit(table, kind, f"{kind}_together.csv") for kind in PIPELINES]
        assert [future.result() for future in both] == list(alone.values())
    assert model.autocast == torch.bfloat16
    assert dict(model.named_modules()) == modules


def test_a_pass_on_a_cpu_is_small_and_its_rows_the_same(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = vit.load_model(digits_run)
    passes: list[int] = []
    model.register_forward_pre_hook(lambda module, given: passes.append(len(given[0])))

    def table(name: str) -> list[dict[str, str]]:
        passes.clear()
        write_rows(labeller(model), [str(pictures)], tmp_path / name, {})
        return read_rows(tmp_path / name)

    whole = table("whole.csv")
    assert passes == [len(whole)]
    monkeypatch.setattr(forward, "CPU_TOKENS", 2 * 4 * 4)  # of a grid of 4 x 4: two pictures
    assert table("parts.csv") == whole
    assert max(passes) == 2
    monkeypatch.setattr(forward, "CPU_TOKENS", 1)
    assert table("singles.csv") == whole
    assert passes == [1] * len(whole)


def test_texts_are_padded_as_the_tokenizer_says() -> None:
    weight = torch.zeros(1)
    model: Any = SimpleNamespace(
        reads="text", preprocess=SimpleNamespace(padding=7), parameters=lambda: iter([weight])
    )
    batch = [SimpleNamespace(ids=torch.arange(n)) for n in (3, 1)]
    assert forward.run_batch(model, lambda ids, mask, exact: ids, batch, 2).tolist() == [[0, 1, 2], [0, 7, 7]]


def test_ties_are_those_of_the_best_two_classes() -> None:
    logits = torch.tensor([[0.0, 5.0, 4.95], [0.0, 5.0, 4.5], [4.99, 4.98, 9.0]])
    assert nearly_tied(logits).tolist() == [True, False, False]
    assert nearly_tied(torch.randn(2, 1)).tolist() == [False, False]


def test_a_bad_file_has_its_row_and_changes_no_other(
    digits_run: Path, pictures: Path, tmp_path: Path
) -> None:
    assert run_predict(digits_run, pictures, tmp_path / "good.csv") == 0
    whole = (pictures / "b.png").read_bytes()
    (pictures / "bad.png").write_bytes(whole[:60])
    (pictures / "deep" / "notes.txt").write_text("not a picture")
    (pictures / "empty.png").touch()
    before = {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()}
    assert run_predict(digits_run, pictures, tmp_path / "mixed.csv") == 3
    good, mixed = read_rows(tmp_path / "good.csv"), read_rows(tmp_path / "mixed.csv")
    assert len(mixed) == len(good) + 3
    assert [row for row in mixed if row["status"] == "ok"] == good
    bad = {row["path"]: row for row in mixed if row["status"] != "ok"}
    assert set(bad) == {"bad.png", "deep/notes.txt", "empty.png"}
    assert all(row["error"] and not row["label"] and not row["score"] for row in bad.values())
    assert {path: path.read_bytes() for path in pictures.rglob("*") if path.is_file()} == before


def test_a_hostile_tree_has_a_row_for_every_file(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    good = (pictures / "a.png").read_bytes()
    for name in (
        b"\xff\xfe.png",
        b"new\nline.png",
        b"=1+1.png",
        b"-rf",
        b" ",
        b'quote".png',
        "é.png".encode(),
    ):
        Path(os.fsdecode(os.fsencode(pictures) + b"/" + name)).write_bytes(good)
    (pictures / "deep" / "loop").symlink_to(pictures)
    (pictures / "self").symlink_to(pictures / "self")
    (pictures / "gone.png").symlink_to(pictures / "nowhere")
    os.mkfifo(pictures / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(pictures)  # a socket's path is short
        listener.bind("socket.png")
        os.chdir(here)
    (pictures / "zeros.png").symlink_to("/dev/zero")
    files = [name for _, _, names in os.walk(pictures) for name in names]
    assert run_predict(digits_run, pictures, tmp_path / "o.csv") == 3
    with (tmp_path / "o.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as stream:
        found = list(csv.DictReader(stream))
    assert sorted(Path(row["path"]).name for row in found) == sorted([*files, "loop"])
    bad = {row["path"]: row["status"] for row in found if row["status"] != "ok"}
    assert bad == {
        "deep/loop/": "not_an_image", "gone.png": "missing", "pipe.png": "not_an_image", "self": "unreadable",
        "socket.png": "not_an_image", "zeros.png": "not_an_image",
    }  # fmt: skip
    assert len({row["score"] for row in found if row["path"].startswith(("=", "\udcff", "new"))}) == 1


def test_limits_of_a_picture(
    digits_run: Path, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (9000, 9000)).save(pictures / "large.png")
    assert run_predict(digits_run, pictures, tmp_path / "o.csv", "--memory", "16") == 3
    bad = [(row["path"], row["status"]) for row in read_rows(tmp_path / "o.csv") if row["status"] != "ok"]
    assert bad == [("large.png", "too_large")]
    for options in (["--timeout", "0"], ["--memory", "-1"], ["--timeout", "-0.5"]):
        assert run_predict(digits_run, pictures, tmp_path / "p.csv", *options) == 2
        assert f"{options[0]} is " in capfd.readouterr().err


def test_only_bad_files(digits_run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.png").write_text("no")
    assert run_predict(digits_run, tmp_path / "in", tmp_path / "o.csv") == 3
    assert main(["attend", str(digits_run), str(tmp_path / "in"), "--output", str(tmp_path / "maps")]) == 3
    assert read_rows(tmp_path / "maps" / "attend.csv")[0]["overlay"] == ""


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
def test_pictures_of_every_mode(digits_run: Path, tmp_path: Path, mode: str) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (13, 29), 90).convert(mode if mode != "I;16" else "I").save(
        tmp_path / "in" / ("x.tif" if mode in ("CMYK", "I;16") else "x.png")
    )
    assert run_predict(digits_run, tmp_path / "in", tmp_path / "o.csv") == 0


def test_an_interrupted_run_is_continued_to_the_same_file(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "Job", partial(rows.Job, shard_size=2))
    assert run_predict(digits_run, pictures, tmp_path / "whole.csv") == 0
    plain = predict.top_classes
    calls = []

    def interrupted(logits: torch.Tensor, topk: int) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(len(logits))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(logits, topk)

    output = tmp_path / "o.csv"
    monkeypatch.setattr(predict, "top_classes", interrupted)
    assert run_predict(digits_run, pictures, output) == 130
    assert not output.exists()
    assert run_predict(digits_run, pictures, output) == 0
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sum(calls[3:]) == 3  # two of the four shards, with four of the seven rows, stood already


def test_a_finished_output_is_refused(
    digits_run: Path, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "o.jsonl"
    assert run_predict(digits_run, pictures, output) == 0
    before = output.read_bytes()
    assert run_predict(digits_run, pictures, output) == 1
    assert "--overwrite" in capfd.readouterr().err
    assert output.read_bytes() == before
    assert run_predict(digits_run, pictures, output, "--overwrite") == 0


def test_an_output_below_the_input_is_no_input(digits_run: Path, pictures: Path) -> None:
    assert run_predict(digits_run, pictures, pictures / "o.csv") == 0
    assert len(read_rows(pictures / "o.csv")) == 7
    (pictures / "o.csv.tmp").touch()  # a crash while the output was written
    assert run_predict(digits_run, pictures, pictures / "o.csv", "--overwrite") == 0
    assert len(read_rows(pictures / "o.csv")) == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "a.png").chmod(0)
    assert run_predict(digits_run, pictures, tmp_path / "o.csv") == 3
    assert read_rows(tmp_path / "o.csv")[0]["status"] == "permission"


def test_a_model_without_a_head_gives_no_labels(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import timm

    create = timm.create_model
    monkeypatch.setattr(
        timm, "create_model",
        lambda name, **_: create(name, depth=1, embed_dim=12, num_heads=2, num_classes=0, img_size=28),
    )  # fmt: skip
    name = "timm:vit_small_patch14_dinov2"
    assert main(["predict", name, str(pictures), "--output", str(tmp_path / "o.csv")]) == 1
    assert "features, not labels" in capfd.readouterr().err
    assert main(["attend", name, str(pictures), "--output", str(tmp_path / "maps")]) == 0


def test_a_timm_model_by_its_name(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: create(name, depth=1))
    model = vit.load_model("timm:vit_tiny_patch16_224")
    assert len(model.labels) == 1000
    assert model.labels[281].startswith("tabby")
    settings = timm.data.resolve_model_data_config(create("vit_tiny_patch16_224", depth=1))
    picture = Image.open(pictures / "a.png").convert("RGB").resize((300, 250))
    theirs = timm.data.create_transform(**settings, is_training=False)(picture)
    assert (model.preprocess(picture) - theirs).abs().max() < 0.02  # one level of 255 is 0.008


def test_overlays_stand_where_their_pictures_stood(digits_run: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.png").write_bytes(b"\x89PNG\r\n")
    output = tmp_path / "maps"
    assert main(["attend", str(digits_run), str(pictures), "--output", str(output)]) == 3
    found = read_rows(output / "attend.csv")
    assert len(found) == 8
    for row in found:
        assert (row["status"] == "ok") == bool(row["overlay"])
        if row["overlay"]:
            with Image.open(output / row["overlay"]) as drawn:
                assert drawn.width > 2 * 128
    assert (output / "deep" / "a.png.png").exists()
    assert (output / "sheet.png").exists()
    assert main(["attend", str(digits_run), str(pictures), "--output", str(output)]) == 1
    argv = [
        "attend",
        str(digits_run),
        str(pictures),
        "--output",
        str(output),
        "--overwrite",
        "--query",
        "1,2",
    ]
    assert main(argv) == 3


def test_interrupted_drawings_are_continued(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlays, "Job", partial(overlays.Job, shard_size=2))
    argv = ["attend", str(digits_run), str(pictures), "--pages", "4", "--output"]
    assert main([*argv, str(tmp_path / "whole")]) == 0
    save, saved = overlays.save_drawing, []

    def interrupted(folder: Path, name: str, *rest: Any, **named: Any) -> str:
        saved.append(name)
        if len(saved) == 8:  # the fourth picture's page, after its overlay
            raise KeyboardInterrupt
        return save(folder, name, *rest, **named)

    monkeypatch.setattr(overlays, "save_drawing", interrupted)
    assert main([*argv, str(tmp_path / "drawn")]) == 130
    assert main([*argv, str(tmp_path / "drawn")]) == 0
    assert saved[8:] == ["c-d.png", "c-d.png", "c.png", "c.png", "deep/a.png", "deep/z.png", "e.png"]
    whole = {p.relative_to(tmp_path / "whole"): p for p in (tmp_path / "whole").rglob("*") if p.is_file()}
    drawn = {p.relative_to(tmp_path / "drawn"): p for p in (tmp_path / "drawn").rglob("*") if p.is_file()}
    assert whole.keys() == drawn.keys()
    for name in whole:
        assert whole[name].read_bytes() == drawn[name].read_bytes(), name


def interrupt_drawing(monkeypatch: pytest.MonkeyPatch, argv: list[str], saves: int) -> None:
    """Run `vit attend` in shards of two until it has saved so many files."""
    save, saved = overlays.save_drawing, []

    def interrupted(folder: Path, name: str, *rest: Any, **named: Any) -> str:
        saved.append(name)
        if len(saved) > saves:
            raise KeyboardInterrupt
        return save(folder, name, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(overlays, "Job", partial(overlays.Job, shard_size=2))
        patch.setattr(overlays, "save_drawing", interrupted)
        assert main(argv) == 130


def test_overwriting_an_interrupted_job_removes_its_drawings(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "drawn"
    options = ["--output", str(folder), "--pages", "1"]
    interrupt_drawing(monkeypatch, ["attend", str(digits_run), str(pictures), *options], 4)
    assert {path.name for path in folder.iterdir()} > {"a.png.png", "a.png.html", "b.png.png"}
    monkeypatch.chdir(pictures)
    assert main(["attend", str(digits_run), "deep/a.png", *options, "--overwrite"]) == 0
    drawn = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    # c-d.png was drawn in the shard that was interrupted: its row was not written.
    whole = {"attend.csv", "index.html", "sheet.png"}
    assert drawn - {"c-d.png.png"} == whole | {"deep/a.png.png", "deep/a.png.html"}


def test_scoring_does_not_discard_another_commands_shards(
    digits_run: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "drawn"
    argv = ["attend", str(digits_run), str(pictures), "--output", str(folder), "--pages", "0"]
    interrupt_drawing(monkeypatch, argv, 2)
    kept = sorted(job_folder(folder / "attend.csv").iterdir())
    assert main([*argv, "--score", "--method", "raw"]) == 1
    assert "was begun by another command" in capfd.readouterr().err
    assert sorted(job_folder(folder / "attend.csv").iterdir()) == kept
    monkeypatch.setattr(overlays, "Job", partial(overlays.Job, shard_size=2))
    assert main([*argv, "--score"]) == 0
    assert "n = 7" in capfd.readouterr().out


def test_an_output_is_refused_before_the_model_is_loaded(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the model is loaded")

    monkeypatch.setattr("vit.weights.models.load_model", refuse)
    (tmp_path / "o.csv").touch()
    for verb in ("predict", "embed"):
        for name, code in (("o.csv", 1), ("o.xyz", 2), ("no/o.csv", 1)):
            argv = [verb, str(digits_run), str(pictures), "--output", str(tmp_path / name)]
            assert main(argv) == code
    for folder in (tmp_path / "o.csv", pictures):
        assert main(["attend", str(digits_run), str(pictures), "--output", str(folder)]) == 1


def test_drawings_of_inputs_with_like_names(
    digits_run: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sheet", "_sheet", "x", "x.png/y.png", "x.html/y.png"):
        (pictures / name).parent.mkdir(exist_ok=True)
        (pictures / name).write_bytes((pictures / "a.png").read_bytes())
    folder = tmp_path / "drawn"
    assert main(["attend", str(digits_run), str(pictures), "--output", str(folder)]) == 0
    files = [row[column] for row in read_rows(folder / "attend.csv") for column in ("overlay", "page")]
    assert len(set(files)) == len(files) == 24
    assert all((folder / name).is_file() for name in files)


def test_a_query_outside_the_grid(
    digits_run: Path, pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["attend", str(digits_run), str(pictures), "--output", str(tmp_path / "m"), "--query", "9,0"])
        == 1
    )
    assert "the grid is 4 x 4" in capfd.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_list_that_does_not_end_can_be_left(
    digits_run: Path, pictures: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    output = tmp_path / "o.csv"
    command = [sys.executable, "-m", "vit.cli", "predict", str(digits_run), "-", "--output", str(output)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    ) as running:
        assert running.stdin is not None
        running.stdin.write(f"{pictures / 'a.png'}\n")
        running.stdin.flush()
        until = time.monotonic() + 60
        while not job_folder(output).is_dir() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        running.send_signal(number)
        assert running.wait(20) == code
        assert running.stderr is not None
        assert running.stderr.read().count("\n") == 1
    assert not job_folder(output).exists()
