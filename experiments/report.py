"""The report: Markdown, one self-contained page, and figures, from the records alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from scratch_onnx.experiments import charts
from scratch_onnx.experiments.blocks import (
    Block,
    Figure,
    Grid,
    Heading,
    Paragraph,
    to_html,
    to_markdown,
)
from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.readings import read_family, reported_collapse
from scratch_onnx.experiments.records import Record, load_records
from scratch_onnx.experiments.rows import Results, Row, Table, arrange, best, kind_title, spread
from scratch_onnx.experiments.variants import Family

TITLE = "Keras and the interpreter: the experiments"


def write_report(records: Path, out: Path, families: Sequence[Family]) -> list[Path]:
    """Write ``report.md``, ``report.html`` and ``figures/*.svg`` into ``out``.

    Raises:
        ExperimentError: no records, one that does not fit the schema, a folder not writable.
    """
    blocks = list(compose(arrange(load_records(records), families)))
    figures = {f"{block.name}.svg": block.svg for block in blocks if isinstance(block, Figure)}
    texts = {
        out / "report.md": to_markdown(blocks),
        out / "report.html": to_html(blocks, TITLE),
        **{out / "figures" / name: svg for name, svg in figures.items()},
    }
    try:
        (out / "figures").mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ExperimentError(f"cannot write the report into {out}: {error}") from error
    return [out / "report.md", out / "report.html"]


def compose(results: Results) -> Iterator[Block]:
    """The report's blocks, in order."""
    yield Heading(TITLE, 1)
    yield from _summary(results)
    for kind in results.kinds:
        yield from _kind(kind, results)
    yield from _both_sides(results)
    yield from _confusions(results)
    yield from _times(results)
    yield from _provenance(results)


def _summary(results: Results) -> Iterator[Block]:
    records = results.records
    if results.quick:
        sizes = {(record["limit"], len(record["history"]["loss"])) for record in records}
        limits = ", ".join(
            f"{'all' if limit is None else limit} samples of each split, {epochs} epochs"
            for limit, epochs in sorted(sizes, key=str)
        )
        yield Paragraph(
            f"Quick pass ({limits}): this shows that the pipeline works, and none of its scores "
            "is a result.",
            notice=True,
        )
    if results.left_out:
        yield Paragraph(f"{results.left_out} records of quick passes are left out.")
    if results.missing:
        yield Paragraph(f"Not recorded yet: {', '.join(f'`{n}`' for n in results.missing)}.")
    faithful = [row for row in results.rows if row.faithful]
    improved = len(results.rows) - len(faithful)
    models = {(record["model"]["id"], record["seed"]) for record in records}
    yield Paragraph(
        f"{len(faithful)} variants of the original report"
        + (f" and {improved} of our own" if improved else "")
        + f", {len(models)} trained models, {len(records)} records. Each model was trained in "
        "Keras, exported to ONNX, and run on the test split by Keras and by the interpreter, in "
        "NumPy alone. Scores are F1 on the test split."
    )
    yield Paragraph(_agreement(records), notice=any(not _agrees(record) for record in records))
    yield Paragraph(
        " ".join(
            f"Best {kind_title(kind)}: `{row.name}`, macro F1 {spread(row.macro)}."
            for kind in results.kinds
            for row in [best(row for row in results.rows if row.kind == kind)]
        )
    )


def _agreement(records: Sequence[Record]) -> str:
    equal = sum(_agrees(record) for record in records)
    models = {(record["model"]["id"], record["seed"]): record for record in records}
    predictions = sum(record["data"]["test"] for record in models.values())
    differing = sum(r["comparison"]["classes_that_differ"] for r in models.values())
    largest = max(r["comparison"]["max_absolute_difference"] for r in records)
    return (
        f"The interpreter scores what Keras scores, to the last digit, in {equal} of "
        f"{len(records)} records. {differing:,} of {predictions:,} predicted classes differ; the "
        f"largest difference between two probabilities is `{largest:.2g}`."
    )


def _agrees(record: Record) -> bool:
    comparison = record["comparison"]
    return bool(comparison["equal_scores"]) and comparison["classes_that_differ"] == 0


def _kind(kind: str, results: Results) -> Iterator[Block]:
    tables = [table for table in results.tables if table.kind == kind]
    rows = [row for table in tables for row in table.rows]
    faithful = [row for row in rows if row.reported is not None]
    yield Heading(kind_title(kind))
    data = rows[0].first["data"]
    yield Paragraph(
        f"{data['train']:,} training, {data['validation']:,} validation and {data['test']:,} test "
        f"samples, {len(data['classes'])} classes ({', '.join(data['classes'])})."
    )
    if any(row.reported_average == "weighted" for row in faithful):
        yield Paragraph(
            "The original's column of these scores was headed macro F1 and held weighted F1: "
            "compare it with our weighted column."
        )
    if text := reported_collapse(faithful):
        yield Paragraph(text)
    if faithful:
        yield Figure(
            f"{kind}-scores",
            charts.scores(faithful),
            f"{kind_title(kind)}: reported F1 and ours, for each variant",
        )
    if text := _shared_models(rows):
        yield Paragraph(text)
    for table in tables:
        yield from _family(table, results)


def _shared_models(rows: Sequence[Row]) -> str:
    shared: dict[str, list[str]] = {}
    for row in rows:
        shared.setdefault(row.model, []).append(f"`{row.name.split('/', 1)[1]}`")
    groups = [", ".join(names) for names in shared.values() if len(names) > 1]
    if not groups:
        return ""
    return f"The same model by configuration, trained once a seed: {'; '.join(groups)}."


def _family(table: Table, results: Results) -> Iterator[Block]:
    yield Heading(table.title, 3)
    average = table.rows[0].reported_average
    seeds = max(len(row.records) for row in table.rows)
    reported = any(row.reported is not None for row in table.rows)
    header = ["Variant", *([f"Reported ({average} F1)"] if reported else [])]
    header += ["Macro F1", "Weighted F1", "Accuracy", "Seeds"]
    yield Grid(
        header,
        [
            [
                row.label,
                *([_reported(row)] if reported else []),
                *(spread(row.values("keras", n)) for n in ("macro_f1", "weighted_f1", "accuracy")),
                str(len(row.records)),
            ]
            for row in table.rows
        ],
    )
    band = "; the line is the mean over the seeds, the band their range" if seeds > 1 else ""
    yield Figure(
        table.name.replace("/", "-"),
        charts.loss_curves(table),
        f"{table.title}: training and validation loss by epoch{band}",
    )
    if not table.faithful:
        yield Paragraph("This family is not in the original.")
    for sentence in read_family(table, results):
        yield Paragraph(sentence)


def _reported(row: Row) -> str:
    return "-" if row.reported is None else f"{row.reported:.4f}"


def _both_sides(results: Results) -> Iterator[Block]:
    yield Heading("Keras against the interpreter")
    yield Paragraph(
        "Macro F1 of both sides to full precision, for the lowest seed. The other columns take in "
        "all seeds of the variant: with how many of them the scores are equal, how many predicted "
        "classes differ in all, and the largest difference of a probability."
    )
    parts = (("The original's variants", True), ("Our own variants", False))
    for title, faithful in parts:
        rows = [row for row in results.rows if row.faithful == faithful]
        if not rows:
            continue
        yield Heading(title, 3)
        yield Grid(
            (
                "Variant",
                "Keras",
                "Interpreter",
                "Equal",
                "Classes that differ",
                "Largest difference",
                "Largest relative difference",
            ),
            [_sides(row) for row in rows],
        )


def _sides(row: Row) -> list[str]:
    first = row.first
    equal = sum(bool(record["comparison"]["equal_scores"]) for record in row.records)
    return [
        row.name,
        repr(first["keras"]["macro_f1"]),
        repr(first["interpreter"]["macro_f1"]),
        f"{'yes' if equal == len(row.records) else 'NO'}, {equal} of {len(row.records)}",
        str(int(sum(row.values("comparison", "classes_that_differ")))),
        f"{max(row.values('comparison', 'max_absolute_difference')):.2e}",
        f"{max(row.values('comparison', 'max_relative_difference')):.2e}",
    ]


def _confusions(results: Results) -> Iterator[Block]:
    yield Heading("Confusion matrices")
    yield Paragraph(
        "The best variant of each kind by mean macro F1, and of it the best seed. Where the best "
        "is one of our own, the best of the original's stands beside it. Numbers are test samples, "
        "the shade is their share of the true class."
    )
    for kind in results.kinds:
        rows = [row for row in results.rows if row.kind == kind]
        faithful = [row for row in rows if row.faithful]
        chosen = {row.name: row for row in (best(rows), *([best(faithful)] if faithful else []))}
        for row in chosen.values():
            record = max(row.records, key=lambda record: float(record["keras"]["macro_f1"]))
            title = f"{row.name}, seed {record['seed']}"
            yield Heading(f"{kind_title(kind)}: {title}", 3)
            yield Figure(
                f"confusion-{row.name.replace('/', '-')}",
                charts.confusion(record["keras"]["confusion_matrix"], record["data"]["classes"]),
                f"Confusion matrix of {title}: true classes by predicted classes",
                "natural",
            )


def _times(results: Results) -> Iterator[Block]:
    yield Heading("Time")
    yield Paragraph(
        "Seconds of the training, and of predicting the whole test split in batches of 256 by "
        "Keras (`model.predict`) and by the interpreter; the mean over the seeds. The times were "
        "taken as the experiments ran and say how long they took on that machine; they are no "
        "benchmark."
    )
    header = ("Variant", "Test samples", "Training", "Keras", "Interpreter", "Interpreter / Keras")
    seen: set[str] = set()
    lines = []
    for row in results.rows:
        if row.model in seen:
            continue
        seen.add(row.model)
        training, keras, ours = (
            fmean(row.values(*path))
            for path in (("training_seconds",), ("keras", "seconds"), ("interpreter", "seconds"))
        )
        samples = f"{row.first['data']['test']:,}"
        ratio = f"{ours / keras:.2f}" if keras else "-"
        lines.append([row.name, samples, f"{training:.1f}", f"{keras:.3f}", f"{ours:.3f}", ratio])
    yield Grid(header, lines)


def _provenance(results: Results) -> Iterator[Block]:
    yield Heading("What this was made of")
    machines = {_machine(record) for record in results.records}
    yield Paragraph(f"Machine: {'; '.join(sorted(machines))}.")
    versions: dict[str, set[str]] = {}
    for record in results.records:
        for name, number in record["versions"].items():
            versions.setdefault(name, set()).add(number)
    yield Grid(
        ("Package", "Version"),
        [[name, ", ".join(sorted(numbers))] for name, numbers in versions.items()],
        text_columns=2,
    )
    data = {
        (kind_title(row.kind), r["data"]["source"], r["data"]["sha256"])
        for row in results.rows
        for r in row.records
    }
    yield Grid(("Data of", "Source", "SHA-256 of the contents"), sorted(data), text_columns=3)


def _machine(record: Record) -> str:
    machine = record["machine"]
    return f"{machine['system']}, {machine['processor']}, {machine['cores']} cores"
