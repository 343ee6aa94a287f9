"""The kind of device that a run asks for."""

from lightning.pytorch.accelerators import AcceleratorRegistry

from vit.config import nearest
from vit.errors import UsageError, VitError

GPUS = ("cuda", "mps")  # what Lightning takes for `gpu`


def require_accelerator(name: str) -> None:
    """Refuse an accelerator that this machine does not have, before anything else is done.

    Args:
        name: As Lightning's: `auto`, `gpu`, or a kind of device.

    Raises:
        UsageError: Lightning knows no such accelerator.
        VitError: The machine has none; the message names what it has.
    """
    known = sorted(AcceleratorRegistry.available_accelerators())
    if name not in ("auto", "gpu", *known):
        raise UsageError(f"trainer.accelerator is {name!r}{nearest(name, ['auto', 'gpu', *known])}")
    there = [kind for kind in known if AcceleratorRegistry[kind]["accelerator"].is_available()]
    wanted = {"auto": there, "gpu": GPUS}.get(name, (name,))
    if not set(wanted) & set(there):
        raise VitError(
            f"trainer.accelerator is {name}, and this machine has {', '.join(there)} only: "
            "--trainer.accelerator auto takes the best that there is"
        )
