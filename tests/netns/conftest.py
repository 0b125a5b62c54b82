"""Fixtures of the tests that need root and network namespaces. ./dev test runs those of the cluster
alone and in series: nothing may run beside them, they measure time."""

import os
import time

import pytest
from _pytest.runner import runtestprotocol

from audit import Audit
from lab import Lab
from netns import LabError, stop_on_signals
from premises import say
from stalls import StallMeter

CLUSTER_CLIENTS = 6
LOCK_PATIENCE_S = 300
ATTEMPTS = 3                               # of a test during which the machine stood still


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also the tests that take minutes")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; only with --long")
    stop_on_signals()


def pytest_collection_modifyitems(config, items):
    for item in items:
        if "long" in item.keywords and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: ./dev test --long"))
        if os.geteuid() != 0 and "test_audit" not in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="needs root: network namespaces"))


def pytest_sessionstart(session):
    session.config.stall_meter = StallMeter()


def pytest_sessionfinish(session):
    session.config.stall_meter.stop()


def pytest_runtest_protocol(item, nextitem):
    """A test that failed while a CPU of the machine stood still is void, and made again."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(1, ATTEMPTS + 1):
        began = time.monotonic()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        if attempt == ATTEMPTS or not any(r.failed for r in reports):
            break
        stalls = item.config.stall_meter.since(began)
        if not stalls:
            break
        print(f"\nvoid: {item.name}: the machine stood still: " +
              ", ".join(f"CPU {cpu} for {length:.2f} s" for cpu, length in stalls[:5]), flush=True)
        item._initrequest()
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test of the cluster that failed shows what its members said."""
    report = (yield).get_result()
    cluster = item.funcargs.get("cluster") if hasattr(item, "funcargs") else None
    if report.when == "call" and report.failed and cluster and cluster.lab:
        for m in cluster.lab.members:
            for path in (m.log, m.keepalived_log):
                with open(path, encoding="utf-8", errors="replace") as f:
                    report.sections.append((f"the last words of {m.name}: {os.path.basename(path)}",
                                            "".join(f.readlines()[-40:])))


class Cluster:
    """The lab that the tests of one module share. One that cannot be restored is made anew, and
    the test that broke it fails."""

    def __init__(self, members, clients, vips):
        self.size, self.vips = (members, clients), vips
        self.lab = None

    def whole(self):
        if self.lab is None:
            try:
                self.lab = Lab.up(*self.size, capture=True, say=say,
                                             patience_s=LOCK_PATIENCE_S, vips=self.vips)
            except LabError as e:
                pytest.fail(f"the lab does not come up: {e}", pytrace=False)
            self.lab.audit = Audit(self.lab.audit_ports())
        return self.lab

    def judge_and_drop(self):
        """The audit of everything that the members ever sent, and of the capture itself."""
        lab, self.lab = self.lab, None
        if lab is None:
            return
        try:
            complete = lab.stop_captures()
            lab.audit.update()
            print(f"\naudit: {lab.audit.summary()}")
            assert complete, "the capture lost frames: nothing is proven"
            assert not lab.audit.violations, "\n".join(map(str, lab.audit.violations[:20]))
            assert sum(lab.audit.data_from_hub.values()) > 0, "the capture is empty"
        finally:
            lab.down()


@pytest.fixture(scope="module")
def cluster(request):
    """Two members and clients of every kind. A module asks for others with MEMBERS, CLIENTS, and
    for several VIPs with VIPS."""
    shared = Cluster(getattr(request.module, "MEMBERS", 2),
                     getattr(request.module, "CLIENTS", CLUSTER_CLIENTS),
                     getattr(request.module, "VIPS", 1))
    yield shared
    shared.judge_and_drop()


@pytest.fixture
def lab(cluster):
    """The shared lab. What the test does to it is undone afterwards, as part of the test."""
    yield cluster.whole()
    cluster.lab.audit.update()
    violations = cluster.lab.audit.violations
    try:
        cluster.lab.restore()
    except LabError as e:
        cluster.judge_and_drop()
        pytest.fail(f"the cluster does not recover from this test: {e}", pytrace=False)
    assert not violations, "\n".join(map(str, violations[:20]))
