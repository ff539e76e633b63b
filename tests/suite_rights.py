#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What each process may do, read from the running ones; and what breaks without each capability: the operation that it is
there for, tried with the process's own set and with one taken away."""
import ctypes
import os
import subprocess
import sys

from harness import Host, Suite, eventually

NUMBERS = {"chown": 0, "dac_override": 1, "fowner": 3, "dac_read_search": 2, "kill": 5, "setgid": 6, "setuid": 7, "ipc_lock": 14, "sys_ptrace": 19,
           "sys_admin": 21, "sys_nice": 23, "lease": 28}
GATE = ("sys_admin", "dac_read_search", "lease", "sys_ptrace", "sys_nice")
KEEPER = ("kill", "setuid", "setgid")
STEWARD = ("sys_admin", "dac_override", "dac_read_search", "chown", "fowner")
libc = ctypes.CDLL(None, use_errno=True)


# ---- the operations; each in a process of its own: `suite_rights.py do NAME PATH PID`. Exit code: errno, 0: it works ----

def groups(path, pid):
    """sys_admin: a fanotify group for permission events"""
    return libc.fanotify_init(0x4 | 0x10 | 0x1, os.O_RDONLY)


def handle(path, pid):
    """dac_read_search: a name by its file handle, which tells the true place of a file"""
    class Handle(ctypes.Structure):
        _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]
    made, mount = Handle(bytes=128), ctypes.c_int()
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    if libc.name_to_handle_at(folder, os.path.basename(path).encode(), ctypes.byref(made), ctypes.byref(mount), 0) < 0:
        return -1
    return libc.open_by_handle_at(folder, ctypes.byref(made), os.O_PATH)


def lease(path, pid):
    """lease: is there a writer? A read lease on another user's file"""
    import fcntl
    fd = os.open(path, os.O_RDONLY)
    return libc.fcntl(fd, 1024, fcntl.F_RDLCK)


def opener(path, pid):
    """sys_ptrace: which program opened it: the exe of another user's process"""
    return libc.readlink(b"/proc/%d/exe" % pid, ctypes.create_string_buffer(256), 256)


def end(path, pid):
    """kill: a part of another uid that stands still"""
    return libc.kill(pid, 0)


def last(path, pid):
    """sys_nice: a worker of another uid put at the end of the line, and taken out of it"""
    none = ctypes.c_int(0)
    return libc.sched_setscheduler(pid, os.SCHED_IDLE, ctypes.byref(none)) or \
        libc.sched_setscheduler(pid, os.SCHED_OTHER, ctypes.byref(none))


def user(path, pid):
    """setuid: the recorder's own uid"""
    return libc.setresuid(65281, 65281, 65281)


def group(path, pid):
    """setgid: and its group, and no others"""
    return libc.setgroups(0, None) or libc.setresgid(65281, 65281, 65281)


def move(path, pid):
    """dac_override: a name taken out of another user's folder"""
    return libc.rename(path.encode(), path.encode() + b".moved")


def give(path, pid):
    """chown: a file given back to its owner"""
    return libc.chown(path.encode(), 65533, 65533)


def mode(path, pid):
    """fowner: and its mode and times with it"""
    return libc.chmod(path.encode(), 0o640) or libc.utimensat(-100, path.encode(), (ctypes.c_long * 4)(1, 1, 2, 2), 0)


def attribute(path, pid):
    """sys_admin: attributes that root alone may see"""
    return libc.setxattr(path.encode(), b"trusted.mailward.origin", b"x", 1, 0)


STEWARDS = {"dac_override": move, "chown": give, "fowner": mode, "sys_admin": attribute, "dac_read_search": handle}
DEEDS = {"sys_admin": groups, "dac_read_search": handle, "lease": lease, "sys_ptrace": opener, "sys_nice": last, "kill": end, "setuid": user,
         "setgid": group}
