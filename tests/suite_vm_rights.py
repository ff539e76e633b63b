# SPDX-License-Identifier: GPL-2.0-only
"""Full mode: nobody without rights forges a verdict, stops the guard or reads its maps. Each attempt is made by an ordinary user
and by root of a user namespace of his; its control is the same deed by root on an object of the test's own, or by the user on
his. Root of the host is trusted, and not kept out of anything."""
import ctypes
import errno
import os
import resource
import signal
import socket
import struct
import time

from full_mode import PINS, USER, FullHost, as_user, check_nothing_left, each_in_child, in_child, pins
from harness import CLEAN, MARKER, Suite, eventually

suite = Suite("vm_rights")
libc = ctypes.CDLL(None, use_errno=True)
MARK = "trusted.mailward.origin"
REFUSED = (errno.EPERM, errno.EACCES)
OWN_PIN = "/sys/fs/bpf/test-own-map"


def call(number, *args):
    """A system call -> its result; raises OSError."""
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) if isinstance(a, int) else a for a in args))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def c_call(function, *args):
    if function(*args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


# ---- bpf(2), by hand ----

def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(144, b"\0"), 144)
    return call(321, command, ctypes.byref(buffer), 144)


def object_get(path):
    text = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(7, struct.pack("QII", ctypes.addressof(text), 0, 0))


def object_by_id(command, number):
    return bpf(command, struct.pack("III", number, 0, 0))


def own_map():
    """A map of the caller's own, pinned at OWN_PIN."""
    fd = bpf(0, struct.pack("IIII", 2, 4, 8, 1))
    text = ctypes.create_string_buffer(OWN_PIN.encode())
    bpf(6, struct.pack("QII", ctypes.addressof(text), fd, 0))
    return fd


def read_map(fd):
    key, value = ctypes.create_string_buffer(4), ctypes.create_string_buffer(65536)
    bpf(1, struct.pack("IIQQQ", fd, 0, ctypes.addressof(key), ctypes.addressof(value), 0))


def ids_of(kind):
    """Numbers of every object of that kind, asked as root."""
    number, found = 0, []
    while True:
        buffer = ctypes.create_string_buffer(struct.pack("II", number, 0).ljust(144, b"\0"), 144)
        if libc.syscall(ctypes.c_long(321), ctypes.c_long({"prog": 11, "map": 12, "link": 31}[kind]), ctypes.byref(buffer),
                        ctypes.c_long(144)) < 0:
            return found
        number = struct.unpack_from("I", buffer.raw, 4)[0]
        found.append(number)


# ---- what is done to a process; by pid ----

def poke(pid, name, text="0"):
    with open("/proc/%d/%s" % (pid, name), "w") as file:
        file.write(text)


def look(pid, name):
    with open("/proc/%d/%s" % (pid, name), "rb") as file:
        file.read(64)


def pidfd_signal(pid):
    call(424, call(434, pid, 0), signal.SIGCONT, None, 0)


def take_descriptor(pid):
    call(438, call(434, pid, 0), 1, 0)


def attach(pid):
    try:
        c_call(libc.ptrace, 16, pid, None, None)
    finally:
        libc.ptrace(17, pid, None, None)


def seize(pid):
    c_call(libc.ptrace, 0x4206, pid, None, None)


def read_memory(pid):
    with open("/proc/%d/maps" % pid) as file:
        start = int(file.readline().split("-")[0], 16)
    buffer = ctypes.create_string_buffer(16)
    mine, theirs = struct.pack("QQ", ctypes.addressof(buffer), 16), struct.pack("QQ", start, 16)
    call(310, pid, ctypes.c_char_p(mine), 1, ctypes.c_char_p(theirs), 1, 0)


