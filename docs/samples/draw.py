#!/usr/bin/python3
"""Draws the sample pictures beside this file; they are the project's own. usage: ./draw.py

Each scene is drawn four times too large, shaded with noise and scaled down, so that it looks
enough like a photograph for a classifier that was trained on photographs.
"""
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, OVER = 320, 288, 4
MARGIN = 24  # scenes are written for 320x240, with this much added above and below


class Scene:
    """A canvas in units of the final picture's pixels."""

    def __init__(self, seed, top, bottom):
        self.random = np.random.default_rng(seed)
        ramp = np.linspace(0, 1, HEIGHT * OVER)[:, None, None]
        pixels = np.array(top) * (1 - ramp) + np.array(bottom) * ramp
        pixels = np.broadcast_to(pixels, (HEIGHT * OVER, WIDTH * OVER, 3))
        self.image = Image.fromarray(pixels.astype(np.uint8))

    def draw(self, *shapes, blur=0.0, rough=0.0):
        """Shapes are (kind, points, colour[, width]), laid over the picture in their order."""
        layer = Image.new("RGBA", self.image.size, (*shapes[0][2], 0))
        pen = ImageDraw.Draw(layer)
        for kind, points, colour, *width in shapes:
            # what reaches the bottom of a scene reaches the bottom of the picture
            at = [(x * OVER, (HEIGHT if y >= 240 else y + MARGIN) * OVER) for x, y in points]
            if kind == "line":
                pen.line(at, fill=colour, width=int(width[0] * OVER), joint="curve")
            elif kind == "polygon":
                pen.polygon(at, fill=colour)
            else:
                pen.ellipse([*at[0], *at[1]], fill=colour)
        if blur:
            layer = layer.filter(ImageFilter.GaussianBlur(blur * OVER))
        if rough:
            pixels = np.asarray(layer).astype(float)
            pixels[..., :3] += self.noise(2.5, rough)[..., None]
            layer = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8), "RGBA")
        self.image.paste(layer, (0, 0), layer)

    def noise(self, scale, amount):
        """Smooth noise of about `scale` pixels and standard deviation `amount`."""
        size = (int(HEIGHT / scale) + 2, int(WIDTH / scale) + 2)
        small = Image.fromarray(self.random.normal(0, amount, size).astype(np.float32), "F")
        return np.asarray(small.resize((WIDTH * OVER, HEIGHT * OVER), Image.BICUBIC))

    def save(self, name):
        pixels = np.asarray(self.image).astype(float)
        pixels += self.noise(12, 4)[..., None] + self.noise(3, 3)[..., None]
        done = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        done = done.resize((WIDTH, HEIGHT), Image.LANCZOS)
        done.save(pathlib.Path(__file__).parent / name, quality=82, optimize=True)


def oval(x, y, rx, ry, colour):
    return ("ellipse", [(x - rx, y - ry), (x + rx, y + ry)], colour)


def polygon(colour, *points):
    return ("polygon", points, colour)


def line(colour, width, *points):
    return ("line", points, colour, width)


def cat():
    s = Scene(1, (206, 190, 168), (150, 122, 96))
    s.draw(polygon((120, 84, 66), (0, 196), (320, 186), (320, 240), (0, 240)), rough=8)
    fur, dark, pale = (148, 118, 88), (74, 54, 40), (214, 196, 172)
    s.draw(line(dark, 20, (238, 206), (286, 196), (292, 150), (276, 124)), blur=1.5, rough=14)
    s.draw(oval(172, 180, 80, 59, fur), oval(160, 204, 38, 34, pale), blur=2, rough=18)
    for i in range(6):
        s.draw(line(dark, 7, (214 + 6 * i, 140 + 8 * i), (196 + 9 * i, 186 + 8 * i)), blur=2)
    s.draw(polygon(fur, (92, 70), (98, 14), (142, 48)), polygon(fur, (226, 70), (220, 14), (176, 48)),
           rough=12)
    s.draw(polygon((206, 150, 140), (101, 58), (104, 30), (126, 50)),
           polygon((206, 150, 140), (217, 58), (214, 30), (192, 50)), blur=1.5)
    s.draw(oval(159, 96, 74, 62, fur), blur=1.5, rough=18)
    for x in (-26, -9, 9, 26):
        s.draw(line(dark, 6, (159 + x, 40), (159 + x * 0.8, 66)), blur=1.2)
    for side in (-1, 1):
        s.draw(line(dark, 6, (159 + side * 70, 92), (159 + side * 48, 100)),
               line(dark, 6, (159 + side * 66, 110), (159 + side * 46, 112)), blur=1.2)
    s.draw(oval(138, 126, 25, 20, pale), oval(180, 126, 25, 20, pale), blur=2, rough=8)
    for x in (128, 190):
        s.draw(oval(x, 92, 17, 14, (40, 30, 24)), oval(x, 92, 14, 12, (176, 186, 70)),
               oval(x, 92, 5, 11, (16, 14, 12)), oval(x + 4, 87, 3, 3, (250, 250, 245)))
    s.draw(polygon((196, 116, 112), (148, 112), (170, 112), (159, 124)), blur=0.6)
    s.draw(line((70, 46, 40), 2, (159, 124), (159, 132), (146, 138)),
           line((70, 46, 40), 2, (159, 132), (172, 138)))
    for y in (118, 126, 134):
        s.draw(line((240, 236, 228), 1, (136, 124), (66, y - 6)),
               line((240, 236, 228), 1, (182, 124), (252, y - 6)))
    s.draw(oval(132, 225, 22, 14, pale), oval(186, 225, 22, 14, pale), blur=1, rough=8)
    s.save("cat.jpg")


