"""What is measured on tunnels that are up: TCP, latency, resident memory. UDP is in udp.py.

Each function returns {figure: value}; figures.py says what they mean. Up is from client to server
(the hub opens), down from server to client (the hub seals)."""

import json
import re
import time

import net as bench_net
from net import SERVER, SERVER_ADDRESS, cpu_seconds, memory_kib
from netns import LabError, run_in, wait_until

TCP_PORT = 5201
PING_COUNT, PING_INTERVAL_S = 1000, 0.002
_LOAD_MARGIN_S = 0.7            # of a load that another measurement needs around itself


def _iperf_start(net, streams, down, seconds):
    """Servers listen before clients start; returns the clients' (process, file name)."""
    for c in net.clients:
        net.start(SERVER, ["iperf3", "-s", "-1", "-p", TCP_PORT + c.number], f"iperf-s{c.number}")
    ports = {f":{TCP_PORT + c.number} " for c in net.clients}
    wait_until(lambda: all(p in run_in(SERVER, ["ss", "-Htln"]) for p in ports), 5,
               "iperf3 does not listen")
    started = []
    for c in net.clients:
        name = f"iperf-c{c.number}"
        net.forget(name)
        argv = ["iperf3", "-c", SERVER_ADDRESS, "-p", TCP_PORT + c.number, "-P", streams,
                "-t", seconds, "-J", *(["-R"] if down else [])]
        started.append((net.start(c.ns, argv, name), name))
    return started


def _iperf_result(net, process, name, seconds):
    """(bytes, bits per second) as the receiver saw them."""
    if not process.wait(seconds + 15):
        raise LabError("iperf3 does not end")
    try:
        end = json.loads(net.text(name))["end"]["sum_received"]
        return end["bytes"], end["bits_per_second"]
    except (ValueError, KeyError):
        raise LabError(f"iperf3 failed: {net.text(name)[-500:]}") from None


def tcp(net, key, streams, down, seconds):
    hub_before = cpu_seconds(net.hub)
    machine_before = bench_net.machine_busy_seconds()
    results = [_iperf_result(net, p, name, seconds)
               for p, name in _iperf_start(net, streams, down, seconds)]
    hub = cpu_seconds(net.hub) - hub_before
    machine = bench_net.machine_busy_seconds() - machine_before
    bench_net.require_alive(net.hub, "the hub")
    gigabytes = sum(n for n, _ in results) / 1e9
    if gigabytes <= 0:
        raise LabError("iperf3 carried nothing")
    return {f"{key}.gbps": sum(bps for _, bps in results) / 1e9,
            f"{key}.hub_s_per_gb": hub / gigabytes,
            f"{key}.machine_s_per_gb": machine / gigabytes}


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def ping(net, key, seconds, count=PING_COUNT):
    """Round trips in microseconds; what is lost within the time is counted, not waited for."""
    cpus = ",".join(map(str, net.layout.ping_cpus()))
    out = run_in(net.clients[0].ns, ["taskset", "-c", cpus, "ping", "-n", "-i", PING_INTERVAL_S,
                                     "-c", count, "-w", max(1, int(seconds)), SERVER_ADDRESS],
                 check=False, timeout=seconds + 10)
    times = [float(t) * 1000 for t in re.findall(r"time=([\d.]+) ms", out)]
    if len(times) < 20:
        raise LabError(f"ping got {len(times)} answers: {out[-300:]}")
    return {f"{key}.median_us": quantile(times, 0.5), f"{key}.p99_us": quantile(times, 0.99)}


def ping_under_streams(net, key, seconds):
    """While four TCP streams run upward."""
    length = seconds + 2 * _LOAD_MARGIN_S
    streams = _iperf_start(net, 4, False, int(length + 1))
    time.sleep(_LOAD_MARGIN_S)
    try:
        return ping(net, key, seconds)
    finally:
        for process, _ in streams:
            net.end(process)


def tcp_group(net, seconds):
    figures = {}
    for key, streams, down in (("tcp_up", 1, False), ("tcp_down", 1, True),
                               ("tcp4_up", 4, False), ("tcp4_down", 4, True)):
        figures.update(tcp(net, key, streams, down, seconds))
    # At its peak: memory that was taken and given back was needed all the same.
    figures["load.memory_mib"] = memory_kib(net.hub, "VmHWM") / 1024
    return figures


def ping_group(net, seconds):
    return {**ping(net, "ping", seconds),
            **ping_under_streams(net, "ping_loaded", seconds)}
