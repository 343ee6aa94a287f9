"""`vit.attend`: from a model and images or texts to maps over patches or tokens."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vit.attribution.explain import Target, explain
from vit.errors import VitError
from vit.text import TextTransformer
from vit.towers import Tower


def attend(
    model: Tower,
    images: Tensor | Sequence[str],
    method: str = "rollout",
    target: Target = None,
    query: str | int | tuple[int, int] = "cls",
    **options: Any,
) -> Tensor:
    """How much each patch of each image counts, for a class or for a query alone.

    Args:
        model: A tower of vit (`vit.load_model`, `vit.from_timm`, `vit.from_huggingface`), in eval mode.
        images: float, (B, C, height, width), preprocessed; any size that the patches tile. For a tower of
            texts: B strings.
        method: One of

            - `raw`: one layer's weights. Options: `layer` (default -1, the last), `head` (default None,
              all), `fusion`.
            - `rollout` (Abnar & Zuidema 2020): attention through all layers. Options: `fusion` (`mean`, `max`
              or `min` over heads), `discard` (share of the weakest links set to zero, default 0).
            - `grad_rollout` (Gildenblat 2020): rollout of gradient times attention. Option: `discard`.
            - `relevance` (Chefer et al. 2021, generic attention explainability).
            - `legrad` (Bousselham et al. 2024).
            - `occlusion` (Zeiler & Fergus 2014): the fall of the logit when patches are covered. Slow.
              Option: `window` (patches per side of the cover, default 1).
            - `rise` (Petsiuk et al. 2018): random masks, not of texts. Slow. Option: `samples` (1000).

        target: The class to explain, for all but `raw` and `rollout`: a label, an index, a tensor of indices
            (B,), or None, the class that the model predicts for each image.
        query: Whose attention: `cls`, what the head reads (in a model that pools otherwise: that pooling);
            `mean` of the patches; or a patch, (row, col) or "ROW,COL"; in texts a token, counted from 0 with
            the special ones. Methods that explain a class explain
            what the head makes of that reading: of a patch alone, its "logit lens".
        options: Of the method, as above.

    Returns:
        (B, rows, cols), at least float32; of texts (B, N), with N the tokens of the longest text, special
        ones included, and zeros behind the shorter ones. `raw` and `rollout`: shares of a row that sums to 1
        with those of the prefix tokens. Others: in units of the logit (`rise`: the probability), not scaled.

    Raises:
        VitError: An unknown method, class, query or option, or a method that this model cannot serve.
        ValueError: Images the model cannot read.
        RuntimeError: Other layers were captured than the model has.
    """
    if isinstance(model, TextTransformer):
        return _of_texts(model, images, method, target, query, options)
    if not isinstance(images, Tensor) or isinstance(query, int):
        raise VitError(
            "this model reads pictures: pass a tensor (B, C, height, width), and a query of patches"
        )
    return explain(model, images, method, target, query, **options).maps


def _of_texts(
    model: TextTransformer,
    texts: Tensor | Sequence[str],
    method: str,
    target: Target,
    query: str | int | tuple[int, int],
    options: dict[str, Any],
) -> Tensor:
    """One text at a time: padding would count as tokens."""
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise VitError("this model reads texts: pass a list of strings")
    if not texts:
        raise VitError("vit.attend was given 0 texts, expected at least one")
    place = token_query(query)
    maps = []
    for number, text in enumerate(texts):
        ids = model.preprocess(text)[None].to(model.words.weight.device)
        one = target[number : number + 1] if isinstance(target, Tensor) and target.ndim else target
        maps.append(explain(model, ids, method, one, place, **options).maps[0, 0])
    return pad_sequence(maps, batch_first=True)


def token_query(query: str | int | tuple[int, int]) -> str | tuple[int, int]:
    """A token's number as a place in the text's only row; other queries as they are."""
    if isinstance(query, str) and query.isdecimal():
        query = int(query)
    return (0, query) if isinstance(query, int) else query
