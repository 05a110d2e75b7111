"""docs/make_card.py: its command makes the same model again, its figures are those of eval."""
import json
import re
import subprocess
import sys

import pytest

from conftest import BIN, ROOT
from test_train import fit, make_data, state

NET = ["--arch", "cifar", "--width", "0.25", "--crop", "16", "--resize", "18", "--lr", "0.02", "--batch", "20",
       "--quiet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model of two parts, from scratch and fine-tuned, and its card."""
    root = tmp_path_factory.mktemp("card")
    data = make_data(root / "data")
    fit(data, root / "base.onnx", "--epochs", 3, "--seed", 7, "--whiten", "--label-smoothing", 0.1, "--dropout", 0.2,
        net=NET)
    fit(data, root / "mine.onnx", "--epochs", 2, "--init", root / "base.onnx", "--lr", 0.001, "--lr-schedule", "step",
        net=["--batch", "20", "--flip", "alternate", "--quiet"])
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_card.py", root / "mine.onnx", "--data", data, "--run",
                           root / "base.onnx.run", "--run", root / "mine.onnx.run", "--out", root / "mine.md", "--bin",
                           BIN, "--about", "A net of the tests."], capture_output=True, text=True, timeout=200,
                          check=False)
    assert done.returncode == 0, done.stderr
    return root, (root / "mine.md").read_text(encoding="utf-8")


def test_the_commands_make_the_model_again(made):
    root, card = made
    commands = re.findall(r"^    prelu-train (fit (?:.*\\\n)*.*)$", card, re.M)
    assert len(commands) == 2
    (root / "again").mkdir()
    for command in commands:
        words = command.replace("\\\n", " ").replace("DATA", str(root / "data")).split()
        done = subprocess.run([BIN / "prelu-train", *words, "--quiet"], cwd=root / "again", capture_output=True,
                              text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr
    for name in ("base", "mine"):
        assert state(root / f"{name}.onnx.run") == state(root / "again" / f"{name}.onnx.run")


def test_the_figures_are_those_of_eval(made, run_program):
    root, card = made
    for mode in ("center", "dense"):
        done = run_program("prelu-train", "eval", "--model", root / "mine.onnx", "--data", root / "data", "--mode", mode,
                           "--precision", "fp32", "--json")
        result = json.loads(done.stdout)["results"][0]
        assert f"| {mode} | {100 * result['top1']:.2f} % |" in card
        if mode == "center":
            assert f"top-1: {100 * result['top1']:.2f} % with center" in card
    config = json.loads((root / "mine.onnx.run" / "config.json").read_text())
    assert config["data_sha256"] in card and "A net of the tests." in card and "class0, class1" in card
    assert "No val picture is also a train picture" in card
    curves = (root / "mine.svg").read_text()
    assert curves.count("<path class=\"l\"") == 4 and "base.onnx" in curves


def test_curves_alone(made, tmp_path):
    root, _ = made
    done = subprocess.run([sys.executable, ROOT / "docs" / "plot_curves.py", tmp_path / "c.svg",
                           f"a<b={root / 'base.onnx.run'}"], timeout=60, check=False)
    assert done.returncode == 0 and "a&lt;b" in (tmp_path / "c.svg").read_text()


def test_the_experiments_use_options_that_exist(run_program):
    done = subprocess.run([sys.executable, ROOT / "docs" / "experiments.py", "--list"], capture_output=True, text=True,
                          timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 4 + 12 + 6 + 6
    known = {name: run_program("prelu-train", name, "--help").stdout for name in ("fit", "eval", "analyze")}
    for line in lines:
        words = line.split()
        assert [w for w in words if w.startswith("--") and f"{w} " not in known[words[1]]] == [], line
