"""The table that ``experiments list`` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from scratch_onnx.experiments.variants import Cnn, Config, Variant

_HEADER = ("name", "model", "reported F1", "records")


def table(variants: Sequence[Variant], out: Path) -> Iterator[str]:
    """One aligned line a variant, under a header."""
    rows = [
        _HEADER,
        *(
            (v.name, summary(v.config), _reported(v), _records(out, v.name) or "-")
            for v in variants
        ),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def summary(config: Config) -> str:
    """A model and its training in a few words."""
    training = f"{config.training.epochs} epochs"
    if isinstance(config, Cnn):
        filters = "-".join(map(str, config.filters))
        kernels = "-".join(map(str, config.kernels))
        return f"CNN filters {filters} kernels {kernels} {config.pooling} pooling, {training}"
    units = "-".join(
        f"{'bi' if both else ''}{units}"
        for units, both in zip(config.units, config.bidirectional, strict=True)
    )
    masked = ", padding masked" if config.mask_padding else ""
    return f"{config.cell} {units}, length {config.sequence_length}{masked}, {training}"


def _reported(variant: Variant) -> str:
    if variant.reported is None:
        return "-"
    return f"{variant.reported:.4f} {variant.reported_average}"


def _records(out: Path, name: str) -> str:
    """The seeds of the records that are there; a quick pass keeps its mark."""
    found = sorted((out / "records" / name).glob("seed-*.json"))
    return ", ".join(path.stem.removeprefix("seed-") for path in found)
