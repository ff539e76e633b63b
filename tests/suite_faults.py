# SPDX-License-Identifier: GPL-2.0-only
"""Each process killed and stopped while fifty openers wait: invariants answered-in-time and mail-keeps-flowing. The
scanner is a stand-in that holds its answers."""
import os
import signal
import time

from harness import Suite, eventually
from scene import Scene

suite = Suite("faults")


def victim(host, name):
    if name == "worker":
        return host.workers()[0]
    if name == "hasher":
        return host.hasher()
    return host.pids().get(name)  # none while it is being started again


def blow(suite, name, sign):
    title = "%s of the %s" % (sign, name)
    with Scene(suite, deadline=15.0 if name == "gate" else 4.0) as host:
        host.start()
        host.check_back(title + " (before)")
        pid = victim(host, name)
        if not pid:
            suite.check(title, False, "there is no such process")
            return
        openers = host.let_wait()
        os.kill(pid, getattr(signal, sign))
        since = time.monotonic()
        host.check_free(title)
        if name == "gate":
            eventually(lambda: not openers.running(), 10)
        else:
            time.sleep(0.5)
        host.release()
        attempts = openers.wait()
        if name == "gate":
            host.judge(title, attempts, lambda a: since + 2.0, since)
        else:
            host.judge(title, attempts, lambda a: a.start + host.deadline + 0.1, since)
        if name in ("recorder", "hasher", "steward"):
            wrong = [a for a in attempts if (a.error == 1) != ("/bad" in a.path)]
            suite.check("%s: every answer is the right one all the same" % title, not wrong, len(wrong))
        if sign == "SIGSTOP" and name in ("recorder", "steward"):
            time.sleep(1)
            os.kill(pid, signal.SIGCONT)
        host.check_back(title)
        host.check_record(title, attempts)
        if name in ("gate", "loader") or sign == "SIGKILL":
            now = eventually(lambda: victim(host, name) not in (None, pid), 10) and victim(host, name)
            suite.check("%s: there is a new one" % title, now and now != pid, now)
        if name in ("gate", "loader", "recorder") and (sign == "SIGKILL" or name != "recorder"):
            suite.check("%s: the log says so" % title, name in host.log(), host.log()[-400:])


for process in ("gate", "loader", "worker", "hasher", "recorder", "steward"):
    for sign in ("SIGKILL", "SIGSTOP"):
        suite.test("%s of the %s" % (sign, process))(lambda suite, n=process, s=sign: blow(suite, n, s))

suite.main()
