"""What a variant is: a frozen description of one model and of how it is trained.

Nothing here trains anything. ``catalogue.py`` lists the project's own variants, ``config.py``
reads a user's from TOML, ``models.py`` turns a configuration into a Keras model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from scratch_onnx.experiments.errors import ExperimentError


@dataclass(frozen=True)
class Training:
    """Adam with sparse categorical cross-entropy, for a fixed number of epochs."""

    epochs: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True)
class Cnn:
    """Conv2D(relu, same) and 2x2 pooling for each layer, then Dense(relu) and Dense(softmax)."""

    filters: tuple[int, ...]
    kernels: tuple[int, ...]
    pooling: Literal["max", "average"] = "max"
    dense_units: int = 64
    training: Training = Training(epochs=7, batch_size=64, learning_rate=0.001)

    def __post_init__(self) -> None:
        if not self.filters or len(self.filters) != len(self.kernels):
            raise ExperimentError(
                f"a CNN needs one kernel size for each number of filters: "
                f"filters {list(self.filters)}, kernels {list(self.kernels)}"
            )
        if self.pooling not in ("max", "average"):
            raise ExperimentError(f"pooling is 'max' or 'average', not {self.pooling!r}")
        _require_positive("filters, kernels and dense_units", *self.filters, *self.kernels)
        _require_positive("dense_units", self.dense_units)

    @property
    def slug(self) -> str:
        """A short readable name of the architecture, for folder names."""
        filters, kernels = (_dashed(sizes) for sizes in (self.filters, self.kernels))
        return f"cnn_f{filters}_k{kernels}_{self.pooling}"


@dataclass(frozen=True)
class Recurrent:
    """Embedding, a stack of recurrent layers (all but the last return sequences), Dense(softmax).

    ``dropout_each_layer`` puts Dropout behind every recurrent layer, otherwise it stands once
    behind the stack. ``mask_padding`` is the Embedding's ``mask_zero``: the padding that fills a
    sentence up to ``sequence_length`` is then skipped instead of read as a word.
    """

    cell: Literal["SimpleRNN", "LSTM", "GRU"]
    units: tuple[int, ...]
    bidirectional: tuple[bool, ...]
    sequence_length: int
    dropout: float
    dropout_each_layer: bool
    training: Training
    mask_padding: bool = False
    embedding_dim: int = 128
    max_tokens: int = 10_000

    def __post_init__(self) -> None:
        if self.cell not in ("SimpleRNN", "LSTM", "GRU"):
            raise ExperimentError(f"cell is 'SimpleRNN', 'LSTM' or 'GRU', not {self.cell!r}")
        if not self.units or len(self.units) != len(self.bidirectional):
            raise ExperimentError(
                f"a recurrent model needs one direction for each layer: units {list(self.units)}, "
                f"bidirectional {list(self.bidirectional)}"
            )
        if not 0 <= self.dropout < 1:
            raise ExperimentError(f"dropout is at least 0 and below 1, not {self.dropout}")
        _require_positive("units", *self.units)
        _require_positive("embedding_dim", self.embedding_dim)
        _require_positive("sequence_length", self.sequence_length)
        if self.max_tokens < 3:
            raise ExperimentError(f"max_tokens is at least 3, not {self.max_tokens}")

    @property
    def slug(self) -> str:
        """A short readable name of the architecture, for folder names."""
        layers = "-".join(
            f"{'bi' if both else ''}{units}"
            for units, both in zip(self.units, self.bidirectional, strict=True)
        )
        return f"{self.cell.lower()}_{layers}{'_masked' if self.mask_padding else ''}"


Config = Cnn | Recurrent


@dataclass(frozen=True)
class Variant:
    """One row of the experiments: a name such as ``cnn/layers/3``, a model, a reported score.

    ``reported`` is the F1 that the original report gives (None for a variant of our own) and
    ``reported_average`` says which F1 that column truly was. ``faithful`` is False for variants
    that depart from the original on purpose.
    """

    name: str
    label: str
    config: Config
    reported: float | None = None
    reported_average: Literal["macro", "weighted"] = "macro"
    faithful: bool = True

    def __post_init__(self) -> None:
        parts = self.name.split("/")
        if len(parts) != 3 or not all(part and part.strip(".") == part for part in parts):
            raise ExperimentError(
                f"a variant's name has three parts, kind/family/variant, unlike {self.name!r}"
            )

    @property
    def kind(self) -> str:
        """The first part of the name: cnn, rnn, lstm, or a user's own."""
        return self.name.split("/")[0]

    @property
    def family(self) -> str:
        """The first two parts of the name: the table in which this variant stands."""
        return self.name.rsplit("/", 1)[0]


@dataclass(frozen=True)
class Family:
    """A table of the report: the variants that differ in one thing."""

    name: str
    title: str
    variants: tuple[Variant, ...] = field(repr=False)


def model_id(config: Config) -> str:
    """A readable name and a digest: equal for two variants exactly if they are the same model."""
    text = json.dumps(describe(config), sort_keys=True)
    return f"{config.slug}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def describe(config: Config) -> dict[str, Any]:
    """The configuration as plain JSON data."""
    model = "cnn" if isinstance(config, Cnn) else "recurrent"
    plain: dict[str, Any] = json.loads(json.dumps({"model": model, **asdict(config)}))
    return plain


def select(families: Sequence[Family], wanted: Iterable[str]) -> list[Variant]:
    """The variants that the names stand for, each once, in the order of the families.

    A name is ``all``, ``faithful`` (the original's), ``improved`` (those beside them), a kind
    (``cnn``), a family (``cnn/layers``) or a variant (``cnn/layers/3``).

    Raises:
        ExperimentError: a name that stands for nothing.
    """
    variants = [variant for family in families for variant in family.variants]
    chosen: set[str] = set()
    for name in wanted:
        found = {variant.name for variant in variants if _stands_for(name.strip("/"), variant)}
        if not found:
            kinds = ", ".join(dict.fromkeys(variant.kind for variant in variants))
            raise ExperimentError(
                f"there is no experiment {name!r}: name a kind ({kinds}), a family, a variant, "
                "or 'all', 'faithful', 'improved'; `scratch-onnx experiments list` shows them"
            )
        chosen |= found
    return [variant for variant in variants if variant.name in chosen]


def _stands_for(name: str, variant: Variant) -> bool:
    if name in ("all", "faithful", "improved"):
        return name == "all" or variant.faithful == (name == "faithful")
    return name in (variant.kind, variant.family, variant.name)


def _dashed(sizes: tuple[int, ...]) -> str:
    return "-".join(str(size) for size in sizes)


def _require_positive(what: str, *sizes: int) -> None:
    if any(isinstance(size, bool) or not isinstance(size, int) or size < 1 for size in sizes):
        raise ExperimentError(f"{what}: whole numbers of at least 1, not {list(sizes)}")
