"""UDP through the tunnel: the highest rate without loss, and the hub's CPU time for a packet."""

from net import SERVER, SERVER_ADDRESS, cpu_seconds
from netns import LabError, wait_until
from programs import helper

PORT = 5999
SIZES = {"udp64": 64, "udp1400": 1400 - 28}     # payloads; 1400 is the size of the inner packet
LOSS_MAX = 0.001
STEPS, CLOSE_ENOUGH = 7, 1.05
HICCUP_LOSS = 0.01
FIXED_RATE = 30000
BURST_MAX, BURST_S = 64, 0.0005                 # a paced sender wakes this often
TRIAL_S = 0.7


def send(net, payload, down, rate, burst, seconds):
    """One trial: {"sent", "received", "rate" sent, "loss"}. The receiver's own drops count as
    received: they are no fault of the tunnel."""
    client = net.clients[0]
    source, sink, to = ((SERVER, client.ns, client.inside) if down
                        else (client.ns, SERVER, SERVER_ADDRESS))
    for name in ("udp-count", "udp-send"):
        net.forget(name)
    tool = helper("bench-udp")
    counter = net.start(sink, [tool, "count", PORT, payload, seconds + 5], "udp-count")
    wait_until(lambda: "ready" in net.text("udp-count"), 5, "the counter does not start")
    sender = net.start(source, [tool, "send", to, PORT, payload, seconds, rate, burst], "udp-send")
    if not sender.wait(seconds + 10) or not counter.wait(10):
        raise LabError("the UDP load does not end")
    try:
        sent, took = net.text("udp-send").split()
        received, dropped = net.text("udp-count").split()[1:]
    except ValueError:
        raise LabError(f"UDP load: {net.text('udp-send')} {net.text('udp-count')}") from None
    sent, took = int(sent), float(took)
    received = min(sent, int(received) + int(dropped))
    return {"sent": sent, "received": received, "rate": sent / took,
            "loss": 1 - received / sent if sent else 1.0}


def burst_for(rate):
    return max(1, min(BURST_MAX, int(rate * BURST_S)))


def lossless(net, payload, down):
    """Highest rate with loss below LOSS_MAX, packets a second. A trial that lost little has a second
    chance: a hiccup of the machine is not the tunnel's."""
    flood = send(net, payload, down, 0, BURST_MAX, TRIAL_S)
    if flood["loss"] < LOSS_MAX:
        return flood["rate"]
    low, high = 0.0, flood["rate"]
    rate = flood["rate"] * (1 - flood["loss"])  # what came through when it was flooded
    for _ in range(STEPS):
        for _chance in range(2):
            trial = send(net, payload, down, int(rate), burst_for(rate), TRIAL_S)
            if trial["loss"] < LOSS_MAX or trial["loss"] > HICCUP_LOSS:
                break
        if trial["loss"] < LOSS_MAX:
            low = max(low, trial["rate"])
        else:
            high = min(high, rate)
        if low and high / low < CLOSE_ENOUGH:
            break
        rate = (low + high) / 2
    return low


def cpu_per_packet(net, payload, down, burst, seconds):
    """Hub CPU in microseconds for a packet at FIXED_RATE, and what was lost, in percent."""
    before = cpu_seconds(net.hub)
    trial = send(net, payload, down, FIXED_RATE, burst, seconds)
    if not trial["received"]:
        raise LabError(f"of {trial['sent']} packets none arrived")
    return (cpu_seconds(net.hub) - before) * 1e6 / trial["received"], trial["loss"] * 100


def udp_group(net, seconds, down=False):
    figures, way = {}, "down" if down else "up"
    for key, payload in SIZES.items():
        figures[f"{key}_{way}.kpps"] = lossless(net, payload, down) / 1000
    for key, payload in SIZES.items():
        for name, burst in (("bursts", burst_for(FIXED_RATE)), ("singles", 1)):
            cost, loss = cpu_per_packet(net, payload, down, burst, seconds)
            figures[f"{key}_{way}.{name}_us"] = cost
            figures[f"{key}_{way}.{name}_loss"] = loss
    return figures


def udp_down_group(net, seconds):
    return udp_group(net, seconds, down=True)
