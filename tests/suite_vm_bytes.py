# SPDX-License-Identifier: GPL-2.0-only
"""Full mode, `no-byte-before-verdict`: every way to a file's content, against files that were never scanned, are
infected, or were approved and changed then; opened now, or by what was opened and mapped before. Each line
`row WAY | SITUATION | refused, not guarded or skipped` goes into README's table. MODE=reduced says the same of fanotify alone."""
import ctypes
import errno
import os

from harness import MARKER, Failure, Suite, eventually
from held import REDUCED, GuardedHost, forget, last_test

suite = Suite("vm_bytes")
# Ways that begin with an open or an exec, and those that need none: what was mapped before the change is not guarded.
PATHS = ("open", "open-rdwr", "proc-fd-reopen", "open_by_handle_at", "exec", "execveat", "interpreter")
MAPPED = ("old-mapping", "process_vm_readv-old-mapping")
REMAP = "remap_file_pages-old"  # works for writers only: a test of its own
OLD = MAPPED + (REMAP, "mprotect-old-none")
SHOWN = {"old-mapping": "a mapping made before", "process_vm_readv-old-mapping": "process_vm_readv of a mapping made before",
         "mprotect-old-none": "mprotect of a mapping made before without rights",
         "remap_file_pages-old": "remap_file_pages of a mapping made before", "mmap-none-mprotect": "mmap PROT_NONE, then mprotect",
         "passed": "a descriptor passed over a socket", "mmap-exec": "mmap PROT_EXEC", "mmap-shared": "mmap MAP_SHARED",
         "proc-fd-reopen": "/proc/PID/fd reopened"}
REFLINKS = ("FICLONE", "FIDEDUPERANGE")
serial = 0


def script(extra=b""):
    """A program that is long enough for two pages, and different each time."""
    global serial
    serial += 1
    return b"#!/bin/sh\nexit 0\n# %d %s\n" % (serial, extra) + b"# nothing of interest\n" * 300


def append(path, content):
    """By somebody else than who holds it -> his descriptor."""
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    os.write(fd, content)
    return fd


class Case:
    """One file in one situation. Without the guard (control) nothing is judged, and all else is the same."""

    def __init__(self, host, situation, guarded, ways=()):
        global serial
        serial += 1
        self.host, self.guarded, self.ways, self.opened = host, guarded, ways, []
        self.make, self.options = CASES[situation]
        self.path, self.copy = ["%s/case-%d" % (folder, serial) for folder in (host.watched, host.outside)]
        self.content = b""

    def put(self, content):
        self.host.put(os.path.basename(self.path), content, mode=0o755)

    def hold(self):
        return self.host.hold(self.path, *self.options, "--same", self.copy, ways=self.ways)

    def judged(self):
        if self.guarded and not eventually(lambda: self.host.read(self.path) is None, 10):
            raise Failure("%s is infected, and allowed" % self.path)

    def approve(self):
        if self.guarded:
            self.host.approve(self.path)

    def tried(self):
        """-> {way: Outcome}"""
        holder = self.make(self)
        self.host.put(os.path.basename(self.copy), self.content, self.host.outside)  # what FIDEDUPERANGE compares with
        found = holder.try_all()
        for fd in self.opened:
            os.close(fd)
        left_out = OLD if "--fresh" in self.options else (REMAP,)
        return {way: outcome for way, outcome in found.items() if way not in left_out}


def opened_now_unscanned(case):
    case.host.behave("hold")
    case.content = script()
    case.put(case.content)
    return case.hold()


def opened_now_infected(case):
    case.content = script(MARKER)
    case.put(case.content)
    return case.hold()


def opened_before_unscanned(case):
    case.put(b"")
    holder = case.hold()
    case.host.behave("hold")
    case.content = script()
    os.close(append(case.path, case.content))
    return holder


def opened_before_infected(case):
    case.put(b"")
    holder = case.hold()
    case.content = script(MARKER)
    os.close(append(case.path, case.content))
    case.judged()
    return holder


def changed(case, close):
    before, after = script(), b"\n# " + MARKER + b"\n"
    case.put(before)
    case.approve()
    holder = case.hold()
    fd = append(case.path, after)
    case.content = before + after
    if close:
        os.close(fd)
        case.judged()
    else:
        case.opened.append(fd)
    return holder


