"""The tokenizer of a transformers model: `tokenizer.json`, and what stands around it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vit.errors import VitError
from vit.text import Tokenizer
from vit.weights.huggingface.checkpoint import read_json

CLASSES = {"bert": "BertTokenizer", "distilbert": "BertTokenizer", "roberta": "RobertaTokenizer"}
CLASSES |= {"electra": "BertTokenizer", "mpnet": "MPNetTokenizer", "xlnet": "XLNetTokenizer"}
SEGMENTS, WITHOUT_SEGMENTS = "token_type_ids", ("XLNetTokenizer",)  # which gives none unless it is asked to
CLASSES |= {"gpt2": "GPT2Tokenizer"}
BERT = ("BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer", "MPNetTokenizer")
# What tokenizer_config.json may ask for and tokenizer.json cannot hold.
REFUSED = ("split_special_tokens", "add_bos_token", "add_eos_token")


def folder_tokenizer(
    folder: Path,
    longest: int,
    *,
    settings: Mapping[str, Any] | None = None,
    lowercase: bool = False,
    prompt: str = "",
) -> Tokenizer:
    """The tokenizer that transformers makes of a folder.

    Args:
        folder: With `tokenizer.json`, and perhaps `tokenizer_config.json` and `config.json`.
        longest: Most tokens that the model reads; a smaller `model_max_length` goes before it.
        settings: Entries that replace those of `tokenizer_config.json`.
        lowercase: Fold case before all else, as `do_lower_case` of sentence-transformers does.
        prompt: As in `Tokenizer`.

    Raises:
        VitError: `tokenizer.json` is missing or broken, or a setting cannot be followed.
    """
    if not (folder / "tokenizer.json").is_file():
        slow = [name for name in ("vocab.txt", "vocab.json", "spiece.model") if (folder / name).is_file()]
        raise VitError(
            f"{folder} has no tokenizer.json{', only ' + slow[0] if slow else ''}: "
            "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) writes it"
        )
    written = read_object(folder / "tokenizer.json")
    said = {**read_object(folder / "tokenizer_config.json"), **(settings or {})}
    asked = [name for name in REFUSED if said.get(name)]
    if asked:
        raise VitError(f"{folder / 'tokenizer_config.json'} sets {asked[0]}, which vit does not follow")
    family = str(read_object(folder / "config.json").get("model_type"))
    kind = str(said.get("tokenizer_class") or CLASSES.get(family, "")).removesuffix("Fast")
    changed = _as_configured(written, kind, said)
    if lowercase:
        changed = _lowercased(changed)
    # Unchanged it stays as it is written, so that a job of an earlier version goes on.
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    definition = text if changed == written else json.dumps(changed)
    cut = written.get("truncation") or {}
    side = said.get("truncation_side", str(cut.get("direction", "right")).lower())
    length = max_length(said.get("model_max_length", said.get("max_len")), longest)
    inputs = said.get("model_input_names") or ([] if kind in WITHOUT_SEGMENTS else [SEGMENTS])
    return _checked(Tokenizer(definition, length, prompt=prompt, truncation=side), inputs, folder)


def fast_tokenizer(tokenizer: Any, longest: int) -> Tokenizer:
    """Ours, of a fast tokenizer of transformers or one of the library `tokenizers`.

    Args:
        tokenizer: `PreTrainedTokenizerFast`, or `tokenizers.Tokenizer`.
        longest: As in `folder_tokenizer`.

    Raises:
        VitError: It is neither, or has a setting that cannot be followed.
    """
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)
    if not hasattr(backend, "to_str"):
        raise VitError(
            f"a {type(tokenizer).__name__} is no fast tokenizer: expected AutoTokenizer.from_pretrained(...) "
            "with is_fast, or a tokenizers.Tokenizer"
        )
    if getattr(backend, "encode_special_tokens", False):
        raise VitError("the tokenizer sets split_special_tokens, which vit does not follow")
    length = max_length(getattr(tokenizer, "model_max_length", None), longest)
    side = getattr(tokenizer, "truncation_side", "right")
    inputs = getattr(tokenizer, "model_input_names", [SEGMENTS])
    return _checked(Tokenizer(backend.to_str(), length, truncation=side), inputs, "the tokenizer")


def max_length(said: Any, longest: int) -> int:
    """The smaller of both; transformers says 1e30 where a tokenizer has no limit.

    Raises:
        VitError: `said` is not a number.
    """
    if said is None:
        return longest
    if not isinstance(said, int | float):
        raise VitError(f"model_max_length is {said!r}, expected a number of tokens")
    return int(min(said, longest))


def read_object(file: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one where there is no file.

    Raises:
        VitError: It is broken, or no object.
    """
    found = read_json(file, {})
    if not isinstance(found, dict):
        raise VitError(f"{file} is no JSON object")
    return found


def _as_configured(definition: dict[str, Any], kind: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What the classes of transformers set by `tokenizer_config.json`, whatever `tokenizer.json` has."""
    normalizer, splitter = definition.get("normalizer") or {}, definition.get("pre_tokenizer") or {}
    if kind in BERT and normalizer.get("type") == "BertNormalizer":
        changes = {
            "lowercase": said.get("do_lower_case", True),
            "strip_accents": said.get("strip_accents"),
            "handle_chinese_chars": said.get("tokenize_chinese_chars", True),
        }
        return definition | {"normalizer": normalizer | changes}
    if kind in ("RobertaTokenizer", "GPT2Tokenizer") and splitter.get("type") == "ByteLevel":
        space = {"add_prefix_space": said.get("add_prefix_space", False)}
        return definition | {"pre_tokenizer": splitter | space}
    return definition


def _lowercased(definition: dict[str, Any]) -> dict[str, Any]:
    """With `Lowercase` as the first normalizer, unless there is one."""
    normalizer = definition.get("normalizer")
    parts = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    if any(part["type"] == "Lowercase" for part in parts):
        return definition
    return definition | {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, *parts]}}


def _checked(tokenizer: Tokenizer, inputs: Sequence[str], where: Any) -> Tokenizer:
    """The tokenizer itself, if transformers gives its model no segment but 0, the only one that vit reads.

    Args:
        tokenizer: Ours.
        inputs: What theirs gives to its model.
        where: For the message.
    """
    segments = tokenizer.segments()
    if SEGMENTS in inputs and segments - {0}:
        raise VitError(f"{where} puts texts into the segments {sorted(segments)}, and vit reads 0 alone")
    return tokenizer
