"""The report from a fixed set of records, against what it must say.

The records are made by hand: small confusion matrices whose F1 scores can be worked out on paper.
"""

from __future__ import annotations

import copy
import html.parser
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from scratch_onnx.experiments.catalogue import FAMILIES
from scratch_onnx.experiments.errors import ExperimentError
from scratch_onnx.experiments.readings import constant_answers, read_family, reported_collapse
from scratch_onnx.experiments.records import record_path, write_json
from scratch_onnx.experiments.report import write_report
from scratch_onnx.experiments.rows import arrange, spread

# Rows are true classes. F1 by class 2 * hits / (true + predicted), then their mean:
GOOD = [[9, 1], [1, 9]]  # 0.9 and 0.9: macro 0.9
FAIR = [[8, 2], [2, 8]]  # 0.8 and 0.8: macro 0.8
POOR = [[6, 4], [4, 6]]  # 0.6 and 0.6: macro 0.6
ALL_NEGATIVE = [[10, 0], [10, 0]]  # 2 * 10 / 30 = 0.6667 and 0: macro 0.3333


@pytest.fixture(scope="module")
def records(make_record: Any) -> list[dict[str, Any]]:
    """Two seeds of two LSTM families and their masked twin, and one CNN family of one seed."""
    made = []
    for seed, wobble in ((42, ALL_NEGATIVE), (43, POOR)):
        rows = (
            ("lstm/layers/1", ALL_NEGATIVE, 0.3333, "one", 100),
            ("lstm/layers/2", wobble, 0.2069, "two", 200),
            ("lstm/layers/3", GOOD, 0.5756, "three", 300),
            ("lstm/direction/unidirectional", wobble, 0.2117, "two", 200),
        )
        for name, matrix, reported, model, size in rows:
            made.append(
                make_record(
                    name,
                    matrix,
                    seed=seed,
                    reported=reported,
                    average="weighted",
                    model=model,
                    parameters=size,
                    padding=0.75,
                    loss=(1.0, 0.6, 0.2),
                    val_loss=(1.0, 0.8, 0.95) if name.endswith("3") else (1.1, 1.05, 1.04),
                )
            )
        for label, matrix in (("1", FAIR), ("2", GOOD), ("3", GOOD)):
            made.append(
                make_record(
                    f"lstm/layers-masked/{label}",
                    matrix,
                    seed=seed,
                    faithful=False,
                    model=f"masked-{label}",
                    padding=0.75,
                    masked=True,
                )
            )
    for label, matrix, reported in (("1", POOR, 0.6316), ("2", FAIR, 0.6803), ("3", GOOD, 0.721)):
        made.append(make_record(f"cnn/layers/{label}", matrix, reported=reported))
    return made


