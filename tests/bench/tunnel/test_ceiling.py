"""The distance to the ceiling, from recorded medians."""

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[2] / "netns")]

import ceiling                                                      # noqa: E402
import figures                                                      # noqa: E402

AEAD = {"name": "test", "ns": {"1424": {"seal_single": 9e9, "open_single": 9e9,
                                        "seal_batch": 1368.0, "open_batch": 684.0}}}


def rows(values):
    return figures.summarize([{"layout": "open", "program": program, "run": 0, "others": 0,
                               "figures": figures_of} for program, figures_of in values.items()],
                             "ours")


def test_ratio_is_to_path_and_aead_of_that_direction():
    found = ceiling.rows(rows({
        "ours": {"tcp_up.hub_s_per_gb": 3.0, "tcp_down.hub_s_per_gb": 4.0},
        "no-crypto": {"tcp_up.hub_s_per_gb": 1.0, "tcp_down.hub_s_per_gb": 1.0}}), AEAD, "ours")
    up, down = found
    assert up["aead"] == pytest.approx(0.5) and up["ratio"] == pytest.approx(2.0)
    assert down["aead"] == pytest.approx(1.0) and down["ratio"] == pytest.approx(2.0)


def test_without_the_path_there_is_no_distance():
    table = rows({"ours": {"tcp_up.hub_s_per_gb": 3.0}, "theirs": {"tcp_up.hub_s_per_gb": 3.0}})
    assert ceiling.rows(table, AEAD, "ours") == []
