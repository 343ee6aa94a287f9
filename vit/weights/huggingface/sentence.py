"""Folders of sentence-transformers: an encoder, its pooling, and what follows it (`modules.json`)."""

from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import load_file

from vit.errors import VitError
from vit.text import TextTransformer
from vit.weights.huggingface.checkpoint import WEIGHTS, read_json
from vit.weights.huggingface.families.text import Dense
from vit.weights.huggingface.importer import from_folder
from vit.weights.huggingface.tokens import folder_tokenizer, read_object

NAMED_AFTER = ("bert", "roberta", "distilbert", "camembert", "xlm-roberta", "xlnet")
# Of the Transformer module: its settings, by the names that versions of the library gave the file.
SETTINGS = [f"sentence_{name}_config.json" for name in NAMED_AFTER]
IN_SETTINGS = {
    "max_seq_length", "do_lower_case", "model_args", "tokenizer_args", "config_args", "transformer_task",
    "modality_config", "module_output_name",
}  # fmt: skip
RENAMED = {"model_kwargs": "model_args", "processor_kwargs": "tokenizer_args", "config_kwargs": "config_args"}
# Settings that change no vector of `encode`: kernels, dtypes (vit computes in float32), and queries alone.
IDLE = {"backend", "unpad_inputs", "query_length", "document_length", "query_expansion"}
IDLE_MODEL_ARGS = {"attn_implementation", "torch_dtype", "dtype", "use_safetensors", "add_pooling_layer"}
IN_TOKENIZER_ARGS = {"model_max_length", "truncation_side", "padding_side", "use_fast"}
DEFAULT_PROMPTS = {"query": "", "document": ""}

# Pooling modes, as flags of versions up to 5 and as names; which of them, in this order, vit has.
FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
POOLS = {("cls",): "cls", ("mean",): "mean", ("cls", "mean"): "cls_mean"}
ACTIVATIONS = {"Identity": "identity", "Tanh": "tanh", "ReLU": "relu", "GELU": "gelu", "Sigmoid": "sigmoid"}
KINDS = ("Transformer", "Pooling", "Dense", "Dropout", "Normalize")
VECTOR = "sentence_embedding"  # what a module reads and writes


class Module(NamedTuple):
    """An entry of `modules.json`.

    Args:
        kind: One of `KINDS`.
        folder: With its files.
        config: Content of its `config.json`; empty for the Transformer, whose file is the model's own.
    """

    kind: str
    folder: Path
    config: dict[str, Any]


def is_sentence_model(folder: Path) -> bool:
    """Whether sentence-transformers wrote the folder."""
    return (folder / "modules.json").is_file()


def sentence_model(folder: Path) -> TextTransformer:
    """The model in a folder of sentence-transformers: `features`, and `forward`, give its vectors.

    Its default prompt is put before each text, and vectors have length 1 where the folder has `Normalize`.

    Args:
        folder: As `SentenceTransformer.save` writes it, of versions 2 to 6.

    Raises:
        VitError: A part that vit does not have, which is named; or a file is missing or broken.
    """
    encoder, pooling, *rest = read_modules(folder)
    settings, prompt = _settings(encoder.folder), _prompt(folder, pooling)
    model: Any = from_folder(
        encoder.folder,
        pool=_pool(pooling),
        pooler=None,
        projections=[_dense(module) for module in rest if module.kind == "Dense"],
        unit=bool(rest) and rest[-1].kind == "Normalize",
    )
    tokens = settings.get("tokenizer_args", {})
    if "max_seq_length" in settings:
        tokens = {"model_max_length": settings["max_seq_length"]} | tokens
    lowercase = bool(settings.get("do_lower_case"))
    tokenizer = folder_tokenizer(
        encoder.folder, model.length, settings=tokens, lowercase=lowercase, prompt=prompt
    )
    model.use_tokenizer(tokenizer)
    return model


def read_modules(folder: Path) -> list[Module]:
    """What `modules.json` lists: Transformer, Pooling, then Dense and Dropout, and Normalize at the end.

    Raises:
        VitError: Another module, or another order.
    """
    file = folder / "modules.json"
    entries = read_json(file, [])
    if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
        raise VitError(f"{file} is no JSON array of objects, one for each module")
    modules = [_module(folder, entry) for entry in entries]
    kinds = [module.kind for module in modules]
    body = kinds[2:]
    while body[-1:] == ["Normalize"]:
        body.pop()
    if kinds[:2] != ["Transformer", "Pooling"] or not set(body) <= {"Dense", "Dropout"}:
        raise VitError(
            f"{file} has the modules {', '.join(kinds) or 'none'}, expected Transformer, Pooling, then "
            "Dense, and Normalize at the end"
        )
    return modules


