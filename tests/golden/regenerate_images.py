#!/usr/bin/python3
"""Draw the pictures of the JPEG and resize tests and write what Pillow makes of them.

Needs python3-pil, python3-numpy and libjpeg-turbo-progs. Run it in this folder; see origin.md for
the versions whose output is committed."""
import io
import os
import struct
import subprocess

import numpy as np
from PIL import Image, ImageDraw, ImageOps

JPEG = "jpeg"
RESIZE = "resize"
CORPUS = "../fuzz/corpus/jpeg"


def draw(width, height, seed=1):
    """Gradients, shapes with hard edges and a little noise."""
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1),
                  (x + 2 * y) * 8 % 256], axis=2)
    im = Image.fromarray(a.astype(np.uint8))
    d = ImageDraw.Draw(im)
    d.ellipse([width * 0.1, height * 0.2, width * 0.6, height * 0.8], fill=(250, 20, 30))
    d.rectangle([width * 0.5, height * 0.1, width * 0.9, height * 0.5], fill=(10, 200, 60))
    d.line([0, height - 1, width - 1, 0], fill=(255, 255, 255), width=2)
    noise = np.random.default_rng(seed).integers(-12, 13, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(im) + noise, 0, 255).astype(np.uint8))


def encoded(im, **options):
    out = io.BytesIO()
    im.save(out, "JPEG", **options)
    return out.getvalue()


def tool(data, *command):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def exif(orientation, big=False, kind="H"):
    """An Exif segment by hand: one directory with a text before the orientation."""
    o = ">" if big else "<"
    value = struct.pack(o + kind, orientation)
    tiff = (b"MM" if big else b"II") + struct.pack(o + "HI", 42, 8) + struct.pack(o + "H", 2)
    tiff += struct.pack(o + "HHI", 0x010E, 2, 4) + b"abc\0"
    tiff += struct.pack(o + "HHI", 0x0112, 3 if kind == "H" else 4, 1) + value.ljust(4, b"\0")
    return b"Exif\0\0" + tiff + b"\0\0\0\0"


def without_adobe(data):
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:at] + data[at + 16:]


def as_ycck(data):
    """The same bytes read as YCCK: the transform flag ends the Adobe segment."""
    at = data.index(b"\xff\xee\x00\x0eAdobe") + 15
    return data[:at] + b"\x02" + data[at + 1:]


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def write_ppm(path, im):
    im.convert("RGB").save(path, "PPM")


def jpeg_files():
    im = draw(37, 29)
    ppm = io.BytesIO()
    im.save(ppm, "PPM")
    base = encoded(im, quality=85, subsampling=2)
    s422 = encoded(im, quality=85, subsampling=1)
    files = {
        "baseline_420": base,
        "baseline_422": s422,
        "baseline_440": tool(s422, "jpegtran", "-transpose"),
        "baseline_444": encoded(im, quality=95, subsampling=0),
        "coarse": encoded(im, quality=20),
        "progressive": encoded(im, quality=85, progressive=True),
        "restart": tool(base, "jpegtran", "-restart", "1B"),
        "restart_progressive": tool(base, "jpegtran", "-restart", "1", "-progressive"),
        "arithmetic": tool(base, "jpegtran", "-arithmetic"),
        "rgb": tool(ppm.getvalue(), "cjpeg", "-rgb", "-quality", "90"),
        "gray": encoded(draw(33, 18).convert("L"), quality=85),
        "gray_progressive": encoded(draw(33, 18).convert("L"), quality=85, progressive=True),
        "large": encoded(draw(131, 97, 2), quality=80),
    }
    with open("scans.txt", "w", encoding="ascii") as f:
        f.write("0;\n1;\n2;\n")
    files["separate_scans"] = tool(base, "jpegtran", "-scans", "scans.txt")
    os.remove("scans.txt")
    for w, h in [(1, 1), (1, 17), (17, 1), (8, 8), (16, 16), (7, 9)]:
        files["size_%dx%d" % (w, h)] = encoded(draw(w, h), quality=90)
    ink = draw(23, 31).convert("CMYK")
    ink = Image.merge("CMYK", ink.split()[:3] + (draw(23, 31, 3).convert("L"),))
    files["cmyk"] = encoded(ink, quality=90)
    files["ycck"] = as_ycck(files["cmyk"])
    files["cmyk_no_adobe"] = without_adobe(files["cmyk"])
    files["cmyk_turned"] = encoded(ink, quality=90, exif=exif(6))
    turned = draw(21, 35)
    for i in range(1, 9):
        files["exif_%d" % i] = encoded(turned, quality=85, exif=exif(i, i % 2 == 0))
    files["exif_long"] = encoded(turned, quality=85, exif=exif(8, True, "I"))
    files["exif_gray"] = encoded(turned.convert("L"), quality=85, exif=exif(5))
    return files


def write_jpegs():
    os.makedirs(JPEG, exist_ok=True)
    os.makedirs(CORPUS, exist_ok=True)
    files = jpeg_files()
    for name, data in files.items():
        write(JPEG, name + ".jpg", data)
        im = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        write_ppm("%s/%s.ppm" % (JPEG, name), im)
        if name not in ("large", "coarse") and not name.startswith("size_1"):
            write(CORPUS, name + ".jpg", data)
    for denominator in (2, 4, 8):
        im = Image.open(io.BytesIO(files["large"]))
        im.draft("RGB", (131 // denominator, 97 // denominator))
        write_ppm("%s/large_draft%d.ppm" % (JPEG, denominator), im)


def write_resizes():
    os.makedirs(RESIZE, exist_ok=True)
    sizes = {(61, 45): [(34, 25), (61, 25), (34, 45), (97, 80), (61, 45), (1, 1), (7, 3)],
             (9, 140): [(9, 20), (4, 62), (50, 7)]}
    for (w, h), results in sizes.items():
        im = draw(w, h, 5)
        write_ppm("%s/%dx%d.ppm" % (RESIZE, w, h), im)
        for r in results:
            write_ppm("%s/%dx%d_to_%dx%d.ppm" % (RESIZE, w, h, *r), im.resize(r, Image.BILINEAR))


def write_corpus():
    """Files that are no good: each has found, or could find, a different check."""
    base = encoded(draw(37, 29), quality=85)
    sof = base.index(b"\xff\xc0")
    png = io.BytesIO()
    draw(5, 4).save(png, "PNG")
    bad = {
        "bad_header_only": base[:sof + 19],
        "bad_half": base[:len(base) // 2],
        "bad_huge": base[:sof + 5] + b"\xfd\xe8\xfd\xe8" + base[sof + 9:],
        "bad_lying": base[:sof + 5] + b"\x02\x00\x02\x00" + base[sof + 9:],
        "bad_zero": base[:sof + 5] + b"\0\0\0\0" + base[sof + 9:],
        "bad_precision": base[:sof + 4] + b"\x0c" + base[sof + 5:],
        "bad_lossless": base[:sof] + b"\xff\xc3" + base[sof + 2:],
        "bad_exif_offset": encoded(draw(8, 8), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"),
        "bad_exif_count": encoded(draw(8, 8), exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"),
        "bad_png": png.getvalue(),
        "bad_text": b"not a picture\n",
    }
    for name, data in bad.items():
        write(CORPUS, name + ".jpg", data)


if __name__ == "__main__":
    write_jpegs()
    write_resizes()
    write_corpus()
