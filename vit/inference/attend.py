"""`vit.attend`: from a model and images to maps over the patches."""

from typing import Any

from torch import Tensor

from vit.inference.explain import Target, explain
from vit.vision import VisionTransformer


def attend(
    model: VisionTransformer,
    images: Tensor,
    method: str = "rollout",
    target: Target = None,
    query: str | tuple[int, int] = "cls",
    **options: Any,
) -> Tensor:
    """How much each patch of each image counts, for a class or for a query alone.

    Args:
        model: A vision transformer of vit (`vit.load_model`, `vit.from_timm`), in eval mode.
        images: float, (B, C, height, width), preprocessed; any size that the patches tile.
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
            - `rise` (Petsiuk et al. 2018): random masks. Slow. Option: `samples` (default 1000).

        target: The class to explain, for all but `raw` and `rollout`: a label, an index, a tensor of indices
            (B,), or None, the class that the model predicts for each image.
        query: Whose attention: `cls`, what the head reads (in a model that pools otherwise: that pooling);
            `mean` of the patches; or a patch, (row, col) or "ROW,COL". Methods that explain a class explain
            what the head makes of that reading: of a patch alone, its "logit lens".
        options: Of the method, as above.

    Returns:
        (B, rows, cols), at least float32. `raw` and `rollout`: shares of a row that sums to 1 with the prefix
        tokens' shares. Others: in units of the logit (`rise`: of the probability), not scaled.

    Raises:
        VitError: An unknown method, class, query or option, or a method that this model cannot serve.
        ValueError: Images the model cannot read.
        RuntimeError: Other layers were captured than the model has.
    """
    return explain(model, images, method, target, query, **options).maps
