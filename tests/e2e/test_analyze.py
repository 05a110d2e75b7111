"""prelu-train analyze: every figure again with NumPy, from the tensors that prelu-train run writes."""
import json
import math

import numpy as np
import pytest
from PIL import Image

NET = ["--arch", "small14", "--width", "0.02", "--classes", "2", "--crop", "96", "--resize", "96", "--scale-max",
       "100", "--batch", "4", "--lr", "0.01", "--epochs", "2", "--quiet"]


@pytest.fixture(scope="module")
def nets(run_program, tmp_path_factory):
    """Nets of three activations, trained a little so that slopes differ, on pictures of the crop's size."""
    root = tmp_path_factory.mktemp("nets")
    rng = np.random.default_rng(11)
    for split, n in (("train", 8), ("val", 5)):
        for c in ("a", "b"):
            (root / "data" / split / c).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (96, 96, 3)) // (2 if c == "b" else 1)
                Image.fromarray(pixels.astype(np.uint8)).save(root / "data" / split / c / f"{i}.jpg")
    (root / "data" / "val" / "a" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    for activation in ("prelu", "prelu-shared", "relu"):
        done = run_program("prelu-train", "fit", *NET, "--activation", activation, "--data", root / "data",
                           "--out", root / f"{activation}.onnx")
        assert done.returncode == 0, done.stderr
    return root


def tensors(run_program, model, names, x, folder):
    np.save(folder / "x.npy", x)
    flags = [f for i, name in enumerate(names) for f in ("--output", f"{name}={folder / str(i)}.npy")]
    done = run_program("prelu-train", "run", "--model", model, "--input", folder / "x.npy", *flags)
    assert done.returncode == 0, done.stderr
    return [np.load(folder / f"{i}.npy").astype(float) for i in range(len(names))]


def rows(a):
    """(N,C,H,W) or (N,F) to (N,positions,units)."""
    return a.reshape(len(a), a.shape[1], -1).transpose(0, 2, 1)


def by_hand(y, f):
    """He et al. 2015: E[f], 1/2 (E[y|y>=0] + a E[y|y<0]), off-diagonal E[f_j] E[f_j'] and E[f_j f_j']."""
    y, f = rows(y), rows(f)
    units, stride = y.shape[2], math.ceil(y.shape[1] / 49)
    some = f[:, ::stride].reshape(-1, units)
    y, f = y.reshape(-1, units), f.reshape(-1, units)
    a = np.array([np.median((fj / yj)[yj < 0]) if (yj < 0).any() else np.nan for yj, fj in zip(y.T, f.T)])
    above = np.array([yj[yj >= 0].mean() if (yj >= 0).any() else 0 for yj in y.T])
    below = np.array([yj[yj < 0].mean() if (yj < 0).any() else 0 for yj in y.T])
    off = ~np.eye(units, dtype=bool)
    square, mean = (f ** 2).mean(), f.mean(axis=0)
    return {"positive": (y >= 0).mean(), "mean": f.mean(), "rms": math.sqrt(square),
            "mean_by_equation": (0.5 * (above + np.where(np.isnan(a), 0, a) * below)).mean(),
            "slope": a.mean(), "mean_over_rms": f.mean() / math.sqrt(square),
            "gaussian": (1 - a.mean()) / math.sqrt(math.pi * (1 + a.mean() ** 2)),
            "products": np.abs(np.outer(mean, mean))[off].mean() / square,
            "pairs": np.abs(some.T @ some / len(some))[off].mean() / square}


@pytest.mark.parametrize("activation", ["prelu", "prelu-shared", "relu"])
def test_figures(nets, run_program, tmp_path, activation):
    model = nets / f"{activation}.onnx"
    done = run_program("prelu-train", "analyze", "--model", model, "--data", nets / "data", "--json")
    assert done.returncode == 0 and "torn.jpg" in done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert found["pictures"] == 10 and found["skipped"] == 1 and len(found["activations"]) == 13
    files = sorted(p for p in (nets / "data" / "val").glob("*/*.jpg") if p.name != "torn.jpg")
    x = np.stack([np.asarray(Image.open(p)).transpose(2, 0, 1) for p in files])
    kind = activation.split("-")[0]
    for layer in ("conv1", "conv2_2", "conv3_6", "fc1"):
        y, f = tensors(run_program, model, [layer, f"{layer}.{kind}"], x, tmp_path)
        mine = next(a for a in found["activations"] if a["layer"] == layer)
        assert mine["units"] == y.shape[1]
        for key, value in by_hand(y, f).items():
            assert np.isnan(value) or mine[key] == pytest.approx(value, rel=2e-4, abs=1e-6), (layer, key)
    table = run_program("prelu-train", "analyze", "--model", model, "--data", nets / "data", "--threads", 1)
    assert f"{found['activations'][0]['products']:.4f}" in table.stdout


def test_a_gaussian_response(nets, run_program):
    """At initialisation y is nearly symmetric: the equation gives the mean, near the Gaussian one."""
    model = nets / "init.onnx"
    run_program("prelu-train", "init", "--arch", "small14", "--width", "0.25", "--out", model)
    done = run_program("prelu-train", "analyze", "--model", model, "--data", nets / "data", "--limit", 2, "--json")
    first = json.loads(done.stdout)["activations"][0]
    assert first["mean_by_equation"] == pytest.approx(first["mean"], rel=0.25)
    assert first["mean_over_rms"] == pytest.approx(first["gaussian"], abs=0.15)


def test_refusals(nets, run_program, tmp_path):
    model = nets / "relu.onnx"
    for args, code, text in ((["--data", nets / "data"], 64, "--model"), (["--model", model], 64, "--data"),
                             (["--model", model, "--data", tmp_path], 66, "val"),
                             (["--model", tmp_path / "none.onnx", "--data", nets / "data"], 66, "none.onnx"),
                             (["--model", model, "--data", nets / "data", "--limit", "0"], 64, "--limit")):
        done = run_program("prelu-train", "analyze", *args)
        assert done.returncode == code and text in done.stderr, done.stderr
    (tmp_path / "val" / "a").mkdir(parents=True)
    (tmp_path / "val" / "a" / "torn.jpg").write_bytes(b"\xff\xd8\xff")
    done = run_program("prelu-train", "analyze", "--model", model, "--data", tmp_path)
    assert done.returncode == 65 and "can be read" in done.stderr
