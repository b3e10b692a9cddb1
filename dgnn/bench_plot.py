"""A picture of where dgnn bench found the time."""

from dgnn import bench, cli_common


def draw(told, path):
    """told: as dgnn bench --json. Writes a PNG (or what the name's ending says)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    n = max(told["natoms"], 1)
    names = bench.shown_phases(told)
    times = [1e6 * told["seconds"][name] / n for name in names]
    products = [1e6 * told["flop"][name] / (1e9 * told["gemm_gflops"]) / n for name in names]
    figure, axis = pyplot.subplots(figsize=(8.0, 0.6 + 0.34 * len(names) + 0.9), layout="constrained")
    places = range(len(names), 0, -1)
    axis.barh(places, times, color="tab:blue", label="a call")
    if any(products):
        axis.barh(places, products, height=0.35, color="black",
                  label=f"its products at the matrix rate ({told['gemm_gflops']:.0f} GFLOP/s)")
    for place, time, product in zip(places, times, products, strict=True):
        axis.annotate(f" {time:.1f} ({100 * time / sum(times):.1f} %)", (max(time, product), place), va="center",
                      fontsize="small")
    axis.set_yticks(list(places), names)
    axis.set_xlim(right=1.25 * max(times))
    share = f", split share {told['split_share']:.2f}, needed share {told['needed_share']:.2f}" if told["split_share"] else ""
    ranks = f"{told['ranks']} ranks of " if told["ranks"] > 1 else ""
    axis.set(xlabel="µs/atom", title=f"{told['natoms']} atoms, {told['dtype']}, memory {told['memory']}, "
             f"{ranks}{told['threads']} thread(s), {told['instruction_set']}\n{1e3 * told['time_s'] / n:.3f} ms/atom{share}")
    axis.legend(fontsize="small", loc="upper right")
    cli_common.save_plot(figure, path)
    pyplot.close(figure)
