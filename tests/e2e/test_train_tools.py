"""prelu-train describe, init, run, bench: what they print, write and answer to mistakes."""
import json
import os
import resource
import subprocess

import numpy as np
import pytest

from serving import is_sanitized


@pytest.fixture(scope="module")
def train(run_program):
    def run(*args, code=0, **kw):
        done = run_program("prelu-train", *args, **kw)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture(scope="module")
def small_model(train, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    train("init", "--arch", "cifar", "--width", "0.25", "--seed", "3", "--out", path)
    return path


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


# He et al. 2015: parameters without slopes, slopes, 10^9 products of convolutions and fc
@pytest.mark.parametrize("arch, parameters, slopes, conv, fc", [
    ("A", 178017384, 14688, 18.905, 0.153),
    ("B", 183327080, 15968, 23.067, 0.153),
    ("C", 330603368, 20576, 53.211, 0.252),
    ("vgg19", 143667240, 13696, 19.508, 0.124),
    ("small14", 74993896, 10304, 0.846, 0.073),
])
def test_describe_paper(train, arch, parameters, slopes, conv, fc):
    d = json.loads(train("describe", "--arch", arch, "--json").stdout)
    assert d["arch"] == arch
    assert d["totals"]["parameters"] == parameters
    assert d["totals"]["slopes"] == slopes
    macs = {op: sum(layer["macs"] for layer in d["layers"] if layer["op"] == op) for op in ("Conv", "Gemm")}
    assert macs["Conv"] / 1e9 == pytest.approx(conv, abs=6e-4)
    assert macs["Gemm"] / 1e9 == pytest.approx(fc, abs=6e-4)
    assert d["totals"]["macs"] == sum(macs.values())
    assert sum(layer["parameters"] for layer in d["layers"]) == parameters
    assert d["layers"][-1]["output"] == [1, 1000]


def test_describe_table(train):
    text = train("describe", "--arch", "C").stdout
    assert "330603368" in text.splitlines()[-1]


def test_describe_plan(train, small_model):
    d = json.loads(train("describe", "--model", small_model, "--plan", "--json").stdout)
    assert d["arch"] == "cifar"
    assert d["plan"] and all(layer["algorithm"] for layer in d["plan"])
    assert d["precision"] == "auto" and d["cpu"].startswith("ref")
    assert d["packed_bytes"] == sum(layer["packed_bytes"] for layer in d["plan"]) > 0


@pytest.mark.parametrize("precision, conv, fc", [
    ("fp32", "f32", "f32"), ("bf16", "bf16", "bf16"), ("int8fc", None, "int8 weights"),
])
def test_precision(train, small_model, tmp_path, precision, conv, fc):
    """The precision reaches the plan of every tool, and the plan does what it says."""
    cpu = json.loads(train("describe", "--model", small_model, "--plan", "--json").stdout)["cpu"].split()
    conv = conv or ("bf16" if "amx" in cpu else "f32")  # without tiles, fp32 is the faster convolution
    text = train("describe", "--model", small_model, "--plan", "--precision", precision).stdout
    plan = text[text.index(f"plan: precision {precision}"):].splitlines()
    convolutions = []
    for line in plan[2:-1]:
        op, rest = line[22:].split(maxsplit=1)
        assert {"Conv": "f32" if conv == "f32" else "", "Gemm": fc}.get(op, "direct") in rest, line
        assert line.split()[-1].isdigit(), line
        convolutions += [rest] if op == "Conv" else []
    assert "f32" in convolutions[0] and conv in convolutions[-1]  # 3 channels stay in fp32
    assert plan[-1].split()[0] == "total"
    d = json.loads(train("bench", "--model", small_model, "--runs", 1, "--precision", precision, "--json").stdout)
    assert d["precision"] == precision and d["packed_mb"] > 0
    np.save(tmp_path / "x.npy", np.random.default_rng(2).integers(0, 256, (4, 3, 32, 32), dtype=np.uint8))
    y = {}
    for p in ("fp32", precision):
        train("run", "--model", small_model, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", "--precision", p)
        y[p] = np.load(tmp_path / "y.npy")
    off = np.abs(y[precision] - y["fp32"]).max() / np.abs(y["fp32"]).max()
    assert off == 0 if precision == "fp32" else 0 < off < 0.05


def test_cpu_caps(train, run_program, small_model, tmp_path):
    """Without AVX2, without any kernel of ours, at every precision: the same answers, and the path is said."""
    np.save(tmp_path / "x.npy", np.random.default_rng(5).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8))
    y = {}
    for cap in ("", "ref", "blas", "avx2"):
        env = {**os.environ, "PRELU_CPU": cap}
        for precision in ("fp32", "bf16", "int8fc", "auto"):
            train("run", "--model", small_model, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy",
                  "--precision", precision, env=env, timeout=240)
            y[cap, precision] = np.load(tmp_path / "y.npy")
        d = json.loads(train("describe", "--model", small_model, "--plan", "--json", env=env).stdout)
        assert cap == "" or d["cpu"].split()[-1] in {"ref": ["ref"], "blas": ["blas"], "avx2": ["blas", "avx2"]}[cap]
        kernels = " ".join(layer["algorithm"] for layer in d["plan"])
        assert cap == "" or "avx512" not in kernels
    for (cap, precision), scores in y.items():
        off = np.abs(scores - y["", "fp32"]).max() / np.abs(scores).max()
        assert off < (1e-5 if precision == "fp32" else 0.05), (cap, precision, off)
    for program in ("prelu-train", "prelu-serve"):
        done = run_program(program, *(["describe", "--arch", "cifar"] if program == "prelu-train" else ["--check"]),
                           env={**os.environ, "PRELU_CPU": "sse9"})
        assert done.returncode == 64 and "'sse9'" in done.stderr, done.stderr


def test_init_is_reproducible(train, small_model, tmp_path):
    for seed, same in ((3, True), (4, False)):
        path = tmp_path / f"{seed}.onnx"
        train("init", "--arch", "cifar", "--width", "0.25", "--seed", seed, "--out", path)
        assert (path.read_bytes() == small_model.read_bytes()) is same


def test_run(train, small_model, tmp_path):
    x = np.random.default_rng(1).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    np.save(tmp_path / "u1.npy", x)
    np.save(tmp_path / "f4.npy", x.astype(np.float32))
    out = {}
    for name, threads in (("u1", 1), ("f4", 2)):
        train("run", "--model", small_model, "--input", tmp_path / f"{name}.npy", "--output", tmp_path / "first.npy",
              "--output", f"prob={tmp_path / 'prob.npy'}", "--output", f"spp={tmp_path / 'spp.npy'}",
              "--threads", threads)
        out[name] = [np.load(tmp_path / f"{v}.npy") for v in ("first", "prob", "spp")]
    for a, b in zip(out["u1"], out["f4"]):
        assert np.array_equal(a, b)  # one picture's bits depend on neither threads nor the input's type
    logits, prob, spp = out["u1"]
    assert logits.shape == prob.shape == (3, 10)
    assert spp.shape[0] == 3
    assert np.allclose(softmax(logits), prob, atol=1e-6)


def test_run_named_input(train, small_model, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 32, 32), np.float32))
    args = ["run", "--model", small_model, "--output", tmp_path / "y.npy", "--input"]
    train(*args, f"data={tmp_path / 'x.npy'}")
    assert "nothing" in train(*args, f"nothing={tmp_path / 'x.npy'}", code=64).stderr


