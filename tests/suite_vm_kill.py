# SPDX-License-Identifier: GPL-2.0-only
# limit: 1800
"""Full mode, `killed-gate-keeps-the-door`: keeper and gate are killed in the same instant, again and again, while fifty
readers wait. fanotify lets them go then; the kernel's own memory keeps the bytes from them. 200 times; ROUNDS=N: as
often.
MODE=reduced: what they get without it."""
import os
import random
import signal
import time

from harness import CLEAN, MARKER, SLACK, Suite, distribution, eventually, session_members
from held import REDUCED, GuardedHost, blow, got, last_test
from scene import Scene

ROUNDS = int(os.environ.get("ROUNDS", 200))
SEED = int(os.environ.get("SEED", time.time_ns() % 1000000))
suite = Suite("vm_kill", limit=1800)


class GuardedScene(Scene, GuardedHost):
    """Fifty openers in full mode."""
    release = GuardedHost.release  # of the kernel side; the scanner goes on by .behave()

    def arriving(self):
        """They begin to open: files that are infected, and clean ones that nobody has judged. -> Openers"""
        self.hold()
        return self.openers(self.waiters, *self.files())

    def down(self):
        """After the blow: nothing of the daemon is left."""
        leader = self.daemon.pid
        self.daemon.wait()
        eventually(lambda: not session_members(leader), 2 + SLACK)

    def up_again(self):
        self.behave()
        self.guard()


def parts(host):
    pids = host.pids()
    return pids["keeper"], pids["gate"]


def bytes_by_kind(attempts):
    """-> (of infected files, of clean ones that were never judged)"""
    return (sum(a.bytes for a in attempts if "/bad" in a.path), sum(a.bytes for a in attempts if "/good" in a.path))


@suite.test("control: without a door that is held")
def _(suite):
    """The same blow where the policy says that nothing is held while no gate runs: who waits gets the bytes."""
    with GuardedScene(suite, deadline=30.0, on_down="allow") as host:
        host.guard()
        openers = host.let_wait()
        keeper, gate = parts(host)
        os.kill(keeper, signal.SIGSTOP)  # it would answer for the dead gate
        os.kill(gate, signal.SIGKILL)
        os.kill(keeper, signal.SIGKILL)
        infected, unjudged = bytes_by_kind(openers.wait())
        suite.say("control: %d bytes of infected files, %d of files never judged" % (infected, unjudged))
        suite.check("control: readers that the kernel lets go get bytes of infected files", infected > 0)
        host.down()


@suite.test("keeper and gate killed together, again and again")
def _(suite):
    rng = random.Random(SEED)
    suite.say("seed %d" % SEED)
    with GuardedScene(suite, deadline=30.0) as host:
        known, approved = host.put("known", MARKER + b"\nknown"), host.put("approved", CLEAN + b"approved")
        host.guard()
        suite.check("control: before, a known infected file is denied and an approved one read",
                    host.read(known) is None and host.approve(approved))
        infected = unjudged = let_go = again = known_got = 0
        approved_lost, waits, ups, rounds = [], [], [], 0
        while rounds < ROUNDS:
            keeper, gate = parts(host)
            openers = host.arriving()
            time.sleep(rng.random() * (1.5 if rounds % 2 else 0.3))
            since = time.monotonic()
            blow(rng, keeper, gate)
            attempts = openers.wait()
            waits += [max(a.end - since, 0) for a in attempts]
            host.down()
            bad, good = bytes_by_kind(attempts)
            infected, unjudged = infected + bad, unjudged + good
            let_go += sum(a.error == 0 for a in attempts)
            again += sum(len(got(path) or b"") for path in openers.paths)
            known_got += len(got(known) or b"")
            if got(approved) is None:
                approved_lost.append(rounds)
            rounds += 1
            started = time.monotonic()
            host.up_again()
            ups.append(time.monotonic() - started)
        suite.say("%d times, %d openers let go by the kernel; from the blow on: %s" % (rounds, let_go, distribution(waits)))
        suite.say("until status says that it runs again: %s" % distribution(ups))
        suite.check("it was done %d times, and the kernel did let readers go" % ROUNDS, rounds == ROUNDS and let_go > 0, (rounds, let_go))
        if REDUCED:
            suite.check("in reduced mode they get bytes of infected files", infected > 0)
            return
        suite.check("SIGKILL of keeper and gate together: bytes of infected files read: 0", infected == 0, infected)
        suite.check("SIGKILL of keeper and gate together: bytes of files that were never judged: 0", unjudged == 0, unjudged)
        suite.check("while no daemon runs they are refused still", again == 0, again)
        suite.check("a file known as infected is refused while no daemon runs", known_got == 0, known_got)
        suite.check("an approved file is read while no daemon runs", not approved_lost, approved_lost)
        suite.check("nobody waits longer than promised", max(waits) < 2 + SLACK, max(waits))
        host.check_free("while it runs again")
        fresh = host.put("fresh", CLEAN + b"fresh")
        suite.check("clean files are allowed again", host.read(fresh), host.tool("status"))
        rows = [r for r in host.blocked() if "/bad" in r["path"] or "/good" in r["path"]]
        suite.check("what the kernel refused meanwhile is told", rows, host.blocked()[-3:])


