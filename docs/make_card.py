#!/usr/bin/env python3
"""Writes the training card of a model: how it was made, what it scores, what it is not good for.

    make_card.py MODEL.onnx --data DIR --run RUN [--run RUN...] [--out CARD.md] [--about TEXT]
                 [--not-good TEXT] [--modes LIST] [--bin build/bin] [--default]

RUN: run folder of prelu-train fit, in the order of training (first from scratch, then --init). The
card goes to models/pretrained/MODEL.md, its learning curves to MODEL.svg beside it. Every figure is
measured now with the programs in --bin, on the val pictures of DIR: each mode, reduced precision,
and through HTTP. --about says in a sentence what kind of network it is, --not-good adds a warning
of one's own, --default that prelu-serve serves it.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import plot_curves

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Members of config.json that are no option of fit's, or that the command names otherwise.
NO_OPTION = ("classes", "data_sha256", "train_pictures", "val_pictures", "data", "out", "threads", "processes", "cpu",
             "version")
HTTP_MODES = ("center", "10view")


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--data", required=True)
    p.add_argument("--run", action="append", required=True)
    p.add_argument("--out")
    p.add_argument("--about", default="")
    p.add_argument("--not-good", default="")
    p.add_argument("--modes", default="center,10view,dense,multiscale")
    p.add_argument("--bin", default=os.path.join(ROOT, "build", "bin"))
    p.add_argument("--default", action="store_true")
    a = p.parse_args()
    a.name = os.path.splitext(os.path.basename(a.model))[0]
    a.out = a.out or os.path.join(ROOT, "models", "pretrained", a.name + ".md")
    return a


def program(a, *words):
    """Standard output of one of the programs."""
    p = subprocess.run([os.path.join(a.bin, words[0]), *words[1:]], stdout=subprocess.PIPE, text=True, check=False)
    if p.returncode:
        sys.exit(f"make_card: {' '.join(words)}: exit status {p.returncode}")
    return p.stdout


def percent(fraction):
    return f"{100 * fraction:.2f} %"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def wrap(words, width=96):
    """Words of a command as lines of a code block, an option with its value on one."""
    lines = ["   "]
    for word in " ".join(words).replace(" --", "\n--").replace(" ", "\n", 1).split("\n"):
        if len(lines[-1]) + len(word) > width:
            lines[-1] += " \\"
            lines.append("       ")
        lines[-1] += " " + word
    return "\n".join(lines) + "\n"


# --- how it was made ----------------------------------------------------------------------------

def load_run(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
        return {"folder": folder, "config": json.load(f), "epochs": plot_curves.epochs(folder),
                "starts": plot_curves.events(folder, ("started", "resumed"))}


def option(config, key):
    """Words of the command for a member of config.json."""
    value, name = config[key], "--" + key.replace("_", "-")
    if isinstance(value, bool):
        return [name] if value else []
    if isinstance(value, list):
        return [name, ",".join(f"{v:g}" for v in value)] if value else []
    if value == "":
        return []
    if key == "init":
        return [name, os.path.basename(value)]
    return [name, f"{value:g}" if isinstance(value, float) else str(value)]


def command(a, run, known):
    """The command of a run, with every setting that counts, so that other defaults change nothing."""
    c = run["config"]
    unused = {"step": ["patience"], "cosine": ["lr_steps", "patience"], "plateau": ["lr_steps"]}[c["lr_schedule"]]
    if "init" in c: # the network is the model's
        unused += ["arch", "width", "activation"]
    processes = c.get("processes", 1)
    words = ["mpirun", "-np", str(processes), "prelu-train-mpi"] if processes > 1 else ["prelu-train"]
    if processes == 1:
        unused += ["fc"]
    words += ["fit", "--data", "DATA", "--out", os.path.basename(c["out"])]
    for key in c:
        if key in NO_OPTION or key in unused:
            continue
        words_of_key = option(c, key)
        if words_of_key and words_of_key[0] not in known:
            sys.exit(f"make_card: {run['folder']}: config.json has {key}, which {a.bin}/prelu-train fit does not know")
        words += words_of_key
    return words


def changes(run):
    """Settings that differed between the parts of a run that was resumed."""
    keys = {k for s in run["starts"] for k in s["config"]} - {"out", "data"}
    return sorted(k for k in keys if len({json.dumps(s["config"].get(k)) for s in run["starts"]}) > 1)


def minutes_to(run, top1):
    """Minutes of training until val top-1 was reached, or None."""
    spent = 0
    for e in run["epochs"]:
        spent += e["seconds"]
        if e.get("val_top1", 0) >= top1:
            return spent / 60
    return None


def made(a, runs):
    known = set(re.findall(r"--[a-z][a-z0-9-]+", program(a, "prelu-train", "fit", "--help")))
    text = "## How it was made\n\n"
    for i, run in enumerate(runs):
        c, last = run["config"], run["epochs"][-1]
        seconds = sum(e["seconds"] for e in run["epochs"])
        if len(runs) > 1:
            text += f"Part {i + 1} of {len(runs)}:\n\n"
        text += wrap(command(a, run, known))
        text += (f"\nSeed {c['seed']}; {c['train_pictures']:,} train and {c['val_pictures']:,} val pictures; "
                 f"{last['epoch']} epochs in {seconds / 60:.0f} minutes of training "
                 f"({c['threads']} threads, CPU `{c['cpu']}`, whatever else ran there), {last['skipped']} pictures "
                 "skipped.")
        reached = [f"{percent(t)[:-5]} % after {minutes_to(run, t):.0f} minutes" for t in (0.85, 0.9, 0.95)
                   if minutes_to(run, t) is not None]
        if reached:
            text += f" Val top-1 (centre, {c['crop']} pixels) reached {', '.join(reached)}."
        if len(run["starts"]) > 1:
            text += f" Resumed {len(run['starts']) - 1} times"
            text += f", with other settings of {', '.join(changes(run))}." if changes(run) else "."
        text += "\n\n"
    text += f"Data digest (`data_sha256` of config.json): `{runs[0]['config']['data_sha256']}`."
    if len({r["config"]["data_sha256"] for r in runs}) > 1:
        text += " Of the later parts: " + ", ".join(f"`{r['config']['data_sha256']}`" for r in runs[1:]) + "."
    return text + " What `fit` was told and measured is\nalso in the file's `prelu.training`, its own check in `prelu.check`.\n\n"


def curve(a, runs):
    names = [os.path.basename(r["config"]["out"]) for r in runs]
    with open(os.path.splitext(a.out)[0] + ".svg", "w", encoding="utf-8") as f:
        f.write(plot_curves.curves(f"{a.name}: learning curves", list(zip(names, (r["folder"] for r in runs)))))
    text = f"## Curves\n\n![top-1 error by epoch]({a.name}.svg)\n\n"
    rows = []
    for i, run in enumerate(runs):
        n = len(run["epochs"])
        shown = sorted({0, n - 1, *(round(k * (n - 1) / 9) for k in range(10))})
        for e in (run["epochs"][k] for k in shown):
            rows.append([*([i + 1] if len(runs) > 1 else []), e["epoch"], f"{e['lr']:.2g}", f"{e['train_loss']:.3f}",
                         f"{100 * e['train_top1']:.2f}", f"{100 * e['val_top1']:.2f}"])
    head = [*(["part"] if len(runs) > 1 else []), "epoch", "lr at its end", "train loss", "train top-1 %",
            "val top-1 %, centre"]
    return text + table(head, rows) + "\nTrain figures are of augmented pictures, with label smoothing and dropout if the command has them.\n\n"


def digests(folder):
    found = set()
    for where, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(where, name), "rb") as f:
                found.add(hashlib.sha256(f.read()).digest())
    return found


def shared(a):
    """What the splits of a data folder have in common; nothing is said of IDX files."""
    splits = [os.path.join(a.data, s) for s in ("train", "val")]
    if not all(map(os.path.isdir, splits)):
        return ""
    both = set.intersection(*map(digests, splits))
    return (f"{len(both) or 'No'} val picture{'s are' if len(both) > 1 else ' is'} also a train picture, by SHA-256 of "
            "the files.\n\n")


# --- what it scores -----------------------------------------------------------------------------

def through_http(a):
    """Top-1 of prelu-serve's answers on the val pictures, by mode."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        port_file = os.path.join(folder, "port")
        server = subprocess.Popen([os.path.join(a.bin, "prelu-serve"), "--model", a.model, "--port", "0", "--port-file",
                                   port_file, "--request-timeout", "600s"], stderr=subprocess.DEVNULL)
        try:
            while not (os.path.exists(port_file) and open(port_file, encoding="utf-8").read().strip()):
                if server.poll() is not None:
                    sys.exit(f"make_card: prelu-serve ended with exit status {server.returncode}")
                time.sleep(0.05)
            with open(port_file, encoding="utf-8") as f:
                url = f"http://127.0.0.1:{f.read().strip()}"
            for mode in HTTP_MODES:
                answers = json.loads(program(a, "prelu-classify", "--server", url, "--mode", mode, "--quiet", "--json",
                                             "--timeout", "10m", "--retries", "50", os.path.join(a.data, "val")))["results"]
                right = [r["predictions"][0]["id"] == os.path.basename(os.path.dirname(r["file"])) for r in answers]
                found[mode] = (sum(right) / len(right), len(right))
        finally:
            server.terminate()
            server.wait()
    return found