@pytest.mark.parametrize("shape, code", [((1, 3, 32), 65), ((1, 4, 32, 32), 64), ((1, 3, 1, 1), 65)])
def test_run_wrong_shape(train, small_model, tmp_path, shape, code):
    np.save(tmp_path / "x.npy", np.zeros(shape, np.float32))
    done = train("run", "--model", small_model, "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy", code=code)
    assert done.stderr.startswith("prelu-train run: ")
    assert not (tmp_path / "y.npy").exists()


def test_bench(train, small_model):
    d = json.loads(train("bench", "--model", small_model, "--batch", "4", "--runs", "3", "--threads", "1",
                         "--precision", "fp32", "--size", "40x48", "--json").stdout)
    for key in ("ms_per_image_median", "gflops", "load_ms", "peak_rss_mb"):
        assert d[key] > 0
    assert (d["batch"], d["height"], d["width"], d["threads"], d["precision"]) == (4, 40, 48, 1, "fp32")


def test_load_memory(train, tmp_path):
    """Weights are read where they are mapped: no copy through protobuf, only the packed one."""
    path = tmp_path / "wide.onnx"
    train("init", "--arch", "small14", "--width", "0.5", "--out", path)
    size = path.stat().st_size / 1e6
    assert size > 60
    d = json.loads(train("bench", "--model", path, "--runs", "1", "--precision", "fp32", "--json").stdout)
    assert d["load_ms"] < 1000
    # packing may hold half as much again for a while; one more copy of the weights would not fit
    assert d["peak_rss_mb"] < 1.6 * size + 1.5 * d["packed_mb"] + 60


