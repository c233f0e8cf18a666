"""Loss curves as SVG text that goes inside an HTML page: the same bytes for the same numbers, colours by the page.

matplotlib (`samebits[report]`) is imported when a plot is drawn. Its colours are placeholders that become CSS
variables, so that one drawing serves light, dark and paper.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from samebits.errors import MissingExtraError

N_CURVE_STYLES = 8
# Sizes in inches of 72 SVG points: small enough to stay legible when a phone shrinks the drawing to its width.
WIDTH_INCHES, HEIGHT_INCHES = 5.6, 3.1
WIDE_RATIO = 1e3
SHOWN_MAGNITUDES = 1e12
# matplotlib's margins overflow beyond; no loss that means anything lies there.
DRAWN_LIMIT = 1e250
_INK, _GRID = "#000001", "#000002"
_CURVES = tuple(f"#0000{number:x}0" for number in range(1, N_CURVE_STYLES + 1))
DASHES: tuple[tuple[int, ...], ...] = ((), (6, 3), (2, 2), (8, 2, 2, 2), (4, 4), (1, 3), (10, 4), (6, 2, 1, 2))


def dash_of(index: int) -> tuple[int, ...]:
    """Return the dash pattern of a curve, in points; after every round of colours comes the next pattern."""
    return DASHES[(index + index // N_CURVE_STYLES) % N_CURVE_STYLES]


def draw_losses(curves: Sequence[Mapping[str, Any]], *, prefix: str) -> str:
    """Draw the loss of each step, one line per distinct curve.

    Args:
        curves: of the report's `loss_curves`, one recipe, the reference first.
        prefix: makes the ids of this drawing unique within its page.
    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    series = [[float.fromhex(loss) for loss in curve["losses_hex"]] for curve in curves]
    return _draw(series, y_label="loss", prefix=prefix)


def draw_loss_differences(
    curves: Sequence[Mapping[str, Any]], *, prefix: str, y_label: str = "loss - golden loss"
) -> str:
    """Draw each curve's loss minus that of the first curve, as `draw_losses` does."""
    series = [[float.fromhex(loss) for loss in curve["losses_hex"]] for curve in curves]
    differences = [[ours - golden for golden, ours in zip(series[0], curve, strict=False)] for curve in series]
    return _draw(differences, y_label=y_label, prefix=prefix)


def _draw(series: Sequence[Sequence[float]], *, y_label: str, prefix: str) -> str:
    # Without a home to write to, matplotlib warns and caches elsewhere: no matter of this report.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        raise MissingExtraError(
            "the report's plots need matplotlib", got=str(error), remedy="run `pip install 'samebits[report]'`"
        ) from error
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": "samebits", "svg.fonttype": "none", "font.size": 10})
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
        axes = figure.subplots()
        series = [[max(-DRAWN_LIMIT, min(DRAWN_LIMIT, value)) for value in values] for values in series]
        for index, values in enumerate(series):
            steps = range(1, len(values) + 1)
            dashes = dash_of(index)
            style: Any = (0, dashes) if dashes else "-"
            marker = "o" if len(values) == 1 else ""
            color = _CURVES[index % N_CURVE_STYLES]
            # The golden curve lies under the others as a broad band: where they cover it, both stay visible.
            axes.plot(steps, values, color=color, linestyle=style, marker=marker, linewidth=4 if index == 0 else 1.6)
        if _spans_magnitudes(series):
            sizes = [abs(value) for values in series for value in values if value]
            axes.set_yscale("symlog", linthresh=max(min(sizes), max(sizes) / SHOWN_MAGNITUDES))
        axes.set_xlabel("step", color=_INK)
        axes.set_ylabel(y_label, color=_INK)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(colors=_INK)
        axes.yaxis.get_offset_text().set_color(_INK)
        axes.grid(color=_GRID, linewidth=0.8)
        for spine in axes.spines.values():
            spine.set_visible(False)
        stream = io.StringIO()
        FigureCanvasSVG(figure).print_svg(stream, metadata={"Date": None})
    return _for_page(stream.getvalue(), prefix)


def _spans_magnitudes(series: Sequence[Sequence[float]]) -> bool:
    """Whether values below and above zero, or near and far from it, would flatten each other on a linear scale."""
    sizes = [abs(value) for values in series for value in values if value]
    has_zero = any(value == 0 for values in series for value in values)
    return bool(sizes) and has_zero and max(sizes) / min(sizes) > WIDE_RATIO


def _for_page(svg: str, prefix: str) -> str:
    """Cut the drawing down to its element, take its colours from the page, and make its ids its own."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"\s*<metadata>.*?</metadata>|<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'^<svg[^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true" focusable="false">', svg)
    svg = re.sub(r'<g id="patch_\d+">\s*<path[^>]*style="fill: #ffffff[^"]*"\s*/>\s*</g>', "", svg)
    svg = re.sub(r'(id="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    for number, color in enumerate(_CURVES):
        svg = svg.replace(color, f"var(--curve-{number})")
    return svg
