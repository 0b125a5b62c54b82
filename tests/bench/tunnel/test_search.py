"""What is measured, with a hub that is made up: the search for a rate without loss, steps of peers."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent),
                str(Path(__file__).resolve().parents[2] / "netns")]

import memory                                                       # noqa: E402
from netns import LabError                                          # noqa: E402
import udp                                                          # noqa: E402

SENDER_MAX = 2e6


def path_that_carries(most, hiccups=()):
    """A stand-in for udp.send(): loses what is above @most, and a little in trials of @hiccups."""
    trials = []

    def send(_net, _payload, _down, rate, burst, seconds):
        assert 1 <= burst <= udp.BURST_MAX
        sent_rate = rate or SENDER_MAX
        carried = min(sent_rate, most)
        if len(trials) in hiccups:
            carried = sent_rate * (1 - udp.HICCUP_LOSS / 2)
        trials.append(rate)
        return {"sent": int(sent_rate * seconds), "received": int(carried * seconds),
                "rate": sent_rate, "loss": 1 - carried / sent_rate}
    return send


@pytest.mark.parametrize("most", [20e3, 470e3, 1.9e6])
def test_the_rate_found_is_near_the_highest_that_is_carried(monkeypatch, most):
    monkeypatch.setattr(udp, "send", path_that_carries(most))
    found = udp.lossless(None, 64, False)
    assert found <= most * (1 + udp.LOSS_MAX) and found > most / 1.1


def test_a_path_faster_than_the_sender_shows_the_senders_rate(monkeypatch):
    monkeypatch.setattr(udp, "send", path_that_carries(5e6))
    assert udp.lossless(None, 64, False) == SENDER_MAX


def test_one_hiccup_does_not_halve_the_rate(monkeypatch):
    monkeypatch.setattr(udp, "send", path_that_carries(470e3, hiccups={1}))
    assert udp.lossless(None, 64, False) > 470e3 / 1.1


def hub_that_holds(monkeypatch, most, bytes_each):
    """A stand-in for Net whose hub refuses more than @most peers."""
    net = SimpleNamespace(hub=None, peers=0)

    def configure_hub(text):
        more = text.count("[Peer]")
        if net.peers + more > most:
            raise LabError("too many peers")
        net.peers += more
    net.configure_hub = configure_hub
    monkeypatch.setattr(memory, "memory_kib", lambda _hub: 5000 + net.peers * bytes_each / 1024)
    monkeypatch.setattr(memory, "require_alive", lambda *_: None)
    monkeypatch.setattr(memory, "_SETTLE_S", 0)
    return net


def test_memory_of_one_more_peer_is_the_slope(monkeypatch):
    figures = memory.memory_group(hub_that_holds(monkeypatch, 10**6, 2000), 1)
    assert figures["memory.peer_bytes"] == pytest.approx(2000)
    assert {f"memory.{n}_mib" for n in memory.COUNTS} <= set(figures)


def test_a_hub_that_refuses_the_last_step_has_the_figures_of_the_others(monkeypatch):
    figures = memory.memory_group(hub_that_holds(monkeypatch, 65536, 2000), 1)
    assert figures["memory.peer_bytes"] == pytest.approx(2000)
    assert "memory.50000_mib" in figures and "memory.100000_mib" not in figures


def test_a_hub_that_takes_hardly_any_peer_is_an_error(monkeypatch):
    with pytest.raises(LabError):
        memory.memory_group(hub_that_holds(monkeypatch, 500, 2000), 1)


def test_every_made_up_peer_has_its_own_key_and_address():
    text = memory._peers(0, 2000)
    lines = [line for line in text.splitlines() if line != "[Peer]"]
    assert len(set(lines)) == len(lines) == 4000
