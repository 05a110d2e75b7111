#!/usr/bin/env python3
"""Repeats experiments of He et al. 2015 in small, and writes their tables and pictures.

    ./dev experiments --data DIR [NAME...] [--work DIR] [--threads N] [--list] [--tables]

DIR is a folder that prelu-train fit takes (docs/manual.md, "Data"). NAME: depth, activations, scales,
fisher; all without one. What is finished in --work (default build/experiments) is not done again, and
an interrupted training goes on at its checkpoint. --list prints the commands and runs nothing; --tables
writes the tables and pictures of what is finished into docs/experiments.md and docs/.
"""
import argparse
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys

import plot_curves

DOCS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(DOCS)
PAGE = os.path.join(DOCS, "experiments.md")

# 22 and 30 plain layers; the step schedule never comes to its first step.
DEPTH = ("--activation relu --colour 0 --crop 64 --resize 64 --scale-min 64 --scale-max 72 --limit 5000 --batch 32 "
         "--lr 0.003 --lr-steps 1000 --epochs 6 --seed 1")
DEPTHS = [(22, "--arch B --width 0.125"), (30, "--arch deep30 --width 0.25")]
INITS = ["he-backward", "xavier"]

ACTIVATIONS = ["relu", "lrelu", "prelu-shared", "prelu"]
SEEDS = [1, 2, 3]
SMALL = ("--arch small14 --width 0.25 --crop 64 --resize 72 --scale-min 64 --scale-max 96 --limit 5000 "
         "--batch 32 --lr 0.01 --epochs 6")

TESTS = {"dense@72": "72", "dense@84": "84", "dense@96": "96", "multiscale@72+84+96": "multi-scale"}
FISHER = {"mean_over_rms": "E[f] / √E[f²]", "products": "products", "pairs": "pairs"}
NAMES = ["depth", "activations", "scales", "fisher"]


def depth_run(layers, init):
    return f"depth{layers}-{init}"


def small_run(activation, seed):
    return f"{activation}-{seed}"


def steps(name):
    """[(name of the result, prelu-train's words)]; WORK and DATA stand for the folders."""
    if name == "depth":
        return [(depth_run(n, i), f"fit {arch} --init-method {i} {DEPTH} --data DATA --out WORK/{depth_run(n, i)}.onnx")
                for n, arch in DEPTHS for i in INITS]
    if name == "activations":
        return [(small_run(a, s), f"fit {SMALL} --activation {a} --seed {s} --data DATA --out WORK/{small_run(a, s)}.onnx")
                for s in SEEDS for a in ACTIVATIONS]
    trained = [small_run(a, s) for s in SEEDS for a in ("relu", "prelu")]
    if name == "scales":
        return [(f"{r}.eval", f"eval --model WORK/{r}.onnx --data DATA --precision fp32 --limit 1500 "
                              f"--mode center,10view,{','.join(TESTS)} --json") for r in trained]
    return [(f"{r}.analyze", f"analyze --model WORK/{r}.onnx --data DATA --limit 256 --json") for r in trained]