def ship():
    s = Scene(2, (150, 186, 222), (214, 226, 234))
    s.draw(oval(60, 46, 60, 14, (244, 246, 248)), oval(250, 66, 70, 12, (240, 243, 246)), blur=7)
    s.draw(polygon((44, 84, 116), (0, 146), (320, 146), (320, 240), (0, 240)), rough=12)
    for i in range(60):
        x, y = s.random.uniform(0, 320), 150 + 88 * s.random.uniform(0, 1) ** 1.5
        s.draw(line((116, 152, 176), 1.2, (x, y), (x + 8 + (y - 140) / 6, y + 1)))
    s.draw(polygon((40, 46, 58), (26, 128), (300, 122), (276, 168), (52, 170)), rough=5)
    s.draw(polygon((146, 46, 40), (48, 160), (283, 156), (276, 170), (54, 172)), rough=5)
    s.draw(polygon((236, 236, 232), (72, 128), (78, 98), (206, 96), (206, 126)),
           polygon((226, 227, 226), (92, 98), (96, 76), (176, 75), (178, 97)),
           polygon((238, 238, 236), (110, 76), (112, 60), (150, 60), (152, 76)), rough=4)
    s.draw(polygon((198, 76, 44), (156, 76), (160, 40), (182, 40), (182, 76)),
           polygon((30, 30, 34), (159, 48), (160, 40), (182, 40), (182, 48)))
    for x in range(86, 200, 12):
        s.draw(oval(x, 110, 3, 3, (50, 66, 84)))
    for x in range(102, 172, 11):
        s.draw(polygon((60, 76, 94), (x, 84), (x + 6, 84), (x + 6, 90), (x, 90)))
    s.draw(line((90, 90, 94), 2.5, (240, 124), (240, 56)), line((90, 90, 94), 1.5, (240, 62), (284, 118)),
           line((90, 90, 94), 1.5, (240, 62), (208, 96)))
    s.draw(line((222, 234, 240), 4, (30, 171), (120, 174), (210, 172), (296, 166)), blur=1.5)
    s.save("ship.jpg")


def airplane():
    s = Scene(3, (92, 146, 206), (190, 214, 234))
    for x, y, rx, ry in ((70, 200, 90, 18), (250, 216, 90, 20), (270, 40, 60, 10)):
        s.draw(oval(x, y, rx, ry, (238, 242, 247)), blur=9)
    body, shade, edge = (234, 236, 240), (164, 172, 184), (70, 82, 104)
    s.draw(polygon(shade, (150, 112), (206, 40), (226, 40), (196, 114)), rough=3)
    s.draw(polygon(body, (40, 66), (58, 64), (84, 108), (52, 112)), blur=0.5)
    s.draw(polygon((38, 74, 142), (42, 70), (57, 68), (74, 98), (56, 102)), blur=0.5)
    s.draw(polygon(body, (36, 116), (70, 100), (240, 98), (272, 104), (292, 116), (286, 126),
                   (262, 132), (90, 132), (52, 124)), blur=0.8, rough=3)
    s.draw(polygon(shade, (60, 124), (284, 124), (262, 133), (90, 133)), blur=2)
    s.draw(polygon(shade, (30, 132), (44, 132), (92, 120), (70, 114)), rough=3)
    s.draw(polygon((198, 204, 214), (134, 126), (186, 124), (126, 196), (104, 198)), rough=3)
    for x, y in ((140, 156), (182, 84)):
        s.draw(oval(x, y, 17, 7, (120, 128, 142)), oval(x + 13, y, 4, 6, (44, 50, 62)))
    for x in range(92, 258, 9):
        s.draw(oval(x, 111, 2, 2.4, edge))
    s.draw(polygon(edge, (270, 106), (283, 111), (276, 114), (266, 112)))
    s.save("airplane.jpg")


