"""The chart is well-formed, complete and needs nothing from elsewhere."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[2] / "netns")]

import chart                                                        # noqa: E402
import figures                                                      # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def rows_of(*samples):
    return figures.summarize([{"layout": layout, "program": program, "run": n, "others": 0,
                               "figures": values}
                              for n, (layout, program, values) in enumerate(samples)], "ours")


def drawn(*samples, title="t"):
    return ElementTree.fromstring(chart.svg(rows_of(*samples), title, "s"))


def bars(tree):
    """Widths of the bars of each program's colour, the legend's squares left out."""
    found = {}
    for rect in tree.iter(SVG + "rect"):
        if rect.get("class", "").startswith("p") and rect.get("height") == str(chart.BAR_H):
            found.setdefault(rect.get("class"), []).append(float(rect.get("width")))
    return found


def test_bars_are_as_long_as_their_medians():
    tree = drawn(("open", "ours", {"tcp_up.gbps": 4}), ("open", "theirs", {"tcp_up.gbps": 1}))
    assert bars(tree) == {"p0": [chart.BARS_W], "p1": [chart.BARS_W / 4]}


def test_names_with_markup_do_not_break_it():
    tree = drawn(("open", "a<b>&\"c\"", {"tcp_up.gbps": 1}), title="<&>")
    texts = [t.text for t in tree.iter(SVG + "text")]
    assert 'a<b>&"c"' in texts and "<&>" in texts


def test_nothing_comes_from_elsewhere():
    text = chart.svg(rows_of(("open", "ours", {"tcp_up.gbps": 1})), "t", "s")
    assert not re.search(r"href|url\(|@import|<script|<image", text)
    assert re.findall(r"https?://\S+", text) == ['http://www.w3.org/2000/svg"']
    assert "prefers-color-scheme:dark" in text


def test_everything_lies_within_the_picture():
    many = [(layout, program, {f.key: 123456.0 for f in figures.FIGURES})
            for layout in ("open", "wire") for program in ("a", "b", "c")]
    tree = drawn(*many)
    height = float(tree.get("height"))
    for item in tree.iter():
        for y in ("y", "y1", "y2"):
            assert float(item.get(y) or 0) <= height
        if item.tag == SVG + "rect" and item.get("x"):
            assert float(item.get("x")) + float(item.get("width")) <= chart.WIDTH
    shown = sum(f.drawn for f in figures.FIGURES)
    assert {len(w) for w in bars(tree).values()} == {2 * shown}


def test_losses_stay_out_of_the_chart():
    assert bars(drawn(("open", "ours", {"udp64_up.bursts_loss": 1, "tcp_up.machine_s_per_gb": 1,
                                        "ping.p99_us": 1}))) == {"p0": [chart.BARS_W]}
