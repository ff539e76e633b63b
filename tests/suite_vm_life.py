# SPDX-License-Identifier: GPL-2.0-only
"""Full mode over the life of the daemon: `restart-keeps-verdicts`, `upgrade`, `release`. A reader process opens and reads an
approved and an infected file in a loop through all of it, by new descriptors and by ones that it has held from before."""
import json
import os
import time

from full_mode import PINS, FullHost, check_nothing_left, pins
from harness import BUILD, CLEAN, MARKER, Suite, eventually

suite = Suite("vm_life", limit=300)


class Readers:
    """A process that reads all the time. .end() -> what it saw: {reads, good_errors, good_short, bad_bytes, bad_errors}"""

    def __init__(self, good, bad, held_good, held_bad):
        self.out, write_end = os.pipe()
        stop, self.stop = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.stop)
            os.set_blocking(stop, False)
            try:
                seen = self.loop(stop, good, bad, held_good, held_bad)
                os.write(write_end, json.dumps(seen).encode())
            finally:
                os._exit(0)
        os.close(write_end)
        os.close(stop)
        suite.track(self.pid)

    @staticmethod
    def loop(stop, good, bad, held_good, held_bad):
        seen = {"reads": 0, "good_errors": [], "good_short": 0, "bad_bytes": 0, "bad_errors": []}

        def attempt(read, errors):
            try:
                return len(read())
            except OSError as error:
                if error.errno not in errors:
                    errors.append(error.errno)
                return None

        def by_path(path):
            fd = os.open(path, os.O_RDONLY)
            try:
                return os.pread(fd, 4096, 0)
            finally:
                os.close(fd)
        while True:
            try:
                if os.read(stop, 1) == b"":
                    return seen
            except BlockingIOError:
                pass
            for read in (lambda: by_path(good), lambda: os.pread(held_good, 4096, 0)):
                size = attempt(read, seen["good_errors"])
                seen["good_short"] += size is not None and size != len(CLEAN)
            for read in (lambda: by_path(bad), lambda: os.pread(held_bad, 4096, 0)):
                seen["bad_bytes"] += attempt(read, seen["bad_errors"]) or 0
            seen["reads"] += 1
            time.sleep(0.005)

    def end(self):
        os.close(self.stop)
        text = b""
        while True:
            part = os.read(self.out, 65536)
            if not part:
                break
            text += part
        os.close(self.out)
        os.waitpid(self.pid, 0)
        return json.loads(text or b"{}")


class Life(FullHost):
    def __init__(self, words=""):
        super().__init__(suite)
        self.policy(self.watch(deadline="20s"), top=words)
        self.good, self.bad = self.put("good", CLEAN), self.put("bad", MARKER)

    def hold(self):
        """Descriptors of before the guard."""
        self.held_good, self.held_bad = (os.open(path, os.O_RDONLY) for path in (self.good, self.bad))
        suite.at_end(lambda: [os.close(fd) for fd in (self.held_good, self.held_bad)])

    def read_held(self, fd):
        try:
            return os.pread(fd, 4096, 0)
        except PermissionError:
            return None

    def check(self, when):
        suite.check("%s: the approved file is read" % when, self.read(self.good) == CLEAN)
        suite.check("%s: by the descriptor that was held too" % when, self.read_held(self.held_good) == CLEAN)
        suite.check("%s: the infected file is refused" % when, self.read(self.bad) is None)
        suite.check("%s: by the descriptor that was held too (it is of before the guard)" % when,
                    self.read_held(self.held_bad) is None)

    def during(self, what, change, strict=True):
        """change() while the readers read. strict: the approved file goes on without an error."""
        readers = Readers(self.good, self.bad, self.held_good, self.held_bad)
        time.sleep(0.3)
        try:
            change()
            time.sleep(0.3)
        finally:
            seen = readers.end()
        suite.say("%s: %d rounds of the readers" % (what, seen.get("reads", 0)))
        suite.check("during %s: bytes of the infected file read: 0" % what, seen.get("reads", 0) > 10 and seen["bad_bytes"] == 0, seen)
        if strict:
            suite.check("during %s: the approved file is read without an error" % what,
                        not seen["good_errors"] and not seen["good_short"], seen)

    def check_no_scan(self, what, since):
        found = self.counter("scans") - since
        suite.check("%s: none of it was scanned again" % what, found == 0, found)


