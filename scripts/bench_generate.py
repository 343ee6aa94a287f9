"""Time of generated tokens with and without the cache of keys and values.

    OMP_NUM_THREADS=1 python scripts/bench_generate.py

A GPT-2 of 6 layers and width 384 with random weights, a prompt of 16 tokens, greedy. Each length is timed
`--repeats` times, with and without the cache in turn; the table has medians, and the range of the ratio. Time
is that of the processor, so that other processes disturb it less; with several threads it is their sum.
"""

import argparse
import statistics
import time

import torch

from vit.core import BlockSpec
from vit.text import TextTransformer
from vit.text.generation import generate_ids

LENGTHS = (16, 64, 256)
PROMPT = 16


def language_model(depth: int, width: int, vocabulary: int) -> TextTransformer:
    """GPT-2's architecture, of random weights."""
    torch.manual_seed(0)
    block = BlockSpec(width=width, heads=width // 64, mlp_ratio=4.0, activation="gelu_tanh", norm_eps=1e-5)
    model = TextTransformer(
        vocabulary,
        vocabulary,
        block,
        length=1024,
        depth=depth,
        causal=True,
        embedding_norm=False,
        encoder_norm=True,
        pool="last",
        tied=True,
    )
    torch.nn.init.normal_(model.token_embedding.weight, std=0.02)
    return model.eval()


def seconds(model: TextTransformer, prompts: torch.Tensor, tokens: int, *, cached: bool) -> float:
    """Of one generation."""
    mask = torch.ones_like(prompts, dtype=torch.bool)
    begun = time.process_time()
    generate_ids(model, prompts, mask, max_tokens=tokens, cached=cached)
    return time.process_time() - begun


def row(times: list[tuple[float, float]], tokens: int, batch: int) -> str:
    """A line of the table, of pairs of seconds: with the cache, without."""
    with_cache, without = (statistics.median(column) for column in zip(*times, strict=True))
    ratios = sorted(slow / fast for fast, slow in times)
    return (
        f"| {tokens} | {batch * tokens / with_cache:.0f} | {batch * tokens / without:.0f} "
        f"| {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f}) |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--vocabulary", type=int, default=8192)
    options = parser.parse_args()
    model = language_model(options.depth, options.width, options.vocabulary)
    prompts = torch.randint(1, options.vocabulary, (options.batch, PROMPT))
    print(
        f"batch {options.batch}, threads {torch.get_num_threads()}, n = {options.repeats}, "
        f"torch {torch.__version__}\n"
    )
    print("| new tokens | tokens/s with the cache | without | ratio (range) |\n| --- | --- | --- | --- |")
    seconds(model, prompts, 8, cached=True)
    for tokens in LENGTHS:
        times = [
            (
                seconds(model, prompts, tokens, cached=True),
                seconds(model, prompts, tokens, cached=False),
            )
            for _ in range(options.repeats)
        ]
        print(row(times, tokens, options.batch), flush=True)


if __name__ == "__main__":
    main()