if sys.argv[1:2] in (["do"], ["steward"]):
    failed = (DEEDS if sys.argv[1] == "do" else STEWARDS)[sys.argv[2]](sys.argv[3], int(sys.argv[4])) < 0
    os._exit(ctypes.get_errno() if failed else 0)

suite = Suite("rights")


def field(pid, name):
    with open("/proc/%d/status" % pid) as f:
        return next(line.split(":", 1)[1].split() for line in f if line.startswith(name + ":"))


def capabilities(pid, kind="CapEff"):
    return int(field(pid, kind)[0], 16)


def bits(names):
    return sum(1 << NUMBERS[name] for name in names)


@suite.test("what breaks without each capability")
def _(suite):
    with Host(suite) as host:
        path = host.put("somebody's", b"content")
        os.chown(path, 65534, 65534)
        other = suite.popen(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "sleep", "60"])
        eventually(lambda: field(other.pid, "Uid")[1] == "65534")
        for names in (GATE, KEEPER):
            for name in names:
                def attempt(kept):
                    return suite.run(["setpriv", "--bounding-set", ",".join(["-all"] + ["+" + k for k in kept]), "--",
                                      "/usr/bin/python3", os.path.abspath(__file__), "do", name, path, str(other.pid)]).rc
                own = attempt(names)
                without = attempt([k for k in names if k != name])
                suite.check("control: with its own set: %s" % DEEDS[name].__doc__, own == 0, os.strerror(own))
                suite.check("without CAP_%s: refused" % name.upper(), without in (1, 13), without)
                suite.say("without CAP_%s: %s: %s" % (name.upper(), DEEDS[name].__doc__.split(": ", 1)[1], os.strerror(without)))


@suite.test("what breaks without each capability of the steward")
def _(suite):
    with Host(suite) as host:
        for name in STEWARD:
            def attempt(kept):
                path = host.put("folder/somebody's", b"content")
                os.chown(path, 65534, 65534)
                os.chown(os.path.dirname(path), 65534, 65534)
                os.chmod(os.path.dirname(path), 0o755 if name in ("chown", "fowner") else 0o700)
                rc = suite.run(["setpriv", "--bounding-set", ",".join(["-all"] + ["+" + k for k in kept]), "--",
                                "/usr/bin/python3", os.path.abspath(__file__), "steward", name, path, "0"]).rc
                for left in os.listdir(os.path.dirname(path)):
                    os.unlink(os.path.join(os.path.dirname(path), left))
                return rc
            own = attempt(STEWARD)
            without = attempt([k for k in STEWARD if k != name])
            suite.check("control: with the steward's set: %s" % STEWARDS[name].__doc__, own == 0, os.strerror(own))
            suite.check("steward without CAP_%s: refused" % name.upper(), without in (1, 13), without)