def approved(case):
    case.content = script()
    case.put(case.content)
    case.approve()
    return case.hold()


CASES = {
    "never scanned, opened now": (opened_now_unscanned, ("--fresh",)),
    "infected, opened now": (opened_now_infected, ("--fresh",)),
    "never scanned, opened before": (opened_before_unscanned, ()),
    "infected, opened before": (opened_before_infected, ()),
    "approved, then changed by a writer who is still there": (lambda case: changed(case, False), ()),
    "approved, then changed by a writer who is gone": (lambda case: changed(case, True), ()),
}


def row(way, situation, outcome):
    print("row %s | %s | %s" % (SHOWN.get(way, way), situation, outcome))


def expected(way, situation):
    """Is it refused?"""
    if way in MAPPED:
        return False
    return not REDUCED or way in PATHS or "opened now" in situation


def skip_of(way, outcome, control):
    """Why this row has nothing to say, or None."""
    for one in (control, outcome):
        if one.result.startswith("untried:"):
            return one.result[8:]
    if control.result == "ETXTBSY":
        return "the kernel itself refuses while a writer is there"
    return None


def judge(suite, situation, controls, found):
    got = 0
    for way, outcome in found.items():
        control = controls[way]
        ended = [one for one in (control, outcome) if one.result.startswith("untried:ended by")]
        if ended:
            suite.check("%s: %s: comes back" % (SHOWN.get(way, way), situation), False, ended)
        why = skip_of(way, outcome, control)
        if why:
            row(way, situation, "skipped: " + why)
            continue
        name = "%s: %s" % (SHOWN.get(way, way), situation)
        suite.check("control: %s: gets the bytes without the guard" % name, control.result == "allowed" and control.bytes > 0,
                    control)
        if expected(way, situation):
            row(way, situation, "refused" if outcome.result == "denied" and not outcome.bytes else "not guarded")
            suite.check("%s: refused" % name, outcome.result == "denied" and outcome.bytes == 0, outcome)
            got += outcome.bytes
        else:
            row(way, situation, "not guarded" if outcome.bytes else "refused")
            suite.check("%s: not guarded, as documented" % name, outcome.result == "allowed" and outcome.bytes > 0, outcome)
    suite.check("%s: bytes got by ways that are guarded: 0" % situation, got == 0, got)


def host_of(kind):
    host = GuardedHost(suite, kind)
    host.policy(host.watch(deadline="1s"))
    host.stand_in()
    return host


def table(kind, ways=()):
    with host_of(kind) as host:
        controls = {name: Case(host, name, False, ways).tried() for name in CASES}
        host.behave()
        host.guard()
        for name in CASES:
            found = Case(host, name, True, ways).tried()
            host.behave()
            if not ways:
                found = {way: outcome for way, outcome in found.items() if way not in REFLINKS}
            judge(suite, name, controls[name], found)
        case = Case(host, "approved, then changed by a writer who is gone", True, ways)
        case.make = approved
        for way, outcome in case.tried().items():
            if not outcome.result.startswith("untried:"):
                suite.check("%s: a file that is approved is read, by what was opened before or now" % SHOWN.get(way, way),
                            outcome.result == "allowed" and outcome.bytes > 0, outcome)


@suite.test("every way to the bytes")
def _(suite):
    table("ext4")


@suite.test("reflinks as the source")
def _(suite):
    if not os.path.exists("/sbin/mkfs.xfs"):
        suite.skip("reflinks as the source", "xfsprogs is not installed")
        return
    table("xfs", REFLINKS)


@suite.test("remap_file_pages")
def _(suite):
    """Works on mappings of writers only."""
    way = REMAP

    def tried(host, name, guarded):
        path = host.put(name, b"", mode=0o755)
        holder = host.hold(path, "--rdwr", ways=(way,))
        os.close(append(path, script(MARKER)))
        if guarded and not eventually(lambda: host.read(path) is None, 10):
            raise Failure("infected, and allowed")
        return holder.try_all()[way]
    with host_of("ext4") as host:
        control = tried(host, "control", False)
        host.guard()
        outcome = tried(host, "bad", True)
        if control.result.startswith("untried"):
            row(way, "infected, opened before", "skipped: " + control.result[8:])
            return
        suite.check("control: remap_file_pages shows the bytes without the guard", control.bytes > 0, control)
        refused = outcome.result == "denied" and not outcome.bytes
        row(way, "infected, opened before", "refused" if refused else "not guarded")
        suite.check("remap_file_pages of a mapping made before is %s" % ("not guarded" if REDUCED else "refused"),
                    refused != REDUCED, outcome)


