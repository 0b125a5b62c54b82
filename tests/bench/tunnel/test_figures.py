"""How samples become medians, ratios and a table."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[2] / "netns")]

import figures                                                      # noqa: E402
from netns import LabError                                          # noqa: E402
import programs                                                     # noqa: E402


def samples(program, values, others=0.0, layout="open", key="tcp_up.gbps"):
    return [{"layout": layout, "program": program, "run": n, "others": others,
             "figures": {key: v}} for n, v in enumerate(values)]


def only_row(records):
    [row] = figures.summarize(records, "ours")
    return row


def test_ratio_is_of_medians_ours_to_theirs():
    row = only_row(samples("ours", [2, 4, 30]) + samples("theirs", [2, 1, 2]))
    assert row["of"]["ours"] == {"median": 4, "least": 2, "most": 30, "samples": 3, "left_out": 0}
    assert row["ratio"] == {"theirs": 2}


def test_disturbed_samples_are_left_out_while_calm_ones_remain():
    row = only_row(samples("ours", [4]) + samples("ours", [9, 9], others=1.5)
                   + samples("theirs", [2], others=1.5))
    assert row["of"]["ours"]["median"] == 4 and row["of"]["ours"]["left_out"] == 2
    assert row["of"]["theirs"]["median"] == 2 and row["of"]["theirs"]["left_out"] == 0


def test_layouts_are_rows_of_their_own():
    rows = figures.summarize(samples("ours", [1]) + samples("ours", [2], layout="one-core"), "ours")
    assert [(r["layout"], r["of"]["ours"]["median"]) for r in rows] == [("open", 1),
                                                                      ("one-core", 2)]


def test_without_our_sample_there_is_no_ratio():
    assert only_row(samples("theirs", [1]) + samples("more", [2]))["ratio"] == {}


def test_ratio_to_nothing_is_left_out():
    assert only_row(samples("ours", [1]) + samples("theirs", [0]))["ratio"] == {}


def test_table_has_a_dash_where_a_program_has_no_sample():
    records = samples("ours", [1]) + samples("theirs", [2]) + samples("ours", [7], key="ping.p99_us")
    text = figures.table(figures.summarize(records, "ours"), "ours")
    line = next(t for t in text.splitlines() if t.startswith("ping"))
    assert line.split()[-2:] == ["-", "-"] and "7.00 [7.00..7.00]" in line


@pytest.mark.parametrize("value,text", [(0, "0"), (0.1234, "0.123"), (1.234, "1.23"),
                                        (56.78, "56.8"), (1234.5, "1 234")])
def test_numbers_have_three_digits_that_matter(value, text):
    assert figures.number(value) == text


def test_every_figure_has_one_meaning():
    assert len({f.key for f in figures.FIGURES}) == len(figures.FIGURES)


def test_a_program_is_named_or_takes_its_files_name():
    assert programs.parse("new=/bin/true -x") == programs.Program("new", ("/bin/true", "-x"))
    assert programs.parse("/bin/true", {"true"}).name == "true-2"
    assert programs.parse("/bin/true").argv("wg0") == ["/bin/true", "-f", "wg0"]
    for bad in ("", "x=", "/no/such/program"):
        with pytest.raises(LabError):
            programs.parse(bad)
