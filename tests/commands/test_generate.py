"""`vit generate`: the text on standard output, and nothing else there."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vit
from vit.cli import main

from ..weights.language_models import byte_tokenizer, made, saved, transformers


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = byte_tokenizer()
    sizes = {"n_positions": 47, "n_embd": 15, "n_layer": 2, "n_head": 3, "tie_word_embeddings": False}
    end = len(tokenizer) - 1
    config = transformers.GPT2Config(vocab_size=end + 1, bos_token_id=end, eos_token_id=end, **sizes)
    return saved(tmp_path_factory.mktemp("gpt2"), made("GPT2LMHeadModel", config), tokenizer)


def test_the_text_of_generate(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = vit.load_model(f"hf:{folder}")
    words = ["generate", f"hf:{folder}", "--text", "the cat", "--text", "a dog"]
    assert main(words) == 0
    out, error = capfd.readouterr()
    assert out == "".join(text + "\n" for text in model.generate(["the cat", "a dog"]))
    assert error == ""
    drawn = ["--max-tokens", "9", "--temperature", "2", "--top-k", "50", "--top-p", "0.9", "--seed", "3"]
    assert main([*words, *drawn]) == 0
    options = {"max_tokens": 9, "temperature": 2.0, "top_k": 50, "top_p": 0.9, "seed": 3}
    texts = model.generate(["the cat", "a dog"], **options)
    assert capfd.readouterr().out == "".join(text + "\n" for text in texts)
    word = texts[0][2:4]
    assert main([*words[:4], *drawn, "--stop", "zzz", "--stop", word]) == 0
    assert capfd.readouterr().out == texts[0][: texts[0].find(word)] + "\n"


def given(content: bytes) -> io.TextIOWrapper:
    """Standard input."""
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape")


def test_lines_of_standard_input(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", given(b"the cat\na dog\r\n"))
    words = ["generate", f"hf:{folder}", "--text", "first", "--text", "-", "--max-tokens", "4"]
    assert main(words) == 0
    model = vit.load_model(f"hf:{folder}")
    texts = model.generate(["first", "the cat", "a dog"], max_tokens=4)
    assert capfd.readouterr().out == "".join(text + "\n" for text in texts)


def test_a_prompt_that_is_refused_ends_no_other(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", given(b"the cat\n\na dog\n"))
    assert main(["generate", f"hf:{folder}", "--text", "-", "--max-tokens", "4"]) == 3
    one, other = vit.load_model(f"hf:{folder}").generate(["the cat", "a dog"], max_tokens=4)
    written = capfd.readouterr()
    assert written.out == f"{one}\n\n{other}\n"  # a line for each prompt
    assert written.err == "vit: prompt 2: the prompt is empty: a prompt needs at least one token\n"


def test_a_line_that_is_not_utf_8_ends_no_other(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", given("Zoë\n".encode() + b"caf\xe9\na dog\n"))
    assert main(["generate", f"hf:{folder}", "--text", "-", "--max-tokens", "4"]) == 3
    one, other = vit.load_model(f"hf:{folder}").generate(["Zoë", "a dog"], max_tokens=4)
    written = capfd.readouterr()
    assert written.out == f"{one}\n\n{other}\n"
    assert written.err == "vit: prompt 2: the prompt is not UTF-8: byte 4 is 0xe9; convert it first\n"
    assert main(["generate", f"hf:{folder}", "--text", os.fsdecode(b"caf\xe9")]) == 1
    assert "not UTF-8: byte 4 is 0xe9" in capfd.readouterr().err


def test_control_characters_are_not_obeyed_by_a_terminal(folder: Path) -> None:
    pty = pytest.importorskip("pty")
    program = (
        "import sys, vit.text.generation as generation\n"
        "generation.stream = lambda *_, **__: iter(['a\\x1b[2J', 'b\\tc\\r\\x9b\\x07é'])\n"
        f"from vit.cli import main; sys.exit(main(['generate', 'hf:{folder}', '--text', 'a']))"
    )
    command = [sys.executable, "-c", program]
    piped = subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONUTF8": "1"})
    assert piped.stdout.decode() == "a\x1b[2Jb\tc\r\x9b\x07é\n"  # a file has what the model wrote
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdout=theirs, env=os.environ | {"PYTHONUTF8": "1"}) as running:
        assert running.wait(timeout=60) == 0
    os.close(theirs)
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert re.sub(" +", "\t", shown).rstrip() == "a\\x1b[2Jb\tc\\r\\x9b\\x07é"


def test_the_text_comes_as_it_is_made(folder: Path) -> None:
    """Every piece is written at once, also into a pipe; a reader that closes it ends the command quietly."""
    command = [sys.executable, "-m", "vit.cli", "generate", f"hf:{folder}", "--text", "the", "--text", "-"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    ) as running:
        assert running.stdout is not None
        assert running.stdin is not None
        assert running.stderr is not None
        assert running.stdout.read(1)  # the second prompt was not given yet
        running.stdout.close()
        running.stdin.write(b"a\n")
        running.stdin.close()
        assert running.stderr.read() == b""
        assert running.wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--text"),
        (["--text", "a", "--max-tokens", "0"], "--max-tokens is 0, expected at least 1"),
        (["--text", "a", "--top-k", "0"], "--top-k is 0, expected at least 1"),
        (["--text", "a", "--top-p", "0"], "--top-p is 0.0, expected a probability"),
        (["--text", "a", "--temperature", "-1"], "--temperature is -1.0, expected 0 or more"),
        (["--text", "a", "--temperature", "nan"], "--temperature is nan, expected a number"),
        (["--text", "a", "--temperature", ".nan"], "--temperature is nan, expected 0 or more, and finite"),
        (["--text", "a", "--temperature", ".inf"], "--temperature is inf, expected 0 or more, and finite"),
        (["--text", "a", "--top-k", "5"], "--top-k is 5, and --temperature is 0"),
        (["--text", "a", "--top-p", "0.9", "--temperature", "0"], "--top-p is 0.9, and --temperature is 0"),
        (["--text", ""], "--text is empty: give it some words"),
        (["--text", "a", "--text", ""], "--text is empty: give it some words"),
        (["--text", "a", "--stop", ""], "--stop is empty"),
        (["--text", "a", "--max-token", "3"], "did you mean --max-tokens?"),
    ],
)
def test_wrong_usage_is_2(words: list[str], says: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "nowhere", *words]) == 2
    out, error = capfd.readouterr()
    assert says in error
    assert (out, error.count("\n")) == ("", 1)


def test_failure_is_1_and_one_line(
    folder: Path, digits_run: Path, texts_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capfd.readouterr()
    model = f"hf:{folder}"
    for words, says in (
        (["nowhere", "--text", "a"], "nowhere is not a model"),
        ([str(digits_run), "--text", "a"], "does not generate texts (it reads images)"),
        ([str(texts_run), "--text", "a"], "does not generate texts (its tokens see those after them)"),
        ([model, "--text", "b" * 60], "has 60 tokens, and the model reads 47"),
        ([model, "--text", "a", "--max-tokens", "60"], "has room for 47 after the 1 of the prompt"),
    ):
        assert main(["generate", *words]) == 1
        out, error = capfd.readouterr()
        assert says in error
        assert (out, error.count("\n")) == ("", 1)
