"""Running variants: train, export, predict on both sides, record; each step kept when done.

A model is a configuration and a seed. Variants that share one share its folder::

    out/models/<model>/seed-42/   model.keras  history.json   what training leaves
                                  model.onnx  predictions.npz  result.json
    out/records/<variant>/seed-42.json                        one record a variant

``history.json`` is written when the training is whole, ``result.json`` when the measurement is,
a record last: an interrupted run goes on behind the last of them that is there.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scratch_onnx.experiments import cifar10, nusax
from scratch_onnx.experiments.datasets import Images, Texts
from scratch_onnx.experiments.errors import DataError, ExperimentError
from scratch_onnx.experiments.measuring import measure
from scratch_onnx.experiments.models import Prepared, prepare
from scratch_onnx.experiments.progress import Progress
from scratch_onnx.experiments.records import (
    FORMAT,
    Record,
    read_json,
    record_path,
    validate,
    write_json,
)
from scratch_onnx.experiments.training import train
from scratch_onnx.experiments.variants import Cnn, Config, Variant, describe, model_id
from scratch_onnx.interpreter.errors import ScratchOnnxError


@dataclass(frozen=True)
class Options:
    """What a run is asked for: see the command's options of the same names."""

    out: Path
    data: tuple[Path, ...] = ()
    seeds: tuple[int, ...] = (42,)
    epochs: int | None = None
    limit: int | None = None
    force: bool = False

    def quick(self, variant: Variant) -> str:
        """How a pass that is not the real thing is marked in names; empty for the real one."""
        marks = []
        if self.limit is not None:
            marks.append(f"limit-{self.limit}")
        if self.epochs not in (None, variant.config.training.epochs):
            marks.append(f"epochs-{self.epochs}")
        return ".".join(marks)

    def record(self, variant: Variant, seed: int) -> Path:
        """Where the record of a variant and seed stands."""
        return record_path(self.out, variant.name, seed, self.quick(variant))


@dataclass(frozen=True)
class _Job:
    """One model to have, and the variants that are this model."""

    config: Config
    seed: int
    variants: tuple[Variant, ...]

    @property
    def title(self) -> str:
        return f"{self.variants[0].name} seed {self.seed}"


def run(variants: Sequence[Variant], options: Options, progress: Progress) -> list[str]:
    """Bring every variant and seed to its record, and return what failed, one line each.

    Raises:
        DataError: the data cannot be loaded; what was finished before stays.
    """
    data = _Data(options)
    failures: list[str] = []
    jobs = _jobs(variants, options)
    for number, job in enumerate(jobs, 1):
        missing = [v for v in job.variants if options.force or not _finished(v, job, options)]
        if not missing:
            progress.line(f"[{number}/{len(jobs)}] {job.title}: finished before")
            continue
        progress.line(f"[{number}/{len(jobs)}] {job.title}")
        try:
            result = _result(job, data, options, progress)
            for variant in missing:
                record = _record(variant, job.seed, result, options)
                path = options.record(variant, job.seed)
                write_json(path, validate(record, str(path)))
                progress.line(f"{variant.name} seed {job.seed}: {_verdict(record)}")
        except DataError:
            raise
        except ScratchOnnxError as error:
            failures.append(f"{job.title}: {error}")
            progress.line(f"{job.title} failed: {error}")
    return failures


def _jobs(variants: Sequence[Variant], options: Options) -> list[_Job]:
    """Seed by seed, each model once, in the order in which it is first named."""
    shared: dict[Config, list[Variant]] = {}
    for variant in variants:
        config = variant.config
        if options.epochs is not None:
            config = replace(config, training=replace(config.training, epochs=options.epochs))
        shared.setdefault(config, []).append(variant)
    return [
        _Job(config, seed, tuple(group))
        for seed in options.seeds
        for config, group in shared.items()
    ]


