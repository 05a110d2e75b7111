"""A real training: Fashion-MNIST (Debian's dataset-fashion-mnist), gzip IDX, to a stated accuracy."""
import json
import os
import subprocess

TRAIN = os.path.join(os.environ["PRELU_BIN"], "prelu-train")
FASHION = "/usr/share/datasets/fashion-mnist"


def run(*args):
    p = subprocess.run([TRAIN, *map(str, args)], capture_output=True, text=True, timeout=280)
    assert p.returncode == 0, p.stderr
    return p.stdout


def test_fashion_mnist(tmp_path):
    """Five epochs on 8,000 of the 60,000 pictures reach 82 %, by centre and by ten views."""
    out = tmp_path / "fashion.onnx"
    run("fit", "--data", FASHION, "--out", out, "--arch", "cifar", "--width", "0.25", "--crop", 28,
        "--resize", 28, "--scale-max", 30, "--lr", "0.04", "--warmup", "0.5", "--limit", 8000,
        "--epochs", 5)
    text = run("eval", "--model", out, "--data", FASHION, "--mode", "center,10view", "--json",
               "--limit", 4000)
    results = json.loads(text)["results"]
    assert [r["mode"] for r in results] == ["center", "10view"]
    for r in results:
        assert r["images"] == 4000 and r["skipped"] == 0
        assert r["top1"] >= 0.82 and r["top5"] >= 0.99
