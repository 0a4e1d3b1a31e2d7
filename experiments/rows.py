"""The records put in order: one row a variant, with all its seeds, in the report's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.records import Record
from scratch_onnx.experiments.variants import Family

COLLAPSED = 0.95
"""A model that gives one class for at least this share of the test samples has collapsed."""

KINDS = {"cnn": "CNN", "rnn": "SimpleRNN", "lstm": "LSTM"}


@dataclass(frozen=True)
class Row:
    """The records of one variant, ordered by seed."""

    records: tuple[Record, ...]

    @property
    def first(self) -> Record:
        """The record of the lowest seed."""
        return self.records[0]

    @property
    def name(self) -> str:
        return str(self.first["variant"]["name"])

    @property
    def label(self) -> str:
        return str(self.first["variant"]["label"])

    @property
    def kind(self) -> str:
        return self.name.split("/")[0]

    @property
    def faithful(self) -> bool:
        return bool(self.first["variant"]["faithful"])

    @property
    def model(self) -> str:
        return str(self.first["model"]["id"])

    @property
    def reported(self) -> float | None:
        reported = self.first["variant"]["reported"]
        return None if reported is None else float(reported["f1"])

    @property
    def reported_average(self) -> str:
        reported = self.first["variant"]["reported"]
        return "macro" if reported is None else str(reported["average"])

    def values(self, *path: str) -> list[float]:
        """One number a seed, by its path in the record: ``values("keras", "macro_f1")``."""
        return [float(_at(record, path)) for record in self.records]

    @property
    def macro(self) -> list[float]:
        return self.values("keras", "macro_f1")

    @property
    def mean(self) -> float:
        """The mean macro F1 over the seeds."""
        return fmean(self.macro)

    def collapsed(self) -> list[Record]:
        """The records whose model gives nearly always one class."""
        return [record for record in self.records if largest_share(record) >= COLLAPSED]

    def curve(self, name: str) -> list[list[float]]:
        """One list of values by epoch for each seed."""
        return [list(map(float, record["history"][name])) for record in self.records]


@dataclass(frozen=True)
class Table:
    """The rows of one family."""

    name: str
    title: str
    rows: tuple[Row, ...]

    @property
    def faithful(self) -> bool:
        return self.rows[0].faithful

    @property
    def kind(self) -> str:
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Results:
    """Everything that the report is written from."""

    tables: tuple[Table, ...]
    missing: tuple[str, ...]
    quick: bool
    left_out: int

    @property
    def rows(self) -> list[Row]:
        return [row for table in self.tables for row in table.rows]

    @property
    def records(self) -> list[Record]:
        return [record for row in self.rows for record in row.records]

    @property
    def kinds(self) -> list[str]:
        return list(dict.fromkeys(table.kind for table in self.tables))


def arrange(records: Sequence[Record], families: Sequence[Family]) -> Results:
    """Group records by variant and seed, in the order of the families; unknown ones come last.

    Records of quick passes count only where there is no other record at all: the results are
    then marked as quick.

    Raises:
        ExperimentError: two records of one variant and seed.
    """
    real = [record for record in records if not record["quick"]]
    used = real or list(records)
    grouped: dict[str, dict[int, Record]] = {}
    for record in used:
        seeds = grouped.setdefault(record["variant"]["name"], {})
        if record["seed"] in seeds:
            raise ExperimentError(
                f"two records of {record['variant']['name']} with seed {record['seed']}: keep one"
            )
        seeds[record["seed"]] = record
    rows = {
        name: Row(tuple(seeds[seed] for seed in sorted(seeds))) for name, seeds in grouped.items()
    }
    tables = [
        Table(family.name, family.title, tuple(rows.pop(v.name) for v in known))
        for family in families
        if (known := [v for v in family.variants if v.name in rows])
    ]
    foreign: dict[str, list[Row]] = {}
    for row in rows.values():
        foreign.setdefault(row.first["variant"]["family"], []).append(row)
    tables += [Table(name, name, tuple(group)) for name, group in foreign.items()]
    recorded = {row.name for table in tables for row in table.rows}
    missing = [v.name for family in families for v in family.variants if v.name not in recorded]
    return Results(tuple(tables), tuple(missing), not real, len(records) - len(used))


def largest_share(record: Record) -> float:
    """The share of the test samples that get the class that is given most often."""
    predicted = [sum(column) for column in zip(*record["keras"]["confusion_matrix"], strict=True)]
    return float(max(predicted) / sum(predicted))


def spread(values: Iterable[float]) -> str:
    """``0.4321`` for one value, ``0.4321 ± 0.0123`` (mean and standard deviation) for more."""
    numbers = list(values)
    if len(numbers) == 1:
        return f"{numbers[0]:.4f}"
    return f"{fmean(numbers):.4f} ± {stdev(numbers):.4f}"


def best(rows: Iterable[Row], score: Callable[[Row], float] = lambda row: row.mean) -> Row:
    """The row with the highest score; the first of equals."""
    return max(rows, key=score)


def kind_title(kind: str) -> str:
    """How a kind is called in a heading."""
    return KINDS.get(kind, kind)


def _at(record: Record, path: Sequence[str]) -> Any:
    value: Any = record
    for key in path:
        value = value[key]
    return value
