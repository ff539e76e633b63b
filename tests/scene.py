# SPDX-License-Identifier: GPL-2.0-only
"""Fifty openers that wait, and what is promised to them. Used by the fault suites."""
import os
import time

from harness import CLEAN, MARKER, SLACK, Failure, Host, distribution, eventually

WAITERS = 50


class Scene(Host):
    """A Host with as many infected as clean files; the scanner is a stand-in that holds until .behave() says
    otherwise, or the real one whose workers are stopped."""

    def __init__(self, suite, deadline=4.0, file_system="tmpfs", waiters=WAITERS, real=False, **words):
        super().__init__(suite, file_system)
        self.deadline, self.waiters, self.real, self.round = deadline, waiters, real, 0
        self.policy(self.watch(deadline="%dms" % (deadline * 1000), **words))
        self.free = self.put("free", MARKER, self.outside)
        if not real:
            self.stand_in()
        self.check_free_control()

    def check_free_control(self):
        if self.read(self.free) != MARKER:
            raise Failure("a file outside can't be read before anything runs")

    def files(self):
        """A fresh set; fresh content too, so that nothing is known of it."""
        self.round += 1
        paths = []
        for i in range(self.waiters):
            content = (MARKER if i % 2 else CLEAN) + b"\n%d %d" % (self.round, i)
            name = "%s-%d-%d" % ("bad" if i % 2 else "good", self.round, i)
            paths.append(self.put(name, content))
        return paths

    def hold(self):
        if self.real:
            self.stopped = self.workers()
            for pid in self.stopped:
                os.kill(pid, 19)
        else:
            self.behave("hold")

    def release(self):
        if self.real:
            for pid in self.stopped:
                try:
                    os.kill(pid, 18)
                except ProcessLookupError:
                    pass
        else:
            self.behave()

    def let_wait(self):
        """Fifty accesses wait now, or the test is over. -> Openers"""
        before = self.counter("waiting")
        if before:
            raise Failure("%d accesses wait before the test has begun" % before)
        self.hold()  # before the files are there: a scan may begin when they are closed
        paths = self.files()
        openers = self.openers(self.waiters, *paths)
        if not eventually(lambda: self.counter("waiting") >= self.waiters, 15):
            raise Failure("only %d of %d openers wait" % (self.counter("waiting"), self.waiters))
        if not openers.running():
            raise Failure("the openers did not wait")
        return openers

    def judge(self, name, attempts, latest, since):
        """Bounds and bytes. latest: monotonic time when the last may have been answered, without slack."""
        late = [a for a in attempts if a.end > latest(a) + SLACK]
        self.suite.say("%s: from the blow on: %s" % (name, distribution([max(a.end - since, 0) for a in attempts])))
        self.suite.check("%s: nobody waits longer than promised" % name, not late and len(attempts) == self.waiters,
                         "%d of %d too late, the worst by %.1f s" % (
                             len(late), len(attempts), max([a.end - latest(a) for a in late], default=0)))
        infected = sum(a.bytes for a in attempts if "/bad" in a.path)
        self.suite.check("%s: bytes of infected files read: 0" % name, infected == 0, infected)
        odd = sorted({a.error for a in attempts} - {0, 1})
        self.suite.check("%s: each open is allowed or denied, nothing else" % name, not odd, odd)

    def check_free(self, name, bound=2.0):
        started = time.monotonic()
        result = self.probe("open", self.free)
        seconds = time.monotonic() - started
        self.suite.check("%s: the host goes on, a file out of scope opens" % name,
                         result.rc == 0 and result.bytes and seconds < bound + SLACK, (result, seconds))

    def check_back(self, name, timeout=20):
        """Protection is back by itself."""
        self.round += 1
        bad = self.put("again-bad-%d" % self.round, MARKER + b"\nagain %d" % self.round)
        good = self.put("again-good-%d" % self.round, CLEAN + b"\nagain %d" % self.round)
        started = time.monotonic()
        back = eventually(lambda: self.read(good) is not None, timeout, 0.2)
        self.suite.check("%s: clean files are allowed again" % name, back, self.log()[-300:])
        self.suite.say("%s: clean files are allowed again after %.1f s" % (name, time.monotonic() - started))
        self.suite.check("%s: infected files are denied again" % name, self.read(bad) is None)
        row = eventually(lambda: [r for r in self.blocked("--path", bad) if r["verdict"] == "infected"], 5)
        if not row:  # it may have been denied unscanned at first
            self.read(bad)
            row = eventually(lambda: [r for r in self.blocked("--path", bad) if r["verdict"] == "infected"], 5)
        self.suite.check("%s: and denied as infected" % name, row, self.blocked("--path", bad))
        # Accesses that the kernel let go stay an issue for a day; nothing else may be one.
        told = {"released-unjudged"} if (self.status() or {}).get("released_unjudged") else set()
        healthy = eventually(lambda: (self.tool("status")[0] == (1 if told else 0) and
                                      {i["id"] for i in self.status()["issues"]} == told), timeout)
        self.suite.check("%s: status is healthy again" % name, healthy,
                         (self.tool("status"), [r for r in self.blocked() if r["phase"] == "kernel"]))
        self.suite.check("%s: nobody is left waiting" % name, eventually(lambda: self.counter("waiting") == 0, 5),
                         self.counter("waiting"))

    def check_record(self, name, attempts):
        """Each denial is in the list, alone or counted."""
        denied = sum(a.error == 1 for a in attempts)
        paths = {a.path for a in attempts if a.error == 1}

        def told():
            # rows of these files, and rows without a file (answered for a gate that was dead, gaps)
            return sum(r["count"] for r in self.blocked() if r["path"] in paths or not r["path"])
        self.suite.check("%s: the record tells of each denial" % name, eventually(lambda: told() >= denied, 5),
                         "%d denied, %d told" % (denied, told()))
