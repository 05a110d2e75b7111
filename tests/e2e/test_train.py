"""prelu-train fit and eval: the real program on folders of pictures that the test draws."""
import glob
import json
import os
import pty
import re
import resource
import select
import shutil
import signal
import stat
import struct
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from serving import is_sanitized

TRAIN = os.path.join(os.environ["PRELU_BIN"], "prelu-train")
SERVE = os.path.join(os.environ["PRELU_BIN"], "prelu-serve")
TINY = ["--arch", "cifar", "--width", "0.25", "--crop", "16", "--resize", "18", "--lr", "0.02",
        "--batch", "20", "--seed", "3"]
EPOCHS = 20 if is_sanitized() else 60  # of runs that are stopped on their way, 5 steps each


def draw(path, label, seed):
    """Noise; the class is where a bar is and its colour, which mirroring does not change."""
    a = np.random.default_rng(seed).integers(0, 90, (20, 24, 3))
    y, colour = divmod(label, 2)
    a[y * 10:y * 10 + 10, :, 2 * colour] += 140
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.fromarray(a.astype(np.uint8)).save(path, quality=90)


def make_data(root, classes=4, train=25, val=10):
    for split, n in (("train", train), ("val", val)):
        for c in range(classes):
            for i in range(n):
                draw(f"{root}/{split}/class{c}/{i:03}.jpg", c, [len(split), c, i])
    return str(root)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def run(*args, expect=0, **options):
    p = subprocess.run([TRAIN, *map(str, args)], capture_output=True, text=True, timeout=300,
                       **options)
    assert p.returncode == expect, f"exit {p.returncode}, not {expect}: {p.stderr}"
    return p


def fit(data, out, *args, expect=0, net=TINY, **options):
    return run("fit", *net, "--data", data, "--out", out, *args, expect=expect, **options)


def events(run_folder, kind):
    with open(f"{run_folder}/log.jsonl") as f:
        return [e for e in map(json.loads, f) if e["event"] == kind]


def state(run_folder):
    """Parameters, momentum and statistics of a checkpoint: all that must not depend on time."""
    with open(f"{run_folder}/checkpoint", "rb") as f:
        b = f.read()
    assert b[:8] == b"PRELUCK1"
    describe, extra, steps, total, norms = struct.unpack("<5Q", b[8:48])
    floats = b[48 + describe + extra:-32]
    assert len(floats) == 4 * (2 * total + norms)
    return steps, floats


def compare_precision(data, model):
    """What low precision changes is printed, and written into the file only on request."""
    before = model.read_bytes()
    args = ["eval", "--model", model, "--data", data, "--compare-precision"]
    results = json.loads(run(*args, "--json").stdout)["results"]
    assert [r["precision"] for r in results] == ["fp32", "bf16", "int8fc"]
    assert results[0]["agrees"] == 1 and results[0]["points"] == 0
    for r in results:
        assert r["images"] == 40 and r["agrees"] >= 0.9 and r["sure"] <= 40 and r["holds"] in (True, False)
    assert model.read_bytes() == before
    table = run(*args, "--write-precision").stdout
    assert "asked: top-1 of fp32 on 99.5%" in table and "int8fc" in table
    after = model.read_bytes()
    assert after[:len(before)] == before and b"prelu.precision" in after[len(before):]
    assert f'"int8fc_agrees":{results[2]["agrees"]:.6f}'.encode() in after
    run(*args, "--model", model, expect=64)


