"""Drawings: one element, the same bytes, legible at extremes."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from samebits.report.plots import N_CURVE_STYLES, dash_of, draw_loss_differences, draw_losses


def curve(*losses: float) -> dict[str, object]:
    return {"losses_hex": [loss.hex() for loss in losses]}


def test_a_home_that_takes_no_files_is_no_matter() -> None:
    program = "from samebits.report.plots import draw_losses; draw_losses([{'losses_hex': ['0x1p0']}], prefix='p')"
    environment = {**os.environ, "HOME": os.devnull, "USERPROFILE": os.devnull}
    for name in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    shown = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.parametrize(
    "curves",
    [
        [curve(4.0)],
        [curve(4.0, 3.0, 2.0), curve(4.0, 3.0, 2.0000001)],
        [curve(4.0, 3.0), curve(4.0, 3.0, 2.5)],
        [curve(1e-300, 1e300), curve(0.0, 0.0)],
        [curve(*([2.0 + n] * 3)) for n in range(20)],
    ],
)
def test_a_drawing_is_one_svg_element_and_repeats(curves: list[dict[str, object]]) -> None:
    for draw in (draw_losses, draw_loss_differences):
        svg = draw(curves, prefix="p")
        root = ET.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
        assert root.tag.endswith("svg")
        assert svg == draw(curves, prefix="p")
        assert "metadata" not in svg


def test_another_number_is_another_drawing() -> None:
    assert draw_losses([curve(1.0, 2.0, 3.0)], prefix="p") != draw_losses([curve(1.0, 2.5, 3.0)], prefix="p")


def test_small_differences_beside_large_ones_are_drawn_on_a_symmetric_log_scale() -> None:
    golden = curve(4.0, 4.0, 4.0)
    narrow = draw_loss_differences([golden, curve(4.0, 4.0 + 1e-7, 4.0)], prefix="p")
    wide = draw_loss_differences([golden, curve(4.0, 4.0 + 1e-7, 4.0), curve(4.0, 9.0, 9.0)], prefix="p")
    assert "10^" not in narrow
    assert "10^{" in wide or "baseline-shift" in wide or "tspan" in wide


def test_styles_of_the_first_two_rounds_are_all_different() -> None:
    styles = [(index % N_CURVE_STYLES, dash_of(index)) for index in range(2 * N_CURVE_STYLES)]
    assert len(set(styles)) == len(styles)


def test_a_difference_may_be_named_otherwise() -> None:
    svg = draw_loss_differences([curve(1.0, 2.0), curve(1.0, 2.5)], prefix="p", y_label="stock - portable")
    assert "stock - portable" in svg
    assert "golden loss" not in svg
