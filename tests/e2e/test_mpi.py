"""prelu-train-mpi under mpirun: several processes give what one gives, and none waits for a dead one."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from conftest import BIN
from test_eval import MODEL, data, evaluate  # noqa: F401

PROGRAM = BIN / "prelu-train-mpi"
# One machine, shared memory only; more processes than processors, and root, are fine in a test.
# Open MPI itself leaks.
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMPI_MCA_plm": "isolated", "OMPI_MCA_btl": "self,vader", "ASAN_OPTIONS": "detect_leaks=0",
}


@pytest.fixture
def mpirun():
    """mpirun(*args) -> CompletedProcess; args are mpirun's own, with programs."""

    def run(*args, code=0):
        p = subprocess.run(["mpirun", *map(str, args)], env={**os.environ, **ENVIRONMENT},
                           capture_output=True, text=True, timeout=200, check=False)
        assert p.returncode == code, f"{p.returncode}: {p.stderr}"
        return p

    return run


@pytest.mark.parametrize("processes", [2, 5])
def test_eval(processes, mpirun, evaluate, data, tmp_path):  # noqa: F811
    """The same figures and lines, from however many processes."""
    flags = ["--model", MODEL, "--data", data, "--mode", "center,dense", "--threads", 1, "--json"]
    out = []
    for name, run in (("one", lambda *a: evaluate(*a)),
                      ("many", lambda *a: mpirun("-np", processes, PROGRAM, "eval", *a))):
        if name == "many":
            # every process must have the same command line
            shutil.move(tmp_path / "lines", tmp_path / "one")
        p = run(*flags, "--predictions", tmp_path / "lines", "--html", tmp_path / "page.html")
        figures = json.loads(p.stdout)
        for r in figures["results"]:
            assert all(ms > 0 for ms in r.pop("timing_ms").values())
        out.append(figures)
        for s in figures["skipped"]:
            assert p.stderr.count(f"skipped {s['picture']}") == 1
    assert out[0] == out[1] and len(out[0]["skipped"]) == 2
    assert (tmp_path / "lines").read_bytes() == (tmp_path / "one").read_bytes()


def test_failures_end_all(mpirun, data, tmp_path):  # noqa: F811
    flags = [PROGRAM, "eval", "--model", MODEL, "--threads", 1, "--data"]
    # flags that differ
    p = mpirun("-np", 1, *flags, data, ":", "-np", 1, *flags, data, "--limit", 3, code=64)
    assert "command line of process 1" in p.stderr
    # one process finds another data set under the same name than the other
    for name, classes in (("a", ["cat"]), ("b", ["cat", "dog"])):
        for c in classes:
            shutil.copytree(data / "val" / c, tmp_path / name / "set" / "val" / c)
    args = ["-np", 1, *flags, "set"]
    p = mpirun("--wdir", tmp_path / "a", *args, ":", "--wdir", tmp_path / "b", *args, code=64)
    assert "data set of process 1" in p.stderr
    # a file that only one of them lacks
    shutil.copy(MODEL, tmp_path / "a" / "m.onnx")
    args = ["-np", 1, PROGRAM, "eval", "--model", "m.onnx", "--threads", 1, "--data", data]
    p = mpirun("--wdir", tmp_path / "a", *args, ":", "--wdir", tmp_path / "b", *args, code=66)
    assert "m.onnx" in p.stderr
    p = mpirun("-np", 2, PROGRAM, "describe", "--arch", "A", code=65)
    assert "one process" in p.stderr


def test_one_process_needs_no_mpirun(data, run_program):  # noqa: F811
    p = run_program("prelu-train-mpi", "eval", "--model", MODEL, "--data", data, "--csv", env={**os.environ, **ENVIRONMENT})
    assert p.returncode == 0 and p.stdout.startswith("mode,images")


def draw_set(root):
    """A few pictures of two classes that can be told apart."""
    rng = np.random.default_rng(7)
    for split, n in (("train", 33), ("val", 7)):
        for c in (0, 1):
            (root / split / f"c{c}").mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 120, (20, 20, 3))
                pixels[10 * c:10 * c + 10] += 100
                Image.fromarray(pixels.astype(np.uint8)).save(root / split / f"c{c}" / f"{i:02}.jpg")
    return root


# A pass of 8 pictures is what batch normalization sees in one process and in two.
FIT = ["--arch", "cifar", "--width", "0.25", "--crop", "16", "--resize", "18", "--batch", "16",
       "--micro-batch", "8", "--lr", "0.01", "--threads", "1"]


def curve(run_folder):
    with open(f"{run_folder}/log.jsonl") as f:
        return [e for e in map(json.loads, f) if e["event"] == "epoch"]


def constants(run_program, model, folder):
    """The model's answers to fixed pictures: all its parameters take part in them."""
    x = np.random.default_rng(9).integers(0, 256, (4, 3, 16, 16), dtype=np.uint8)
    np.save(folder / "x.npy", x)
    p = run_program("prelu-train", "run", "--model", model, "--input", folder / "x.npy", "--precision", "fp32",
                    "--output", f"logits={folder / 'y.npy'}")
    assert p.returncode == 0, p.stderr
    return np.load(folder / "y.npy")


