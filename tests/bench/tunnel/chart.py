"""One SVG of a bench: a bar for each program in each row, medians with whiskers from the least to
the most sample. Self-contained, and readable on light and dark ground."""

from xml.sax.saxutils import escape

from figures import number

WIDTH, MARGIN, TEXT_W, VALUE_W = 1040, 24, 380, 160
BAR_H, BAR_GAP, ROW_GAP, HEAD_H = 11, 2, 12, 34
BARS_X = MARGIN + TEXT_W
BARS_W = WIDTH - BARS_X - VALUE_W - MARGIN

# (light, dark) for each program in its order; ours is the first.
COLORS = (("#1d5fd1", "#6ea8ff"), ("#b45309", "#f0a35e"), ("#57606a", "#9aa4af"),
          ("#0f766e", "#4fd1c5"), ("#7e3aa8", "#c99bee"), ("#a11d3f", "#f28ba6"))


def _style():
    light = "".join(f".p{n}{{fill:{c[0]}}}" for n, c in enumerate(COLORS))
    dark = "".join(f".p{n}{{fill:{c[1]}}}" for n, c in enumerate(COLORS))
    return ("<style>text{font:12px system-ui,sans-serif;fill:#1f2328}.ground{fill:#ffffff}"
            ".faint{fill:#57606a}.head{font-weight:600;font-size:14px}.whisker{stroke:#1f2328;"
            f"stroke-width:1}}{light}@media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}"
            f".ground{{fill:#0d1117}}.faint{{fill:#9aa4af}}.whisker{{stroke:#e6edf3}}{dark}}}"
            "</style>")


def _text(x, y, text, classes="", anchor="start"):
    return (f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"'
            + (f' class="{classes}"' if classes else "") + f">{escape(text)}</text>")


def _bar(y, color, stats, scale, value):
    length = max(1.0, stats["median"] * scale)
    least, most = (BARS_X + stats[k] * scale for k in ("least", "most"))
    middle = y + BAR_H / 2
    drawn = [f'<rect x="{BARS_X}" y="{y:g}" width="{length:.1f}" height="{BAR_H}" rx="2" '
             f'class="p{color}"/>']
    if stats["samples"] > 1:
        drawn.append(f'<line x1="{least:.1f}" y1="{middle:g}" x2="{most:.1f}" y2="{middle:g}" '
                     'class="whisker"/>')
    drawn.append(_text(max(BARS_X + length, most) + 6, y + BAR_H - 1, value, "faint"))
    return drawn


def _row(y, row, colors):
    """The lines of one figure and the y of the next one."""
    most = max(s["most"] for s in row["of"].values())
    scale = BARS_W / most if most > 0 else 0
    better = "more is better" if row["more_is_better"] else "less is better"
    drawn = [_text(BARS_X - 12, y + BAR_H - 1, row["title"], anchor="end"),
             _text(BARS_X - 12, y + 2 * BAR_H + 3, f"{row['unit']}, {better}", "faint", "end")]
    at = y
    for program, stats in row["of"].items():
        value = number(stats["median"])
        if program in row["ratio"]:
            value += f"  (ratio {row['ratio'][program]:.2f})"
        drawn += _bar(at, colors[program], stats, scale, value)
        at += BAR_H + BAR_GAP
    return drawn, max(at, y + 2 * BAR_H + 6) + ROW_GAP


def svg(rows, title, subtitle):
    """@rows: of figures.summarize(). Losses and machine figures stay in the table."""
    rows = [r for r in rows if r["drawn"]]
    programs = list(dict.fromkeys(p for row in rows for p in row["of"]))
    colors = {p: n % len(COLORS) for n, p in enumerate(programs)}
    drawn, y = [_text(MARGIN, 34, title, "head"), _text(MARGIN, 54, subtitle, "faint")], 80
    x = MARGIN
    for program in programs:
        drawn += [f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="2" '
                  f'class="p{colors[program]}"/>', _text(x + 18, y, program)]
        x += 40 + 8 * len(program)
    y += 12
    for layout in dict.fromkeys(row["layout"] for row in rows):
        y += HEAD_H
        drawn.append(_text(MARGIN, y - 12, layout, "head"))
        for row in rows:
            if row["layout"] == layout:
                more, y = _row(y, row, colors)
                drawn += more
    body = "\n".join(drawn)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + MARGIN:g}" '
            f'width="{WIDTH}" height="{y + MARGIN:g}" role="img">\n'
            f"<title>{escape(title)}</title>\n{_style()}\n"
            f'<rect class="ground" width="100%" height="100%"/>\n{body}\n</svg>\n')