TO_A_PROCESS = {
    "SIGKILL": lambda pid: os.kill(pid, signal.SIGKILL),
    "SIGSTOP": lambda pid: os.kill(pid, signal.SIGSTOP),
    "SIGTERM": lambda pid: os.kill(pid, signal.SIGTERM),
    "SIGHUP": lambda pid: os.kill(pid, signal.SIGHUP),
    "a signal by pidfd": pidfd_signal,
    "ptrace attach": attach,
    "ptrace seize": seize,
    "reading its memory (process_vm_readv)": read_memory,
    "writing its memory (/proc/PID/mem)": lambda pid: os.close(os.open("/proc/%d/mem" % pid, os.O_RDWR)),
    "its descriptors (pidfd_getfd)": take_descriptor,
    "its descriptors (/proc/PID/fd)": lambda pid: os.stat("/proc/%d/fd/1" % pid),
    "its map of memory": lambda pid: look(pid, "maps"),
    "its environment": lambda pid: look(pid, "environ"),
    "oom_score_adj": lambda pid: poke(pid, "oom_score_adj", "1000"),
    "coredump_filter": lambda pid: poke(pid, "coredump_filter"),
    "clear_refs": lambda pid: poke(pid, "clear_refs", "1"),
    "its limits": lambda pid: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3)),
    "its priority": lambda pid: os.setpriority(os.PRIO_PROCESS, pid, 19),
    "its processors": lambda pid: os.sched_setaffinity(pid, {0}),
    "its scheduler": lambda pid: os.sched_setscheduler(pid, 5, os.sched_param(0)),  # SCHED_IDLE
    "its cgroup": lambda pid: move_to_cgroup(pid),
}


def move_to_cgroup(pid):
    with open("/sys/fs/cgroup/cgroup.procs" if os.path.exists("/sys/fs/cgroup/cgroup.procs") else
              "/sys/fs/cgroup/unified/cgroup.procs", "w") as file:
        file.write(str(pid))


def sleeping(suite):
    process = suite.popen(["sleep", "600"])
    eventually(lambda: b"nanosleep" in asleep_in(process.pid), 5, 0.01)
    return process.pid


def asleep_in(pid):
    with open("/proc/%d/wchan" % pid, "rb") as file:
        return file.read()


def check_refused(name, attempt, allowed=REFUSED):
    """By the user, and by root of his namespace."""
    for who, inside in (("a user", False), ("root of a user namespace", True)):
        error = in_child(attempt, USER, inside)
        suite.check("%s, by %s: refused" % (name, who), error in allowed, error)


def lasting_worker(host):
    """The first ones may still be tried and replaced."""
    before = set(host.workers())
    time.sleep(1)
    return next(iter(before & set(host.workers())), None)


def check_processes(host):
    pids = dict(host.pids(), worker=host.wait("a worker", lambda: lasting_worker(host)))
    suite.check("the processes are known", {"keeper", "gate", "loader", "recorder", "worker"} <= set(pids), pids)
    for what, deed in TO_A_PROCESS.items():
        victim = sleeping(suite)
        error = in_child(lambda: deed(victim))
        suite.check("control: %s, by root to a process of the test" % what, error == 0, error)
        for who, inside in (("a user", False), ("root of a user namespace", True)):
            errors = each_in_child(deed, pids.values(), USER, inside)
            suite.check("%s, by %s to each process of the guard: refused" % (what, who),
                        all(error in REFUSED for error in errors.values()), errors)
    suite.check("and each of them lives on", dict(host.pids(), worker=pids["worker"]) == pids, host.pids())