def wheel(s, x, y, r):
    s.draw(oval(x, y, r, r, (24, 24, 26)), oval(x, y, r * 0.58, r * 0.58, (168, 170, 174)),
           oval(x, y, r * 0.22, r * 0.22, (70, 72, 76)), rough=4)


def road(s, top):
    s.draw(polygon((108, 132, 84), (0, top - 22), (320, top - 26), (320, top + 4), (0, top + 4)),
           blur=3, rough=16)
    s.draw(polygon((106, 106, 110), (0, top), (320, top), (320, 240), (0, 240)), rough=7)


def automobile():
    s = Scene(4, (196, 212, 226), (220, 224, 224))
    road(s, 158)
    s.draw(oval(160, 206, 140, 12, (48, 48, 52)), blur=5)
    red, deep, glass = (190, 30, 34), (132, 18, 24), (58, 74, 92)
    s.draw(polygon(red, (22, 186), (24, 146), (62, 132), (96, 130), (128, 90), (150, 84), (212, 84),
                   (232, 90), (262, 128), (292, 138), (302, 158), (300, 190), (26, 192)),
           blur=1, rough=4)
    s.draw(polygon(deep, (22, 172), (302, 172), (300, 191), (26, 193)), blur=2)
    s.draw(polygon(glass, (108, 128), (134, 96), (170, 92), (170, 128)),
           polygon(glass, (178, 128), (178, 92), (208, 92), (224, 98), (246, 128)), blur=0.6)
    s.draw(polygon((150, 172, 190), (120, 122), (138, 99), (146, 98), (132, 122)), blur=1.5)
    s.draw(line(deep, 1.5, (174, 92), (174, 180)), line((236, 150, 150), 2, (28, 148), (292, 146)), blur=0.6)
    s.draw(oval(36, 152, 9, 6, (250, 244, 214)), oval(295, 154, 6, 8, (255, 120, 60)))
    for x in (82, 242):
        s.draw(oval(x, 188, 31, 31, (38, 12, 14)))
        wheel(s, x, 192, 26)
    s.save("automobile.jpg")


def truck():
    s = Scene(5, (168, 198, 226), (222, 226, 228))
    road(s, 176)
    s.draw(oval(160, 216, 150, 10, (46, 46, 50)), blur=5)
    box, cab = (232, 230, 222), (34, 84, 160)
    s.draw(polygon(box, (84, 38), (308, 38), (308, 180), (84, 180)), rough=4)
    s.draw(polygon((196, 194, 188), (84, 150), (308, 150), (308, 180), (84, 180)), blur=3)
    for x in range(104, 308, 22):
        s.draw(line((206, 204, 196), 1.2, (x, 40), (x, 178)))
    s.draw(polygon((200, 60, 40), (84, 100), (308, 100), (308, 118), (84, 118)))
    s.draw(polygon(cab, (12, 192), (14, 134), (30, 84), (44, 76), (82, 76), (82, 192)), blur=0.8, rough=4)
    s.draw(polygon((56, 72, 90), (24, 130), (38, 90), (70, 88), (70, 130)), blur=0.6)
    s.draw(polygon((30, 30, 34), (10, 186), (310, 184), (310, 200), (10, 202)), rough=3)
    s.draw(oval(20, 170, 7, 7, (250, 244, 210)), line((210, 214, 220), 4, (10, 190), (80, 190)))
    for x in (52, 226, 278):
        wheel(s, x, 202, 23)
    s.save("truck.jpg")


