#!/usr/bin/env python3
"""Times prelu on this machine and prints one table; ./dev bench builds what it needs and calls it.

  bench.py [--only SECTION,...] [--models A,C] [--precision fp32,bf16,auto] [--threads N]
           [--rounds 3] [--runs 3] [--peers DIR] [--json FILE] [--bin build/bin] [--work build/bench]

Sections: layers (each layer of the models, with its share of the measured peak), models (batch 1 and
10), small (the bundled model), sweep (batches 1..33 and odd sizes), train (SGD steps), start (program
start to first answer, memory), resize (picture to view). What is compared with a peer runs in turn
with it, ours first, --rounds times; figures are medians. Peers come from --peers (default
../shared/peers beside the project): onnxruntime through node (NODE_PATH), oneDNN's convolutions
through cc, torch through python3 (PYTHON). A peer that is not there is named as missing.
"""
import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
SECTIONS = ("layers", "models", "small", "sweep", "train", "start")
CIFAR = os.path.join(ROOT, "models/pretrained/cifar10.onnx")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", default=",".join(SECTIONS))
    p.add_argument("--models", default="A,C")
    p.add_argument("--precision", default="fp32,bf16,auto")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--peers", default=os.path.join(ROOT, "../shared/peers"))
    p.add_argument("--json", metavar="FILE", help="write the rows there too; - = print only them")
    p.add_argument("--bin", default=os.path.join(ROOT, "build/bin"))
    p.add_argument("--work", default=os.path.join(ROOT, "build/bench"))
    a = p.parse_args()
    a.only, a.models, a.precision = a.only.split(","), a.models.split(","), a.precision.split(",")
    for name in a.only:
        if name not in SECTIONS:
            p.error(f"no section {name!r}; {', '.join(SECTIONS)}")
    return a


def progress(text):
    print(f"bench: {text}", file=sys.stderr, flush=True)


def last_json(output):
    return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])


