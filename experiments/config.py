"""Variants of one's own, from a TOML file.

::

    [families]                       # optional: the title of a table in the report
    "cnn/wide" = "CNN: wider still"

    [[variant]]
    name = "cnn/wide/128-256"        # kind/family/variant
    like = "cnn/layers/2"            # start from a listed variant and change what differs
    filters = [128, 256]
    epochs = 3

Without ``like``, ``model = "cnn"`` or ``model = "recurrent"`` starts from nothing, and every field
of :class:`~scratch_onnx.experiments.variants.Cnn` or ``Recurrent`` that has no default is given,
with ``epochs``, ``batch_size`` and ``learning_rate``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from pathlib import Path
from typing import Any

from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.variants import Cnn, Config, Family, Recurrent, Training, Variant

_MODELS: dict[str, type[Cnn] | type[Recurrent]] = {"cnn": Cnn, "recurrent": Recurrent}
_OWN_KEYS = ("name", "label", "like", "model", "reported", "reported_average")


def load_config(path: Path, families: Sequence[Family]) -> list[Family]:
    """The families with the file's variants added, new families behind the known ones.

    Raises:
        ExperimentError: the file cannot be read, or an entry that is incomplete, misspelt, of
            the wrong type, or named like one that exists.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path} is not a readable TOML file: {error}") from error
    unknown = set(content) - {"families", "variant"}
    entries, titles = content.get("variant", []), content.get("families", {})
    if unknown or not entries or not isinstance(entries, list) or not isinstance(titles, dict):
        raise ExperimentError(
            f"{path}: expected [[variant]] entries and, if wanted, a table [families]"
            + (f"; found {', '.join(sorted(unknown))}" if unknown else "")
        )
    merged = {family.name: family for family in families}
    for number, entry in enumerate(entries, 1):
        where = f"{path}, variant {number} ({entry.get('name', 'without a name')})"
        known = {variant.name: variant for family in merged.values() for variant in family.variants}
        try:
            variant = _variant(entry, known)
        except ExperimentError as error:
            raise ExperimentError(f"{where}: {error}") from error
        family = merged.get(variant.family) or Family(
            variant.family, str(titles.get(variant.family, variant.family)), ()
        )
        merged[variant.family] = replace(family, variants=(*family.variants, variant))
    return list(merged.values())


def _variant(entry: Mapping[str, Any], known: Mapping[str, Variant]) -> Variant:
    name = _typed("name", entry.get("name"), "str")
    if name in known:
        raise ExperimentError("there is a variant of this name already")
    reported = entry.get("reported")
    if reported is not None and not (_is("float", reported) and 0 <= reported <= 1):
        raise ExperimentError(f"reported is an F1 between 0 and 1, not {reported!r}")
    average = entry.get("reported_average", "macro")
    if average not in ("macro", "weighted"):
        raise ExperimentError(f"reported_average is 'macro' or 'weighted', not {average!r}")
    return Variant(
        name=name,
        label=_typed("label", entry.get("label", name.rsplit("/", 1)[-1]), "str"),
        config=_config(entry, known),
        reported=None if reported is None else float(reported),
        reported_average=average,
        faithful=False,
    )


def _config(entry: Mapping[str, Any], known: Mapping[str, Variant]) -> Config:
    if ("like" in entry) == ("model" in entry):
        raise ExperimentError("one of `like` (a listed variant) and `model` is needed")
    if "like" in entry:
        if entry["like"] not in known:
            raise ExperimentError(f"like = {entry['like']!r}: there is no such variant")
        base = known[entry["like"]].config
        kind: type[Cnn] | type[Recurrent] = type(base)
    else:
        if entry["model"] not in _MODELS:
            raise ExperimentError(f"model is {' or '.join(_MODELS)}, not {entry['model']!r}")
        base, kind = None, _MODELS[entry["model"]]
    own = {field.name: field for field in fields(kind) if field.name != "training"}
    fitting = {field.name: field for field in fields(Training)}
    unknown = set(entry) - {*own, *fitting, *_OWN_KEYS}
    if unknown:
        raise ExperimentError(
            f"unknown key {', '.join(sorted(unknown))}; known are {', '.join([*own, *fitting])}"
        )
    model_values, fit_values = _values(entry, own), _values(entry, fitting)
    if isinstance(base, (Cnn, Recurrent)):
        return replace(base, **model_values, training=_training(base.training, fit_values))
    needed = [f.name for f in own.values() if f.default is MISSING and f.name not in model_values]
    needed += [name for name in fitting if name not in fit_values]
    if needed:
        raise ExperimentError(f"missing {', '.join(needed)}")
    return kind(**model_values, training=_training(None, fit_values))


def _training(base: Training | None, values: Mapping[str, Any]) -> Training:
    training = replace(base, **values) if base else Training(**values)
    if min(training.epochs, training.batch_size) < 1 or training.learning_rate <= 0:
        raise ExperimentError("epochs, batch_size and learning_rate are above 0")
    return training


def _values(entry: Mapping[str, Any], known: Mapping[str, Field[Any]]) -> dict[str, Any]:
    return {
        name: _typed(name, entry[name], str(field.type))
        for name, field in known.items()
        if name in entry
    }


def _typed(name: str, value: Any, type_name: str) -> Any:
    """The value as the field's annotation has it; TOML's lists become tuples."""
    if type_name.startswith("tuple["):
        item = type_name.removeprefix("tuple[").split(",")[0]
        if isinstance(value, list) and all(_is(item, part) for part in value):
            return tuple(value)
        raise ExperimentError(f"{name} is a list of {item}, not {value!r}")
    if not _is(type_name, value):
        expected = "str" if type_name.startswith("Literal") else type_name
        raise ExperimentError(f"{name} is of type {expected}, not {value!r}")
    return float(value) if type_name == "float" else value


def _is(type_name: str, value: Any) -> bool:
    if type_name == "bool":
        return isinstance(value, bool)
    if type_name in ("int", "float"):
        allowed = (int,) if type_name == "int" else (int, float)
        return isinstance(value, allowed) and not isinstance(value, bool)
    return isinstance(value, str)  # str and Literal
