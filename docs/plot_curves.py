#!/usr/bin/env python3
"""Learning curves of training runs as SVG, in the reader's light or dark colours.

    plot_curves.py OUT.svg [NAME=]RUN...        RUN: a run folder of prelu-train fit

Top-1 error by epoch: dashed of the training views, solid of the validation data.
"""
import json
import math
import os
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 340, 58, 16, 52, 46
COLORS = ["#2a78d6", "#eb6834", "#1baf7a", "#4a3aa7", "#c98500", "#d55181"]
DARK = ["#3987e5", "#d95926", "#199e70", "#9085e9", "#c98500", "#d55181"]


def events(run, kinds):
    """The lines of those kinds in a run's log."""
    found = []
    with open(os.path.join(run, "log.jsonl"), encoding="utf-8") as f:
        for line in f:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # torn by a crash
            if event["event"] in kinds:
                found.append(event)
    return found


def epochs(run):
    """The epoch lines of a run's log; of an epoch that was measured twice the later one holds."""
    found = {e["epoch"]: e for e in events(run, ("epoch",))}
    return [found[e] for e in sorted(found)]


def ticks(low, high):
    step = 10 ** math.floor(math.log10((high - low) / 4))
    step *= next(m for m in (1, 2, 5, 10) if (high - low) / (m * step) <= 6)
    return [round(i * step, 9) for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def path(points):
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def chart(title, x_label, y_label, series, x_names=None):
    """@param series [{name, x, y, color, dash, low, high}]: without a name not in the legend; low and
    high bound a band around y. x_names: texts of the ticks 0, 1, ..."""
    xs = [x for s in series for x in s["x"]]
    ys = [y for s in series for k in ("y", "low", "high") for y in s.get(k, ())]
    x0, x1 = min(xs), max(max(xs), min(xs) + 1)
    y0, y1 = min(ys), max(max(ys), min(ys) + 1e-9)
    y0, y1 = y0 - 0.04 * (y1 - y0), y1 + 0.04 * (y1 - y0)

    def at(x, y):
        return (LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT),
                TOP + (y1 - y) / (y1 - y0) * (HEIGHT - TOP - BOTTOM))

    light = "".join(f".s{i}{{--c:{c}}}" for i, c in enumerate(COLORS))
    dark = "".join(f".s{i}{{--c:{c}}}" for i, c in enumerate(DARK))
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
           f'height="{HEIGHT}" font-family="system-ui,sans-serif" font-size="12" role="img">',
           f"<title>{escape(title)}</title>",
           "<style>svg{background:#fcfcfb}text{fill:#4b4a46}.grid{stroke:#d9d8d3}"
           f"{light}.l{{stroke:var(--c);fill:none;stroke-width:2}}.d{{stroke-dasharray:5 4;stroke-width:1.3}}"
           ".b{fill:var(--c);fill-opacity:.15}.p{fill:var(--c)}"
           "@media(prefers-color-scheme:dark){svg{background:#1a1a19}text{fill:#c9c8c2}"
           f".grid{{stroke:#3a3a37}}{dark}}}</style>",
           f'<text x="{LEFT}" y="18" font-weight="600">{escape(title)}</text>']
    for y in ticks(y0, y1):
        svg.append(f'<path class="grid" d="M{LEFT} {at(x0, y)[1]:.1f}H{WIDTH - RIGHT}"/>'
                   f'<text x="{LEFT - 6}" y="{at(x0, y)[1] + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in range(len(x_names)) if x_names else [t for t in ticks(x0, x1) if t == int(t)]:
        svg.append(f'<text x="{at(x, y0)[0]:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle" '
                   f'font-size="{9 if x_names else 12}">{escape(x_names[x]) if x_names else f"{x:g}"}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
               f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
               f'text-anchor="middle">{escape(y_label)}</text>')
    left = LEFT
    for s in series:
        svg.append(f'<g class="s{s["color"] % len(COLORS)}">')
        if "low" in s:
            around = list(zip(s["x"], s["high"])) + list(zip(s["x"], s["low"]))[::-1]
            svg.append(f'<path class="b" d="{path([at(*p) for p in around])}Z"/>')
        points = [at(*p) for p in zip(s["x"], s["y"])]
        svg.append(f'<path class="l{" d" if s.get("dash") else ""}" d="{path(points)}"/>')
        if len(points) == 1 or x_names:
            svg += [f'<circle class="p" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        if s.get("name"):
            svg.append(f'<path class="l" d="M{left} 36h22"/><text x="{left + 28}" y="40">{escape(s["name"])}</text>')
            left += 46 + 7 * len(s["name"])
        svg.append("</g>")
    svg.append("</svg>")
    return "\n".join(svg) + "\n"


def run_series(name, run, color):
    """The two curves of a run; a run without validation pictures has one."""
    lines = epochs(run)
    x = [e["epoch"] for e in lines]
    curves = [{"name": name, "x": x, "y": [100 - 100 * e["val_top1"] for e in lines], "color": color}] \
        if lines and "val_top1" in lines[-1] else []
    return curves + [{"name": "" if curves else name, "x": x, "color": color, "dash": True,
                      "y": [100 - 100 * e["train_top1"] for e in lines]}]


def curves(title, runs):
    """@param runs [(name, folder)]"""
    series = [s for i, (name, run) in enumerate(runs) for s in run_series(name, run, i)]
    return chart(title, "epoch (solid: validation, dashed: training views)", "top-1 error %", series)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    named = [a.partition("=") if "=" in a else (os.path.basename(a.rstrip("/")), "", a) for a in sys.argv[2:]]
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write(curves("Learning curves", [(name, run) for name, _, run in named]))


if __name__ == "__main__":
    main()
