"""A reading of each family, written from the numbers of its records and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from scratch_onnx.experiments.records import Record
from scratch_onnx.experiments.rows import Results, Row, Table, best

ALIKE = 0.005
"""Families whose scores lie closer together than this have no winner to speak of."""


def read_family(table: Table, results: Results) -> list[str]:
    """Sentences on one family: who wins and by how much, whether that is more than chance,
    how the losses ran, and what masking changed."""
    sentences = [_winner(table, results), _against_report(table), _losses(table)]
    sentences += [_collapse(table), _cost(table)]
    if not table.faithful:
        sentences.append(_against_faithful(table, results))
    return [sentence for sentence in sentences if sentence]


def _winner(table: Table, results: Results) -> str:
    rows = sorted(table.rows, key=lambda row: -row.mean)
    top = rows[0]
    if len(rows) == 1:
        return f"{_capital(top.label)} scores a macro F1 of {top.mean:.4f}."
    gap, whole = top.mean - rows[1].mean, top.mean - rows[-1].mean
    if whole < ALIKE:
        return (
            f"The variants score alike, with a macro F1 from {rows[-1].mean:.4f} to {top.mean:.4f}."
        )
    text = (
        f"**{_capital(top.label)}** has the highest macro F1, {top.mean:.4f}: {gap:.4f} above "
        f"{rows[1].label} ({rows[1].mean:.4f})"
    )
    if len(rows) > 2:
        text += f" and {whole:.4f} above {rows[-1].label} ({rows[-1].mean:.4f})"
    return f"{text}. {_weight(table, gap, whole, results)}"


def _weight(table: Table, gap: float, whole: float, results: Results) -> str:
    """Whether the gaps are larger than what another seed alone would do."""
    ranges = {row.label: max(row.macro) - min(row.macro) for row in table.rows}
    if all(len(row.records) > 1 for row in table.rows):
        label, size = max(ranges.items(), key=lambda item: item[1])
        seeds = min(len(row.records) for row in table.rows)
        source = f"Over {seeds} seeds one and the same variant moves by up to {size:.4f} ({label})"
    else:
        size = _reported_range(table.kind, results) if table.faithful else 0.0
        if size == 0:
            return "There is one seed, so how much of this is chance cannot be said."
        source = (
            "There is one seed here; the original trained one of these configurations under "
            f"several names, and its scores for it lie {size:.4f} apart"
        )
    if gap > size:
        return f"{source}, so the lead is larger than that spread."
    if whole > size:
        return (
            f"{source}: the lead over the second is within that spread, the distance to the "
            "last is not."
        )
    return f"{source}: none of the differences is larger than that spread."


def _reported_range(kind: str, results: Results) -> float:
    """How far the original's scores of one configuration, trained more than once, lie apart.

    Scores of models that had collapsed to one class are equal for that reason, and say nothing
    about the spread of a model that learns.
    """
    by_model: dict[str, list[float]] = {}
    for row in results.rows:
        if row.kind == kind and row.reported is not None and not _constant_class(row):
            by_model.setdefault(row.model, []).append(row.reported)
    return max((max(v) - min(v) for v in by_model.values()), default=0.0)


def _against_report(table: Table) -> str:
    rows = [row for row in table.rows if row.reported is not None]
    if len(rows) < 2:
        return ""
    average = rows[0].reported_average
    reported = sorted(rows, key=lambda row: -(row.reported or 0.0))
    ours = best(rows, lambda row: fmean(row.values("keras", f"{average}_f1")))
    distance = max(
        abs(fmean(row.values("keras", f"{average}_f1")) - (row.reported or 0.0)) for row in rows
    )
    same = ours.label == reported[0].label
    return (
        f"The report's best was {reported[0].label} ({reported[0].reported:.4f}); by the same "
        f"({average}) average ours is {'the same' if same else ours.label}. Our scores lie up to "
        f"{distance:.4f} from the reported ones."
    )


def _losses(table: Table) -> str:
    overfitted = []
    for row in table.rows:
        curve = _mean_curve(row, "val_loss")
        lowest = min(range(len(curve)), key=curve.__getitem__)
        rising = curve[-1] - curve[lowest]
        if rising > 0.02:
            overfitted.append(
                f"{row.label} (epoch {lowest + 1}, {curve[lowest]:.3f}, then {curve[-1]:.3f})"
            )
    text = _lowest_losses(table) if len(table.rows) > 1 else ""
    if overfitted:
        text += (
            " Validation loss has its minimum before the last epoch and rises again, a sign of "
            f"overfitting, for {', '.join(overfitted)}."
        )
    return text.strip()


def _lowest_losses(table: Table) -> str:
    fitted = best(table.rows, lambda row: -_mean_curve(row, "loss")[-1])
    generalised = best(table.rows, lambda row: -min(_mean_curve(row, "val_loss")))
    training = f"{_mean_curve(fitted, 'loss')[-1]:.3f}"
    validation = f"{min(_mean_curve(generalised, 'val_loss')):.3f}"
    if fitted is generalised:
        return (
            f"{_capital(fitted.label)} has both the lowest training loss at the end ({training}) "
            f"and the lowest validation loss ({validation})."
        )
    return (
        f"{_capital(fitted.label)} ends with the lowest training loss ({training}), "
        f"{generalised.label} reaches the lowest validation loss ({validation})."
    )


def _collapse(table: Table) -> str:
    records = [record for row in table.rows for record in row.records]
    collapsed = [record for row in table.rows for record in row.collapsed()]
    if not collapsed:
        return ""
    labels = [row.label for row in table.rows if row.collapsed()]
    highest = max(record["keras"]["macro_f1"] for record in collapsed)
    text = (
        f"{len(collapsed)} of {len(records)} trained models give one class for at least 95% of the "
        f"test sentences ({', '.join(labels)}); such a model scores a macro F1 of at most "
        f"{highest:.4f}, whatever its architecture."
    )
    padding = collapsed[0]["data"]["padding"]
    if padding and not collapsed[0]["model"]["config"].get("mask_padding", False):
        text += (
            f" {padding:.0%} of the positions that a layer reads are padding behind the sentence, "
            "read as if it were words."
        )
    return text


def constant_answers(records: Sequence[Record]) -> dict[tuple[str, str], float]:
    """The F1 of a model that always gives one class, by (average, class), on these test labels."""
    matrix, classes = records[0]["keras"]["confusion_matrix"], records[0]["data"]["classes"]
    counts = [sum(row) for row in matrix]
    total = sum(counts)
    scores: dict[tuple[str, str], float] = {}
    for name, count in zip(classes, counts, strict=True):
        f1 = 2 * count / (total + count)  # precision count / total, recall 1
        scores["macro", name] = f1 / len(classes)
        scores["weighted", name] = f1 * count / total
    return scores


def reported_collapse(rows: Sequence[Row]) -> str:
    """Which of the original's scores are exactly that of a model that always gives one class."""
    found = [
        f"{row.name.split('/', 1)[1]} ({row.reported:.4f}: always {' or '.join(names)})"
        for row in rows
        if (names := _constant_class(row))
    ]
    if not found:
        return ""
    return (
        "Some of the original's scores are, to the last digit, those of a model that always gives "
        f"one class on this test split: {', '.join(found)}. These models had learned nothing."
    )