def check_pins(host):
    known = sorted(pins())
    suite.check("there are pins", len(known) > 11, known)
    if not known:
        return
    own_map()
    suite.at_end(lambda: os.path.exists(OWN_PIN) and os.unlink(OWN_PIN))
    deeds = {
        "taking a pinned map": lambda path: object_get(path),
        "reading a pinned map": lambda path: read_map(object_get(path)),
        "changing a pin's mode": lambda path: os.chmod(path, 0o666),
        "changing a pin's owner": lambda path: os.chown(path, USER, USER),
        "renaming a pin": lambda path: (os.rename(path, path + "x"), os.rename(path + "x", path)),
        "looking at a pin": os.stat,
        "removing a pin": lambda path: os.unlink(path),
    }
    maps = [path for path in known if "/maps/" in path]
    suite.check("maps are among them", len(maps) >= 11, maps)
    for what, deed in deeds.items():
        error = in_child(lambda: deed(OWN_PIN))
        suite.check("control: %s, by root on a map of the test" % what, error == 0, error)
        for who, inside in (("a user", False), ("root of a user namespace", True)):
            errors = each_in_child(deed, maps if "map" in what else known, USER, inside)
            suite.check("%s, by %s: refused" % (what, who), all(e in REFUSED for e in errors.values()), errors)
    suite.check("control: root can list the pins", bool(os.listdir(PINS)))
    check_refused("listing the pins", lambda: os.listdir(PINS))
    check_refused("making a folder among the pins", lambda: os.mkdir(PINS + "/x"))
    check_refused("unmounting them", lambda: c_call(libc.umount2, b"/sys/fs/bpf", 2), REFUSED + (errno.EINVAL,))
    suite.check("no pin is gone, and none is new", sorted(pins()) == known, set(pins()) ^ set(known))


def check_bpf(host):
    for kind, command in (("prog", 13), ("map", 14), ("link", 30)):
        numbers = ids_of(kind)
        error = in_child(lambda: [os.close(object_by_id(command, n)) for n in numbers])
        suite.check("control: root takes each %s by its number" % kind, numbers and error == 0, (numbers, error))
        check_refused("taking a %s by its number" % kind, lambda: object_by_id(command, numbers[-1]))
    check_refused("loading a program", lambda: bpf(5, struct.pack("II", 29, 1)))
    state = next((path for path in pins() if path.endswith("/maps/state")), "")
    result = suite.run(["bpftool", "map", "dump", "pinned", state])
    suite.check("control: bpftool, by root, dumps a map", result.rc == 0 and "value" in result.out, result)
    result = suite.run(as_user(["bpftool", "map", "dump", "pinned", state]))
    suite.check("bpftool, by a user: refused", result.rc != 0 and "value" not in result.out, result)
    result = suite.run(as_user(["unshare", "-Ur", "bpftool", "map", "dump", "pinned", state]))
    suite.check("bpftool, by root of a user namespace: refused", result.rc != 0 and "value" not in result.out, result)