class Work:
    """The results: NAME.json holds a finished step's command, CPU seconds and what it printed."""

    def __init__(self, arguments):
        self.a = arguments
        os.makedirs(arguments.work, exist_ok=True)

    def words(self, command):
        return [w.replace("WORK", self.a.work) if w.startswith("WORK") else self.a.data if w == "DATA" else w
                for w in shlex.split(command)]

    def path(self, name, end):
        return os.path.join(self.a.work, name + end)

    def result(self, name):
        try:
            with open(self.path(name, ".json"), encoding="utf-8") as f:
                return json.load(f)
        except FileNotFoundError:
            return None

    def run(self, name, command):
        """Do a step that is not finished. A training that was begun by another command begins anew."""
        done, spent, resume = self.result(name), 0, []
        if done and done["command"] == command and done["finished"]:
            return
        if command.startswith("fit "):
            if done and done["command"] != command:
                shutil.rmtree(self.path(name, ".onnx.run"), ignore_errors=True)
            elif done:
                spent = done["cpu_s"]
            resume = ["--resume", "--quiet"]
        self.write(name, {"command": command, "finished": False, "cpu_s": spent})
        print(f"experiments: prelu-train {command}", flush=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        p = subprocess.run([os.path.join(self.a.bin, "prelu-train"), *self.words(command), *resume, "--threads",
                            str(self.a.threads)], stdout=subprocess.PIPE, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent += after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        self.write(name, {"command": command, "finished": p.returncode == 0, "cpu_s": spent, "output": p.stdout})
        if p.returncode:
            sys.exit(f"experiments: exit status {p.returncode}; begun again, this goes on from here")

    def write(self, name, what):
        with open(self.path(name, ".json.tmp"), "w", encoding="utf-8") as f:
            json.dump(what, f)
        os.rename(self.path(name, ".json.tmp"), self.path(name, ".json"))

    def finished(self, name):
        done = self.result(name)
        return bool(done and done["finished"])

    def output(self, name):
        return json.loads(self.result(name)["output"])

    def epochs(self, name):
        return plot_curves.epochs(self.path(name, ".onnx.run"))

    def event(self, name, kind):
        """The last line of that kind in a training's log."""
        return plot_curves.events(self.path(name, ".onnx.run"), (kind,))[-1]


# --- tables -------------------------------------------------------------------------------------

def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def spread(values, digits=2):
    """Mean ± standard deviation over the seeds."""
    return f"{statistics.mean(values):.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def draw(name, svg):
    with open(os.path.join(DOCS, name), "w", encoding="utf-8") as f:
        f.write(svg)


def depth_tables(w):
    blocks = {}
    for layers, _ in DEPTHS:
        runs = [depth_run(layers, i) for i in INITS]
        if not all(map(w.finished, runs)):
            continue
        draw(f"depth{layers}.svg", plot_curves.curves(f"{layers} layers, ReLU: He's initialisation and Xavier's",
                                                      [(i, w.path(r, ".onnx.run")) for i, r in zip(INITS, runs)]))
        lines = {i: w.epochs(r) for i, r in zip(INITS, runs)}
        blocks[f"depth{layers}"] = table(
            ["epoch", *(f"{i}: {what}" for i in INITS for what in ("train loss", "val top-1 error %"))],
            [[n + 1, *(v for i in INITS for v in (f"{lines[i][n]['train_loss']:.4f}",
                                                   f"{100 - 100 * lines[i][n]['val_top1']:.2f}"))]
             for n in range(len(lines[INITS[0]]))])
    return blocks


def activation_tables(w):
    if not all(w.finished(small_run(a, s)) for a in ACTIVATIONS for s in SEEDS):
        return {}
    rows, series = [], []
    for color, a in enumerate(ACTIVATIONS):
        runs = [w.epochs(small_run(a, s)) for s in SEEDS]
        errors = [[100 - 100 * e["val_top1"] for e in r] for r in runs]
        rows.append([a, *(f"{e[-1]:.2f}" for e in errors), spread([e[-1] for e in errors]),
                     spread([100 - 100 * r[-1]["val_top5"] for r in runs]),
                     spread([r[-1]["train_loss"] for r in runs], 3)])
        series.append({"name": a, "color": color, "x": [e["epoch"] for e in runs[0]],
                       "y": [statistics.mean(v) for v in zip(*errors)],
                       "low": [min(v) for v in zip(*errors)], "high": [max(v) for v in zip(*errors)]})
    draw("activations.svg", plot_curves.chart("Four activations: mean of three seeds, least and greatest",
                                              "epoch", "val top-1 error %", series))
    return {"activations": table(["activation", *(f"seed {s}" for s in SEEDS), "top-1 error %", "top-5 error %",
                                  "train loss"], rows), "slopes": slope_table(w)}


def slope_table(w):
    kinds = ["prelu-shared", "prelu"]
    found = {a: [w.event(small_run(a, s), "layers")["slopes"] for s in SEEDS] for a in kinds}
    rows = []
    for i, layer in enumerate(found["prelu"][0]):
        rows.append([layer["layer"], *(spread([s[i]["mean"] for s in found[a]], 3) for a in kinds),
                     f"{min(s[i]['min'] for s in found['prelu']):.3f}…{max(s[i]['max'] for s in found['prelu']):.3f}"])
    return table(["layer", "channel-shared", "channel-wise, mean", "channel-wise, least…greatest"], rows)


def scale_tables(w):
    kinds = ["relu", "prelu"]
    if not all(w.finished(f"{small_run(a, s)}.eval") for a in kinds for s in SEEDS):
        return {}
    found = {a: [{r["mode"]: r for r in w.output(f"{small_run(a, s)}.eval")["results"]} for s in SEEDS] for a in kinds}
    modes = {"center": "centre crop, 72", "10view": "10-view, 72", **TESTS}
    rows = [[shown, *(spread([100 - 100 * f[m][k] for f in found[a]]) for a in kinds for k in ("top1", "top5"))]
            for m, shown in modes.items()]
    return {"scales": table(["scale", *(f"{a}: {k} error %" for a in kinds for k in ("top-1", "top-5"))], rows)}


def fisher_tables(w):
    kinds = ["relu", "prelu"]
    if not all(w.finished(f"{small_run(a, s)}.analyze") for a in kinds for s in SEEDS):
        return {}
    found = {a: [w.output(f"{small_run(a, s)}.analyze")["activations"] for s in SEEDS] for a in kinds}
    layers = [l["layer"] for l in found["relu"][0]]
    rows, series = [], []
    for i, layer in enumerate(layers):
        rows.append([layer, *(spread([f[i][k] for f in found[a]], 3) for k in FISHER for a in kinds)])
    for color, a in enumerate(kinds):
        y = [[f[i]["mean_over_rms"] for f in found[a]] for i in range(len(layers))]
        series.append({"name": a, "color": color, "x": list(range(len(layers))), "y": [statistics.mean(v) for v in y],
                       "low": [min(v) for v in y], "high": [max(v) for v in y]})
    draw("responses.svg", plot_curves.chart("Mean response of each activation (as Fig. 2), over its root mean square",
                                            "activation", "E[f] / √E[f²]", series, layers))
    return {"fisher": table(["layer", *(f"{a}: {k}" for k in FISHER.values() for a in kinds)], rows)}


def cost_table(w):
    rows = []
    for name in NAMES:
        done = [w.result(n) for n, _ in steps(name) if w.finished(n)]
        if done:
            rows.append([name, f"{len(done)} of {len(steps(name))}", f"{sum(d['cpu_s'] for d in done) / 60:.1f}"])
    return {"cost": table(["experiment", "commands", "CPU minutes"], rows)} if rows else {}


# What stands above a block that the page does not have yet.
INTRO = {
    "activations": """## Activations

small14 at a quarter of its width, four activations, three seeds each; mean ± standard deviation over the seeds.

![four activations](activations.svg)

    prelu-train fit """ + SMALL.replace(" --limit", " \\\n        --limit") + """ \\
        --activation NAME --seed N --data DATA --out NAME-N.onnx
""",
    "slopes": "The learned slopes, as the paper's Table 1 (mean ± standard deviation over the seeds):\n",
    "scales": """## Dense and multi-scale testing (the layout of Table 4)

The ReLU and the channel-wise PReLU nets of the section above, tested densely at shorter sides of 72, 84 and 96 and with all
three, on 1,500 pictures of `val`; mean ± standard deviation over three seeds.

    prelu-train eval --model prelu-1.onnx --data DATA --precision fp32 --limit 1500 \\
        --mode center,10view,dense@72,dense@84,dense@96,multiscale@72+84+96
""",
    "fisher": """## Mean responses and the Fisher information matrix

The same nets, on 256 pictures of `val`; the columns are explained in the manual.

![mean responses](responses.svg)

    prelu-train analyze --model prelu-1.onnx --data DATA --limit 256
""",
    "cost": "## What it cost\n",
}


def put(page, name, text):
    """Replace what stands between the marks of a block; a new one goes to the end, the cost after it."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end {name} -->"
    if begin not in page:
        at = page.find(INTRO["cost"]) if name != "cost" else -1
        at = len(page) if at < 0 else at
        page = page[:at].rstrip() + f"\n\n{INTRO[name]}\n{begin}{end}\n\n" + page[at:]
    head, mark, rest = page.partition(begin)
    return (head + mark + "\n" + text + "\n" + rest[rest.index(end):]).rstrip() + "\n"


def write_tables(w):
    blocks = {**depth_tables(w), **activation_tables(w), **scale_tables(w), **fisher_tables(w), **cost_table(w)}
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    for name, text in blocks.items():
        page = put(page, name, text)
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(page)
    print(f"experiments: wrote {', '.join(blocks) or 'nothing'}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("names", nargs="*", metavar="NAME")
    p.add_argument("--data", metavar="DIR")
    p.add_argument("--work", default=os.path.join(ROOT, "build", "experiments"))
    p.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--list", action="store_true")
    p.add_argument("--tables", action="store_true")
    a = p.parse_args()
    for name in a.names:
        if name not in NAMES:
            p.error(f"no experiment {name!r}; {', '.join(NAMES)}")
    wanted = [step for name in a.names or NAMES for step in steps(name)]
    if a.list:
        print("\n".join(f"prelu-train {command}" for _, command in wanted))
        return
    w = Work(a)
    if not a.tables:
        if not a.data:
            p.error("--data DIR is missing")
        for name, command in wanted:
            w.run(name, command)
    write_tables(w)


if __name__ == "__main__":
    main()
