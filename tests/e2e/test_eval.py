"""prelu-train eval: its figures against sums made here from its lines for each picture, and those
lines against the server's answers."""
import base64
import collections
import csv
import html.parser
import io
import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image

from conftest import BIN, ROOT
from serving import Server, is_sanitized

MODEL = ROOT / "models" / "pretrained" / "cifar10.onnx"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MODES = "center,10view,dense,dense@40,multiscale"
EACH = 1 if is_sanitized() else 4  # pictures drawn of a class


def draw(path, seed):
    """A smooth picture of some size."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    path.parent.mkdir(parents=True, exist_ok=True)
    small.resize(tuple(int(n) for n in rng.integers(30, 90, 2)), Image.BICUBIC).save(path, quality=90)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Drawn pictures of each class but the last, the sample pictures, and two damaged files."""
    root = tmp_path_factory.mktemp("data")
    for c, name in enumerate(CLASSES[:-1]):
        for i in range(EACH):
            draw(root / "val" / name / f"{i}.jpg", [c, i])
    for name in ("airplane", "automobile", "cat", "horse", "ship"):
        shutil.copy(ROOT / "docs" / "samples" / f"{name}.jpg", root / "val" / name / "sample.jpg")
    whole = (root / "val" / "cat" / "sample.jpg").read_bytes()
    (root / "val" / "cat" / "torn.jpg").write_bytes(whole[:len(whole) // 2])
    (root / "val" / "dog" / "no.jpg").write_bytes(b"no picture <at> all & nothing")
    return root


@pytest.fixture(scope="module")
def evaluate(run_program):
    def run(*args, code=0, program="prelu-train"):
        done = run_program(program, "eval", *args)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def full(evaluate, data, tmp_path_factory):
    """(JSON, lines for each picture, stderr) of all modes."""
    lines = tmp_path_factory.mktemp("out") / "lines.jsonl"
    p = evaluate("--model", MODEL, "--data", data, "--mode", MODES, "--json", "--predictions", lines)
    return json.loads(p.stdout), [json.loads(line) for line in lines.read_text().splitlines()], p.stderr


class Page(html.parser.HTMLParser):
    """What a report holds: texts, rows of the table of modes, pictures, references to elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.text, self.outside, self.rows, self.pictures, self.row = "", [], {}, {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img":
            assert attrs["src"].startswith("data:image/png;base64,")
            self.pictures[attrs["alt"]] = base64.b64decode(attrs["src"].split(",")[1])
        self.outside += [v for k, v in attrs.items() if k in ("src", "href") and not v.startswith("data:")]
        self.outside += [tag] if tag in ("script", "link", "iframe") else []
        if tag == "tr":
            self.row = []

    def handle_data(self, data):
        self.text += data
        self.row.append(data)

    def handle_endtag(self, tag):
        if tag == "tr" and len(self.row) > 7:
            self.rows.setdefault(self.row[0], [x for x in self.row[1:] if x.strip()])


def wilson(k, n, z=1.959963984540054):
    p = k / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]


def check_result(result, lines, n_classes):
    """All figures of one mode, from the lines of that mode."""
    seen = [x for x in lines if "skipped" not in x]
    first = np.array([x["predictions"][0]["class"] for x in seen])
    score = np.array([x["predictions"][0]["score"] for x in seen])
    label = np.array([x["class"] for x in seen])
    right = first == label
    assert result["images"] == len(seen) and result["skipped"] == len(lines) - len(seen)
    assert result["top1"] == pytest.approx(right.mean(), abs=1e-6)
    five = [any(p["class"] == x["class"] for p in x["predictions"]) for x in seen]
    assert result["top5"] == pytest.approx(np.mean(five), abs=1e-6)
    assert result["top1_interval"] == pytest.approx(wilson(right.sum(), len(seen)), abs=2e-6)
    confusion = np.zeros((n_classes, n_classes), int)
    np.add.at(confusion, (label, first), 1)
    assert result["confusion"] == confusion.tolist()
    for c, figures in enumerate(result["classes"]):
        assert figures["images"] == confusion[c].sum()
        assert figures["predicted"] == confusion[:, c].sum()
        for name, whole in (("recall", confusion[c].sum()), ("precision", confusion[:, c].sum())):
            want = pytest.approx(confusion[c, c] / whole, abs=1e-6) if whole else None
            assert figures[name] == want
    ece = 0
    for i, b in enumerate(result["calibration"]):
        inside = (score > i / 15) & (score <= (i + 1) / 15)
        assert b["images"] == inside.sum()
        if inside.any():
            assert b["accuracy"] == pytest.approx(right[inside].mean(), abs=1e-6)
            assert b["score"] == pytest.approx(score[inside].mean(), abs=1e-8)
            ece += abs(right[inside].mean() - score[inside].mean()) * inside.mean()
    assert result["ece"] == pytest.approx(ece, abs=1e-8)


def test_figures(full):
    out, lines, err = full
    assert [r["mode"] for r in out["results"]] == MODES.split(",")
    for r in out["results"]:
        check_result(r, [x for x in lines if x["mode"] == r["mode"]], 10)
        assert r["images"] == 9 * EACH + 5 and 0 < r["top1"] < 1
        assert all(ms > 0 for ms in r["timing_ms"].values())
    assert [c["label"] for c in out["classes"]] == CLASSES
    # damaged files are named once, whatever the number of modes
    assert [s["picture"] for s in out["skipped"]] == ["val/cat/torn.jpg", "val/dog/no.jpg"]
    for s in out["skipped"]:
        assert err.count(f"skipped {s['picture']}: {s['why']}") == 1


def test_as_the_server(full, evaluate, data, tmp_path):
    """A picture has the same scores here and there, averaged before softmax or after."""
    path = tmp_path / "lines"
    evaluate("--model", MODEL, "--data", data, "--mode", "10view,multiscale", "--average", "logit",
             "--predictions", path)
    lines = {"prob": full[1], "logit": [json.loads(x) for x in path.read_text().splitlines()]}
    server = Server(BIN / "prelu-serve", tmp_path, "--model", MODEL)
    try:
        for name in ("val/cat/sample.jpg", "val/bird/0.jpg"):
            for mode, average in (("center", "prob"), ("10view", "prob"), ("dense", "prob"),
                                  ("multiscale", "prob"), ("10view", "logit"), ("multiscale", "logit")):
                line = next(x for x in lines[average] if x["picture"] == name and x["mode"] == mode)
                status, _, body = server.request("POST", f"/classify?mode={mode}&average={average}", (data / name).read_bytes())
                assert status == 200, body
                theirs = json.loads(body)["predictions"]
                assert [p["class"] for p in theirs] == [p["class"] for p in line["predictions"]]
                assert [p["score"] for p in theirs] == pytest.approx(
                    [p["score"] for p in line["predictions"]], rel=1e-8, abs=1e-12)
                own = {p["class"]: p["score"] for p in theirs}.get(line["class"])
                assert own is None or line["score"] == pytest.approx(own, rel=1e-8)
    finally:
        server.process.terminate()
        server.process.wait(30)


def test_one_pass_is_as_many(full, evaluate, data):
    """A mode alone, on one thread, gives the bits that it gave among others."""
    for mode in ("10view", "multiscale"):
        p = evaluate("--model", MODEL, "--data", data, "--mode", mode, "--threads", 1, "--json")
        alone = json.loads(p.stdout)["results"][0]
        among = next(r for r in full[0]["results"] if r["mode"] == mode)
        for r in (alone, among):
            r.pop("timing_ms")
        assert alone == among


def test_auto(full, evaluate, data, tmp_path):
    """Whatever a budget pays for on this machine, a picture has the scores of the mode chosen for it."""
    rich = {"center": 0, "10view": 0, "dense": 0, "multiscale": 9 * EACH + 5}
    by_mode = {(x["picture"], x["mode"]): x for x in full[1]}
    for budget in (1, 3, 3600000):
        path, page = tmp_path / "lines", tmp_path / "report.html"
        p = evaluate("--model", MODEL, "--data", data, "--mode", "auto,center", "--budget", budget, "--json",
                     "--predictions", path, "--html", page)
        result = json.loads(p.stdout)["results"][0]
        lines = [x for x in map(json.loads, path.read_text().splitlines()) if x["mode"] == "auto"]
        chosen = collections.Counter(x["chosen"] for x in lines if "skipped" not in x)
        assert result["mode"] == "auto" and result["auto"]["budget_ms"] == budget
        assert {m: n for m, n in result["auto"]["chosen"].items() if n} == chosen
        assert 0 <= result["auto"]["over_budget"] <= chosen["center"]
        check_result(result, lines, 10)
        for x in lines:
            if "skipped" not in x:
                assert x["predictions"] == by_mode[x["picture"], x["chosen"]]["predictions"]
        assert f"auto within {budget} ms: " in Page(page.read_text()).text
    assert result["auto"] == {"budget_ms": 3600000, "chosen": rich, "over_budget": 0}
    p = evaluate("--model", MODEL, "--data", data, "--mode", "auto", "--budget", 3600000)
    assert f"auto within 3600000 ms: multiscale {9 * EACH + 5}\n" in p.stdout
    p = evaluate("--model", MODEL, "--data", data, "--mode", "auto,dense", "--budget", 3600000, "--csv")
    auto, dense = csv.DictReader(io.StringIO(p.stdout))
    assert auto["by_multiscale"] == dense["by_dense"] == auto["images"] and auto["over_budget"] == "0"
    for flags in (("--mode", "auto"), ("--budget", 5), ("--mode", "auto", "--budget", 0), ("--mode", "auto@32", "--budget", 5)):
        evaluate("--model", MODEL, "--data", data, *flags, code=64)


def test_csv_and_table(full, evaluate, data):
    p = evaluate("--model", MODEL, "--data", data, "--mode", "center,dense", "--csv")
    rows = list(csv.DictReader(io.StringIO(p.stdout)))
    assert [r["mode"] for r in rows] == ["center", "dense"]
    want = {r["mode"]: r for r in full[0]["results"]}
    for row in rows:
        r = want[row["mode"]]
        for key in ("images", "top1", "top5", "skipped", "ece"):
            assert float(row[key]) == pytest.approx(r[key], abs=1e-6)
        assert [float(row["top1_low"]), float(row["top1_high"])] == pytest.approx(r["top1_interval"])
    text = evaluate("--model", MODEL, "--data", data, "--mode", "center").stdout
    assert f"{100 * want['center']['top1']:.2f}%" in text
    assert "one of them" in evaluate("--model", MODEL, "--data", data, "--csv", "--json", code=64).stderr


def test_html(evaluate, data, tmp_path):
    """One file that asks for no other, with every figure, and text that stays text."""
    evil = data.parent / "<b>&"
    shutil.copytree(data, evil, dirs_exist_ok=True)
    page = tmp_path / "report.html"
    p = evaluate("--model", MODEL, "--data", evil, "--mode", "center,dense@40", "--html", page, "--json")
    text = page.read_text()
    found = Page(text)
    assert found.outside == []
    assert "<b>&" in found.text and "no picture <at>" not in text
    assert list(tmp_path.iterdir()) == [page]
    for r in json.loads(p.stdout)["results"]:
        row = found.rows[r["mode"]]
        assert float(row[0]) == pytest.approx(100 - 100 * r["top1"], abs=0.0051)
        assert float(row[1]) == pytest.approx(100 - 100 * r["top5"], abs=0.0051)
        assert row[5:] == [str(9 * EACH + 5), "2"]
    assert 0 < len(found.pictures) <= 24
    for name, png in found.pictures.items():
        shown = Image.open(io.BytesIO(png))
        with Image.open(evil / name) as whole:
            assert max(shown.size) == min(144, max(whole.size))
            off = np.abs(np.asarray(shown, int) - np.asarray(whole.convert("RGB"), int))
            assert off.max() <= 3


def test_ensemble(full, evaluate, data, run_program, tmp_path):
    """A model with itself is the model; with another, the mean of their scores."""
    other = tmp_path / "other.onnx"
    done = run_program("prelu-train", "init", "--arch", "cifar", "--width", "0.25", "--seed", 3,
                       "--out", other)
    assert done.returncode == 0, done.stderr
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{c}\t{c}\n" for c in CLASSES))
    scores = collections.defaultdict(dict)
    for name, models in (("one", [MODEL]), ("other", [other]), ("twice", [MODEL, MODEL]), ("both", [MODEL, other])):
        flags = [x for m in models for x in ("--model", m)]
        lines = tmp_path / "lines"
        evaluate(*flags, "--labels", labels, "--data", data, "--mode", "center,dense", "--predictions", lines)
        for x in map(json.loads, lines.read_text().splitlines()):
            scores[name][x["picture"], x["mode"]] = (x.get("score"), x.get("predictions"))
    assert scores["twice"] == scores["one"] != scores["both"]
    for key, (own, _) in scores["both"].items():
        if own is not None:
            assert own == pytest.approx((scores["one"][key][0] + scores["other"][key][0]) / 2, rel=1e-7)
    # classes in another order are other classes
    p = evaluate("--model", MODEL, "--model", other, "--data", data, code=65)
    assert "airplane" in p.stderr


def test_refusals(evaluate, data):
    assert "8" in evaluate("--data", data, *["--model", MODEL] * 9, code=64).stderr
    many = ",".join(["center"] * 17)
    assert "16" in evaluate("--model", MODEL, "--data", data, "--mode", many, code=64).stderr
    p = evaluate("--model", MODEL, "--data", data, "--predictions", data / "no" / "lines", code=66)
    assert "lines" in p.stderr
    assert "logit" in evaluate("--model", MODEL, "--data", data, "--average", "mean", code=64).stderr