@suite.test("the gate killed alone")
def _(suite):
    if REDUCED:
        return
    with GuardedScene(suite, deadline=30.0) as host:
        approved = host.put("approved", CLEAN + b"approved")
        host.guard()
        host.approve(approved)
        held = os.open(approved, os.O_RDONLY)
        suite.at_end(lambda: os.close(held))
        openers = host.let_wait()
        since = time.monotonic()
        os.kill(host.pid("gate"), signal.SIGKILL)
        suite.check("an approved file is read on while the gate is dead", os.pread(held, 100, 0))
        eventually(lambda: not openers.running(), 10)
        host.behave()
        attempts = openers.wait()
        suite.check("SIGKILL of the gate: bytes of infected files read: 0", bytes_by_kind(attempts)[0] == 0)
        suite.check("SIGKILL of the gate: nobody waits longer than promised",
                    max(a.end for a in attempts) < since + 2 + SLACK, max(a.end for a in attempts) - since)
        fresh = host.put("fresh", CLEAN + b"fresh")
        suite.check("SIGKILL of the gate: clean files are allowed again", eventually(lambda: got(fresh), 20))
        suite.check("SIGKILL of the gate: infected ones are not", got(host.put("bad", MARKER + b"once more")) is None)


def stand_still(suite, host, path, source):
    """A reader whose answer counts while the gate lives only, as a writer is there; then keeper and gate are stopped.
    -> seconds until its read was refused, or None"""
    writer = host.changing("old-descriptor", path, source, "keep")
    writer.word("ready")
    fd = os.open(path, os.O_RDONLY)
    try:
        first = os.pread(fd, 100, 0)
        time.sleep(3)  # nothing happens: it beats all the same
        second = os.pread(fd, 100, 0)
        suite.check("control: while the gate lives the reader reads, after three idle seconds too", first and second)
        for pid in parts(host):
            os.kill(pid, signal.SIGSTOP)
        since = time.monotonic()

        def refused():
            try:
                return not os.pread(fd, 100, 0)
            except PermissionError:
                return True
        return time.monotonic() - since if eventually(refused, 2 + SLACK, 0.02) else None
    finally:
        os.close(fd)
        writer.process.kill()


@suite.test("keeper and gate stopped")
def _(suite):
    if REDUCED:
        return
    for on_down in ("deny", "allow"):
        with GuardedScene(suite, deadline=5.0, on_down=on_down) as host:
            path, source = host.put("file", CLEAN * 3), host.put("source", MARKER, host.outside)
            approved, bad = host.put("approved", CLEAN + b"approved"), host.put("bad", MARKER)
            host.guard()
            host.approve(approved)
            fd = os.open(approved, os.O_RDONLY)
            suite.check("control: an infected file is denied", host.read(bad) is None)
            seconds = stand_still(suite, host, path, source)
            if on_down == "deny":
                suite.say("a standstill is noticed after %s s" % (seconds and "%.2f" % seconds))
                suite.check("a standstill of keeper and gate: reads are refused within 2 s", seconds is not None, seconds)
            else:
                suite.check("a standstill with on-down = allow: reads go on", seconds is None, seconds)
            suite.check("a standstill: an approved file is read on (on-down = %s)" % on_down, os.pread(fd, 100, 0))
            os.close(fd)
            host.kill()


@suite.test("on-down")
def _(suite):
    if REDUCED:
        return
    for on_down in ("deny", "allow"):
        with GuardedScene(suite, deadline=30.0, on_down=on_down) as host:
            known = host.put("known", MARKER + b"known")
            host.guard()
            suite.check("control: an infected file is denied", host.read(known) is None)
            openers = host.let_wait()
            keeper, gate = parts(host)
            os.kill(keeper, signal.SIGSTOP)
            os.kill(gate, signal.SIGKILL)
            os.kill(keeper, signal.SIGKILL)
            attempts = openers.wait()
            host.down()
            infected, unjudged = bytes_by_kind(attempts)
            fresh = got(host.put("fresh", CLEAN + b"fresh"))
            if on_down == "deny":
                suite.check("with on-down = deny nobody who waited gets a byte", infected == 0 and unjudged == 0,
                            (infected, unjudged))
                suite.check("with on-down = deny what nobody has judged is refused while it is down", fresh is None)
            else:
                suite.check("with on-down = allow those who waited go on", infected > 0 and unjudged > 0, (infected, unjudged))
                suite.check("with on-down = allow what nobody has judged is read while it is down", fresh)
            suite.check("what is known as infected is refused while it is down (on-down = %s)" % on_down, got(known) is None)


last_test(suite)
suite.main()
