"""The figures of corrupted and unknown inputs, of language models and of probes; what was left aside."""

from typing import TYPE_CHECKING, Any

from vit.commands.figures.cells import new_table, percent

if TYPE_CHECKING:
    from rich.console import Console

    from vit.recipes.evaluation.data import EvaluationData


def print_corruptions(console: "Console", figures: dict[str, Any]) -> None:
    """Print the accuracy under each corruption, the mean over its severities."""
    low, high = figures["interval"]
    console.print(
        f"corrupted, n = {figures['n']:,} pictures: mean accuracy {percent(figures['accuracy'])}, "
        f"95 % interval {100 * low:.2f} to {percent(high)}; not corrupted "
        f"{percent(figures['accuracy_clean'])}"
    )
    table = new_table("corruption", ("accuracy",))
    for name, accuracy in figures["accuracy_by_corruption"].items():
        table.add_row(name.replace("_", " "), percent(accuracy))
    console.print(table)


def print_unknown(console: "Console", figures: dict[str, Any]) -> None:
    """Print how well the scores tell known from unknown inputs, and the threshold of `vit predict`."""
    console.print(f"{figures['n_unknown']:,} unknown inputs beside {figures['n_known']:,} known ones:")
    table = new_table("score", ("AUROC", "FPR at 95 % TPR"))
    for name, row in figures["scores"].items():
        table.add_row(name, f"{row['auroc']:.3f}", f"{row['fpr95']:.3f}")
    console.print(table)
    if figures["threshold"]:
        where = f", recorded in {figures['recorded']}" if figures.get("recorded") else ""
        console.print(
            f"vit predict --unknown {figures['threshold']['threshold']}{where}: "
            f"{percent(figures['known_kept'])} of the known keep their label, "
            f"{percent(figures['unknown_found'])} of the unknown lose it"
        )
    if figures["skipped"]:
        console.print(f"{len(figures['skipped'])} skipped, the first is {': '.join(figures['skipped'][0])}")


def print_language(figures: dict[str, Any]) -> None:
    """Print the figures of a language model."""
    from vit.evaluation.language import shown_perplexity

    token, low, high, word = map(
        shown_perplexity, (figures["perplexity"], *figures["interval"], figures["perplexity_word"])
    )
    print(
        f"{figures['data']}, {figures['split']}, n = {figures['n']:,} texts, {figures['tokens']:,} tokens, "
        f"{figures['words']:,} words: perplexity of a token {token}, 95 % interval {low} to {high}; "
        f"of a word {word}; {figures['bits_per_byte']:.3f} bits per byte"
    )


def print_probe(figures: dict[str, Any]) -> None:
    """Print the figures of a probe."""
    probe = figures["probe"]
    learnt = (
        f"{probe['n_train']:,} examples" if probe["per_class"] is None else f"{probe['per_class']} per class"
    )
    line = (
        f"{figures['data']}, {probe['kind']} probe of {figures['model']}, learnt from {learnt}, tested on "
        f"{figures['split']}, n = {figures['n']:,}: accuracy {percent(figures['accuracy'])}"
    )
    if probe["repeats"] > 1:
        accuracies = probe["accuracies"]
        spread = (
            f"{100 * probe['accuracy_std']:.2f}, {100 * min(accuracies):.2f} to {percent(max(accuracies))}"
        )
        line += f" (mean of {probe['repeats']} draws, deviation {spread})"
    else:
        low, high = figures["interval"]
        line += f", 95 % interval {100 * low:.2f} to {percent(high)}"
    print(
        f"{line}; balanced accuracy {percent(figures['balanced_accuracy'])}; always the most frequent class "
        f"{percent(figures['majority'])}"
    )


def print_asides(data: "EvaluationData") -> None:
    """Print what could not be read, and what was left aside."""
    if data.skipped:
        print(f"{len(data.skipped)} skipped, the first is {': '.join(data.skipped[0])}")
    for note in data.notes:
        print(note)