def figures(a, shown, results, http, precision):
    text = f"## Figures\n\nOn the {results[0]['images']:,} pictures of the val split, fp32:\n\n"
    text += table(["mode", "top-1", "95 % interval", "top-5", "ECE"],
                  [[r["mode"], percent(r["top1"]), "–".join(f"{100 * v:.2f}" for v in r["top1_interval"]),
                    percent(r["top5"]), f"{r['ece']:.3f}"] for r in results])
    text += "\n" + wrap(["prelu-train", "eval", "--model", shown, "--data", "DATA", "--mode", a.modes, "--precision", "fp32"])
    text += ("\nThrough HTTP (`prelu-serve --model " + shown + "`, `prelu-classify --mode MODE --json DATA/val`), top-1: "
             + ", ".join(f"{percent(v)} with {m}" for m, (v, _) in http.items()) + ".\n")
    text += "\nOf reduced precision, centre crop:\n\n"
    text += table(["precision", "top-1", "top-1 as fp32", "the same, where fp32's margin is at least 0.02"],
                  [[p["precision"], percent(p["top1"]), percent(p["agrees"]), percent(p["sure_agrees"])] for p in precision])
    return text + "\n" + wrap(["prelu-train", "eval", "--model", shown, "--data", "DATA", "--compare-precision"]) + "\n"


