"""Continue a text with a causal language model, or answer it with an encoder-decoder.

example:
  vit generate hf:folder_of_gpt2 --text "The cat sat on" --max-tokens 40
  vit generate hf:folder_of_t5 --text "translate English to German: good morning"
  vit generate hf:folder_of_gpt2 --text - --temperature 0.8 --top-p 0.9 --seed 1 < prompts.txt

The new text goes to standard output as it comes, without the prompt, and nothing else does; each text ends
with a line break. --temperature 0, the default, takes the most probable token each time. With --seed, a text
depends on the prompt and the seed alone.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from vit.commands.common import require_positive
from vit.config import MODEL_HELP
from vit.errors import UsageError, VitError

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
    for number, prompt in enumerate(_prompts(arguments.text), 1):
        try:
            for piece in stream(model, prompt, stop=arguments.stop or (), **options):
                print(piece, end="", flush=True)
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
        UsageError: A number outside its range, or an empty stop word.
    """
    require_positive("--max-tokens", arguments.max_tokens)
    if arguments.top_k is not None:
        require_positive("--top-k", arguments.top_k)
    if not 0 <= arguments.temperature < float("inf"):
        raise UsageError(f"--temperature is {arguments.temperature}, expected 0 or more")
    if arguments.top_p is not None and not 0 < arguments.top_p <= 1:
        raise UsageError(f"--top-p is {arguments.top_p}, expected a probability above 0 and at most 1")
    if "" in (arguments.stop or ()):
        raise UsageError("--stop is empty, expected a word")


def _prompts(texts: Sequence[str]) -> Iterator[str]:
    """The prompts, with the lines of standard input in the place of `-`.

    Raises:
        VitError: Standard input is not UTF-8.
    """
    for text in texts:
        if text != "-":
            yield text
            continue
        try:
            for line in sys.stdin:
                yield line.rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise VitError(f"standard input is not text ({error}): expected UTF-8") from None
