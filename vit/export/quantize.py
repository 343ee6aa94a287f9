"""Weights of 8 bits: what they cost in accuracy, measured on real inputs, and whether that is too much."""

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from vit.errors import VitError
from vit.export.prepare import Prepared
from vit.export.verify import Real, Runner, chosen, tensors

KINDS = ("int8",)
USUAL_LOSS = 0.5  # points of accuracy


class Quantized(NamedTuple):
    """A file of 8 bits beside that of 32.

    Args:
        before: Accuracy of the file of 32 bits, 0..1.
        after: Accuracy of the file of 8 bits.
        equal: Fraction of the inputs that get the same labels.
        size: Bytes of the file of 8 bits over those of the other.
        n: Number of inputs.
        data: Their name.
    """

    before: float
    after: float
    equal: float
    size: float
    n: int
    data: str

    @property
    def lost(self) -> float:
        """Points of accuracy, without the rounding of a difference."""
        return round(100 * (self.before - self.after), 6)


def quantize(source: Path, target: Path) -> None:
    """Write a file of ONNX again with weights of 8 bits; activations are quantized as the file runs.

    Weights are unsigned, with a scale per channel: signed ones saturate on processors without VNNI.

    Args:
        source: Of float32.
        target: Is made.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    shaped = target.with_name("shaped.onnx")
    try:
        quant_pre_process(source, shaped, skip_optimization=True, skip_symbolic_shape=True)
        quantize_dynamic(shaped, target, per_channel=True, weight_type=QuantType.QUInt8)
    finally:
        shaped.unlink(missing_ok=True)


def compare(before: Runner, after: Runner, prepared: Prepared, real: Real) -> Quantized:
    """Both files on real inputs; `size` is left at 0.

    Args:
        before: Runs the file of 32 bits.
        after: Runs that of 8 bits.
        prepared: The model, without preprocessing.
        real: Inputs with their truth.

    Raises:
        VitError: There are none.
    """
    model, right, right_after, equal, n = prepared.model, 0, 0, 0, 0
    for batch, truth in real.batches():
        inputs = tensors(model, batch)
        one, other = (chosen(model, prepared.output, run(*inputs)) for run in (before, after))
        right += int(is_right(one, truth).sum())
        right_after += int(is_right(other, truth).sum())
        equal += int((one == other).all(-1).sum())
        n += len(truth)
    if not n:
        raise VitError(f"{real.name} has no example to measure the accuracy on")
    return Quantized(right / n, right_after / n, equal / n, 0.0, n, real.name)


def is_right(labels: Tensor, truth: Tensor) -> Tensor:
    """Bool (B,): whether all known labels are as they should be.

    Args:
        labels: bool (B, classes).
        truth: As in `Real`.
    """
    if truth.ndim == 1:
        return labels.gather(1, truth[:, None])[:, 0]
    return ((labels == (truth == 1)) | torch.isnan(truth)).all(-1)


def require_small_loss(measured: Quantized, most: float) -> None:
    """Refuse a file that lost more accuracy than permitted.

    Args:
        measured: From `compare`.
        most: Points of accuracy.

    Raises:
        VitError: With the way out.
    """
    if measured.lost > most:
        before, after = 100 * measured.before, 100 * measured.after
        way = f"--max-loss {_above(measured.lost)} permits it"
        raise VitError(
            f"int8 loses {measured.lost:.2f} points of accuracy on {measured.n:,} of {measured.data} "
            f"({before:.2f} -> {after:.2f}), expected at most {most:g}: nothing is written; {way}"
        )


def _above(lost: float) -> float:
    """The loss rounded up to a tenth."""
    return -(-round(lost * 100) // 10) / 10
