"""What the figures are, their statistics, and the table.

A record is one sample: {"layout", "program", "run", "figures": {key: value}, "others": cores}."""

import statistics
from dataclasses import dataclass

DISTURBED_CORES = 0.3           # used by others just before: the sample is marked


@dataclass(frozen=True)
class Figure:
    key: str
    title: str
    unit: str
    more_is_better: bool = False
    drawn: bool = True              # in the chart, too


_TCP = (("tcp_up", "TCP, 1 stream up"), ("tcp_down", "TCP, 1 stream down"),
        ("tcp4_up", "TCP, 4 streams up"), ("tcp4_down", "TCP, 4 streams down"))
_UDP = tuple((f"udp{size}_{way}", f"UDP, {text}, {way}") for way in ("up", "down")
             for size, text in ((64, "64 B payload"), (1400, "1400 B packets")))

FIGURES = (
    *(Figure(f"{key}.gbps", title, "Gbit/s", True) for key, title in _TCP),
    *(Figure(f"{key}.hub_s_per_gb", f"{title}: hub CPU", "s/GB") for key, title in _TCP),
    *(Figure(f"{key}.machine_s_per_gb", f"{title}: machine CPU", "s/GB", drawn=False) for key, title in _TCP),
    Figure("ping.median_us", "ping, idle, median", "us"),
    Figure("ping.p99_us", "ping, idle, p99", "us"),
    Figure("ping_loaded.median_us", "ping under 4 streams, median", "us"),
    Figure("ping_loaded.p99_us", "ping under 4 streams, p99", "us"),
    *(Figure(f"{key}.kpps", f"{title}: without loss", "1000/s", True) for key, title in _UDP),
    *(Figure(f"{key}.{how}_{unit}", f"{title}: {text} of {how} at 30 000/s", measure,
             drawn=unit != "loss")
      for key, title in _UDP for how in ("bursts", "singles")
      for unit, text, measure in (("us", "hub CPU", "us/packet"), ("loss", "loss", "%"))),
    Figure("load.memory_mib", "hub memory at its peak under load", "MiB"),
    Figure("handshake.rate", "handshakes, 64 in flight", "1/s", True),
    Figure("handshake.hub_us", "handshake: hub CPU", "us"),
    Figure("handshake.median_us", "handshake, 64 in flight: time to the answer", "us"),
    Figure("handshake.lost", "handshakes that were not answered", "", drawn=False),
    *(Figure(f"storm{rate}.{key}", f"storm of {rate} handshakes/s: {text}", unit, drawn=drawn)
      for rate in (0, 500, 1000, 2000, 4000)
      for key, text, unit, drawn in (("median_us", "ping median", "us", False),
                                     ("p99_us", "ping p99", "us", True),
                                     ("answered", "answered", "%", False))),
    *(Figure(f"storm_core.{key}", f"storm of a core's worth of handshakes: {text}", unit,
             drawn=key == "p99_us")
      for key, text, unit in (("rate", "rate", "1/s"), ("median_us", "ping median", "us"),
                              ("p99_us", "ping p99", "us"), ("times", "ping p99, to the calm's", "x"),
                              ("answered", "answered", "%"))),
    *(Figure(f"memory.{n}_mib", f"hub memory with {n:,} peers".replace(",", " "), "MiB")
      for n in (1, 1000, 50000, 100000)),
    Figure("memory.peer_bytes", "hub memory for one more peer", "B"),
    Figure("memory.configure_us", "wg addconf of one more peer", "us"),
)


def summarize(records, ours):
    """Rows in the order of FIGURES for each layout: {"layout", "figure", "of": {program: stats}}.

    Samples taken while others used the machine count only where there are no others."""
    rows = []
    for layout in dict.fromkeys(r["layout"] for r in records):
        mine = [r for r in records if r["layout"] == layout]
        programs = list(dict.fromkeys(r["program"] for r in mine))
        for figure in FIGURES:
            of = {}
            for program in programs:
                seen = [r for r in mine if r["program"] == program and figure.key in r["figures"]]
                calm = [r for r in seen if r["others"] <= DISTURBED_CORES] or seen
                values = [r["figures"][figure.key] for r in calm]
                if values:
                    of[program] = {"median": statistics.median(values), "least": min(values),
                                   "most": max(values), "samples": len(values),
                                   "left_out": len(seen) - len(calm)}
            if of:
                rows.append({"layout": layout, "key": figure.key, "title": figure.title,
                             "unit": figure.unit, "more_is_better": figure.more_is_better,
                             "drawn": figure.drawn, "of": of, "ratio": ratios(of, ours)})
    return rows


def ratios(of, ours):
    """Of our median to each other program's."""
    return {name: of[ours]["median"] / theirs["median"] for name, theirs in of.items()
            if ours in of and name != ours and theirs["median"] > 0}


def number(value):
    """Three digits that matter."""
    if value == 0:
        return "0"
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if abs(value) < 1:
        digits = 3
    return f"{value:,.{digits}f}".replace(",", " ")


def cell(stats):
    return (f"{number(stats['median'])} "
            f"[{number(stats['least'])}..{number(stats['most'])}]"
            + (f" -{stats['left_out']}" if stats["left_out"] else ""))


def table(rows, ours):
    """As text: medians, [least..most], samples left out, ratios of ours to the others."""
    programs = list(dict.fromkeys(p for row in rows for p in row["of"]))
    others = [p for p in programs if p != ours]
    lines = []
    for layout in dict.fromkeys(row["layout"] for row in rows):
        mine = [row for row in rows if row["layout"] == layout]
        body = []
        for row in mine:
            body.append([f"{row['title']}" + (f" ({row['unit']})" if row["unit"] else ""),
                         *(cell(row["of"][p]) if p in row["of"] else "-" for p in programs),
                         *(f"{row['ratio'][p]:.2f}" if p in row["ratio"] else "-"
                           for p in others)])
        head = [layout, *programs, *(f"/ {p}" for p in others)]
        widths = [max(len(line[n]) for line in [head, *body]) for n in range(len(head))]
        for line in [head, *body]:
            lines.append("  ".join([line[0].ljust(widths[0]),
                                    *(text.rjust(w) for text, w in zip(line[1:], widths[1:]))]))
        lines.append("")
    return "\n".join(lines)