class Bench:
    def __init__(self, a):
        self.a = a
        self.rows = []
        os.makedirs(a.work, exist_ok=True)
        self.peak = self.run([f"{a.bin}/bench_peak", str(a.threads)])

    def run(self, command, **env):
        """The last line of JSON that a program prints."""
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()[-300:]}")
        return json.loads(done.stdout) if "--layers" in command else last_json(done.stdout)

    def ours(self, *options, runs=None, threads=None):
        return self.run([f"{self.a.bin}/prelu-train", "bench", "--threads", str(threads or self.a.threads),
                         "--runs", str(runs or self.a.runs), "--json", *options])

    def model(self, arch):
        """An untrained model of the paper, written once."""
        path = os.path.join(self.a.work, f"{arch}.onnx")
        if not os.path.exists(path):
            progress(f"writing {path}")
            subprocess.run([f"{self.a.bin}/prelu-train", "init", "--arch", arch, "--out", path + ".new"],
                           check=True, stdout=subprocess.DEVNULL)
            os.rename(path + ".new", path)
        return path

    def row(self, section, what, value, unit, **more):
        row = {"section": section, "what": what, "value": value, "unit": unit, **more}
        self.rows.append(row)
        if self.a.json != "-":
            print_row(row)

    def in_turn(self, ours, peers):
        """Medians of ours and of each peer, run in turn. A peer that fails says why."""
        mine, theirs = [], {name: [] for name in peers}
        for _ in range(self.a.rounds):
            mine.append(ours())
            for name, peer in peers.items():
                if isinstance(theirs[name], str):
                    continue
                try:
                    theirs[name].append(peer())
                except (RuntimeError, OSError, IndexError, KeyError) as e:
                    theirs[name] = str(e).strip().splitlines()[-1][:80]
        return statistics.median(mine), {n: v if isinstance(v, str) else statistics.median(v)
                                         for n, v in theirs.items()}

    def compare(self, section, what, unit, ours, peers, more_is_better=False):
        mine, theirs = self.in_turn(ours, peers)
        found = {}
        for name, value in theirs.items():
            missing = isinstance(value, str)
            ratio = None if missing else (mine / value if more_is_better else value / mine)
            found[name] = {"missing": value} if missing else {"value": value, "ratio": ratio}
        self.row(section, what, mine, unit, peers=found)

    # --- peers ---

    def onnxruntime(self, path, batch, side):
        script = os.path.join(self.a.peers, "bench_onnxruntime.js")
        return lambda: self.run(["node", script, path, str(batch), str(self.a.threads), str(self.a.runs),
                                 str(side), str(side)])["ms_per_image_median"]

    def onednn(self, arch, batch, kinds):
        source, program = os.path.join(self.a.peers, "bench_onednn_conv.c"), f"{self.a.work}/onednn_conv"

        def best():
            if not os.path.exists(program):
                self.check(["cc", "-O2", source, "-o", program, "-ldnnl"])
            out = self.check([program, arch, str(batch)], OMP_NUM_THREADS=str(self.a.threads))
            lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
            return min(r["ms_per_image"] for r in lines if any(k in r["peer"] for k in kinds))
        return best

    def check(self, command, **env):
        done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()[-200:] or 'failed'}")
        return done.stdout

    def torch(self, arch, batch, precision):
        script = os.path.join(self.a.peers, "bench_torch_train.py")
        return lambda: last_json(self.check([os.environ.get("PYTHON", "python3"), script, arch, str(batch),
                                             precision, "2"], OMP_NUM_THREADS=str(self.a.threads)))["images_per_s"]

    # --- sections ---

    def moved(self, path):
        """Bytes that each layer of a chain reads and writes of one picture, without weights."""
        out = subprocess.run([f"{self.a.bin}/prelu-train", "describe", "--model", path, "--json"], check=True,
                             capture_output=True, text=True).stdout
        moved, before = {}, 0
        for layer in json.loads(out)["layers"]:
            size = 4 * math.prod(layer["output"])
            moved[layer["name"]] = before + size
            before = size
        return moved

    def layers(self):
        for arch in self.a.models:
            moved = self.moved(self.model(arch))
            for precision in self.a.precision:
                if precision == "auto":
                    continue
                for batch in (1, 10):
                    progress(f"layers of {arch}, {precision}, batch {batch}")
                    r = self.ours("--model", self.model(arch), "--precision", precision, "--batch", str(batch),
                                  "--layers")
                    peak = self.peak["bf16" if precision == "bf16" else "fp32"]["gflops"]
                    for layer in r["layers"]:
                        moves = moved.get(layer["name"], 0) + layer["packed_bytes"] / batch
                        self.row("layers", f"{arch} {precision} b{batch} {layer['name']}", layer["ms"], "ms/image",
                                 gflops=layer["gflops"], share=layer["gflops"] / peak, op=layer["op"],
                                 flop_per_byte=layer["gflops"] * layer["ms"] * 1e6 / moves if moves else 0,
                                 algorithm=layer["algorithm"], packed=layer["packed_bytes"],
                                 batch=batch, precision=precision)
                    convs = sum(x["ms"] for x in r["layers"] if x["op"] == "Conv")
                    kinds = ("bf16",) if precision == "bf16" else ("f32",)
                    mine = lambda: sum(x["ms"] for x in self.ours(
                        "--model", self.model(arch), "--precision", precision, "--batch", str(batch),
                        "--layers")["layers"] if x["op"] == "Conv")
                    if convs and batch == 10:
                        self.compare("layers", f"{arch} {precision} b{batch} all convolutions", "ms/image", mine,
                                     {"oneDNN": self.onednn(arch, batch, kinds)})

    def models(self):
        for arch in self.a.models:
            for batch in (1, 10):
                for precision in self.a.precision:
                    progress(f"model {arch}, {precision}, batch {batch}")
                    path = self.model(arch)
                    self.compare("models", f"{arch} {precision} b{batch}", "ms/image",
                                 lambda: self.ours("--model", path, "--precision", precision, "--batch",
                                                   str(batch))["ms_per_image_median"],
                                 {"onnxruntime fp32": self.onnxruntime(path, batch, 224)})
        one, two = (statistics.median(
            self.ours("--model", self.model(self.a.models[-1]), "--precision", "fp32", "--batch", "10",
                      threads=n)["ms_per_image_median"] for _ in range(self.a.rounds))
            for n in (1, self.a.threads))
        self.row("models", f"{self.a.models[-1]} fp32 b10, {self.a.threads} threads against 1", one / two, "x")

    def small(self):
        for batch in (1, 32):
            progress(f"bundled model, batch {batch}")
            self.compare("small", f"bundled b{batch}", "ms/image",
                         lambda: self.ours("--model", CIFAR, "--batch", str(batch), runs=50 * self.a.runs)["ms_per_image_median"],
                         {"onnxruntime fp32": self.onnxruntime(CIFAR, batch, 32)})

    def sweep(self):
        self.sweep_one("bundled", CIFAR, [["--batch", str(n)] for n in range(1, 34)], 60)
        path = self.model(self.a.models[0])
        sizes = [(224, 224), (231, 231), (224, 299), (257, 257), (257, 341), (263, 349), (288, 384), (299, 399)]
        self.sweep_one(self.a.models[0], path, [["--size", f"{h}x{w}"] for h, w in sizes], self.a.runs,
                       [h * w for h, w in sizes])
        self.sweep_one(self.a.models[0], path, [["--batch", str(n)] for n in (1, 2, 3, 4, 5, 7, 8, 9)], self.a.runs)

    def sweep_one(self, name, path, variants, runs, cost=None):
        """ms per image (and pixel), and how far each lies above the mean of its neighbours."""
        ms = []
        for v in variants:
            progress(f"sweep {name} {' '.join(v)}")
            ms.append(self.ours("--model", path, *v, runs=runs)["ms_per_image_median"])
        each = [m / c for m, c in zip(ms, cost)] if cost else ms
        for i, v in enumerate(variants):
            near = [each[k] for k in (i - 1, i + 1) if 0 <= k < len(each)]
            self.row("sweep", f"{name} {v[0][2:]} {v[1]}", ms[i], "ms/image",
                     neighbours=each[i] / statistics.mean(near))

    def train(self):
        for arch, batch in (("cifar", 128), ("small14", 64), ("A", 8)):
            for precision in self.a.precision:
                if precision == "auto":
                    continue
                progress(f"training step of {arch}, {precision}, batch {batch}")
                peers = {} if arch == "cifar" else {"torch": self.torch(arch, batch, precision)}
                try:
                    self.compare("train", f"{arch} {precision} b{batch}", "images/s",
                                 lambda: self.ours("--arch", arch, "--train", "--precision", precision, "--batch",
                                                   str(batch), runs=2)["images_per_s"], peers, True)
                except RuntimeError as e:
                    progress(str(e))

    def start(self):
        for arch in self.a.models:
            for precision in self.a.precision:
                path = self.model(arch)
                progress(f"start of {arch}, {precision}")
                with open(path, "rb") as f:  # into the page cache
                    while f.read(1 << 24):
                        pass
                rounds = [self.ours("--model", path, "--precision", precision, runs=1) for _ in range(self.a.rounds)]
                r = {k: statistics.median(x[k] for x in rounds)
                     for k in ("first_answer_ms", "plan_ms", "packed_mb", "loaded_rss_mb", "peak_rss_mb")}
                self.row("start", f"{arch} {precision} prelu-train", r["first_answer_ms"], "ms", **r)
                served = [self.serve(path, precision) for _ in range(self.a.rounds)]
                self.row("start", f"{arch} {precision} prelu-serve", statistics.median(s["ms"] for s in served), "ms",
                         loaded_rss_mb=statistics.median(s["rss_mb"] for s in served), packed_mb=r["packed_mb"])

    def serve(self, path, precision):
        """From the start of prelu-serve to its first answer over HTTP."""
        with open(os.path.join(ROOT, "docs/samples/cat.jpg"), "rb") as f:
            picture = f.read()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with tempfile.TemporaryDirectory() as folder:
            port = os.path.join(folder, "port")
            start = time.monotonic()
            with open(os.path.join(folder, "log"), "wb") as log:
                p = subprocess.Popen([f"{self.a.bin}/prelu-serve", "--model", path, "--precision", precision, "--port",
                                      "0", "--port-file", port, "--threads", str(self.a.threads)], stderr=log)
            try:
                while not os.path.exists(port) and p.poll() is None:
                    time.sleep(0.001)
                url = f"http://127.0.0.1:{open(port).read().strip()}/classify?mode=center"
                while p.poll() is None:
                    try:
                        direct.open(urllib.request.Request(url, picture, {"Content-Type": "image/jpeg"})).read()
                        break
                    except urllib.error.HTTPError as e:
                        if e.code != 503:
                            raise
                        time.sleep(0.002)
                ms = (time.monotonic() - start) * 1e3
                with open(f"/proc/{p.pid}/status") as f:
                    rss = [line.split()[1] for line in f if line.startswith("VmRSS")][0]
            finally:
                p.terminate()
                p.wait()
        return {"ms": ms, "rss_mb": int(rss) * 1024 / 1e6}