def test_fits_measures_and_writes_a_model(data, tmp_path):
    out = tmp_path / "m.onnx"
    p = fit(data, out, "--epochs", 6)
    lines = [line for line in p.stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 6 and all("val top-1" in line for line in lines)
    assert "\r" not in p.stderr and p.stdout == ""
    epochs = events(f"{out}.run", "epoch")
    assert [e["epoch"] for e in epochs] == list(range(1, 7))
    assert epochs[-1]["train_loss"] < epochs[0]["train_loss"]
    assert epochs[-1]["val_top1"] >= 0.9 and epochs[-1]["val_images"] == 40
    config = json.load(open(f"{out}.run/config.json"))
    assert all(0 <= e["waited_s"] <= e["seconds"] + 0.1 for e in epochs)
    assert config["arch"] == "cifar" and config["seed"] == 3 and len(config["data_sha256"]) == 64
    p = run("eval", "--model", out, "--data", data, "--mode", "center,10view", "--json")
    results = json.loads(p.stdout)["results"]
    assert [r["mode"] for r in results] == ["center", "10view"]
    for r in results:
        assert r["images"] == 40 and r["skipped"] == 0
        assert 0.9 <= r["top1"] <= r["top5"] <= 1
    p = run("eval", "--model", out, "--data", data, "--json", "--mode",
            "dense,dense@40,multiscale,multiscale@32+40")
    whole = json.loads(p.stdout)["results"]
    assert [r["mode"] for r in whole] == ["dense", "dense@40", "multiscale", "multiscale@32+40"]
    assert all(r["images"] == 40 and 0.8 <= r["top1"] <= r["top5"] <= 1 for r in whole)
    for mode in ("dense@8", "center@40", "dense@40+48", "dance"):
        run("eval", "--model", out, "--data", data, "--mode", mode, expect=64)
    assert results[0]["top1"] == pytest.approx(epochs[-1]["val_top1"], abs=1e-6)
    table = run("eval", "--model", out, "--data", data, "--threads", 1).stdout
    assert "center" in table and f"{100 * results[0]['top1']:.2f}%" in table
    for precision in ("fp32", "bf16", "int8fc"):
        p = run("eval", "--model", out, "--data", data, "--precision", precision, "--json")
        assert json.loads(p.stdout)["results"][0]["top1"] >= 0.9
    run("eval", "--model", out, "--data", data, "--precision", "fp16", expect=64)
    compare_precision(data, out)
    assert b'"mode":"center","scores":[' in out.read_bytes()
    p = subprocess.run([SERVE, "--check", "--model", out], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stderr


def test_threads_and_cache_change_nothing(data, tmp_path):
    for name, args in (("a", ["--threads", 1]), ("b", ["--threads", 3, "--cache-mb", 0])):
        fit(data, tmp_path / f"{name}.onnx", "--epochs", 2, *args)
    assert state(tmp_path / "a.onnx.run") == state(tmp_path / "b.onnx.run")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "m.onnx"
    fit(data, out, "--epochs", EPOCHS)
    return out


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_and_resumed_is_unbroken(data, whole, tmp_path, number, code):
    args = [*TINY, "--data", data, "--epochs", str(EPOCHS)]
    cut = tmp_path / "cut.onnx"
    p = subprocess.Popen([TRAIN, "fit", *args, "--out", str(cut)], stderr=subprocess.PIPE,
                         text=True)
    for line in p.stderr:
        if line.startswith("epoch 2/"):
            break
    p.send_signal(number)
    rest = p.communicate(timeout=60)[1]
    assert p.returncode == code and "--resume" in rest, rest
    assert events(f"{cut}.run", "interrupted") and not cut.exists()
    assert state(f"{cut}.run")[0] < 5 * EPOCHS
    fit(data, cut, "--epochs", EPOCHS, "--resume")
    assert state(f"{cut}.run") == state(f"{whole}.run")
    key = ("epoch", "train_loss", "train_top1", "val_top1", "images")
    curves = [{e["epoch"]: [e[k] for k in key] for e in events(f"{out}.run", "epoch")}
              for out in (whole, cut)]
    assert curves[0] == curves[1]
    assert cut.exists()


def test_killed_and_resumed_loses_nothing(data, whole, tmp_path):
    """SIGKILL at random moments; every part goes on from a whole checkpoint, and the end has the
    bits of an unbroken run. PRELU_KILLS=20 is the campaign."""
    cut = tmp_path / "cut.onnx"
    args = [TRAIN, "fit", *TINY, "--data", data, "--epochs", str(EPOCHS), "--out", str(cut), "--resume",
            "--checkpoint-minutes", "0.0001", "--quiet"]
    random = np.random.default_rng(int(os.environ.get("PRELU_SEED", "1")))
    kills, reached = 0, 0
    while kills < int(os.environ.get("PRELU_KILLS", "3")):
        p = subprocess.Popen(args)
        while p.poll() is None and not os.path.exists(f"{cut}.run/checkpoint"):
            time.sleep(0.001)
        try:
            p.wait(random.uniform(0, 0.3))
            break  # it was over sooner
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        kills += 1
        steps = state(f"{cut}.run")[0]
        assert steps >= reached, "a checkpoint went back"
        reached = steps
    fit(data, cut, "--epochs", EPOCHS, "--resume")
    assert state(f"{cut}.run") == state(f"{whole}.run")


def test_bf16_resumed_is_unbroken(data, tmp_path):
    """Operands in bf16: other bits than f32, the same again after a break, and the run says so."""
    a, b, f32 = (tmp_path / f"{name}.onnx" for name in ("a", "b", "f32"))
    flags = ["--lr-schedule", "step", "--lr-steps", "9", "--epochs"]
    fit(data, a, *flags, 2, "--precision", "bf16")
    fit(data, f32, *flags, 2)
    fit(data, b, *flags, 1, "--precision", "bf16")
    assert "precision bf16, not fp32" in fit(data, b, *flags, 2, "--resume", expect=64).stderr
    fit(data, b, *flags, 2, "--resume", "--precision", "bf16")
    assert state(f"{a}.run") == state(f"{b}.run") != state(f"{f32}.run")
    loss = [events(f"{out}.run", "epoch")[-1]["train_loss"] for out in (a, f32)]
    assert loss[0] == pytest.approx(loss[1], rel=0.02)
    with open(f"{a}.run/config.json") as f:
        assert json.load(f)["precision"] == "bf16"
    assert "int8fc" in fit(data, tmp_path / "c.onnx", "--precision", "int8fc", expect=64).stderr


def test_a_damaged_picture_is_skipped_and_named(tmp_path):
    data = make_data(tmp_path / "data", classes=2)
    (tmp_path / "data/train/class0/bad.jpg").write_bytes(b"no JPEG")
    (tmp_path / "data/val/class1/cut.jpg").write_bytes(
        (tmp_path / "data/val/class1/000.jpg").read_bytes()[:300])
    (tmp_path / "data/train/class1/note.txt").write_text("ignored")
    os.mkfifo(tmp_path / "data/train/class1/fifo.jpg")
    out = tmp_path / "m.onnx"
    p = fit(data, out, "--epochs", 3, net=[*TINY[:TINY.index("--batch")], "--batch", "52"])
    assert p.stderr.count("skipped train/class0/bad.jpg") == 1
    assert "1 files" in p.stderr
    assert sorted(e["file"] for e in events(f"{out}.run", "skipped")) == [
        "train/class0/bad.jpg", "train/class1/fifo.jpg"]
    for e in events(f"{out}.run", "epoch"):
        assert (e["images"], e["skipped"]) == (50, 2)
        assert (e["val_images"], e["val_skipped"]) == (20, 1)
    p = run("eval", "--model", out, "--data", data, "--json")
    assert json.loads(p.stdout)["results"][0]["skipped"] == 1
    assert "val/class1/cut.jpg" in p.stderr


def test_data_that_cannot_be_trained_on(tmp_path, data):
    out = tmp_path / "m.onnx"
    one = make_data(tmp_path / "one", classes=1)
    assert "one class" in fit(one, out, expect=65).stderr
    os.makedirs(tmp_path / "empty/train")
    assert "no class folders" in fit(tmp_path / "empty", out, expect=65).stderr
    os.makedirs(tmp_path / "hollow/train/a")
    os.makedirs(tmp_path / "hollow/train/b")
    assert "no .jpg" in fit(tmp_path / "hollow", out, expect=65).stderr
    assert "no such folder" in fit(tmp_path / "none", out, expect=66).stderr
    for c in "ab":
        os.makedirs(tmp_path / f"bad/train/{c}")
        (tmp_path / f"bad/train/{c}/1.jpg").write_bytes(b"x")
    assert fit(tmp_path / "bad", out, expect=65).stderr
    some = make_data(tmp_path / "some", classes=2, train=1)
    os.makedirs(f"{some}/train/nothing")
    assert "nothing has no pictures" in fit(some, out, expect=65).stderr
    (tmp_path / "some/labels.txt").write_text("cat a cat\n")
    assert "labels.txt" in fit(some, out, expect=65).stderr
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx/train-images-idx3-ubyte").write_bytes(b"\0\0\x08\3" + b"\xff" * 12)
    (tmp_path / "idx/train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\1" + b"\0" * 4)
    assert "train-images" in fit(tmp_path / "idx", out, expect=65).stderr
    assert "folder" in fit(data, "/nonexistent/m.onnx", expect=66).stderr
    assert not out.exists()


def test_a_val_picture_in_train_is_named(tmp_path):
    """fit says which pictures are in both, and goes on: some data sets are like that."""
    data = make_data(tmp_path / "data", classes=2, train=20, val=4)
    out = tmp_path / "m.onnx"
    assert "train pictures too" not in fit(data, out, "--epochs", 1).stderr
    assert not events(f"{out}.run", "shared")
    shutil.copy(f"{data}/train/class0/003.jpg", f"{data}/val/class1/copy.jpg")
    p = fit(data, tmp_path / "n.onnx", "--epochs", 1, "--quiet")
    assert "val/class1/copy.jpg is the same file as train/class0/003.jpg" in p.stderr
    assert "1 of 9 val pictures are train pictures too" in p.stderr
    assert [(e["file"], e["train"]) for e in events(tmp_path / "n.onnx.run", "shared")] == [
        ("val/class1/copy.jpg", "train/class0/003.jpg")]


def test_usage(tmp_path, data):
    out = tmp_path / "m.onnx"
    assert "--arch" in run("fit", "--data", data, "--out", out, expect=64).stderr
    assert "--scale" in fit(data, out, "--scale-mim", 20, expect=64).stderr
    assert "scales" in fit(data, out, "--scale-max", 12, expect=64).stderr
    assert "--classes" in fit(data, out, "--classes", 7, expect=64).stderr
    assert "--lr-schedule" in fit(data, out, "--lr-schedule", "exp", expect=64).stderr
    assert "--lr-steps" in fit(data, out, "--lr-steps", "3,x", expect=64).stderr


def small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))


