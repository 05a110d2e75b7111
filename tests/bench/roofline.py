#!/usr/bin/env python3
"""Draw the roofline of `./dev bench --only layers --json FILE` as SVG.

  roofline.py FILE.json OUT.svg [--precision fp32]

x: floating-point operations of a layer for each byte that it moves at least (weights once, input and
output once); y: GFLOP/s reached. The roof is the measured peak and the measured memory bandwidth. Both
axes are logarithmic. Convolutions count the multiplications of the direct form, so Winograd's may lie
above the roof.
"""
import argparse
import html
import json
import math

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 420, 60, 50
COLOURS = {1: "#b4552d", 10: "#2d6eb4"}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("json")
    p.add_argument("svg")
    p.add_argument("--precision", default="fp32")
    a = p.parse_args()
    with open(a.json) as f:
        data = json.load(f)
    peak, memory = data["header"]["peak"][a.precision]["gflops"], data["header"]["peak"]["read_gbs"]
    dots = [r for r in data["rows"] if r["section"] == "layers" and r.get("precision") == a.precision
            and r["gflops"] > 0 and r["flop_per_byte"] > 0]
    xs = [r["flop_per_byte"] for r in dots] + [peak / memory]
    ys = [r["gflops"] for r in dots] + [peak]
    x0, x1 = math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs)))
    y0, y1 = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))

    def at(x, y):
        return (LEFT + (math.log10(x) - x0) / (x1 - x0) * (WIDTH - LEFT - 20),
                HEIGHT - BOTTOM - (math.log10(y) - y0) / (y1 - y0) * (HEIGHT - BOTTOM - 30))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for e in range(x0, x1 + 1):
        x, y = at(10 ** e, 10 ** y0)
        out.append(f'<path d="M{x:.0f} 30V{y:.0f}" stroke="#ddd"/><text x="{x:.0f}" y="{y + 18:.0f}" '
                   f'text-anchor="middle">{10.0 ** e:g}</text>')
    for e in range(y0, y1 + 1):
        x, y = at(10 ** x0, 10 ** e)
        out.append(f'<path d="M{x:.0f} {y:.0f}H{WIDTH - 20}" stroke="#ddd"/><text x="{x - 6:.0f}" y="{y + 4:.0f}" '
                   f'text-anchor="end">{10.0 ** e:g}</text>')
    low = max(10.0 ** x0, 10.0 ** y0 / memory)
    roof = [at(low, memory * low), at(peak / memory, peak), at(10.0 ** x1, peak)]
    out.append('<polyline fill="none" stroke="#333" stroke-width="2" points="'
               + " ".join(f"{x:.0f},{y:.0f}" for x, y in roof) + '"/>')
    for r in dots:
        x, y = at(r["flop_per_byte"], r["gflops"])
        name = html.escape(f"{r['what']}: {r['gflops']:.0f} GFLOP/s, {r['algorithm']}")
        out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS.get(r["batch"], "#777")}" '
                   f'fill-opacity=".6"><title>{name}</title></circle>')
    out += [f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">operations for each byte moved</text>',
            f'<text x="{LEFT}" y="18">GFLOP/s, {a.precision}: peak {peak:.0f}, memory {memory:.1f} GB/s</text>']
    for i, (batch, colour) in enumerate(COLOURS.items()):
        out.append(f'<text x="{WIDTH - 150 + 70 * i}" y="18" fill="{colour}">batch {batch}</text>')
    out.append("</svg>")
    with open(a.svg, "w") as f:
        f.write("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
