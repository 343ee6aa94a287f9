"""Why some image models of transformers are not read: what they have in place of blocks over one grid."""

REASONS = {
    "its attention sees windows, not the whole image": (
        "swin", "swinv2", "swin2sr", "donut-swin", "maskformer-swin", "focalnet", "dinat", "nat", "hiera",
        "vitdet", "sam", "sam_vision_model", "sam_hq", "sam_hq_vision_model", "sam2", "sam2_vision_model",
        "sam2_hiera_det_model", "sam3", "sam3_vision_model", "sam3_vit_model",
    ),
    "its grid shrinks from stage to stage": ("pvt", "pvt_v2", "segformer", "glpn", "swiftformer", "levit"),
    "it has convolutions before or between its blocks": (
        "vit-hybrid", "vit_hybrid", "mobilevit", "mobilevitv2", "cvt", "efficientformer",
    ),
    "it is a convolutional network": (
        "convnext", "convnextv2", "dinov3_convnext", "resnet", "regnet", "bit", "efficientnet",
        "mobilenet_v1", "mobilenet_v2", "poolformer",
    ),
    "its patches come flattened and padded, of a grid that each image chooses": (
        "siglip2", "siglip2_vision_model",
    ),
    "its head reads tokens for boxes": ("yolos",),
    "its head reads several layers": ("dpt", "depth_anything", "zoedepth"),
    "it reads videos": ("vivit", "videomae", "timesformer", "vjepa2"),
}  # fmt: skip


def reason(kind: object) -> str | None:
    """Why a `model_type` is not read; None where there is no more to say than what is."""
    return next((why for why, kinds in REASONS.items() if kind in kinds), None)