libc = ctypes.CDLL(None, use_errno=True)


def handle_of(path):
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
    if libc.name_to_handle_at(-100, os.fsencode(path), handle, ctypes.byref(ctypes.c_int()), 0) < 0:
        raise Failure("name_to_handle_at: %s" % os.strerror(ctypes.get_errno()))
    return handle


def read_by_handle(folder, handle):
    """-> bytes, or None where it was denied"""
    mount = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    fd = libc.open_by_handle_at(mount, handle, os.O_RDONLY | os.O_CLOEXEC)
    error = ctypes.get_errno()
    os.close(mount)
    if fd < 0:
        if error != errno.EPERM:
            raise Failure("open_by_handle_at: %s" % os.strerror(error))
        return None
    try:
        return os.read(fd, 1 << 16)
    except PermissionError:
        return None
    finally:
        os.close(fd)


@suite.test("a file whose name nobody knows")
def _(suite):
    """What nfsd does: opened by its number while no name of it is in the cache."""
    with host_of("ext4") as host:
        bad, good = host.put("bad", script(MARKER)), host.put("good", script())
        free = host.put("free", script(MARKER), host.outside)
        handles = {path: handle_of(path) for path in (bad, good, free)}

        def read(path):
            forget()
            return read_by_handle(host.fs, handles[path])
        suite.check("control: opened by its handle alone, an infected file is read without the guard", read(bad))
        host.guard()
        got = read(bad)
        row("open_by_handle_at of a name that is not in the cache", "infected, opened now", "not guarded" if got else "refused")
        suite.check("an infected file opened by its handle, as its first open, is refused", got is None)
        suite.check("and once more", read(bad) is None)
        suite.check("a clean file opened by its handle is read", read(good))
        if REDUCED:
            return
        host.kill()
        got = read(bad)
        suite.check("an infected file opened by its handle is refused while no daemon runs", got is None)
        suite.check("a file that is known by its handle alone counts as inside while no daemon runs", read(good) is None)
        host.read(free)  # by its name: its place is known then
        host.release()
        suite.check("control: released, an infected file is read by its handle", read(bad))


@suite.test("writers whom nobody sees write")
def _(suite):
    """A store through a mapping, and a write that lands after the answer: what a reader's descriptor gets then."""
    with host_of("ext4") as host:
        source = host.put("source", MARKER, host.outside)
        ways = {"old-mapping": "a store through a mapping made before the approval",
                "in-flight": "a write that began before the approval and lands after it"}

        def tried(way, name, guarded):
            path = host.put(name, script())
            changer = host.changing(way, path, source, "keep")
            changer.word("ready")
            if way == "in-flight":
                changer.go("in flight")
            fd = None
            try:
                fd = os.open(path, os.O_RDONLY)
                first = os.pread(fd, 100, 0)
            except PermissionError:
                first = b""
            changer.go("done")
            try:
                second = os.pread(fd, 100, 0) if fd is not None else b""
            except PermissionError:
                second = b""
            fresh = host.read(path) if guarded else os.pread(fd, 100, 0)
            changer.end()
            later = host.read(path)
            if fd is not None:
                os.close(fd)
            return first, second, fresh, later
        for way, shown in ways.items():
            first, second, fresh, later = tried(way, "control-" + way, False)
            suite.check("control: %s: the reader has the bytes without the guard" % shown, MARKER in second and MARKER in later)
        host.guard()
        for way, shown in ways.items():
            first, second, fresh, later = tried(way, way, True)
            suite.say("%s: read before it landed: %s; by the same descriptor after: %s" %
                      (shown, "allowed" if first else "refused", "INFECTED BYTES" if MARKER in second else "refused or old"))
            row("read by a descriptor", shown, "not guarded" if MARKER in second else "refused")
            suite.check("%s: the next open is denied, with the writer there" % shown, fresh is None, fresh)
            suite.check("%s: and when the writer is gone" % shown, later is None, later)


last_test(suite)
suite.main()