def check_restarts(host):
    host.hold()
    suite.check("control: both are read without the guard", host.read(host.good) == CLEAN and host.read(host.bad) == MARKER)
    host.guard()
    suite.check("the infected file is refused, the clean one approved", host.read(host.bad) is None and host.read(host.good) == CLEAN)
    again = host.counter("scans")
    host.check("guarded")
    host.check_no_scan("read once more", again)

    def stop_and_start():
        host.stop()
        host.check("between stop and start")
        host.guard()
    before = maps()
    host.during("a restart by SIGTERM", stop_and_start)
    suite.check("the maps are those of before", maps() == before and before, (before, maps()))
    scans = host.counter("scans")
    host.check("after a restart by SIGTERM")
    host.check_no_scan("after a restart by SIGTERM", scans)

    def kill_and_start():
        host.kill()
        host.check("between kill -9 and start")
        host.guard()
    host.during("kill -9 of all and a start", kill_and_start)
    scans = host.counter("scans")
    host.check("after kill -9 and a start")
    host.check_no_scan("after kill -9 and a start", scans)
    rows = host.rows(host.bad)
    suite.check("what was refused meanwhile is in the list", rows, rows)
    # An approval is of the content.
    with open(host.good, "ab") as f:
        f.write(MARKER)
    suite.check("a change of the approved file is noticed as before", host.read(host.good) is None)
    suite.check("by the descriptor that was held too", host.read_held(host.held_good) is None)
    os.truncate(host.good, len(CLEAN))  # opens nothing
    suite.check("and changed back it is approved anew", host.read(host.good) == CLEAN)
    suite.check("for the descriptor that was held too", host.read_held(host.held_good) == CLEAN)


def maps():
    """Numbers of the pinned maps: the same number is the same map."""
    found = {}
    for path in pins():
        if "/maps/" in path:
            result = suite.run(["bpftool", "-j", "map", "show", "pinned", path])
            found[os.path.basename(path)] = json.loads(result.out)["id"] if result.rc == 0 else result.err
    return found


def check_upgrade(host):
    """Another build of the same version, started by the service manager in place of the old one."""
    newer = host.programs_with(os.path.join(BUILD, "mailward-scanner"))
    before, links = maps(), [path for path in pins() if "/links" in path]

    def replace():
        host.stop()
        host.guard(programs=newer)
    host.during("an upgrade", replace)
    host.check("after an upgrade")
    suite.check("after an upgrade: the maps went on", maps() == before, (before, maps()))
    now = [path for path in pins() if "/links" in path]
    suite.check("after an upgrade: as many programs as before, none twice", len(now) == len(links), (len(links), len(now)))


def check_other_version(host):
    """A build whose HOOKS_VERSION is another: its objects take the place of the old ones."""
    folder = os.path.join(BUILD, "upgrade")
    if not os.path.exists(folder + "/mailwardd"):
        suite.check("an upgrade to another version of the kernel side: it is built (make upgrade-programs)", False)
        return
    before = maps()

    def replace():
        host.stop()
        host.guard(programs=folder)
    host.during("an upgrade to another version", replace, strict=False)
    suite.check("another version: the maps are new", maps() and not set(maps().values()) & set(before.values()), (before, maps()))
    versions = sorted(os.listdir(PINS))
    suite.check("another version: only its own pins are left", len(versions) == 1, versions)
    suite.check("another version: the infected file is refused", host.read(host.bad) is None)
    suite.check("another version: the clean one is approved anew", host.read(host.good) == CLEAN)
    suite.check("another version: by the descriptor that was held too", host.read_held(host.held_good) == CLEAN)

    def back():
        host.stop()
        host.guard(programs=BUILD)
    host.during("going back", back, strict=False)
    suite.check("going back: the infected file is refused, the clean one read",
                host.read(host.bad) is None and host.read(host.good) == CLEAN)


def check_release(host):
    host.stop()
    suite.check("stopped, not released: the infected file is refused", host.read(host.bad) is None)
    suite.check("stopped, not released: the daemon's last words say so", "release" in host.log()[-600:], host.log()[-600:])
    unknown = host.put("unknown", CLEAN)
    suite.check("stopped, not released: a file that nobody has judged is refused (on-down = deny)", host.read(unknown) is None)
    result = host.release_only()
    suite.check("mailwardd --release: says what it did", result.rc == 0 and (result.out + result.err).strip(), result)
    suite.say("mailwardd --release: %s" % (result.out + result.err).strip())
    suite.check("released: nothing is refused", eventually(lambda: host.read(host.bad) == MARKER, 10, 0.2) and
                host.read_held(host.held_bad) == MARKER and host.read(unknown) == CLEAN)
    check_nothing_left(suite)
    result = host.release_only()
    said = (result.out + result.err).strip()
    suite.check("a second one says that there is nothing to release", result.rc == 0 and "nothing" in said, result)


@suite.test("restart-keeps-verdicts, upgrade and release")
def _(suite):
    with Life() as host:
        check_restarts(host)
        check_upgrade(host)
        check_other_version(host)
        check_release(host)


@suite.test("on-stop = release")
def _(suite):
    with Life("on-stop = release\n") as host:
        host.hold()
        suite.check("on-stop = release: control: the infected file is read without the guard", host.read(host.bad) == MARKER)
        host.guard()
        suite.check("on-stop = release: the infected file is refused", host.read(host.bad) is None)
        host.kill()
        suite.check("on-stop = release: not where the daemon was killed", host.read(host.bad) is None)
        host.guard()
        suite.check("on-stop = release: still refused after a new start", host.read(host.bad) is None)
        host.stop()
        suite.check("on-stop = release: after SIGTERM nothing is refused",
                    eventually(lambda: host.read(host.bad) == MARKER, 10, 0.2) and host.read_held(host.held_bad) == MARKER)
        check_nothing_left(suite, "on-stop = release")


suite.main()
