"""Draws figures of the documentation, for light and dark pages: what dgnn is, speed, ranks; and the rooms of its design.

    python tools/figures.py           writes docs/figures/*.png

The numbers are those of the tables in docs/performance.md and docs/ranks.md, which `make bench` makes. Lines between rooms are what
tools/check_includes.py holds the sources to.
"""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "figures"
os.environ.setdefault("MATPLOTLIBRC", str(ROOT / "docs" / "matplotlibrc"))

import matplotlib

matplotlib.use("Agg")
from check_includes import ROOMS
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch
from PIL import Image

COLOURS = {"light": dict(text="#222222", line="#888888", box="#eef3f8", ours="#2b5c8a", theirs="#b0b0b0"),
           "dark": dict(text="#dddddd", line="#999999", box="#22303d", ours="#4f86b8", theirs="#777777")}
ALTERNATIVES = {"deepmd-kit 3.2.0, AOTInductor": r"AOTInductor: ([\d.]+) ms/atom",
                "deepmd-kit 3.2.0, TorchScript": r"best on\s+this kind of machine is ([\d.]+) ms/atom",
                "dgnn, memory=\"small\"": r"^\| small, float32, 1 thread: ms/atom \|[^|]*\| .*?([\d.]+) \(768\)",
                "dgnn": r"^\| fast, float32, 1 thread: ms/atom \|[^|]*\| .*?([\d.]+) \(768\)"}


PLACES = {  # of each room: left end, right end, row from below
    "base": (0, 12, 0), "pickle": (0, 2.6, 1), "ops": (4.9, 7.7, 1), "io": (0, 2.6, 2), "cuda": (8.2, 9.7, 2), "geom": (9.8, 11.2, 2),
    "net/params": (2.9, 5.7, 3), "comm": (10.7, 12, 3), "net/parts": (2.9, 5.7, 4), "net/local": (1.45, 3.1, 5),
    "net/dpa2": (3.15, 4.9, 5), "net/dpa4c": (4.95, 6.9, 5), "net/dpa3": (6.95, 8.7, 5), "convert": (0, 2.6, 6),
    "net/energy": (2.9, 8.5, 6), "system": (9.2, 12, 6), "model": (0, 12, 7), "include": (0, 12, 8), "mpi": (0, 5.8, 9),
    "bind": (6.2, 12, 9)}


def speeds():
    """ms/atom of each row of the figure."""
    page = (ROOT / "docs" / "performance.md").read_text()
    return {name: float(re.search(pattern, page, re.M)[1]) for name, pattern in ALTERNATIVES.items()}


def traffic():
    """[(ranks, kB of a step, kB of a rebuild)] of the table in docs/ranks.md."""
    page = (ROOT / "docs" / "ranks.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([\d.]+) \| [\d.]+ \| ([\d.]+) \|", page, re.M)
    return [(int(ranks), float(step), float(rebuild)) for ranks, step, rebuild in rows]


def box(axes, x, y, width, height, title, text, colours, strong=False):
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.02,rounding_size=0.12", linewidth=1.2,
                                  facecolor=colours["ours"] if strong else colours["box"], edgecolor=colours["ours"]))
    colour = "white" if strong else colours["text"]
    axes.text(x + width / 2, y + height - 0.30, title, ha="center", va="center", fontsize=10.5, fontweight="bold", color=colour)
    axes.text(x + width / 2, y + (height - 0.45) / 2, text, ha="center", va="center", fontsize=8.5, color=colour, linespacing=1.5)


def what(colours):
    figure, axes = plt.subplots(figsize=(7.4, 2.9))
    axes.set(xlim=(0, 10.2), ylim=(0, 4.1))
    axes.axis("off")
    box(axes, 0.1, 0.8, 2.6, 2.5, "a model", "checkpoint .pt\n.pth  .pt2  .pte\n.dp  .yaml  .hlo\nDPA3  DPA2  DPA4C\nspins  se_*  hybrids", colours)
    box(axes, 3.75, 0.8, 2.7, 2.5, "dgnn", "a core in C,\nno torch\ndeepmd-kit's numbers\none rank or\nthousands", colours, True)
    box(axes, 7.5, 0.1, 2.6, 3.9, "your program", "Python and ASE\nLAMMPS\ni-PI\nC and C++\nthe command line\n\nenergies, forces, virials\nmagnetic forces, dipoles\nHessians, descriptors", colours)
    for x in (2.75, 6.5):
        axes.annotate("", (x + 0.95, 2.05), (x, 2.05), arrowprops=dict(arrowstyle="-|>", color=colours["line"], lw=1.6))
    return figure