def _module(folder: Path, entry: dict[str, Any]) -> Module:
    """One entry of `modules.json`.

    Raises:
        VitError: Another module than ours, or one that reads or writes anything but the sentence's vector.
    """
    package, _, kind = str(entry.get("type")).rpartition(".")
    if kind not in KINDS or package.split(".")[0] != "sentence_transformers":
        raise VitError(
            f"{folder / 'modules.json'} has the module {entry.get('type')}, expected one of "
            f"sentence_transformers' {', '.join(KINDS)}"
        )
    inside = folder / str(entry.get("path", ""))
    config = {} if kind == "Transformer" else read_object(inside / "config.json")
    for key in ("module_input_name", "module_output_name"):
        found = config.get(key) or VECTOR
        if found != VECTOR:
            raise VitError(f"{inside / 'config.json'} has {key} {found}, expected {VECTOR}")
    return Module(kind, inside, config)


def _settings(folder: Path) -> dict[str, Any]:
    """The Transformer's settings, under their first names.

    Raises:
        VitError: One that vit does not follow.
    """
    file = next((folder / name for name in SETTINGS if (folder / name).is_file()), folder / SETTINGS[0])
    said = {RENAMED.get(name, name): value for name, value in read_object(file).items() if name not in IDLE}
    said = {name: value for name, value in said.items() if value not in (None, {}, [])}
    model_args = {
        name: value for name, value in said.get("model_args", {}).items() if name not in IDLE_MODEL_ARGS
    }
    odd = [
        *(f"{name}" for name in said.keys() - IN_SETTINGS),
        *(f"model_args {name}" for name in model_args),
        *(f"config_args {name}" for name in said.get("config_args", {})),
        *(f"tokenizer_args {name}" for name in said.get("tokenizer_args", {}).keys() - IN_TOKENIZER_ARGS),
    ]
    if said.get("transformer_task", "feature-extraction") != "feature-extraction":
        odd.append(f"transformer_task {said['transformer_task']}")
    text = said.get("modality_config", {}).get("text", {})
    if text.get("method", "forward") != "forward" or said.get("module_output_name") == VECTOR:
        odd.append("modality_config")
    if text.get("method_output_name", "last_hidden_state") != "last_hidden_state":
        odd.append(f"modality_config {text['method_output_name']}")
    if odd:
        raise VitError(f"{file} has {sorted(odd)[0]}, which vit does not follow")
    return said


def _pool(module: Module) -> str:
    """Our name of the pooling.

    Raises:
        VitError: We have not got it.
    """
    config = module.config
    said = config.get("pooling_mode")
    if said is None:  # no flag at all is the mean
        said = [name for flag, name in FLAGS.items() if config.get(flag)] or "mean"
    modes = tuple(said) if isinstance(said, list) else (str(said),)
    if modes not in POOLS:
        known, asked = ", ".join(map("+".join, POOLS)), "+".join(map(str, modes))
        raise VitError(f"{module.folder / 'config.json'} pools by {asked}, and vit by one of: {known}")
    return POOLS[modes]


def _dense(module: Module) -> Dense:
    """The layer of a `Dense`.

    Raises:
        VitError: Its activation or its residual is none of ours, or its weights cannot be read.
    """
    file, config = module.folder / "config.json", module.config
    if config.get("use_residual"):
        raise VitError(f"{file} has use_residual, which vit does not have")
    path = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    activation = ACTIVATIONS.get(path.rpartition(".")[2]) if path.startswith("torch.") else None
    if activation is None:
        raise VitError(f"{file} has the activation {path}, expected one of: {', '.join(ACTIVATIONS)}")
    weights = module.folder / WEIGHTS
    try:
        tensors = load_file(weights)
        return Dense(tensors["linear.weight"], tensors.get("linear.bias"), activation)
    except (OSError, SafetensorError, KeyError) as error:
        raise VitError(
            f"{weights} cannot be read ({error}): weights are read from safetensors, never from a pickle"
        ) from None


def _prompt(folder: Path, pooling: Module) -> str:
    """The prompt that `encode` puts before a text.

    Raises:
        VitError: It is unknown, or left out of the pooling; or vectors are cut short, or the folder holds
            another kind of model.
    """
    file = folder / "config_sentence_transformers.json"
    config = read_object(file)
    kind = config.get("model_type") or "SentenceTransformer"
    if kind != "SentenceTransformer":
        raise VitError(f"{file} says that this is a {kind}, expected a SentenceTransformer")
    width = config.get("truncate_dim")
    if width is not None:
        raise VitError(f"{file} has truncate_dim {width}, and vit cuts no vectors: set it to null")
    name = config.get("default_prompt_name")
    if name is None:
        return ""
    prompts = DEFAULT_PROMPTS | (config.get("prompts") or {})
    if name not in prompts:
        raise VitError(f"{file} has default_prompt_name {name}, expected one of: {', '.join(prompts)}")
    if prompts[name] and pooling.config.get("include_prompt") is False:
        raise VitError(
            f"{pooling.folder / 'config.json'} has include_prompt false, which leaves the prompt {name!r} "
            "out of the pooling; vit pools all tokens"
        )
    return prompts[name] or ""
