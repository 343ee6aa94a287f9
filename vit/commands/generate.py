"""Continue a text with a causal language model, or answer it with an encoder-decoder.

example:
  vit generate hf:folder_of_gpt2 --text "The cat sat on" --max-tokens 40
  vit generate hf:folder_of_t5 --text "translate English to German: good morning"
  vit generate hf:folder_of_gpt2 --text - --temperature 0.8 --top-p 0.9 --seed 1 < prompts.txt

The new text goes to standard output as it comes, without the prompt, and nothing else does; each text ends
with a line break. --temperature 0, the default, takes the most probable token each time. With --seed, a text
depends on the prompt and the seed alone. A terminal is shown control characters as \\x1b, and does not obey.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any
from unicodedata import category

from vit.config import MODEL_HELP
from vit.errors import UsageError, VitError
from vit.ranges import require_positive

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def add_arguments(parser: "ArgumentParser") -> None:
    """Model, texts, and how tokens are chosen."""
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument(
        "--text",
        action="append",
        required=True,
        metavar="TEXT",
        help="a prompt; again for several, - for the lines of standard input",
    )
    parser.add_argument("--max-tokens", type=int, default=20, help="most new tokens (default: 20)")
    parser.add_argument(
        "--temperature",
        type=float,
        default=0.0,
        help="0 (default): the most probable token; 1: drawn as the model says; above: more varied",
    )
    parser.add_argument("--top-k", type=int, help="draw among this many of the most probable tokens")
    parser.add_argument(
        "--top-p",
        type=float,
        help="draw among the fewest most probable tokens that have this probability together",
    )
    parser.add_argument(
        "--stop",
        action="append",
        metavar="WORD",
        help="ends the text, and is no part of it; again for several",
    )
    parser.add_argument("--seed", type=int, help="the same seed gives the same text (default: none)")


def run(arguments: "Namespace") -> int:
    """Print the texts and return the exit code."""
    _check(arguments)
    from vit.device import best_device
    from vit.text.generation import stream
    from vit.text.generation.texts import tokenizer_of
    from vit.weights.models import load_model

    model: Any = load_model(arguments.model).to(best_device())
    options = {
        name: getattr(arguments, name) for name in ("max_tokens", "temperature", "top_k", "top_p", "seed")
    }
    tokenizer_of(model)  # a model that cannot is one error, not one for each prompt
    single, bad = len(arguments.text) == 1 and arguments.text[0] != "-", 0
    shown = _harmless if sys.stdout.isatty() else str
    for number, prompt in enumerate(_prompts(arguments.text), 1):
        try:
            for piece in stream(model, _decoded(prompt), stop=arguments.stop or (), **options):
                print(shown(piece), end="", flush=True)
        except VitError as error:
            if single:
                raise
            print(f"vit: prompt {number}: {error}", file=sys.stderr, flush=True)
            bad += 1
        print(flush=True)  # a line for each prompt, also for a bad one
    return 3 if bad else 0


def _check(arguments: "Namespace") -> None:
    """Refuse what cannot be before the model is loaded.

    Raises:
        UsageError: A number outside its range, one without an effect, an empty prompt, or an empty stop word.
    """
    if "" in arguments.text:
        raise UsageError("--text is empty: give it some words")
    require_positive("--max-tokens", arguments.max_tokens)
    if arguments.top_k is not None:
        require_positive("--top-k", arguments.top_k)
    if not 0 <= arguments.temperature < float("inf"):
        raise UsageError(f"--temperature is {arguments.temperature}, expected 0 or more, and finite")
    if arguments.top_p is not None and not 0 < arguments.top_p <= 1:
        raise UsageError(f"--top-p is {arguments.top_p}, expected a probability above 0 and at most 1")
    for name in ("top_k", "top_p"):
        if arguments.temperature == 0 and (value := arguments[name]) is not None:
            raise UsageError(
                f"--{name.replace('_', '-')} is {value}, and --temperature is 0, which takes the most "
                "probable token and draws none: give a --temperature above 0, 1 for the model's own "
                "probabilities"
            )
    if "" in (arguments.stop or ()):
        raise UsageError("--stop is empty, expected a word")


def _prompts(texts: Sequence[str]) -> Iterator[bytes]:
    """The prompts as they were given, with the lines of standard input in the place of `-`."""
    for text in texts:
        if text != "-":
            yield os.fsencode(text)
            continue
        for line in sys.stdin.buffer:
            yield line.rstrip(b"\r\n")


def _decoded(prompt: bytes) -> str:
    """A prompt as text.

    Raises:
        VitError: It is not UTF-8.
    """
    try:
        return prompt.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VitError(
            f"the prompt is not UTF-8: byte {error.start + 1} is {prompt[error.start]:#04x}; convert it first"
        ) from None


def _harmless(piece: str) -> str:
    """Text for a terminal, which would obey control characters: all but line break and tab are escaped."""
    return "".join(
        repr(character)[1:-1] if category(character) == "Cc" and character not in "\n\t" else character
        for character in piece
    )