def weakest(result, classes):
    """Classes by recall, lowest first, with the class that each is most often taken for."""
    rows = []
    for c, counts in enumerate(result["confusion"]):
        if not sum(counts):
            continue
        other = max((k for k in range(len(counts)) if k != c), key=lambda k: counts[k])
        rows.append((counts[c] / sum(counts), classes[c]["label"], classes[other]["label"], counts[other], sum(counts)))
    return sorted(rows)[:3]


def not_good(a, runs, results, classes):
    center, c = results[0], runs[-1]["config"]
    sides = f"{c['scale_min']} to {c['scale_max']}" if c["scale_min"] != c["scale_max"] else f"{c['scale_min']}"
    bins = [b for b in center["calibration"] if b["images"]]
    gap = sum(b["images"] * (b["accuracy"] - b["score"]) for b in bins) / sum(b["images"] for b in bins)
    text = "## What it is not good for\n\n"
    text += (f"It knows {len(classes)} classes ({', '.join(x['label'] for x in classes[:10])}"
             f"{', …' if len(classes) > 10 else ''}) and always names one of them, whatever the picture shows. It was "
             f"trained on pictures whose shorter side is {sides} pixels and sees {c['crop']}×{c['crop']} of them. ")
    text += (f"Its scores are not calibrated: on the val pictures they are {abs(100 * gap):.1f} points "
             f"{'below' if gap > 0 else 'above'} its accuracy in the mean (expected calibration error "
             f"{center['ece']:.3f}, centre). It is weakest at "
             + "; ".join(f"{label} (finds {100 * recall:.1f} % of {n}, takes {times} for {other})"
                         for recall, label, other, times, n in weakest(center, classes)) + ". ")
    return text + (a.not_good + " " if a.not_good else "") + "It is an example, not a product.\n"


def main():
    a = arguments()
    runs = [load_run(folder) for folder in a.run]
    shown = f"models/pretrained/{os.path.basename(a.model)}"
    shape = json.loads(program(a, "prelu-train", "describe", "--model", a.model, "--json"))
    total = shape["totals"]
    evaluated = json.loads(program(a, "prelu-train", "eval", "--model", a.model, "--data", a.data, "--mode", a.modes,
                                   "--precision", "fp32", "--quiet", "--json"))
    precision = json.loads(program(a, "prelu-train", "eval", "--model", a.model, "--data", a.data, "--quiet",
                                   "--compare-precision", "--json"))["results"]
    text = f"# {os.path.basename(a.model)}, training card\n\n"
    text += (a.about + " " if a.about else "") + f"Architecture `{shape['arch']}`: {total['parameters'] / 1e6:.1f} M parameters, "
    text += (f"{total['slopes']:,} slopes, {total['macs'] / 1e6:.0f} M multiply-accumulates a view, "
             f"{os.path.getsize(a.model) / 1e6:.1f} MB (`prelu-train describe --model {shown}`)")
    text += "; the server's default.\n\n" if a.default else ".\n\n"
    text += figures(a, shown, evaluated["results"], through_http(a), precision)
    text += made(a, runs) + shared(a) + curve(a, runs) + not_good(a, runs, evaluated["results"], evaluated["classes"])
    with open(a.out, "w", encoding="utf-8") as f:
        f.write(text)
    print(f"make_card: wrote {a.out}")


if __name__ == "__main__":
    main()
