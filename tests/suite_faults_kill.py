# SPDX-License-Identifier: GPL-2.0-only
"""The gate killed again and again, and what happens when the keeper falls too: the suite is the service manager then."""
import os
import signal
import time

from harness import CLEAN, MARKER, SLACK, Suite, distribution, eventually, processes, session_members
from scene import Scene

FULL = os.environ.get("FULL") == "1"
ROUNDS = 200 if FULL else 20
suite = Suite("faults_kill", limit=1800 if FULL else 240)


@suite.test("the gate killed again and again")
def _(suite):
    with Scene(suite, deadline=20.0) as host:
        host.start()
        waits, infected, late, again, denied, back = [], 0, 0, 0, 0, []
        for i in range(ROUNDS):
            openers = host.let_wait()
            gate = host.pid("gate")
            os.kill(gate, signal.SIGKILL)
            since = time.monotonic()
            eventually(lambda: not openers.running(), 10)
            host.release()
            attempts = openers.wait()
            infected += sum(a.bytes for a in attempts if "/bad" in a.path)
            late += sum(a.end > since + 2 + SLACK for a in attempts)
            denied += sum(a.error == 1 for a in attempts)
            waits += [max(a.end - since, 0) for a in attempts]
            bad, good = host.put("bad-%d" % i, MARKER + b"%d" % i), host.put("good-%d" % i, CLEAN + b"%d" % i)
            ok = eventually(lambda: host.read(good) is not None, 10)
            back.append(time.monotonic() - since)
            again += bool(ok) and host.read(bad) is None
            host.wait("a gate that says it runs", lambda: host.pids().get("gate") not in (None, gate) and
                      host.counter("waiting") == 0)
        suite.say("gate killed %d times, 50 waiting each time; from the kill on: %s" % (ROUNDS, distribution(waits)))
        suite.say("until a clean file opened again: %s" % distribution(back))
        suite.check("SIGKILL of the gate, many times: nobody waits longer than promised", late == 0, late)
        suite.check("SIGKILL of the gate, many times: bytes of infected files read: 0", infected == 0, infected)
        suite.check("SIGKILL of the gate, many times: protection is back each time", again == ROUNDS, again)
        suite.check("SIGKILL of the gate, many times: the keeper answered for it",
                    host.counter("answered_for_gate") > 0, host.status())
        told = eventually(lambda: sum(r["count"] for r in host.blocked()) >= denied, 5)
        suite.check("SIGKILL of the gate, many times: the record tells of each denial", told,
                    (sum(r["count"] for r in host.blocked()), denied))
        suite.check("the keeper is still the first one", host.daemon.poll() is None)


def fall(suite, title, blow):
    """All falls; the kernel lets the waiters go. Counted and told after the start."""
    with Scene(suite, deadline=20.0) as host:
        host.start()
        before = host.counter("released_unjudged")
        openers = host.let_wait()
        leader, pids = host.daemon.pid, host.pids()
        since = time.monotonic()
        blow(pids)
        gone = eventually(lambda: not session_members(leader), 1 + SLACK)
        suite.check("%s: all end within a second" % title, gone, session_members(leader))
        suite.say("%s: all were gone after %.2f s" % (title, time.monotonic() - since))
        host.daemon.wait()
        attempts = openers.wait()
        late = [a for a in attempts if a.end > since + 2 + SLACK]
        suite.check("%s: nobody waits longer than promised" % title, not late, len(late))
        released = sum(a.error == 0 for a in attempts)
        suite.say("%s: %d of %d openers were released by the kernel; %s" % (
            title, released, len(attempts), distribution([max(a.end - since, 0) for a in attempts])))
        suite.check("control: without the guard the host goes on", host.read(host.free) == MARKER)
        host.behave()
        host.restart_all()
        told = host.counter("released_unjudged") - before
        suite.check("%s: those that the kernel let go are counted" % title, told >= released,
                    "%d released, %d told" % (released, told))
        suite.check("%s: and no more than were waiting" % title, told <= host.waiters, told)
        if released:
            rc, text = host.tool("status")
            suite.check("%s: status tells it" % title, "released" in text or "unjudged" in text, text)
        host.check_back(title)


@suite.test("the keeper killed")
def _(suite):
    fall(suite, "SIGKILL of the keeper", lambda pids: os.kill(pids["keeper"], signal.SIGKILL))


@suite.test("keeper and gate killed together")
def _(suite):
    def both(pids):
        os.kill(pids["gate"], signal.SIGSTOP)
        os.kill(pids["keeper"], signal.SIGKILL)
        os.kill(pids["gate"], signal.SIGKILL)
    fall(suite, "SIGKILL of keeper and gate", both)


@suite.test("the keeper stopped")
def _(suite):
    with Scene(suite, deadline=4.0) as host:
        host.start()
        keeper = host.pid("keeper")
        openers = host.let_wait()
        os.kill(keeper, signal.SIGSTOP)
        since = time.monotonic()
        host.check_free("SIGSTOP of the keeper")
        host.release()
        attempts = openers.wait()
        host.judge("SIGSTOP of the keeper", attempts, lambda a: a.start + host.deadline + 0.1, since)
        wrong = [a for a in attempts if (a.error == 1) != ("/bad" in a.path)]
        suite.check("SIGSTOP of the keeper: every answer is the right one", not wrong, len(wrong))
        os.kill(keeper, signal.SIGCONT)
        host.check_back("SIGSTOP of the keeper")


@suite.test("keeper and gate stopped")
def _(suite):
    with Scene(suite, deadline=4.0) as host:
        host.start()
        keeper, gate = host.pid("keeper"), host.pid("gate")
        os.kill(keeper, signal.SIGSTOP)
        os.kill(gate, signal.SIGSTOP)
        ended = eventually(lambda: processes()[gate][2] in "ZX", 1.5 + SLACK)
        os.kill(keeper, signal.SIGCONT)
        suite.check("a gate that stands still ends by its own timer, while the keeper is stopped too", ended,
                    processes().get(gate))
        host.check_back("SIGSTOP of keeper and gate")


@suite.test("SIGTERM while openers wait")
def _(suite):
    with Scene(suite, deadline=20.0) as host:
        host.start()
        openers = host.let_wait()
        since = time.monotonic()
        seconds = host.stop()
        attempts = openers.wait()
        host.judge("SIGTERM", attempts, lambda a: since + 2.0, since)
        suite.say("SIGTERM with 50 waiting: all ended after %.2f s" % seconds)
        suite.check("SIGTERM: who waits is answered by on-down", all(a.error == 1 for a in attempts),
                    [a.error for a in attempts])
    with Scene(suite, deadline=20.0, on_down="allow") as host:
        host.start()
        openers = host.let_wait()
        host.stop()
        attempts = openers.wait()
        suite.check("SIGTERM: with on-down = allow they go on", all(a.error == 0 for a in attempts),
                    [a.error for a in attempts])


@suite.test("on-down")
def _(suite):
    with Scene(suite, deadline=20.0, on_down="allow") as host:
        host.start()
        openers = host.let_wait()
        os.kill(host.pid("gate"), signal.SIGKILL)
        since = time.monotonic()
        eventually(lambda: not openers.running(), 10)
        host.release()
        attempts = openers.wait()
        allowed = sum(a.error == 0 for a in attempts)
        suite.check("with on-down = allow those that waited for a dead gate go on", allowed == len(attempts),
                    "%d of %d" % (allowed, len(attempts)))
        suite.check("within two seconds", all(a.end <= since + 2 + SLACK for a in attempts))
        host.check_back("on-down = allow")


suite.main()
