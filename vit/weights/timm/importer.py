"""Copy a vision transformer of timm into ours: the same logits, and attention that can be recorded."""

from typing import Any

from torch import nn

from vit.errors import VitError, one_line_message
from vit.vision import VisionTransformer


def from_timm(model: Any) -> VisionTransformer:
    """Copy a vision transformer of timm with its preprocessing and its label names.

    These are models of timm's classes `VisionTransformer` (ViT, DeiT, DINOv2, CLIP, SigLIP, AIMv2, BEiT-3,
    ...), `VisionTransformerDistilled` (DeiT with distillation), `Eva` (EVA, EVA-02, DINOv3, RoPE-ViT,
    Perception Encoder), `Beit` (BEiT, BEiT v2), `VisionTransformerRelPos` and `NaFlexVit`, with `token`,
    `avg` or `map` pooling. Dropout and stochastic depth are not copied. The result is in eval mode, on the
    device and in the dtype of `model`, and shares no memory with it.

    Learned positions are interpolated for images of another size as timm's `dynamic_img_size` does it, and
    rotary positions are computed as timm computes them. Tables of biases by offset, of BEiT for instance, are
    interpolated too (bicubic): timm has no images of another size for them. An MLP of such biases is computed
    once, at the offsets of the model's grid.

    Args:
        model: `timm.create_model("vit_...")`; also compiled, or in `DataParallel`. Its head may be replaced
            by a linear layer of any size, with dropout beside it, or an identity.

    Returns:
        Ours; logits differ by at most rounding. `preprocess` is what timm's `create_transform` does for
        evaluation, at the picture size of the model (None where it reads 2 or more than 3 channels). `labels`
        are those of the pretrained config or of ImageNet; empty where the head is new or names are not known.

    Raises:
        VitError: A model of another class, one with a part that ours has not, which is named, or one whose
            weights are not here (meta device, sharded).
    """
    # These load timm, which takes seconds.
    from vit.weights.timm.around import class_labels, picture_preprocess, pretrained_config
    from vit.weights.timm.parts import require_weights, unwrapped
    from vit.weights.timm.tower import tower_arguments, tower_tensors

    model = unwrapped(model)
    if isinstance(model, nn.Module):
        require_weights(model)
    arguments = tower_arguments(model)
    try:
        ours = VisionTransformer(**arguments)
    except VitError:
        raise
    except ValueError as error:
        raise VitError(f"cannot import this timm model: {error}") from None
    first = next(model.parameters())
    ours = ours.to(device=first.device, dtype=first.dtype)
    try:
        ours.load_state_dict({name: held.read().detach() for name, held in tower_tensors(model)})
    except RuntimeError as error:
        reason = one_line_message(error)
        raise VitError(
            f"cannot import this timm model: its tensors do not fit each other: {reason}"
        ) from None
    ours.preprocess = picture_preprocess(model, arguments)
    ours.labels = class_labels(model)
    ours.source = {"word": f"timm model {pretrained_config(model).get('architecture', 'without a name')}"}
    return ours.eval()
