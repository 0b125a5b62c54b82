#!/usr/bin/python3
"""The lab by hand.

    ./dev lab up [--members N] [--clients N] [--vips N] [--advert S] [--json]
    ./dev lab down | status [--json]
    ./dev lab power-off M | power-on M | stop M | start M | kill-daemon M | freeze M | thaw M
    ./dev lab cut M wan|lan|sync | isolate M wan|lan|sync | heal M | block-vrrp M
"""

import argparse
import json
import sys
import time

import plan
from lab import Lab
from netns import LabError, require_root, stop_on_signals
from plan import SERVER_NS
from premises import BIN_DIR, Lock, remove_everything, say


def _command_up(args):
    started = time.monotonic()
    lab = Lab.up(args.members, args.clients, args.advert, args.unicast, kept=True,
                 log_level=args.log_level, say=say, vips=args.vips)
    say(f"up after {time.monotonic() - started:.1f} s")
    if args.json:
        print(json.dumps(lab.to_json(), indent=1))
    else:
        _print_summary(lab)
        print(f"""
Try:  ip netns exec {lab.clients[0].netns if lab.clients else SERVER_NS} ping {plan.SERVER[0]}
      ip netns exec {lab.members[0].netns} wg show {lab.members[0].hub_if}
      {BIN_DIR / 'guardmount'} -s {lab.members[0].control} status
      ./dev lab power-off {(lab.owner() or lab.members[0]).name}
End:  ./dev lab down""")


def _print_summary(lab):
    held = {v.name: lab.holders(v) for v in lab.vips}
    for m in lab.members:
        state = "off" if not m.powered else \
            "+".join(name for name, members in held.items() if m in members) or "standby"
        faults = "".join(f" [{' '.join(f)}]" for f in m.faults)
        print(f"{m.name:4} {state:8} netns {m.netns:8} daemon "
              f"{m.daemon.pid if m.daemon.alive() else 'down':>7} keepalived "
              f"{m.keepalived.pid if m.keepalived.alive() else 'down':>7}  log {m.log}{faults}")
    for c in lab.clients:
        print(f"{c.name:4} client   netns {c.netns:8} {c.wan_address} -> {c.endpoint}"
              f"{' psk' if c.with_psk else ''}  tunnel {', '.join(c.tunnel)}")
    print(f"server        netns {SERVER_NS:8} {', '.join(plan.SERVER)}")


def _command_status(args):
    lab = Lab.load()
    if args.json:
        print(json.dumps({**lab.to_json(), "owners": [m.name for m in lab.holders()]}, indent=1))
    else:
        _print_summary(lab)


def _locked(action):
    lock = Lock()
    lock.take(0, say)
    try:
        action()
    finally:
        lock.release()


def _fault_commands():
    def power_on(lab, m):
        lab.start_member(m)
    return {
        "power-off": Lab.power_cut, "power-on": power_on, "stop": Lab.stop_member,
        "start": power_on, "kill-daemon": Lab.kill_daemon, "freeze": Lab.freeze,
        "thaw": Lab.thaw, "heal": Lab.heal, "block-vrrp": Lab.block_vrrp,
    }


def main(argv):
    parser = argparse.ArgumentParser(prog="./dev lab", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="make it")
    up.add_argument("--members", type=int, default=2)
    up.add_argument("--clients", type=int, default=2)
    up.add_argument("--vips", type=int, default=1,
                    help="VIP groups; of several, each member is the owner of some")
    up.add_argument("--advert", type=float, default=0.1, metavar="S",
                    help="VRRP advert interval in seconds, 0.01 to 1 (default 0.1)")
    up.add_argument("--unicast", action="store_true", help="VRRP unicast instead of multicast")
    up.add_argument("--log-level", default="info", choices=["error", "warn", "info", "debug"])
    up.add_argument("--json", action="store_true")
    commands.add_parser("down", help="remove it, whatever is left of it")
    commands.add_parser("status").add_argument("--json", action="store_true")
    faults = _fault_commands()
    for name in faults:
        commands.add_parser(name).add_argument("member")
    for name in ("cut", "isolate"):
        p = commands.add_parser(name)
        p.add_argument("member")
        p.add_argument("lan", choices=plan.LANS)
    args = parser.parse_args(argv)
    stop_on_signals()
    try:
        require_root("the lab")
        if args.command == "up":
            _command_up(args)
        elif args.command == "down":
            _locked(remove_everything)
        elif args.command == "status":
            _command_status(args)
        else:
            def act():
                lab = Lab.load(say)
                m = lab.member(args.member)
                if args.command in faults:
                    faults[args.command](lab, m)
                else:
                    lab.cut(m, args.lan, silent=args.command == "isolate")
                lab._save()
            _locked(act)
    except LabError as e:
        print(f"lab: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
