"""prelu-train report, and what fit logs for it: figures against the log and against the model."""
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from test_eval import Page

NET = ["--arch", "small14", "--width", "0.02", "--classes", "2", "--crop", "96", "--resize", "98",
       "--batch", "8", "--lr", "0.001", "--epochs", "2", "--quiet"]


@pytest.fixture(scope="module")
def runs(run_program, tmp_path_factory):
    """Two runs of a plain net (PReLU and ReLU) on pictures that need no resizing."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(5)
    for split, n in (("train", 8), ("val", 12)):
        for c in ("a<b>", "b"):
            (root / "data" / split / c).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (98, 98, 3)) // (2 if c == "b" else 1)
                Image.fromarray(pixels.astype(np.uint8)).save(root / "data" / split / c / f"{i:02}.jpg")
    (root / "data" / "val" / "b" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    for activation in ("prelu", "relu"):
        done = run_program("prelu-train", "fit", *NET, "--activation", activation, "--data", root / "data",
                           "--out", root / f"{activation}.onnx", timeout=200)
        assert done.returncode == 0, done.stderr
    return root


def events(run_folder, kind):
    lines = (pathlib.Path(run_folder) / "log.jsonl").read_text().splitlines()
    return [e for e in map(json.loads, lines) if e["event"] == kind]


def test_layers(runs, run_program, tmp_path):
    """The last line of the layers is what the model does with the same pictures."""
    layers = events(runs / "prelu.onnx.run", "layers")
    assert [x["epoch"] for x in layers] == [0, 1, 2]
    assert all(s["mean"] == s["min"] == s["max"] == 0.25 for s in layers[0]["slopes"])
    assert "signals" in layers[0] and "signals" not in layers[1] and "signals" in layers[2]
    assert events(runs / "relu.onnx.run", "layers")[2]["slopes"] == []
    files = sorted((runs / "data" / "val").glob("*/*.jpg"))
    label = {"a<b>": 0, "b": 1}
    picked = [files[i * len(files) // 16] for i in range(16)]
    picked = [f for f in picked if f.name != "torn.jpg"]
    x = np.stack([np.asarray(Image.open(f))[1:97, 1:97].transpose(2, 0, 1) for f in picked])
    np.save(tmp_path / "x.npy", x)
    names = {"conv1": "conv1", "conv2_3": "conv2_3", "logits": "logits", "response": "conv3_2.prelu"}
    flags = [f for k, v in names.items() for f in ("--output", f"{v}={tmp_path / k}.npy")]
    done = run_program("prelu-train", "run", "--model", runs / "prelu.onnx", "--input", tmp_path / "x.npy", *flags,
                       "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    y = {k: np.load(tmp_path / f"{k}.npy").astype(float) for k in names}
    assert layers[2]["pictures"] == len(picked)
    signals = {s["layer"]: s for s in layers[2]["signals"]}
    responses = {s["layer"]: s for s in layers[2]["responses"]}
    assert len(signals) == 14 and len(responses) == 13
    for k in ("conv1", "conv2_3"):
        assert signals[k]["forward"] == pytest.approx(y[k].std(), rel=1e-4)
    assert responses["conv3_2"]["mean"] == pytest.approx(y["response"].mean(), rel=1e-4)
    prob = np.exp(y["logits"] - y["logits"].max(axis=1, keepdims=True))
    prob /= prob.sum(axis=1, keepdims=True)
    prob[np.arange(len(picked)), [label[f.parent.name] for f in picked]] -= 1
    assert layers[2]["signals"][-1]["backward"] == pytest.approx(prob.std(), rel=1e-4)


def test_report(runs, run_program, tmp_path):
    page = tmp_path / "page.html"
    with open(runs / "relu.onnx.run" / "log.jsonl", "a") as log:
        log.write('{"event":"epo')
    done = run_program("prelu-train", "report", runs / "prelu.onnx.run", runs / "relu.onnx.run", "--out", page)
    assert done.returncode == 0, done.stderr
    found = Page(page.read_text())
    assert found.outside == [] and "a<b>" in found.text and "1 lines of the log of relu.onnx.run" in found.text
    for name in ("prelu", "relu"):
        last = events_whole(runs / f"{name}.onnx.run", "epoch")[-1]
        row = found.rows[f"{name}.onnx.run"]
        assert row[2] == name and row[7] == "2"
        assert [float(v) for v in row[8:11]] == pytest.approx(
            [last["train_loss"], 100 - 100 * last["val_top1"], 100 - 100 * last["val_top5"]], abs=0.0051)
    wrong = events_whole(runs / "prelu.onnx.run", "val")[0]
    assert sum(map(sum, wrong["confusion"])) == 24 and len(wrong["worst"]) == 24 - wrong["confusion"][0][0] - wrong["confusion"][1][1]
    assert {w["picture"] for w in wrong["worst"]} <= set(found.pictures)
    for slope in events_whole(runs / "prelu.onnx.run", "layers")[-1]["slopes"]:
        assert f"{slope['mean']:.3f}" in found.text
    # the data may be gone, the report is not
    (runs / "data").rename(runs / "gone")
    try:
        done = run_program("prelu-train", "report", runs / "prelu.onnx.run", "--out", page)
        assert done.returncode == 0 and Page(page.read_text()).pictures == {}
    finally:
        (runs / "gone").rename(runs / "data")


def events_whole(run_folder, kind):
    """As events, from a log whose last line may be torn."""
    text = (pathlib.Path(run_folder) / "log.jsonl").read_text()
    return [e for e in map(json.loads, text[:text.rfind("\n")].splitlines()) if e["event"] == kind]


def test_refusals(run_program, runs, tmp_path):
    for args, code, text in (([], 64, "no run"), ([tmp_path], 66, "log.jsonl"),
                             ([runs / "prelu.onnx.run"] * 17, 64, "16"),
                             ([runs / "prelu.onnx.run", "--out", tmp_path / "no" / "page"], 66, "page")):
        done = run_program("prelu-train", "report", *args, cwd=tmp_path)
        assert done.returncode == code and text in done.stderr
    (tmp_path / "log.jsonl").write_text("no JSON\n")
    done = run_program("prelu-train", "report", tmp_path, cwd=tmp_path)
    assert done.returncode == 65 and not (tmp_path / "report.html").exists()
