# SPDX-License-Identifier: GPL-2.0-only
"""Files that somebody holds open while their content changes: what the suites of every way to read (vm_bytes) and every
way to write (vm_generation) stand on, besides full_mode.

GuardedHost(suite, file_system="ext4"|"xfs"|"disk"|...)   FullHost that also knows xfs and the machine's disk (/dev/vda),
                    and waits at its end until no program is left in the kernel
    .hold(path, *options, ways=()) -> Holder       of tests/ways.c
    .change(way, path, *args) -> Result            of tests/changes.c; rc 2: this kernel or file system can't
    .changing(way, path, *args) -> Changer         those that begin earlier, or keep what they have
    .approve(path) -> bytes                        reads it twice: it is known and allowed, or a Failure
got(path) -> bytes, or None where the open or the read is refused with EPERM (harness's read() wants the open refused)
forget()            inodes, names and pages that nobody holds go from the caches, with what the kernel side knows of them
known(path) -> is there an entry for this inode in `generations`? None: can't be told (no pins)
blow(rng, *pids)    SIGKILL to all of them in the same instant, in any order
Holder: .try_all() -> {way: Outcome(result, bytes)}
Changer: .go(word), .end()
REDUCED: with MODE=reduced in the environment the suites say what fanotify alone does; anything else wants the full mode.
"""
import collections
import errno
import os
import signal
import subprocess

from full_mode import FullHost, check_nothing_left, pins, programs_left
from harness import Failure, eventually, helper

REDUCED = os.environ.get("MODE") == "reduced"
Outcome = collections.namedtuple("Outcome", "result bytes")


def got(path):
    try:
        with open(path, "rb", buffering=0) as f:
            return f.read()
    except PermissionError as error:
        if error.errno != errno.EPERM:
            raise
        return None


cold = False  # the programs and their libraries went from the cache with all the rest


def forget():
    global cold
    cold = True
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3")  # pages too: an inode that has some stays


def warm(program):
    """Reads a program and its libraries: from a virtual machine's root they come slower than parts may take to start."""
    global cold
    if not cold:
        return
    cold = False
    out = subprocess.run(["ldd", program], stdout=subprocess.PIPE, text=True).stdout
    for path in [program] + [word for word in out.split() if word.startswith("/")]:
        with open(path, "rb") as f:
            while f.read(1 << 20):
                pass


def known(path):
    pin = next((p for p in pins() if p.endswith("/maps/generations")), None)
    if not pin:
        return None
    fd = os.open(path, os.O_PATH)  # no open that anybody is asked about
    try:
        result = subprocess.run(["bpftool", "map", "lookup", "pinned", pin, "key", "hex"] +
                                ["%02x" % byte for byte in fd.to_bytes(4, "little")], pass_fds=(fd,),
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return result.returncode == 0
    finally:
        os.close(fd)


def blow(rng, *pids):
    order = list(pids)
    rng.shuffle(order)
    for pid in order:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # its parent's end was its own
            pass


class Talker:
    """A helper that says words and waits for lines."""

    def __init__(self, suite, argv):
        self.process = suite.popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def word(self, wanted):
        said = self.process.stdout.readline().strip()
        if said != wanted:
            raise Failure("%s said %r, not %r" % (" ".join(self.process.args[:3]), said, wanted))

    def line(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(30)


class Holder(Talker):
    def __init__(self, suite, argv):
        super().__init__(suite, argv)
        self.word("opened")

    def try_all(self):
        self.line()
        found = {}
        for line in self.process.stdout:
            words = line.split()
            if words and words[0] == "way":
                found[words[1]] = Outcome(" ".join(words[2:-2]), int(words[-1]))
        self.process.wait(10)
        return found


class Changer(Talker):
    def go(self, word="done"):
        self.line()
        self.word(word)


class GuardedHost(FullHost):
    def make_file_system(self):
        if self.kind == "disk":
            return self.mount("/dev/vda", self.fs)
        if self.kind != "xfs":
            return super().make_file_system()
        image = self.base + "/image"
        with open(image, "wb") as f:
            f.truncate(320 << 20)
        subprocess.run(["mkfs.xfs", "-q", "-f", image], check=True)
        self.mount("-o", "loop", image, self.fs)

    def guard(self, **options):
        warm(os.path.join(self.programs, "mailwardd"))
        if not REDUCED:
            return super().guard(**options)
        return self.start(**options)

    def release(self):
        result = super().release()
        eventually(lambda: not programs_left(), 15, 0.3)  # a test that follows may get the same device number
        return result

    def hold(self, path, *options, ways=()):
        return Holder(self.suite, [helper("ways")] + list(options) + [path, self.outside] + list(ways))

    def change(self, way, path, *args):
        return self.suite.run([helper("changes"), way, path] + [str(a) for a in args], timeout=60)

    def changing(self, way, path, *args):
        return Changer(self.suite, [helper("changes"), way, path] + [str(a) for a in args])

    def approve(self, path):
        first, second = self.read(path), self.read(path)
        if first is None or second is None:
            raise Failure("%s is clean, and denied: %s" % (path, self.tool("explain", path)))
        return second


def last_test(suite):
    """To be registered last: all that the guard was is gone."""
    if REDUCED:
        return

    @suite.test("nothing is left")
    def _(suite):
        check_nothing_left(suite, "at the end")
        with open("/proc/self/mountinfo") as f:
            mounts = [line for line in f if "mailward-test" in line]
        suite.check("at the end: no file system is left mounted", not mounts, mounts)