def _constant_class(row: Row) -> list[str]:
    """The classes that, always given, score exactly what the original reports for a variant."""
    return [
        name
        for (average, name), value in constant_answers(row.records).items()
        if row.reported == round(value, 4) and average == row.reported_average
    ]


def _cost(table: Table) -> str:
    if len(table.rows) < 2:
        return ""
    smallest = best(table.rows, lambda row: -_parameters(row))
    largest = best(table.rows, _parameters)
    if _parameters(smallest) == _parameters(largest):
        return ""
    winner = best(table.rows)
    place = {largest.label: ", the largest", smallest.label: ", the smallest"}
    return (
        f"The models have from {_parameters(smallest):,} ({smallest.label}) to "
        f"{_parameters(largest):,} ({largest.label}) parameters; the winner has "
        f"{_parameters(winner):,}{place.get(winner.label, '')}."
    )


def _against_faithful(table: Table, results: Results) -> str:
    """What an improved family changed against the variants of the same label without it."""
    plain = {row.name: row for row in results.rows if row.faithful}
    family = table.name.removesuffix("-masked")
    pairs = [
        (row, plain[f"{family}/{row.name.rsplit('/', 1)[1]}"])
        for row in table.rows
        if table.name != family and f"{family}/{row.name.rsplit('/', 1)[1]}" in plain
    ]
    if not pairs:
        return ""
    masked_mean = fmean(row.mean for row, _ in pairs)
    plain_mean = fmean(row.mean for _, row in pairs)
    counts = [
        (sum(len(row.collapsed()) for row in rows), sum(len(row.records) for row in rows))
        for rows in zip(*pairs, strict=True)
    ]
    (masked_collapsed, masked_runs), (plain_collapsed, plain_runs) = counts
    text = (
        "Against the faithful models, with nothing changed but the mask, the mean macro F1 goes "
        f"from {plain_mean:.4f} to {masked_mean:.4f}; {plain_collapsed} of {plain_runs} models had "
        f"collapsed to one class without the mask, {masked_collapsed} of {masked_runs} with it."
    )
    if masked_collapsed == 0 < plain_collapsed:
        return f"{text} The padding is what those models collapsed on."
    if masked_collapsed < plain_collapsed:
        return f"{text} The padding is part of what those models collapsed on."
    if masked_mean <= plain_mean:
        return f"{text} Here the padding was not what held the models back."
    return text


def _capital(text: str) -> str:
    """The text with a capital at its beginning, for the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _parameters(row: Row) -> int:
    return int(row.first["model"]["parameters"])


def _mean_curve(row: Row, name: str) -> list[float]:
    return [fmean(column) for column in zip(*row.curve(name), strict=True)]
