"""A tokenizer that can write every text: byte pair encoding over bytes, as in GPT-2."""

from collections.abc import Iterable

from vit.errors import VitError
from vit.text.tokenizer import Tokenizer, tokenizers_library, valid

BEGIN, END = "[BOS]", "[EOS]"  # of a text
SPECIAL = ("[PAD]", "[UNK]", BEGIN, END)
SMALLEST = len(SPECIAL) + 256  # ids: all bytes, so that no text is unknown


def train_byte_pairs(
    texts: Iterable[str], *, vocabulary: int, length: int, lowercase: bool = False
) -> Tokenizer:
    """A tokenizer for a language model, trained on these texts; words keep the space before them.

    Pieces are made of bytes (Radford et al. 2019, "Language models are unsupervised multitask learners",
    section 2.2), and all 256 of them are pieces, so decoding gives the text again. `[BOS]` is put before each
    text; `[EOS]` is in the vocabulary, to be predicted after its last token. `[UNK]` occurs in no text: it
    replaces tokens of the input where a training blanks them. The same texts give the same tokenizer.

    Args:
        texts: Of the training split only.
        vocabulary: Largest number of ids; fewer where the texts have fewer pieces that occur twice.
        length: As in `Tokenizer`.
        lowercase: Fold case, and strip accents: what is written is then lower case, too.

    Raises:
        VitError: `vocabulary` is below 260, or a text is not valid Unicode.
    """
    if vocabulary < SMALLEST:
        raise VitError(
            f"the vocabulary is {vocabulary}, expected at least {SMALLEST}: 256 bytes and {len(SPECIAL)} "
            "special tokens"
        )
    tokenizers = tokenizers_library()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    if lowercase:
        steps = tokenizers.normalizers
        tokenizer.normalizer = steps.Sequence(
            [steps.NFD(), steps.StripAccents(), steps.Lowercase(), steps.NFC()]
        )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(map(valid, texts), trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{BEGIN} $A",
        pair=f"{BEGIN} $A {BEGIN}:1 $B:1",
        special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))],
    )
    return Tokenizer(tokenizer.to_str(), length)
