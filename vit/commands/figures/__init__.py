"""The figures of `vit evaluate` as text for a terminal."""

from vit.commands.figures.classification import print_figures
from vit.commands.figures.others import (
    print_asides,
    print_corruptions,
    print_language,
    print_probe,
    print_unknown,
)

__all__ = [
    "print_asides",
    "print_corruptions",
    "print_figures",
    "print_language",
    "print_probe",
    "print_unknown",
]
