#!/usr/bin/env python3
"""Chart of prelu-train eval --json: ms per picture against top-1, a series for each precision.

    plot_modes.py OUT.svg EVAL.json... [--time EVAL.json...]

Time is that of resizing and scoring one picture (timing_ms: prepare + infer); whiskers are the 95 %
interval of top-1. Files behind --time give the times instead, e.g. of runs that had the machine to
themselves; modes without a time are left out.
"""
import json
import math
import sys
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 440, 62, 20, 44, 52
COLORS = ["#2a78d6", "#eb6834", "#1baf7a", "#4a3aa7"]
DARK = ["#3987e5", "#d95926", "#199e70", "#9085e9"]


def load(path):
    with open(path, encoding="utf-8") as f:
        return json.load(f)


def read(paths, timed):
    """[(precision, [(mode, ms, top1, low, high)])] in percent."""
    ms = {(out["precision"], r["mode"]): r["timing_ms"]["prepare"] + r["timing_ms"]["infer"]
          for out in map(load, timed or paths) for r in out["results"]}
    series = []
    for out in map(load, paths):
        precision = out["precision"]
        points = [(r["mode"], ms[precision, r["mode"]], 100 * r["top1"],
                   *(100 * v for v in r["top1_interval"]))
                  for r in out["results"] if (precision, r["mode"]) in ms]
        series.append((precision, sorted(points, key=lambda p: p[1])))
    return series


def main():
    out, *paths = sys.argv[1:]
    split = paths.index("--time") if "--time" in paths else len(paths)
    series = read(paths[:split], paths[split + 1:])
    points = [p for _, s in series for p in s]
    x0 = math.log10(min(p[1] for p in points) / 1.3)
    x1 = math.log10(max(p[1] for p in points) * 1.3)
    y0, y1 = math.floor(min(p[3] for p in points) - 2), math.ceil(max(p[4] for p in points) + 2)

    def px(ms):
        return LEFT + (math.log10(ms) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)

    def py(percent):
        return TOP + (y1 - percent) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    light = "".join(f".s{i}{{--c:{c}}}" for i, c in enumerate(COLORS))
    dark = "".join(f".s{i}{{--c:{c}}}" for i, c in enumerate(DARK))
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
           f'height="{HEIGHT}" font-family="system-ui,sans-serif" font-size="12" role="img">',
           "<title>Top-1 accuracy against time per picture, by mode and precision</title>",
           "<style>svg{background:#fcfcfb}text{fill:#4b4a46}.grid{stroke:#d9d8d3}"
           f"{light}circle{{fill:var(--c)}}.w{{stroke:var(--c);stroke-width:1.5;stroke-opacity:.5}}"
           "@media(prefers-color-scheme:dark){svg{background:#1a1a19}text{fill:#c9c8c2}"
           f".grid{{stroke:#3a3a37}}{dark}}}</style>"]
    for y in range(y0, y1 + 1):
        svg.append(f'<path class="grid" d="M{LEFT} {py(y):.1f}H{WIDTH - RIGHT}"/>'
                   f'<text x="{LEFT - 6}" y="{py(y) + 4:.1f}" text-anchor="end">{y}</text>')
    ticks = [m * 10.0 ** e for e in range(-3, 5) for m in (1, 2, 5)]
    for x in (t for t in ticks if x0 <= math.log10(t) <= x1):
        svg.append(f'<path class="grid" d="M{px(x):.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
                   f'<text x="{px(x):.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{x:g}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">'
               "ms per picture</text>"
               f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
               'text-anchor="middle">top-1 %</text>')
    for i, (precision, modes) in enumerate(series):
        svg.append(f'<g class="s{i % 4}"><circle cx="{WIDTH - 330 + 110 * i}" cy="22" r="5"/>'
                   f'<text x="{WIDTH - 320 + 110 * i}" y="26">{escape(precision)}</text>')
        for mode, ms, top1, low, high in modes:
            svg.append(f'<path class="w" d="M{px(ms):.1f} {py(low):.1f}V{py(high):.1f}"/>'
                       f'<circle cx="{px(ms):.1f}" cy="{py(top1):.1f}" r="5"><title>'
                       f"{escape(mode)}, {escape(precision)}: {top1:.2f} %, {ms:.2f} ms</title></circle>")
            # above the first series and below the last; those between lie near the last
            x, y, anchor = px(ms) + 4, py(high) - 5, "start"
            if i == len(series) - 1:
                y, anchor = py(low) + 8, "end"
            if i in (0, len(series) - 1):
                svg.append(f'<text transform="translate({x:.1f} {y:.1f}) rotate(-72)" '
                           f'text-anchor="{anchor}">{escape(mode)}</text>')
        svg.append("</g>")
    svg.append("</svg>")
    with open(out, "w", encoding="utf-8") as f:
        f.write("\n".join(svg) + "\n")


if __name__ == "__main__":
    main()
