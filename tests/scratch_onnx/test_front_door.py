"""What ``import scratch_onnx`` offers, and who may import whom."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import scratch_onnx as so

ROOT = Path(__file__).parents[2]
FRAMEWORKS = ("tensorflow", "keras", "tf2onnx", "onnxruntime", "torch", "jax")


def test_all_names_what_the_package_offers():
    assert so.__all__ == [
        "InferenceSession", "__version__", "compare", "errors", "experiments", "explain",
        "export", "inspect", "op", "profile", "run", "trace",
    ]  # fmt: skip
    assert dir(so) == sorted(so.__all__)
    for name in so.__all__:
        assert getattr(so, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'tain'"):
        so.tain  # noqa: B018


def test_the_version_is_that_of_the_package():
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'\nversion = "{so.__version__}"\n' in pyproject


def test_a_missing_extra_is_named(monkeypatch):
    def missing(_):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow.python")

    monkeypatch.setattr(so, "import_module", missing)
    with pytest.raises(so.errors.ScratchOnnxError, match=r"tensorflow.*scratch-onnx\[export\]"):
        so.__getattr__("export")


# package → the packages of the project that it may import
ARROWS = {
    "interpreter": set(),
    "export": {"interpreter"},
    "experiments": {"interpreter", "export"},
    "scratch_onnx": {"interpreter", "export", "experiments"},
}


def imported(path, package):
    """The absolute names of all modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("folder", ARROWS)
def test_the_arrows_between_packages(folder):
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files
    for path in files:
        parts = [part for part in path.relative_to(ROOT).parent.parts if part != "scratch_onnx"]
        package = ".".join(["scratch_onnx", *parts])
        for name in imported(path, package):
            top, _, inside = name.partition(".")
            if top != "scratch_onnx" or folder == "scratch_onnx":
                continue
            room = inside.partition(".")[0]
            # The front door itself, for its version alone; its submodules are nobody's.
            if room in ("", "__version__") and folder != "interpreter":
                continue
            assert room in {*ARROWS[folder], folder}, f"{path} imports {name}"


def test_the_interpreter_imports_few_packages():
    allowed = {"numpy", "onnx", "ml_dtypes", "google", "threadpoolctl", "scratch_onnx", "PIL"}
    for path in (ROOT / "interpreter").rglob("*.py"):
        package = ".".join(["scratch_onnx", *path.relative_to(ROOT).parent.parts])
        for name in imported(path, package):
            top = name.partition(".")[0]
            assert top in allowed or top in sys.stdlib_module_names, f"{path} imports {name}"


def at_the_end(what, *arguments):
    """What an expression gives when ``scratch-onnx`` ends."""
    script = (
        "import sys, json, atexit\n"
        f"atexit.register(lambda: print(json.dumps({what}), file=sys.stderr))\n"
        "from scratch_onnx.cli import main\n"
        f"sys.argv = ['scratch-onnx', *{list(arguments)!r}]\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1])


def modules_after(*arguments):
    """The modules that are loaded when ``scratch-onnx`` ends."""
    return set(at_the_end("sorted(sys.modules)", *arguments))


def test_a_run_loads_no_framework_and_nothing_that_it_does_not_use(tmp_path):
    from small_models import ROWS, linear, saved, saved_array

    loaded = modules_after("run", saved(tmp_path, linear()), saved_array(tmp_path, ROWS))
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {*FRAMEWORKS, "rich", "netron", "pandas", "matplotlib", "sklearn", "scipy"}
    assert not any(name.startswith("onnx.reference") for name in loaded)
    others = ("export", "experiments", "peers", "interpreter.inspection", "interpreter.gradients.")
    assert not any(name.startswith(f"scratch_onnx.{other}") for name in loaded for other in others)


def test_a_run_loads_onnx_in_part(tmp_path):
    from small_models import ROWS, linear, saved, saved_array

    loaded = modules_after("run", saved(tmp_path, linear()), saved_array(tmp_path, ROWS))
    assert "onnx.onnx_cpp2py_export" in loaded
    assert not loaded & {"onnx.helper", "onnx.checker", "importlib.metadata", "zipfile"}


def test_a_run_loads_only_the_passes_and_kernels_that_the_graph_needs():
    digits = Path(__file__).parents[2] / "examples" / "digits"
    loaded = modules_after("run", str(digits / "digits.onnx"), str(digits / "input.npy"))
    needed = {"fast.conv", "fast.dense", "passes.layout", "passes.fuse", "ops.conv"}
    assert {f"scratch_onnx.interpreter.{name}" for name in needed} <= loaded
    others = {"fast.recurrent", "fast.quantized", "fast.depthwise", "passes.loops", "passes.grid"}
    others |= {"passes.hoist", "passes.attention", "passes.recurrent", "ops.recurrent"}
    assert not {f"scratch_onnx.interpreter.{name}" for name in others} & loaded
    assert "ml_dtypes" not in loaded


def test_blas_starts_no_threads_for_a_run():
    digits = Path(__file__).parents[2] / "examples" / "digits"
    threads = at_the_end(
        "[one['num_threads'] for one in __import__('threadpoolctl').threadpool_info()"
        " if one.get('internal_api') == 'openblas']",
        *("run", str(digits / "digits.onnx"), str(digits / "input.npy")),
    )
    assert set(threads) <= {1}


def test_help_imports_no_command():
    loaded = modules_after("--help")
    assert not any(name.startswith("scratch_onnx.commands.") for name in loaded)
    assert not {name.partition(".")[0] for name in loaded} & {"numpy", "rich"}
    assert not any(name.startswith("onnx.") for name in loaded)


@pytest.mark.parametrize("package", ["scratch_onnx", "scratch_onnx.interpreter"])
def test_the_package_itself_loads_nothing(package):
    script = f"import sys, {package}; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert not {"numpy", "onnx", "click"} & {name.partition(".")[0] for name in loaded}


def test_what_is_loaded_lazily_is_there():
    import scratch_onnx.interpreter as interpreter

    for name in interpreter.__all__:
        assert getattr(interpreter, name).__name__ == name
    assert dir(interpreter) == sorted(interpreter.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'tain'"):
        interpreter.tain  # noqa: B018


def test_onnx_loaded_in_part_becomes_whole_when_it_is_asked():
    script = (
        "import sys\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from scratch_onnx.light_onnx import use_light_onnx\n"
        "use_light_onnx()\n"
        "import onnx, onnx.onnx_pb\n"
        "assert 'onnx.helper' not in sys.modules\n"
        "with ThreadPoolExecutor(4) as pool:\n"
        "    found = list(pool.map(lambda name: getattr(onnx, name), ['helper'] * 4))\n"
        "from onnx import ModelProto, numpy_helper\n"
        "assert ModelProto is onnx.onnx_pb.ModelProto\n"
        "assert not hasattr(onnx, 'nothing')\n"
        "print(onnx.__version__, *{module.__name__ for module in found})\n"
    )
    said = subprocess.check_output([sys.executable, "-c", script], text=True).split()
    assert said == [version("onnx"), "onnx.helper"]
