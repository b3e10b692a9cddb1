"""A picture of what dgnn parity found."""

import numpy as np

from dgnn import cli_common, cli_parity, parity


def draw(told, path):
    """told: what report() prints as JSON. path: a PNG (or what else its ending says)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    moving = any("md" in row for row in told["rows"])
    figure, axes = pyplot.subplots(1, 2 + moving, figsize=(5.2 * (2 + moving), 4.2), layout="constrained")
    labels = [f"{row['ranks']}\n{cli_parity.name_of(row['grid'])}" for row in told["rows"]]
    draw_differences(axes[0], told, labels)
    draw_times(axes[1], told, labels)
    if moving:
        draw_motion(axes[2], told)
    cli_common.save_plot(figure, path)
    pyplot.close(figure)


def logarithmic(axis, lowest, highest):
    """With room for a legend at the top. Differences of exactly 0 are drawn at the bottom, what is no number below the
    legend."""
    highest = min(max(lowest, highest), 1e10) if np.isfinite(highest) else 1e10
    axis.set_yscale("log")
    axis.set_ylim(lowest / 3, highest * 1e5)
    return lambda values: np.clip(np.nan_to_num(values, nan=highest), lowest, highest)


def draw_differences(axis, told, labels):
    largest = max(told["tolerance"], *(max(row["worst"].values()) for row in told["rows"]))
    drawn = logarithmic(axis, told["tolerance"] * 1e-7, largest)
    for place, (name, title) in enumerate(parity.PARTS.items()):
        values = [row["worst"].get(name) for row in told["rows"]]
        if None not in values:
            places = np.arange(len(values)) + 0.09 * (place - 2.5)
            axis.plot(places, drawn(values), "o", label=title, color=f"C{place}")
    axis.axhline(told["tolerance"], color="black", linestyle="--", label="tolerance")
    axis.set_xticks(range(len(labels)), labels)
    axis.set(xlabel="ranks, grid", ylabel="difference / largest component (or 1)",
             title="results, from one rank's (0: at the bottom)")
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.legend(fontsize="small", loc="upper right", ncols=3)


def draw_times(axis, told, labels):
    times = [row["time_s"] for row in told["rows"]]
    axis.bar(range(len(times)), times, width=0.6, color="tab:blue", alpha=0.7, label="a call (and efficiency)")
    axis.axhline(told["one_rank"]["time_s"], color="black", linestyle="--", label="one rank, no communicator")
    for place, row in enumerate(told["rows"]):
        axis.annotate(f"{100 * row['efficiency']:.0f} %", (place, row["time_s"]), xytext=(0, 4),
                      textcoords="offset points", ha="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})
    axis.set_xticks(range(len(labels)), labels)
    axis.set(xlabel="ranks, grid", ylabel="s", title="time and efficiency")
    axis.set_xlim(-0.5, len(labels) - 0.5)
    axis.set_ylim(top=1.3 * max(*times, told["one_rank"]["time_s"]))
    axis.legend(fontsize="small", loc="upper right")


def draw_motion(axis, told):
    columns = (("positions", "-", "Å"), ("energy_per_atom", ":", "eV/atom"))
    names = [prefix + key for prefix in ("", "twin_") for key, _, _ in columns]
    samples = [sample for row in told["rows"] for sample in row["md"]["samples"]]
    drawn = logarithmic(axis, 1e-17, np.max([[sample[name] for name in names] for sample in samples]))

    def line(row, prefix, title, **style):
        for key, dashes, unit in columns:
            values = [sample[prefix + key] for sample in row["md"]["samples"]]
            axis.plot([sample["step"] for sample in row["md"]["samples"]], drawn(values), dashes, label=f"{title}: {unit}",
                      **style)

    for place, row in enumerate(told["rows"]):
        line(row, "", cli_parity.case_of(row["ranks"], row["grid"]), color=f"C{place % 10}")
    line(told["rows"][0], "twin_", "one rank, a rounding away", color="black", linewidth=1)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(xlabel="step", ylabel="Å, eV/atom", title="trajectory, from one rank's (0: at the bottom)")
    axis.legend(fontsize="x-small", loc="upper left", ncols=2)