def horse():
    s = Scene(6, (176, 202, 226), (206, 218, 216))
    s.draw(polygon((88, 116, 64), (0, 112), (60, 100), (140, 110), (240, 98), (320, 108), (320, 150),
                   (0, 150)), blur=5, rough=18)
    s.draw(polygon((118, 148, 72), (0, 136), (320, 136), (320, 240), (0, 240)), rough=16)
    s.draw(oval(160, 218, 104, 9, (70, 92, 44)), blur=5)
    coat, far, mane = (126, 70, 36), (92, 48, 24), (40, 24, 16)
    s.draw(line(far, 13, (112, 144), (104, 182), (108, 216)), line(far, 13, (206, 144), (216, 180),
           (208, 216)), blur=0.8, rough=6)
    s.draw(line(mane, 15, (82, 98), (64, 122), (60, 172)), blur=2.5, rough=8)
    s.draw(oval(150, 116, 74, 37, coat), oval(100, 112, 30, 34, coat), oval(208, 110, 30, 34, coat),
           polygon(coat, (190, 92), (228, 44), (256, 52), (238, 122), (208, 136)),
           polygon(coat, (226, 46), (240, 30), (264, 36), (292, 72), (288, 86), (272, 86), (248, 66)),
           polygon(coat, (236, 36), (242, 18), (252, 34)), blur=1.2, rough=12)
    s.draw(oval(150, 88, 50, 9, (164, 102, 60)), blur=5)
    s.draw(line(coat, 15, (96, 132), (88, 176), (92, 216)), line(coat, 15, (218, 132), (228, 176),
           (224, 216)), blur=0.8, rough=8)
    s.draw(line(mane, 12, (238, 28), (218, 50), (202, 78), (188, 92)), blur=2, rough=10)
    for x in (92, 108, 208, 224):
        s.draw(polygon(mane, (x - 8, 210), (x + 7, 210), (x + 10, 220), (x - 10, 220)))
    s.draw(oval(256, 48, 3, 3, (12, 8, 6)), oval(284, 78, 2, 2.5, (30, 16, 10)))
    s.save("horse.jpg")


def parachute():
    s = Scene(7, (64, 118, 196), (158, 196, 232))
    for x, y, r in ((60, 196, 46), (118, 214, 40), (262, 206, 52), (300, 40, 30)):
        s.draw(oval(x, y, r * 1.6, r * 0.5, (226, 236, 246)), blur=12, rough=6)
    stripes = ((206, 40, 36), (246, 246, 240), (28, 60, 150), (246, 196, 40))
    for i in range(8):
        x = 84 + 19 * i
        s.draw(polygon(stripes[i % 4], *((160 + (x - 160) * w, 118 - h) for w, h in (
            (1, 0), (0.96, 34), (0.78, 62), (0.4, 80))), *((160 + (x + 19 - 160) * w, 118 - h) for w, h in (
                (0.4, 80), (0.78, 62), (0.96, 34), (1, 0)))), blur=0.8, rough=5)
        s.draw(oval(x + 9.5, 118, 9.5, 5, (96, 140, 206)), blur=1)
    for x in range(84, 240, 19):
        s.draw(line((52, 56, 70), 0.7, (x, 118), (160, 196)))
    s.draw(oval(160, 198, 5, 5, (206, 160, 130)), line((44, 48, 60), 9, (160, 204), (160, 220)),
           line((44, 48, 60), 4, (158, 218), (153, 234)), line((44, 48, 60), 4, (162, 218), (168, 233)), blur=0.6)
    s.save("parachute.jpg")


def golf_ball():
    s = Scene(8, (58, 104, 44), (92, 142, 58))
    for _ in range(1400):
        x, y = s.random.uniform(0, 320), s.random.uniform(-20, 250)
        shade = s.random.uniform(0.7, 1.25)
        green = tuple(int(c * shade) for c in (84, 140, 52))
        s.draw(line(green, 1.4, (x, y), (x + s.random.uniform(-5, 5), y - s.random.uniform(6, 14))))
    s.draw(oval(172, 196, 88, 18, (36, 66, 28)), blur=6)
    s.draw(oval(160, 116, 84, 84, (236, 236, 232)), blur=1)
    s.draw(oval(136, 84, 40, 36, (252, 252, 250)), blur=16)
    for row in range(-8, 9):
        for column in range(-9, 10):
            u, v = column * 0.115 + (row % 2) * 0.0575, row * 0.105
            if u * u + v * v > 0.9:
                continue
            depth = (1 - u * u - v * v) ** 0.5
            x, y = 160 + 84 * u, 116 + 84 * v
            s.draw(oval(x + 0.6, y + 0.8, 3.9 * (0.45 + 0.55 * depth), 3.7 * (0.45 + 0.55 * depth), (196, 198, 196)),
                   oval(x + 1.2, y + 1.4, 2.6 * depth + 0.4, 2.4 * depth + 0.4, (222, 222, 220)), blur=0.7)
    s.draw(oval(194, 160, 46, 36, (150, 156, 150)), blur=22)
    s.save("golf-ball.jpg")


if __name__ == "__main__":
    for scene in (cat, ship, airplane, automobile, truck, horse, parachute, golf_ball):
        scene()