@suite.test("the running processes have what they need and no more")
def _(suite):
    with Host(suite) as host:
        host.start()
        host.wait("workers and a hasher", lambda: host.workers() and host.hasher())
        pids = host.pids()
        keeper, gate, loader, recorder = (pids[n] for n in ("keeper", "gate", "loader", "recorder"))
        suite.check("keeper: KILL, SETUID, SETGID", capabilities(keeper) == bits(KEEPER), hex(capabilities(keeper)))
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            suite.check("gate: its five capabilities, %s" % kind, capabilities(gate, kind) == bits(GATE),
                        hex(capabilities(gate, kind)))
        for kind in ("CapPrm", "CapEff", "CapBnd"):
            suite.check("steward: what moving files takes, %s" % kind, capabilities(pids["steward"], kind) == bits(STEWARD),
                        hex(capabilities(pids["steward"], kind)))
        allowed = bits(("sys_admin", "setuid", "setgid", "kill"))
        suite.check("loader: what forking boxed workers takes, as its own uid", capabilities(loader) & ~allowed == 0 and
                    "0" not in field(loader, "Uid"), (hex(capabilities(loader)), field(loader, "Uid")))
        boxed = {"a worker": host.workers()[0], "the hasher": host.hasher()}
        for name, pid in dict(boxed, **{"the recorder": recorder}).items():
            suite.check("%s: no capability, ever" % name, capabilities(pid) == 0 and capabilities(pid, "CapPrm") == 0 and
                        capabilities(pid, "CapInh") == 0 and capabilities(pid, "CapAmb") == 0)
            suite.check("%s: not root, no groups" % name, "0" not in field(pid, "Uid") + field(pid, "Gid") and
                        not field(pid, "Groups"), field(pid, "Uid"))
        for name, pid in dict(boxed, gate=gate, recorder=recorder, steward=pids["steward"]).items():
            suite.check("%s: no_new_privs and seccomp" % name, field(pid, "NoNewPrivs") == ["1"] and
                        field(pid, "Seccomp") == ["2"])
        suite.check("three uids for three kinds of work", len({field(p, "Uid")[0] for p in
                                                               (loader, recorder, boxed["a worker"])}) == 3)
        for name, pid in boxed.items():
            for kind in ("mnt", "net", "ipc", "uts"):
                theirs, ours = os.readlink("/proc/%d/ns/%s" % (pid, kind)), os.readlink("/proc/self/ns/%s" % kind)
                suite.check("%s: a %s namespace of its own" % (name, kind), theirs != ours)
            names = os.listdir("/proc/%d/root" % pid)
            suite.check("%s: nothing lies in its root but its own scratch files" % name,
                        not set(names) & {"etc", "bin", "usr", "proc", "dev", "home", "tmp"}, names)
            fds = {int(n): os.readlink("/proc/%d/fd/%s" % (pid, n)) for n in os.listdir("/proc/%d/fd" % pid)}
            suite.check("%s: /dev/null and its socket are all it has open" % name,
                        not [v for n, v in fds.items() if n > 2 and not v.startswith("socket:")], fds)
        fanotify = [n for n, pid in dict(boxed, loader=loader, recorder=recorder, steward=pids["steward"]).items()
                    if any("fanotify" in os.readlink("/proc/%d/fd/%s" % (pid, f)) for f in os.listdir("/proc/%d/fd" % pid))]
        suite.check("nobody but keeper and gate holds a fanotify group", not fanotify, fanotify)


def static_kb(pid):
    """Of the program's writable memory: its own mapping and the one right behind it."""
    end, size = None, 0
    with open("/proc/%d/maps" % pid) as f:
        for line in f:
            start, stop = (int(word, 16) for word in line.split()[0].split("-"))
            if "mailwardd" in line or (start == end and len(line.split()) == 5):
                size += (stop - start) // 1024 if line.split()[1].startswith("rw") else 0
                end = stop
    return size


@suite.test("keeper and gate are hard to disturb")
def _(suite):
    with Host(suite) as host:
        host.start()
        for name in ("keeper", "gate"):
            pid = host.pid(name)
            if "asan" not in os.environ.get("BUILD", ""):
                suite.check("%s: its memory is locked" % name, int(field(pid, "VmLck")[0]) > 1000, field(pid, "VmLck"))
                size = static_kb(pid)
                suite.check("%s: it does not lock what the other processes of the program have" % name, 500 < size < 3000,
                            "%d KB of static memory" % size)
            with open("/proc/%d/limits" % pid) as f:
                core = next(line.split()[4:6] for line in f if line.startswith("Max core"))
            suite.check("%s: no core file" % name, core == ["0", "0"], core)
        # What can't be dumped can't be looked into either, by root without CAP_SYS_PTRACE.
        plain = suite.popen(["setpriv", "--bounding-set", "-all", "sleep", "60"])
        eventually(lambda: capabilities(plain.pid) == 0)

        def look(pid):
            return suite.run(["setpriv", "--bounding-set", "-sys_ptrace", "readlink", "/proc/%d/exe" % pid]).rc
        suite.check("control: another process of root can be looked into", look(plain.pid) == 0)
        suite.check("keeper: not dumpable", look(host.pid("keeper")) != 0)


suite.main()