def test_a_full_disk_leaves_the_old_checkpoint(data, tmp_path):
    out = tmp_path / "m.onnx"
    fit(data, out, "--epochs", 1)
    out.unlink()
    before = state(f"{out}.run")
    p = fit(data, out, "--epochs", 2, "--resume", expect=74, preexec_fn=small_files)
    assert "checkpoint could not be written" in p.stderr
    assert events(f"{out}.run", "checkpoint_failed")
    assert state(f"{out}.run") == before and not out.exists()
    assert sorted(os.listdir(f"{out}.run")) == ["checkpoint", "config.json", "lock", "log.jsonl"]
    fit(data, out, "--epochs", 2, "--resume")
    fit(data, tmp_path / "whole.onnx", "--epochs", 2)
    assert out.exists() and state(f"{out}.run")[0] == state(tmp_path / "whole.onnx.run")[0]


@pytest.mark.parametrize("what", ["run", "data", "val"])
def test_a_vanished_folder_stops(tmp_path, what):
    """The run folder, the data, or only its val pictures go away while fit runs; what is saved stays
    whole, and once the val pictures are back the run goes on as if nothing had been."""
    data = make_data(tmp_path / "data")
    out, net = tmp_path / "m.onnx", [*TINY, "--lr-schedule", "step", "--lr-steps", "100000"]
    gone = {"run": f"{out}.run", "data": data, "val": f"{data}/val"}[what]
    p = subprocess.Popen([TRAIN, "fit", *net, "--data", data, "--out", str(out), "--epochs", "100000", "--cache-mb",
                          "0" if what == "data" else "64"], stderr=subprocess.PIPE, text=True)
    for line in p.stderr:
        if line.startswith("epoch 2/"):
            break
    os.rename(gone, tmp_path / "away")
    rest = p.communicate(timeout=120)[1]
    assert p.returncode in ((66, 74) if what == "run" else (65,)), rest
    assert ("No such file" if what == "run" else "pictures can be read") in rest and not out.exists()
    os.rename(tmp_path / "away", gone)
    reached = state(f"{out}.run")[0]
    assert reached >= 5
    if what == "val":
        fit(data, out, "--resume", "--epochs", reached // 5 + 2, net=net)
        fit(data, tmp_path / "whole.onnx", "--epochs", reached // 5 + 2, net=net)
        assert state(f"{out}.run") == state(tmp_path / "whole.onnx.run")


def test_a_model_is_written_whole_or_not_at_all(tmp_path):
    out = tmp_path / "m.onnx"
    out.write_text("old")
    p = run("init", "--arch", "cifar", "--out", out, expect=74, preexec_fn=small_files)
    assert "too large" in p.stderr
    assert out.read_text() == "old" and os.listdir(tmp_path) == ["m.onnx"]
    out.unlink()
    os.mkfifo(out)
    assert "not a regular file" in run("init", "--arch", "cifar", "--out", out, expect=74).stderr
    assert stat.S_ISFIFO(os.stat(out).st_mode)


def test_a_run_is_not_overwritten_or_mixed_up(data, tmp_path):
    out = tmp_path / "m.onnx"
    fit(data, out, "--epochs", 1)
    before = state(f"{out}.run")
    assert "--resume" in fit(data, out, "--epochs", 1, expect=64).stderr
    other = ["--arch", "small14", "--width", "0.02", "--crop", "64", "--resize", "64",
             "--batch", "20", "--seed", "3"]
    p = fit(data, out, "--epochs", 2, "--resume", net=other, expect=64)
    assert "another network" in p.stderr
    p = fit(data, out, "--epochs", 2, "--resume", "--activation", "relu", expect=64)
    assert "another network" in p.stderr
    p = fit(data, out, "--epochs", 2, "--resume", net=TINY[:-1] + ["4"], expect=64)
    assert "seed 3, not 4" in p.stderr
    assert "seed 3, not 4" in events(f"{out}.run", "failed")[-1]["error"]
    p = fit(data, out, "--epochs", 2, "--resume", "--cutout", "4", expect=64)
    assert "cutout 0, not 4" in p.stderr
    changed = make_data(tmp_path / "changed", train=26)
    assert "data" in fit(changed, out, "--epochs", 2, "--resume", expect=64).stderr
    assert state(f"{out}.run") == before
    damaged = bytearray(open(f"{out}.run/checkpoint", "rb").read())
    damaged[-1000] ^= 1
    open(f"{out}.run/checkpoint", "wb").write(damaged)
    assert "damaged" in fit(data, out, "--epochs", 2, "--resume", expect=65).stderr


def test_a_run_folder_in_use_is_refused(data, tmp_path):
    out = tmp_path / "m.onnx"
    p = subprocess.Popen([TRAIN, "fit", *TINY, "--data", data, "--out", str(out), "--epochs",
                          "100000"], stderr=subprocess.PIPE, text=True)
    try:
        assert p.stderr.readline().startswith("epoch 1/")
        other = fit(data, out, "--epochs", 1, "--resume", expect=75)
        assert "in use" in other.stderr
    finally:
        p.terminate()
        p.communicate(timeout=60)
    assert p.returncode == 143


def test_mean_picture(data, tmp_path):
    """The mean of the centre views, as Pillow resizes them; dense testing stretches it."""
    out, zeros, mean = tmp_path / "m.onnx", tmp_path / "zeros.npy", tmp_path / "mean.npy"
    fit(data, out, "--epochs", 3, "--mean", "pixel")
    views = [np.asarray(Image.open(p).resize((21, 18), Image.BILINEAR))[1:17, 2:18]
             for p in glob.glob(f"{data}/train/*/*.jpg")]
    np.save(zeros, np.zeros((1, 3, 16, 16), np.float32))
    run("run", "--model", out, "--input", zeros, "--output", f"preprocess.sub={mean}")
    want = np.mean(views, 0, np.float64).transpose(2, 0, 1)
    assert want.std(axis=(1, 2)).min() > 1
    np.testing.assert_allclose(-np.load(mean)[0], want, atol=1e-3)
    p = run("eval", "--model", out, "--data", data, "--mode", "center,dense@24", "--json")
    assert [r["images"] for r in json.loads(p.stdout)["results"]] == [40, 40]
    assert "mean_image 1, not 0" in fit(data, out, "--epochs", 4, "--resume", expect=64).stderr
    fit(data, tmp_path / "b.onnx", "--epochs", 1, "--mean", "pixel", "--init", out, expect=64)


def test_init_starts_from_a_model(data, tmp_path):
    first, second = tmp_path / "a.onnx", tmp_path / "b.onnx"
    fit(data, first, "--epochs", 5, "--draft")
    fit(data, second, "--epochs", 1, "--lr", "0.0001", "--init", first, net=[
        a for a in TINY if a not in ("--lr", "0.02")])
    loss = [events(f"{m}.run", "epoch")[0]["train_loss"] for m in (first, second)]
    assert loss[1] < 0.5 * loss[0]
    preprocess = second.read_bytes()
    assert b'"draft":true' in preprocess
    assert b'"scales":[16,20,24]' in preprocess  # the net's 32, 40, 48, for a crop of 16


def test_fine_tuning_knows_other_classes_sooner(data, tmp_path):
    """From a model of other classes: a new last layer, frozen layers or not, a lower loss at once."""
    base = tmp_path / "base.onnx"
    fit(data, base, "--epochs", 6)
    small = make_data(tmp_path / "small", classes=3, train=20, val=5)
    net = ["--batch", "20", "--seed", "3", "--lr", "0.02", "--epochs", "3"]
    losses = {}
    for name, args in (("scratch", TINY[:8]), ("tuned", ["--init", base]),
                       ("frozen", ["--init", base, "--freeze", "conv3_2"])):
        out = tmp_path / f"{name}.onnx"
        p = fit(small, out, *args, net=net)
        assert ("new last layer" in p.stderr) == (name != "scratch")
        losses[name] = events(f"{out}.run", "epoch")[-1]["train_loss"]
    assert losses["tuned"] < losses["scratch"] and losses["frozen"] < losses["scratch"]
    assert "conv9" in fit(small, tmp_path / "x.onnx", "--init", base, "--freeze", "conv9",
                          net=net, expect=64).stderr
    assert "--init" in fit(small, tmp_path / "x.onnx", *TINY[:8], "--freeze", "conv1_1", net=net,
                           expect=64).stderr
    # the same kind of checkpoint, but not the same tensors are trained
    fit(small, tmp_path / "frozen.onnx", "--init", base, "--resume", net=net, expect=64)


def test_plateau_divides_the_rate(data, tmp_path):
    """By ten after an epoch without a better val top-1, also across a resume; views altered."""
    args = [*TINY, "--lr-schedule", "plateau", "--patience", 1, "--colour", 0.1, "--translate", 3,
            "--cutout", 9]
    a, b = tmp_path / "a.onnx", tmp_path / "b.onnx"
    fit(data, a, "--epochs", 9, net=args)
    fit(data, b, "--epochs", 4, net=args)
    fit(data, b, "--epochs", 9, "--resume", net=args)
    assert state(f"{a}.run") == state(f"{b}.run")
    epochs = events(f"{a}.run", "epoch")
    lr, best = 0.02, 0
    for e in epochs:
        assert e["lr"] == pytest.approx(lr, rel=1e-5)
        lr /= 1 if e["val_top1"] > best else 10
        best = max(best, e["val_top1"])
    assert lr < 0.02
    assert "plateau" in fit(data, a, net=[*TINY, "--lr-schedule", "slow"], expect=64).stderr


def test_a_terminal_gets_a_bar(data, tmp_path):
    """Images per second and ETA, drawn over themselves, and nothing left of it at the end."""
    parent, child = pty.openpty()
    p = subprocess.Popen([TRAIN, "fit", *TINY, "--data", data, "--out", str(tmp_path / "m.onnx"),
                          "--epochs", "6"], stderr=child, stdout=child)
    os.close(child)
    text, end = b"", time.time() + 120
    while time.time() < end:
        if select.select([parent], [], [], 1)[0]:
            try:
                piece = os.read(parent, 4096)
            except OSError:
                break
            text += piece
    assert p.wait(timeout=60) == 0
    os.close(parent)
    text = text.decode()
    assert re.search(r"\r\x1b\[Kepoch \d+/6 \[#*\.*\] +\d+% \d+ images/s ETA [\d:-]+ loss", text)
    assert "wrote" in text.split("\r\x1b[K")[-1]


def test_the_loader_alone_is_timed(data):
    args = ["bench", "--arch", "cifar", "--width", 0.25, "--loader", data, "--batch", 20, "--runs", 8]
    p = run(*args, "--size", "16x16", "--json")
    assert json.loads(p.stdout)["images_per_s"] > 0
    assert "squares" in run(*args, "--size", "16x18", expect=64).stderr


def test_eval_matches_folders_by_name(data, tmp_path):
    out = tmp_path / "m.onnx"
    fit(data, out, "--epochs", 6)
    draw(f"{tmp_path}/some/val/class3/1.jpg", 3, 77)
    draw(f"{tmp_path}/some/val/class2/1.jpg", 2, 78)
    p = run("eval", "--model", out, "--data", tmp_path / "some", "--json")
    result = json.loads(p.stdout)["results"][0]
    assert result["images"] == 2 and result["top1"] == 1
    draw(f"{tmp_path}/some/val/unknown/1.jpg", 2, 79)
    p = run("eval", "--model", out, "--data", tmp_path / "some", expect=65)
    assert "unknown" in p.stderr
    assert "mode" in run("eval", "--model", out, "--data", data, "--mode", "x", expect=64).stderr
    assert run("eval", "--model", tmp_path / "no.onnx", "--data", data, expect=66).stderr
