"""Draws the figures of the first page of the documentation, for light and dark pages: what dgnn is, speed, ranks.

    python tools/figures.py           writes docs/figures/*.png

The numbers are those of the tables in docs/performance.md and docs/ranks.md, which `make bench` makes.
"""

import os
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "figures"
os.environ.setdefault("MATPLOTLIBRC", str(ROOT / "docs" / "matplotlibrc"))

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch

COLOURS = {"light": dict(text="#222222", line="#888888", box="#eef3f8", ours="#2b5c8a", theirs="#b0b0b0"),
           "dark": dict(text="#dddddd", line="#999999", box="#22303d", ours="#4f86b8", theirs="#777777")}
ALTERNATIVES = {"deepmd-kit 3.2.0, AOTInductor": r"AOTInductor: ([\d.]+) ms/atom",
                "deepmd-kit 3.2.0, TorchScript": r"best on\s+this kind of machine is ([\d.]+) ms/atom",
                "dgnn, memory=\"small\"": r"^\| small, float32, 1 thread: ms/atom \|[^|]*\| .*?([\d.]+) \(768\)",
                "dgnn": r"^\| fast, float32, 1 thread: ms/atom \|[^|]*\| .*?([\d.]+) \(768\)"}


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


def main():
    FOLDER.mkdir(exist_ok=True)
    for theme, colours in COLOURS.items():
        with plt.rc_context({"text.color": colours["text"], "axes.labelcolor": colours["text"], "xtick.color": colours["text"],
                             "ytick.color": colours["text"], "axes.edgecolor": colours["line"], "savefig.transparent": True}):
            for draw in (what, speed, ranks):
                figure = draw(colours)
                figure.savefig(FOLDER / f"{draw.__name__}_{theme}.png", dpi=140)
                plt.close(figure)


if __name__ == "__main__":
    main()