@pytest.fixture(scope="module")
def finished(records: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records and their report, for the tests that only read it."""
    folder = tmp_path_factory.mktemp("finished")
    for record in records:
        path = record_path(folder, record["variant"]["name"], record["seed"])
        write_json(path, record)
    write_report(folder / "records", folder, FAMILIES)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of the records alone, for the tests that change them."""
    shutil.copytree(finished / "records", tmp_path / "records")
    return tmp_path


def texts(folder: Path) -> tuple[str, str]:
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


def report(folder: Path) -> tuple[str, str]:
    write_report(folder / "records", folder, FAMILIES)
    return texts(folder)


def table_rows(markdown: str, heading: str) -> list[list[str]]:
    """The rows of the first table behind a heading."""
    lines = markdown.split(f"# {heading}\n", 1)[1].split("\n")
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def test_a_family_table(finished: Path) -> None:
    markdown, _ = texts(finished)
    header, _, *rows = table_rows(markdown, "LSTM: number of layers")
    assert header == [
        "Variant",
        "Reported (weighted F1)",
        "Macro F1",
        "Weighted F1",
        "Accuracy",
        "Seeds",
    ]
    # of 0.3333 and 0.6 the mean is 0.4667 and the standard deviation 0.2667 / sqrt(2) = 0.1886
    assert rows == [
        ["1", "0.3333", *["0.3333 ± 0.0000"] * 2, "0.5000 ± 0.0000", "2"],
        ["2", "0.2069", *["0.4667 ± 0.1886"] * 2, "0.5500 ± 0.0707", "2"],
        ["3", "0.5756", *["0.9000 ± 0.0000"] * 2, "0.9000 ± 0.0000", "2"],
    ]


def test_tables_stand_in_the_order_of_the_specification(finished: Path) -> None:
    markdown, page = texts(finished)
    titles = re.findall(r"^### (.*)", markdown, re.MULTILINE)
    assert titles[:4] == [
        "CNN: number of convolution layers",
        "LSTM: number of layers",
        "LSTM: direction",
        "LSTM: number of layers, padding masked (improved)",
    ]
    places = [page.index(f">{title}</h3>") for title in titles]
    assert places == sorted(places)


def test_both_sides_to_full_precision(finished: Path, records: list[dict[str, Any]]) -> None:
    markdown, page = texts(finished)
    _, _, *rows = table_rows(markdown, "The original's variants")
    assert [row[0] for row in rows] == [
        "cnn/layers/1",
        "cnn/layers/2",
        "cnn/layers/3",
        "lstm/layers/1",
        "lstm/layers/2",
        "lstm/layers/3",
        "lstm/direction/unidirectional",
    ]
    exact = repr(records[0]["keras"]["macro_f1"])
    assert exact == "0.3333333333333333"
    assert rows[3][1:] == [exact, exact, "yes, 2 of 2", "0", "2.50e-07", "1.50e-06"]
    assert f"<td class=number>{exact}</td>" in page
    assert "in 17 of 17 records. 0 of 300 predicted classes differ" in markdown
    assert "is `2.5e-07`." in markdown


def test_a_difference_cannot_be_overlooked(folder: Path, records: list[dict[str, Any]]) -> None:
    record = copy.deepcopy(next(r for r in records if r["variant"]["name"] == "cnn/layers/2"))
    record["comparison"].update(equal_scores=False, classes_that_differ=3)
    write_json(record_path(folder, "cnn/layers/2", 42), record)
    markdown, page = report(folder)
    row = next(
        row for row in table_rows(markdown, "The original's variants") if "layers/2" in row[0]
    )
    assert row[3:5] == ["NO, 0 of 1", "3"]
    notice = "in 16 of 17 records. 3 of 300 predicted classes differ"
    assert re.search(rf"^> \*\*.*{notice}", markdown, re.MULTILINE)
    assert re.search(rf"<p class=notice>.*{notice}", page)


def test_readings_follow_from_the_numbers(finished: Path) -> None:
    markdown, _ = texts(finished)
    for sentence in (
        "**3** has the highest macro F1, 0.9000: 0.4333 above 2 (0.4667) and 0.5667 above 1 "
        "(0.3333). Over 2 seeds one and the same variant moves by up to 0.2667 (2), so the lead "
        "is larger than that spread.",
        "The report's best was 3 (0.5756); by the same (weighted) average ours is the same. Our "
        "scores lie up to 0.3244 from the reported ones.",
        "Validation loss has its minimum before the last epoch and rises again, a sign of "
        "overfitting, for 3 (epoch 2, 0.800, then 0.950).",
        "3 of 6 trained models give one class for at least 95% of the test sentences (1, 2); such "
        "a model scores a macro F1 of at most 0.3333",
        "75% of the positions that a layer reads are padding",
        "from 100 (1) to 300 (3) parameters; the winner has 300, the largest.",
        "the mean macro F1 goes from 0.5667 to 0.8667; 3 of 6 models had collapsed to one class "
        "without the mask, 0 of 6 with it. The padding is what those models collapsed on.",
        "Some of the original's scores are, to the last digit, those of a model that always gives "
        "one class on this test split: layers/1 (0.3333: always negative or neutral).",
        "The same model by configuration, trained once a seed: `layers/2`, "
        "`direction/unidirectional`.",
        "The original's column of these scores was headed macro F1 and held weighted F1",
        "Best CNN: `cnn/layers/3`, macro F1 0.9000. Best LSTM: `lstm/layers/3`, macro F1 0.9000 ± "
        "0.0000.",
    ):
        assert sentence in markdown


def test_one_seed_is_measured_by_the_originals_own_spread(make_record: Any) -> None:
    def rows(reported: float) -> list[dict[str, Any]]:
        return [
            make_record("cnn/layers/1", FAIR, reported=0.7),
            make_record("cnn/layers/2", GOOD, reported=0.8, model="two"),
            make_record("cnn/pooling/max", GOOD, reported=reported, model="two"),
        ]

    for reported, verdict in ((0.75, "so the lead is larger"), (0.95, "none of the differences")):
        results = arrange(rows(reported), FAMILIES)
        text = read_family(results.tables[0], results)[0]
        assert f"lie {abs(reported - 0.8):.4f} apart" in text
        assert verdict in text


def test_one_seed_and_no_spread_says_so(make_record: Any) -> None:
    made = [make_record(f"cnn/layers/{k}", matrix) for k, matrix in ((1, GOOD), (2, FAIR))]
    results = arrange(made, FAMILIES)
    text = read_family(results.tables[0], results)[0]
    assert "how much of this is chance cannot be said" in text


def test_the_originals_collapsed_scores_are_no_measure_of_spread(make_record: Any) -> None:
    made = [
        make_record("rnn/layers/1", GOOD, reported=0.5),
        make_record("rnn/layers/2", FAIR, reported=0.3333, model="two"),
        make_record("rnn/units/128", FAIR, reported=0.33, model="two"),
    ]
    results = arrange(made, FAMILIES)
    assert "cannot be said" in read_family(results.tables[0], results)[0]


def test_scores_alike_have_no_winner(make_record: Any) -> None:
    results = arrange([make_record(f"cnn/layers/{k}", GOOD) for k in (1, 2)], FAMILIES)
    text = read_family(results.tables[0], results)[0]
    assert text == "The variants score alike, with a macro F1 from 0.9000 to 0.9000."


def test_the_collapse_of_the_original() -> None:
    """153 negative, 96 neutral, 151 positive: the counts of NusaX's test split."""
    matrix = [[153, 0, 0], [96, 0, 0], [151, 0, 0]]
    record = {
        "keras": {"confusion_matrix": matrix},
        "data": {"classes": ["negative", "neutral", "positive"]},
    }
    found = constant_answers([record])
    # always negative: precision 153/400, recall 1; F1 = 306/553, weighted by 153/400
    assert found["weighted", "negative"] == pytest.approx(306 / 553 * 153 / 400)
    assert round(found["weighted", "negative"], 4) == 0.2117
    assert round(found["weighted", "positive"], 4) == 0.2069
    assert found["macro", "negative"] == pytest.approx(306 / 553 / 3)


def test_the_average_must_be_the_same_for_a_reported_collapse(make_record: Any) -> None:
    matrix = [[12, 0], [8, 0]]  # always the first class: F1 24/32, macro 0.375, weighted 0.45
    for average, reported, said in (
        ("macro", 0.375, True),
        ("weighted", 0.45, True),
        ("macro", 0.45, False),
    ):
        record = make_record("lstm/layers/1", matrix, reported=reported, average=average)
        rows = arrange([record], FAMILIES).rows
        assert bool(reported_collapse(rows)) == said


def test_quick_passes_are_marked_and_never_mixed(folder: Path, make_record: Any) -> None:
    quick = make_record("cnn/pooling/max", GOOD, limit=20)
    write_json(record_path(folder, "cnn/pooling/max", 42, "limit-20"), quick)
    markdown, _ = report(folder)
    assert "1 records of quick passes are left out" in markdown
    assert "CNN: pooling" not in markdown


def test_a_report_of_quick_passes_alone(tmp_path: Path, make_record: Any) -> None:
    quick = make_record("cnn/pooling/max", GOOD, limit=20)
    write_json(record_path(tmp_path, "cnn/pooling/max", 42, "limit-20"), quick)
    markdown, page = report(tmp_path)
    notice = "Quick pass (20 samples of each split, 2 epochs)"
    assert f"> **{notice}" in markdown
    assert f"<p class=notice>{notice}" in page


def test_what_is_missing_is_named(finished: Path) -> None:
    missing = next(line for line in texts(finished)[0].split("\n") if "Not recorded yet" in line)
    assert "`cnn/filters/16-32`" in missing
    assert "`cnn/layers/1`" not in missing


def test_a_variant_that_is_in_no_family_comes_last(folder: Path, make_record: Any) -> None:
    record = make_record("gru/mine/a", FAIR, faithful=False)
    write_json(record_path(folder, "gru/mine/a", 1), record)
    titles = re.findall(r"^### (.*)", report(folder)[0], re.MULTILINE)
    assert "gru/mine" in titles
    assert titles.index("gru/mine") > titles.index("LSTM: direction")


class Page(html.parser.HTMLParser):
    """Collects what the page asks for from elsewhere, its images, and its open elements."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.open: list[str] = []
        self.ids: list[str | None] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.links.append(str(values["href"]))
        if tag in ("script", "link", "iframe", "object"):
            self.outside.append(tag)
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_elsewhere(finished: Path) -> None:
    _, text = texts(finished)
    page = Page()
    page.feed(text)
    assert page.open == []
    assert page.outside == []
    assert "url(" not in text
    assert len(page.images) == len(list((finished / "figures").iterdir()))
    for image in page.images:
        assert str(image["src"]).startswith("data:image/svg+xml;base64,")
        assert image["alt"]
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(map(str, page.ids))


def test_the_figures(finished: Path) -> None:
    markdown, _ = texts(finished)
    linked = re.findall(r"\(figures/(.*?)\)", markdown)
    assert sorted(linked) == sorted(path.name for path in (finished / "figures").iterdir())
    assert {"cnn-layers.svg", "lstm-layers-masked.svg", "lstm-scores.svg"} <= set(linked)
    assert "confusion-lstm-layers-3.svg" in linked
    svg = "{http://www.w3.org/2000/svg}"
    root = ET.parse(finished / "figures" / "lstm-layers.svg").getroot()
    words = {"".join(element.itertext()) for element in root.iter(f"{svg}text")}
    assert {"Epoch", "Cross-entropy", "Training loss", "Validation loss", "1", "2", "3"} <= words
    root = ET.parse(finished / "figures" / "confusion-cnn-layers-3.svg").getroot()
    words = {"".join(element.itertext()) for element in root.iter(f"{svg}text")}
    assert {"Predicted class", "True class", "negative", "9", "1"} <= words


def test_the_same_records_give_the_same_bytes(finished: Path, folder: Path) -> None:
    def files(root: Path) -> dict[str, bytes]:
        found = (path for path in root.rglob("*") if path.suffix in (".md", ".html", ".svg"))
        return {str(path.relative_to(root)): path.read_bytes() for path in found}

    report(folder)
    assert files(folder) == files(finished)


def test_hostile_names_are_escaped(tmp_path: Path, make_record: Any) -> None:
    record = make_record("cnn/x/<script>alert(1)<|script>", GOOD)
    record["machine"]["processor"] = "<b>a | b</b>"
    write_json(tmp_path / "records" / "r.json", record)
    _, page = report(tmp_path)
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page


def test_two_records_of_one_seed(folder: Path, make_record: Any) -> None:
    write_json(folder / "records" / "copy.json", make_record("cnn/layers/1", GOOD))
    with pytest.raises(ExperimentError, match="two records of cnn/layers/1 with seed 42"):
        report(folder)


def test_no_records(tmp_path: Path) -> None:
    with pytest.raises(ExperimentError, match="there are no records in"):
        report(tmp_path)


def test_spread() -> None:
    assert spread([0.5]) == "0.5000"
    assert spread([0.4, 0.6]) == "0.5000 ± 0.1414"  # 0.1 * sqrt(2)


def test_the_report_needs_no_tensorflow(folder: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from scratch_onnx.experiments.catalogue import FAMILIES\n"
        "from scratch_onnx.experiments.report import write_report\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "write_report(here / 'records', here, FAMILIES)\n"
        "print(sorted({'tensorflow', 'keras', 'tf2onnx', 'sklearn'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