def speed(colours):
    rows = speeds()
    figure, axes = plt.subplots(figsize=(6.4, 2.2))
    values = list(rows.values())
    axes.barh(list(rows), values, color=[colours["ours"] if name.startswith("dgnn") else colours["theirs"] for name in rows])
    for place, value in enumerate(values):
        axes.text(value + 0.2, place, f"{value:g}", va="center", color=colours["text"], fontsize=9)
    axes.set(xlabel="ms per atom, float32, one thread", xlim=(0, 1.12 * max(values)))
    axes.grid(axis="y", visible=False)
    return figure


def ranks(colours):
    rows = traffic()
    figure, axes = plt.subplots(figsize=(6.4, 2.4))
    for column, style, name in ((1, "o-", "in a step"), (2, "s--", "where lists are made anew")):
        axes.semilogx([row[0] for row in rows], [row[column] for row in rows], style, base=2, label=name,
                      color=colours["ours"] if column == 1 else colours["line"])
    axes.set(xticks=[row[0] for row in rows], xticklabels=[str(row[0]) for row in rows], ylim=(0, 40), xlabel="ranks, 16 atoms on each",
             ylabel="kB that a rank sends")
    axes.minorticks_off()
    axes.legend(labelcolor=colours["text"])
    return figure


def shown_includes():
    """(room, room below that it includes), without those that another included room includes as well."""
    below = {room: others or {"include"} for room, others in ROOMS.items() if room != "base"} | {"include": {"model"}}
    return [(room, other) for room, others in below.items() for other in others
            if not any(other in below.get(between, ()) for between in others)]


def rooms(colours):
    figure, axes = plt.subplots(figsize=(5.0, 5.6))
    axes.set(xlim=(-0.2, 12.2), ylim=(-0.2, 9.8))
    axes.axis("off")
    middle = {room: (left + right) / 2 for room, (left, right, _) in PLACES.items()}
    wide = {room for room, (left, right, _) in PLACES.items() if right - left > 4}  # lines meet these straight above or below
    for pair in shown_includes():
        place = [middle[other if room in wide and other not in wide else room] for room, other in (pair, pair[::-1])]
        if pair[0] == "net/energy":
            place[0] = min(max(place[1], PLACES[pair[0]][0] + 0.3), PLACES[pair[0]][1] - 0.3)
        axes.plot(place, (PLACES[pair[0]][2], PLACES[pair[1]][2] + 0.6), color=colours["line"], lw=1.1, zorder=0)
    for room, (left, right, row) in PLACES.items():
        strong = room in ("include", "model")
        axes.add_patch(FancyBboxPatch((left + 0.05, row), right - left - 0.1, 0.6, boxstyle="round,pad=0.02,rounding_size=0.1",
                                      linewidth=1.1, facecolor=colours["ours"] if strong else colours["box"], edgecolor=colours["ours"]))
        axes.text(middle[room], row + 0.29, room, ha="center", va="center", fontsize=9.5, color="white" if strong else colours["text"])
    return figure


def main():
    FOLDER.mkdir(exist_ok=True)
    for theme, colours in COLOURS.items():
        with plt.rc_context({"text.color": colours["text"], "axes.labelcolor": colours["text"], "xtick.color": colours["text"],
                             "ytick.color": colours["text"], "axes.edgecolor": colours["line"], "savefig.transparent": True}):
            for draw in (what, speed, ranks, rooms):
                figure = draw(colours)
                path = FOLDER / f"{draw.__name__}_{theme}.png"
                figure.savefig(path, dpi=140)
                plt.close(figure)
                with Image.open(path) as image:  # lines and labels need no more colours
                    small = image.quantize(96)
                small.save(path, optimize=True)


if __name__ == "__main__":
    main()