def test_bench_train(train, small_model):
    d = json.loads(train("bench", "--model", small_model, "--train", "--batch", "8", "--runs", "2", "--json").stdout)
    assert d["images_per_s"] > 0


@pytest.mark.parametrize("args, word", [
    ([], "usage"),
    (["descibe"], "'describe'"),
    (["describe", "--arhc", "A"], "--arch"),
    (["describe", "--arch", "D"], "'D'"),
    (["describe"], "--arch"),
    (["describe", "--arch", "A", "--model", "x"], "one of"),
    (["init", "--arch", "A"], "--out"),
    (["run", "--model", "x"], ""),
    (["bench", "--arch", "cifar", "--batch", "0"], "--batch"),
    (["bench", "--arch", "cifar", "--size", "40x"], "--size"),
    (["bench", "--arch", "cifar", "--train", "--precision", "int8fc"], "int8fc"),
    (["describe", "--arch", "cifar", "--plan", "--precision", "fp99"], "fp99"),
])
def test_usage(train, args, word):
    code = 66 if args[:1] == ["run"] else 64
    assert word in train(*args, code=code).stderr


def test_little_memory(run_program):
    """Without memory for a thread or a network: an error, and an end."""
    if is_sanitized():
        return  # their shadow memory takes terabytes

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (60 << 20, 60 << 20))

    assert run_program("prelu-train", "--help", preexec_fn=limit).returncode == 0
    p = run_program("prelu-train", "bench", "--arch", "A", "--threads", 2, preexec_fn=limit)
    assert p.returncode == 71 and "prelu-train bench: " in p.stderr


def test_help(train):
    text = train("--help").stdout
    for name in ("fit", "eval", "describe", "init", "run", "bench"):
        assert name in text
        assert "--" in train(name, "--help").stdout


def test_bad_files(train, tmp_path):
    bad = tmp_path / "bad.onnx"
    assert "none.onnx" in train("describe", "--model", tmp_path / "none.onnx", code=66).stderr
    bad.write_bytes(b"")
    assert "empty" in train("describe", "--model", bad, code=65).stderr
    bad.write_text("this is a text")
    assert "bad.onnx" in train("describe", "--model", bad, code=65).stderr
    bad.write_bytes(b"\x3a" + b"\xff" * 8 + b"\x7f")
    assert "byte 0" in train("describe", "--model", bad, code=65).stderr


def test_full_output(bin_dir):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([bin_dir / "prelu-train", "describe", "--arch", "A"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 74
    assert "standard output" in done.stderr
