"""A picture of what dgnn parity found."""

from dgnn import parity


def draw(told, path):
    """told: as dgnn parity --json. Writes a PNG (or what the name's ending says)."""
    try:
        import matplotlib
    except ImportError:
        from dgnn.cli import UsageError

        raise UsageError("--plot needs matplotlib: pip install 'dgnn[plot]'") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    moving = any("md" in row for row in told["rows"])
    figure, axes = pyplot.subplots(1, 2 + moving, figsize=(5.2 * (2 + moving), 4.2), layout="constrained")
    labels = [f"{row['ranks']}\n{'x'.join(map(str, row['grid'])) if row['grid'] else 'auto'}" for row in told["rows"]]
    draw_differences(axes[0], told, labels)
    draw_times(axes[1], told, labels)
    if moving:
        draw_motion(axes[2], told)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def draw_differences(axis, told, labels):
    floor = told["tolerance"] * 1e-8  # where a difference of exactly 0 is drawn
    for name, title in parity.PARTS.items():
        values = [row["worst"].get(name) for row in told["rows"]]
        if None not in values:
            axis.semilogy([max(value, floor) for value in values], "o-", label=title)
    axis.axhline(told["tolerance"], color="black", linestyle="--", label="tolerance")
    axis.set_xticks(range(len(labels)), labels)
    axis.set(xlabel="ranks, grid", ylabel="difference / largest component (or 1)", title="from one rank")
    axis.set_ylim(top=told["tolerance"] * 1e4)
    axis.legend(fontsize="small", loc="upper right", ncols=3)


def draw_times(axis, told, labels):
    times = [row["time_s"] for row in told["rows"]]
    axis.bar(range(len(times)), times, color="tab:blue", label="a call")
    axis.axhline(told["one_rank"]["time_s"], color="black", linestyle="--", label="one rank, no communicator")
    for place, row in enumerate(told["rows"]):
        axis.annotate(f"{100 * row['efficiency']:.0f} %", (place, row["time_s"]), ha="center", va="bottom")
    axis.set_xticks(range(len(labels)), labels)
    axis.set(xlabel="ranks, grid", ylabel="s", title="time and efficiency")
    axis.margins(y=0.12)
    axis.legend(fontsize="small")


def draw_motion(axis, told):
    for color, row in enumerate(told["rows"]):
        samples = row["md"]["samples"]
        steps = [sample["step"] for sample in samples]
        name = f"{row['ranks']} ranks" + (f", {'x'.join(map(str, row['grid']))}" if row["grid"] else "")
        for key, line, unit in (("positions", "-", "Å"), ("energy_per_atom", ":", "eV/atom")):
            values = [max(sample[key], 1e-18) for sample in samples]
            axis.semilogy(steps, values, line, color=f"C{color % 10}", label=f"{name}: {unit}")
    axis.set(xlabel="step", ylabel="Å, eV/atom", title="from one rank's trajectory")
    axis.legend(fontsize="small")