def _finished(variant: Variant, job: _Job, options: Options) -> bool:
    """There is a valid record of this model; one of another configuration does not count."""
    path = options.record(variant, job.seed)
    try:
        record = read_json(path)
        return record is not None and validate(record, str(path))["model"]["id"] == model_id(
            job.config
        )
    except ScratchOnnxError:
        return False


class _Data:
    """The data sets, each loaded when first needed, and prepared once a configuration."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loaded: dict[bool, Images | Texts] = {}
        self._prepared: tuple[object, Prepared] | None = None

    def raw(self, config: Config) -> Images | Texts:
        images = isinstance(config, Cnn)
        if images not in self._loaded:
            load = cifar10.load if images else nusax.load
            self._loaded[images] = load(self._options.data)
        return self._loaded[images]

    def prepared(self, config: Config) -> Prepared:
        key = "images" if isinstance(config, Cnn) else (config.max_tokens, config.sequence_length)
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None  # frees the former before the next is made
            self._prepared = (key, prepare(config, self.raw(config), self._options.limit))
        return self._prepared[1]


def _result(job: _Job, data: _Data, options: Options, progress: Progress) -> Record:
    """The measured model: from its folder where it is there, made otherwise."""
    limit = f".limit-{options.limit}" if options.limit is not None else ""
    folder = options.out / "models" / model_id(job.config) / f"seed-{job.seed}{limit}"
    if options.force and folder.exists():
        shutil.rmtree(folder)
    result: Record | None = read_json(folder / "result.json")
    if result is not None:
        progress.line(f"{job.title}: trained and measured before")
        return result
    folder.mkdir(parents=True, exist_ok=True)
    trained = read_json(folder / "history.json")
    if trained is None:
        trained = _train(job, data.prepared(job.config), folder, progress)
    raw, ready = data.raw(job.config), data.prepared(job.config)
    progress.line(f"{job.title}: exporting, and predicting {len(ready.test)} test samples twice")
    measured = measure(job.config, ready, folder, options.out)
    result = {
        "model": {
            "id": model_id(job.config),
            "config": describe(job.config),
            "parameters": measured.pop("parameters"),
        },
        "data": {
            "source": raw.source,
            "sha256": raw.digest,
            "train": len(ready.train),
            "validation": len(ready.validation),
            "test": len(ready.test),
            "classes": list(ready.classes),
            "vocabulary": None if ready.vocabulary is None else len(ready.vocabulary),
            "padding": None if ready.vocabulary is None else float((ready.test.x == 0).mean()),
        },
        **trained,
        **measured,
    }
    write_json(folder / "result.json", result)
    return result


def _train(job: _Job, ready: Prepared, folder: Path, progress: Progress) -> dict[str, Any]:
    trained = train(job.config, ready, job.seed, job.title, progress)
    for name, values in trained.history.items():
        if not all(map(math.isfinite, values)):
            raise ExperimentError(f"the training diverged: {name} by epoch is {values}")
    part = folder / "part.keras"
    trained.model.save(part)
    part.replace(folder / "model.keras")
    kept = {"history": trained.history, "training_seconds": trained.seconds}
    write_json(folder / "history.json", kept)
    return kept


def _record(variant: Variant, seed: int, result: Record, options: Options) -> Record:
    reported = None
    if variant.reported is not None:
        reported = {"f1": variant.reported, "average": variant.reported_average}
    return {
        "format": FORMAT,
        "variant": {
            "name": variant.name,
            "family": variant.family,
            "label": variant.label,
            "faithful": variant.faithful,
            "reported": reported,
        },
        "seed": seed,
        "quick": bool(options.quick(variant)),
        "limit": options.limit,
        **result,
    }


def _verdict(record: Record) -> str:
    comparison = record["comparison"]
    return (
        f"macro F1 {record['keras']['macro_f1']:.4f}, "
        f"{'equal on both sides' if comparison['equal_scores'] else 'NOT EQUAL on both sides'}, "
        f"{comparison['classes_that_differ']} predicted classes differ, "
        f"largest difference {comparison['max_absolute_difference']:.2g}"
    )
