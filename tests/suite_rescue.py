#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The daemon's own programs lie on the file system that it marks, as on a host with one file system for all: a gate that
dies must never leave its successor waiting for an answer that nobody can give."""
import os
import random
import shutil
import signal
import time

from harness import BUILD, EICAR, SLACK, Host, Suite, eventually, processes

suite = Suite("rescue", limit=180)


def own_programs(host):
    folder = host.outside + "/bin"
    os.mkdir(folder)
    for name in ("mailwardd", "mailward-scanner"):
        shutil.copy2(os.path.join(BUILD, name), folder)
    return folder


def gates(host):
    """Pids of the keeper's children that are gates, or will be."""
    found = []
    for pid, (parent, _, state, _) in processes().items():
        if parent != host.daemon.pid or state in "ZX":
            continue
        try:
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if f.read().startswith(b"mailward-gate"):
                    found.append(pid)
        except OSError:
            pass
    return found


def back(host):
    return eventually(lambda: host.tool("status")[0] in (0, 1) and host.pids().get("gate"), 6 + SLACK)


@suite.test("a gate killed once")
def _(suite):
    with Host(suite) as host:
        bad = host.put("bad", EICAR)
        suite.check("control: without the guard it is read", open(bad, "rb").read() == EICAR)
        host.start(programs=own_programs(host))
        suite.check("the open is denied", host.probe("open", bad).rc == 1)
        for name in ("gate", "loader", "recorder"):
            pid, begin = host.pid(name), time.monotonic()
            os.kill(pid, signal.SIGKILL)
            found = eventually(lambda: host.pids().get(name) not in (None, 0, pid) and host.tool("status")[0] in (0, 1),
                               2 + SLACK, 0.01)
            suite.check("%s: another one comes up" % name, found)
            suite.say("%s: %.2f s" % (name, time.monotonic() - begin))
            suite.check("%s: the open is denied" % name, host.probe("open", bad).rc == 1)
        suite.check("nobody was refused for it", "could not be loaded" not in host.log())


@suite.test("gates killed at any moment of their start")
def _(suite):
    with Host(suite) as host:
        bad, good = host.put("bad", EICAR), host.put("good", b"nothing of interest\n")
        host.start(programs=own_programs(host))
        killed, seen, end = 0, set(), time.monotonic() + 12
        while time.monotonic() < end:
            for pid in gates(host):
                if pid in seen:
                    continue
                seen.add(pid)
                time.sleep(random.uniform(0, 0.012))
                os.kill(pid, signal.SIGKILL)
                killed += 1
            time.sleep(0.0005)
        begin = time.monotonic()
        suite.check("%s gates killed: protection is back by itself" % ("many" if killed > 10 else killed), back(host))
        suite.say("%d gates killed; back after %.2f s; refused for it: %d times" %
                  (killed, time.monotonic() - begin, host.log().count("could not be loaded")))
        suite.check("an infected file is denied", host.probe("open", bad).rc == 1)
        suite.check("a clean one is opened", eventually(lambda: host.probe("open", good).rc == 0, 5 + SLACK))


suite.main()
