# SPDX-License-Identifier: GPL-2.0-only
"""The same blows with the real scanner: its workers are stopped, so that fifty openers wait, and go on afterwards."""
import os
import signal
import time

from harness import Suite, eventually
from scene import Scene

suite = Suite("faults_real")


def blow(suite, name, sign):
    title = "%s of the %s with the real scanner" % (sign, name)
    with Scene(suite, deadline=15.0 if name == "gate" else 4.0, real=True) as host:
        host.start()
        host.check_back(title + " (before)")
        pid = host.workers()[0] if name == "worker" else host.hasher() if name == "hasher" else host.pid(name)
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
        if sign == "SIGSTOP" and name == "worker":
            host.stopped.remove(pid)
        host.release()
        attempts = openers.wait()
        if name == "gate":
            host.judge(title, attempts, lambda a: since + 2.0, since)
        else:
            host.judge(title, attempts, lambda a: a.start + host.deadline + 0.1, since)
        if sign == "SIGSTOP" and name == "recorder":
            os.kill(pid, signal.SIGCONT)
        host.check_back(title, 40)
        host.check_record(title, attempts)


for process in ("gate", "loader", "worker", "hasher", "recorder"):
    for sign in ("SIGKILL", "SIGSTOP"):
        suite.test("%s of the %s with the real scanner" % (sign, process))(
            lambda suite, n=process, s=sign: blow(suite, n, s))


@suite.test("definitions that are replaced while openers wait")
def _(suite):
    with Scene(suite, deadline=10.0, real=True) as host:
        host.start()
        bad = host.put("new-bad", b"only the second set of definitions knows this marker-0815")
        suite.check("control: the first definitions don't know it", host.read(bad) is not None)
        openers = host.let_wait()
        host.define({"Mailward.Test.Marker": b"mailward-" + b"test-" + b"marker-" + b"4711-infected",
                     "Mailward.Test.New": b"marker-0815"})
        host.tool("reload")
        host.release()
        attempts = openers.wait()
        host.judge("new definitions", attempts, lambda a: a.start + host.deadline + 0.1, time.monotonic())
        suite.check("new definitions are taken up, and judge what was clean before",
                    eventually(lambda: host.read(bad) is None, 30, 0.3), host.status())


suite.main()
