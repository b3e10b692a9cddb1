"""Parity plots of dgnn test."""

from dgnn.accuracy import QUANTITIES
from dgnn.cli_common import save_plot


def plot(points, errors, path):
    """One panel for each quantity: the model over the label, and how often they differ by how much."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [quantity for quantity in QUANTITIES if quantity.key in points.pairs and points.pairs[quantity.key].size]
    columns = max(1, min(3, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    figure = Figure(figsize=(4.6 * columns, 4.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figures, panels = errors.figures(), figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, quantity in zip(panels, shown, strict=False):
        panel(axes, quantity, points.pairs[quantity.key], figures)
    for axes in panels[len(shown):]:
        axes.set_axis_off()
    save_plot(figure, path)


def panel(axes, quantity, pairs, figures):
    label, model = pairs
    low, high = float(pairs.min()), float(pairs.max())
    margin = 0.03 * (high - low) or 1.0
    axes.plot([low - margin, high + margin], [low - margin, high + margin], color="0.6", linewidth=0.8, zorder=1)
    many = len(label) > 1000
    axes.scatter(label, model, s=4 if many else 14, alpha=0.5, linewidths=0, color="tab:blue", zorder=2, rasterized=many)
    axes.set(xlim=(low - margin, high + margin), ylim=(low - margin, high + margin), aspect="equal",
             xlabel=f"label: {quantity.title} ({quantity.unit})", ylabel=f"model ({quantity.unit})")
    axes.ticklabel_format(useOffset=False)
    axes.locator_params(nbins=5)
    axes.set_title(f"MAE {figures[f'mae_{quantity.key}']:.3g}, RMSE {figures[f'rmse_{quantity.key}']:.3g} {quantity.unit}",
                   fontsize=9)
    inset = axes.inset_axes((0.08, 0.66, 0.32, 0.26))
    inset.hist(model - label, bins=41, color="tab:blue")
    inset.set_yticks([])
    inset.tick_params(labelsize=6)
    inset.locator_params(axis="x", nbins=3)
    inset.set_title("model - label", fontsize=7)