def test_fit(mpirun, run_program, tmp_path):
    """Two processes go the way of one, up to the order of sums; a killed one leaves a whole
    checkpoint, and the run goes on from it, in any number of processes, to the same end."""
    flags = ["--data", draw_set(tmp_path / "data"), *FIT, "--epochs", 3]
    p = run_program("prelu-train", "fit", *flags, "--out", tmp_path / "one.onnx")
    assert p.returncode == 0, p.stderr
    p = mpirun("-np", 2, PROGRAM, "fit", *flags, "--out", tmp_path / "two.onnx")
    one, two = curve(tmp_path / "one.onnx.run"), curve(tmp_path / "two.onnx.run")
    assert len(one) == len(two) == 3
    for a, b in zip(one, two):
        for key in ("images", "skipped", "val_images", "lr"):
            assert a[key] == b[key]
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-3)
    y = [constants(run_program, tmp_path / f"{n}.onnx", tmp_path) for n in ("one", "two")]
    assert np.abs(y[0] - y[1]).max() <= 1e-2 * np.abs(y[0]).max()
    # the same command again gives the same bits
    mpirun("-np", 2, PROGRAM, "fit", *flags, "--out", tmp_path / "again.onnx")
    assert (constants(run_program, tmp_path / "again.onnx", tmp_path) == y[1]).all()


def broken_set(root):
    """With pictures that cannot be read: of a batch a process may have none."""
    draw_set(root)
    for i in (3, 5, 21):
        (root / "train" / "c1" / f"{i:02}.jpg").write_bytes(b"no JPEG")
    return root


@pytest.mark.parametrize("processes,net", [
    (2, ["--batch", 16]),  # all pictures of a step at once, in one process and in two: the same Dropout
    (3, ["--batch", 3, "--dropout", 0])])
def test_fit_fc_on_one_rank(processes, net, mpirun, run_program, tmp_path):
    """Fully connected layers in process 0 alone: the way of one process, up to the order of sums.
    What they leave is whole: another number of processes goes on with it."""
    flags = ["--data", broken_set(tmp_path / "data"), "--arch", "small14", "--width", 0.125, "--crop", 56,
             "--resize", 56, "--scale-min", 56, "--scale-max", 60, "--lr", 0.001, "--lr-steps", 100,
             "--limit", 33, "--threads", 1, *net, "--epochs"]
    p = run_program("prelu-train", "fit", *flags, 2, "--out", tmp_path / "one.onnx")
    assert p.returncode == 0, p.stderr
    many = [PROGRAM, "fit", *flags, 1, "--out", tmp_path / "many.onnx", "--fc", "one-rank"]
    mpirun("-np", processes, *many)
    p = run_program("prelu-train", "fit", *flags, 2, "--out", tmp_path / "many.onnx", "--resume")
    assert p.returncode == 0 and "resumed at epoch 2" in p.stderr, p.stderr
    one, other = curve(tmp_path / "one.onnx.run"), curve(tmp_path / "many.onnx.run")
    assert len(one) == len(other) == 2 and one[0]["skipped"] > 0
    for a, b in zip(one, other):
        for key in ("images", "skipped", "val_images", "val_top1"):
            assert a[key] == b[key]
        assert b["train_loss"] == pytest.approx(a["train_loss"], rel=1e-3)


def read_gone(path):
    """A file that may be gone by now."""
    try:
        return path.read_text()
    except OSError:
        return ""


def test_fit_dead_rank(mpirun, run_program, tmp_path):
    flags = ["--data", draw_set(tmp_path / "data"), *FIT, "--out", tmp_path / "m.onnx", "--epochs"]
    mpirun("-np", 2, PROGRAM, "fit", *flags, 1)
    before = (tmp_path / "m.onnx.run" / "checkpoint").read_bytes()
    p = subprocess.Popen(["mpirun", "-np", "2", *map(str, [PROGRAM, "fit", *flags, 100000, "--resume"])],
                         env={**os.environ, **ENVIRONMENT}, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 100
        while (tmp_path / "m.onnx.run" / "checkpoint").read_bytes() == before:
            assert p.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        ranks = [status.parent.name for status in pathlib.Path("/proc").glob("[0-9]*/status")
                 if f"PPid:\t{p.pid}\n" in read_gone(status) and "prelu-train" in read_gone(status)]
        assert len(ranks) == 2
        os.kill(int(ranks[1]), signal.SIGKILL)
        p.communicate(timeout=100)
        assert p.returncode != 0
    finally:
        p.kill()
        p.wait()
    # whole, and good for one process too
    p = run_program("prelu-train", "fit", *flags, 1, "--resume")
    assert p.returncode == 0, p.stderr
    assert "resumed at epoch" in p.stderr and (tmp_path / "m.onnx").exists()


def test_fit_refusals(mpirun, tmp_path):
    flags = [PROGRAM, "fit", "--data", draw_set(tmp_path / "data"), *FIT, "--epochs", 1, "--out", tmp_path / "m.onnx"]
    p = mpirun("-np", 1, *flags, ":", "-np", 1, *flags, "--seed", 3, code=64)
    assert "command line of process 1" in p.stderr
    p = mpirun("-np", 1, *flags, ":", "-np", 1, *flags, "--fc", "one-rank", code=64)
    assert "command line of process 1" in p.stderr
    assert not (tmp_path / "m.onnx.run").exists()