def connect(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.connect(path)


def append(path):
    with open(path, "ab"):
        pass


def check_files(host):
    for name in ("keeper.sock", "recorder.sock"):
        path = os.path.join(host.runtime, name)
        suite.check("control: root connects to %s" % name, in_child(lambda: connect(path)) == 0)
        check_refused("connecting to %s" % name, lambda: connect(path))
        check_refused("removing %s" % name, lambda: os.unlink(path))
    history = next((os.path.join(p, n) for p, _, names in os.walk(host.state) for n in names), None)
    suite.check("control: the history is there, and root may write it", history and in_child(lambda: append(history)) == 0)
    files = {"the history": history, "the policy": host.config, "the definitions": host.definitions + "/mailward-test.ndb"}
    for what, path in files.items():
        check_refused("writing %s" % what, lambda: append(path))
    for what, path in {"the runtime folder": host.runtime, "the state folder": host.state}.items():
        check_refused("a new file in %s" % what, lambda: append(path + "/new"))


def fanotify_init(flags):
    return call(300, flags, os.O_RDONLY)


def check_fanotify(host):
    content = 0x4 | 0x10 | 0x1  # FAN_CLASS_CONTENT | UNLIMITED_QUEUE | CLOEXEC
    suite.check("control: root makes a group for permission events", in_child(lambda: fanotify_init(content)) == 0)
    check_refused("a group for permission events", lambda: fanotify_init(content))
    path = host.watched + "/infected"

    def unprivileged():
        """The kind of group that users may have; what it marks and flushes is its own."""
        group = fanotify_init(0x200 | 0x1)  # FAN_REPORT_FID
        for flags, mask in ((0x1, 0x20), (0x80, 0x20), (0x80 | 0x100, 0)):  # add; flush; flush of file systems
            call(301, group, flags, mask, -100, ctypes.c_char_p(os.fsencode(path)))
    suite.check("control: root's own group can be flushed", in_child(unprivileged) == 0, in_child(unprivileged))
    in_child(unprivileged, USER)
    in_child(unprivileged, USER, True)
    result = host.probe("open", path)
    suite.check("a user's group takes nothing from the guard's", result.rc == 1, result)


def check_marks(host):
    """Attributes: an attachment made innocent, a file made an attachment."""
    mine = host.put("of-the-user", CLEAN)
    os.chown(mine, USER, USER)
    spare = host.put("spare", CLEAN)

    def set_mark(path):
        os.setxattr(path, MARK, b"1")
        os.removexattr(path, MARK)
    suite.check("control: root sets and removes the mark", in_child(lambda: set_mark(spare)) == 0)
    check_refused("setting the mark", lambda: os.setxattr(mine, MARK, b"1"))
    check_refused("removing it", lambda: os.removexattr(mine, MARK))


def check_programs(host):
    """The guard's own programs in the hands of a user."""
    known = sorted(pins())
    daemon = os.path.join(host.programs, "mailwardd")
    words = ["--config", host.config, "--runtime-dir", host.runtime, "--state-dir", host.state, "--definitions", host.definitions]
    for who, prefix in (("a user", []), ("root of a user namespace", ["unshare", "-Ur"])):
        result = suite.run(as_user(prefix + [daemon] + words + ["--release"]))
        suite.check("mailwardd --release, by %s: refused" % who, result.rc != 0, result)
        result = suite.run(as_user(prefix + [daemon] + words + ["--foreground"]), timeout=20)
        suite.check("a second mailwardd, by %s: refused" % who, result.rc not in (0, 124), result)
        result = suite.run(as_user(prefix + [os.path.join(host.programs, "mailward"), "--runtime-dir", host.runtime, "reload"]))
        suite.check("mailward reload, by %s: refused" % who, result.rc not in (0, 124), result)
    suite.check("nothing was detached", sorted(pins()) == known)
    # A name is nothing: a program that calls itself the gate is refused like any other.
    path = host.watched + "/infected"
    result = suite.run(as_user(["/bin/bash", "-c", "exec -a mailward-gate /usr/bin/head -c 99 %s" % path]))
    suite.check("a user's process called mailward-gate gets nothing", result.rc != 0 and not result.out, result)


@suite.test("nobody without rights")
def _(suite):
    with FullHost(suite) as host:
        infected = host.put("infected", MARKER)
        os.chown(infected, USER, USER)
        suite.check("control: the infected file is read without the guard", host.read(infected) == MARKER)
        error = in_child(lambda: None, USER, True)
        suite.check("control: a user may have a user namespace here", error == 0, error)
        host.guard()
        host.wait("workers", host.workers)
        suite.check("the infected file is refused", host.probe("open", infected).rc == 1)
        check_processes(host)
        check_pins(host)
        check_bpf(host)
        check_files(host)
        check_fanotify(host)
        check_marks(host)
        check_programs(host)
        suite.check("after all that the infected file is refused", host.probe("open", infected).rc == 1)
        good = host.put("good", CLEAN)
        suite.check("and a clean one is read", host.probe("open", good).bytes == len(CLEAN))
        rc, text = host.tool("status")
        suite.check("and status is healthy", rc == 0, text)
        result = host.release()
        suite.check("released", result.rc == 0, result)
        suite.check("released: the infected file is read again", host.read(infected) == MARKER)
    check_nothing_left(suite)


suite.main()