def print_row(r):
    text = f"{r['section']:7} {r['what']:44} {r['value']:11.4g} {r['unit']:9}"
    if r.get("gflops"):
        text += f" {r['gflops']:8.1f} GFLOP/s {r['share']:6.1%} of peak"
    if "algorithm" in r:
        text += f"  {r['algorithm']}"
    if "neighbours" in r:
        text += f" {r['neighbours']:6.2f} x neighbours"
    if "loaded_rss_mb" in r:
        text += f" {r['loaded_rss_mb']:8.1f} MB resident, {r['packed_mb']:.1f} MB packed"
    for name, p in r.get("peers", {}).items():
        text += f" | {name}: " + (f"{p['value']:.4g}, ratio {p['ratio']:.2f}" if "value" in p
                                  else f"not here ({p['missing']})")
    print(text, flush=True)


def cpu_model():
    with open("/proc/cpuinfo") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main():
    a = arguments()
    b = Bench(a)
    header = {"machine": cpu_model(), "cores": os.cpu_count(), "threads": a.threads, "features": b.peak["cpu"],
              "peak": b.peak, "rounds": a.rounds, "runs": a.runs}
    if a.json != "-":
        print(f"{header['machine']}, {header['cores']} cores, {a.threads} threads, {header['features']}")
        print(f"peak: fp32 {b.peak['fp32']['gflops']:.0f} GFLOP/s ({b.peak['fp32']['kernel']}), bf16 "
              f"{b.peak['bf16']['gflops']:.0f} ({b.peak['bf16']['kernel']}), memory {b.peak['read_gbs']:.1f} GB/s")
    for section in a.only:
        getattr(b, section)()
    text = json.dumps({"header": header, "rows": b.rows}, indent=1)
    if a.json == "-":
        print(text)
    elif a.json:
        with open(a.json, "w") as f:
            f.write(text + "\n")


if __name__ == "__main__":
    try:
        main()
    except (RuntimeError, subprocess.CalledProcessError) as e:
        sys.exit(f"bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
