#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# vm: alone
"""How the kernel side comes, stays, is handed on and goes: pins and who may touch them, restarts, upgrades, half-done sets,
`mailwardd --release`, a second daemon. Full mode only: in a machine of its own (tests/vm/run), or where the kernel can."""
import ctypes
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys

from harness import BUILD, CLEAN, MARKER, Failure, Host, Suite, drop_caches, eventually

HOOKS = "/sys/fs/bpf/mailward"
with open(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "include/hooks.h")) as header:
    VERSION = "v" + re.search(r"^#define HOOKS_VERSION (\d+)$", header.read(), re.M).group(1)
SET = HOOKS + "/" + VERSION  # of the programs as they are built
MAPS = ["generations", "verdicts", "labels", "origins", "leavers", "folders", "systems", "programs", "orders", "state",
        "refusals"]
DAEMON = os.path.join(BUILD, "mailwardd")
suite = Suite("vm_attach", limit=600)
libc = ctypes.CDLL(None, use_errno=True)


class MapInfo(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint32) for n in ("type", "id", "key_size", "value_size", "max_entries", "map_flags")] + [
        ("rest", ctypes.c_uint8 * 256)]


def bpf(command, attributes):
    """bpf(2) on x86_64; -> descriptor or 0, or -errno."""
    buffer = ctypes.create_string_buffer(attributes, 144)
    result = libc.syscall(321, command, buffer, 144)
    return result if result >= 0 else -ctypes.get_errno()


def word(*values):
    return b"".join(v.to_bytes(4, "little") for v in values)


def obj_get(path):
    name = ctypes.create_string_buffer(path.encode())
    return bpf(7, ctypes.addressof(name).to_bytes(8, "little"))


def map_info(path):
    fd = obj_get(path)
    if fd < 0:
        return None
    info = MapInfo()
    attributes = word(fd, ctypes.sizeof(info)) + ctypes.addressof(info).to_bytes(8, "little")
    result = bpf(15, attributes)
    os.close(fd)
    return info if result == 0 else None


def pin_foreign_map(path):
    """A map of another shape under the name of one of ours."""
    fd = bpf(0, word(1, 4, 4, 1))  # BPF_MAP_TYPE_HASH
    name = ctypes.create_string_buffer(path.encode())
    result = bpf(6, ctypes.addressof(name).to_bytes(8, "little") + word(fd))
    os.close(fd)
    return result


def tree():
    """{path below HOOKS: mode}"""
    found = {}
    for folder, folders, files in os.walk(HOOKS):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, HOOKS)] = os.lstat(path).st_mode
    return found


def links():
    return [p for p in tree() if p.startswith(VERSION + "/links-") and p.count("/") == 2]


def map_ids():
    return {name: getattr(map_info(SET + "/maps/" + name), "id", None) for name in MAPS}


def is_one_set(paths=None):
    """Nothing but one complete set of this version."""
    paths = paths or tree()
    folders = sorted(p for p in paths if p.count("/") < 2)
    return (len(folders) == 3 and folders[0] == VERSION and folders[1].startswith(VERSION + "/links-") and
            folders[2] == VERSION + "/maps" and
            sorted(p.split("/")[2] for p in paths if p.startswith(VERSION + "/maps/")) == sorted(MAPS))


def release():
    return suite.run([DAEMON, "--release"])


def programs_in_kernel():
    out = suite.run(["bpftool", "prog"]).out
    return [line for line in out.splitlines() if " lsm " in line or "tp_sched" in line]


def can_read(path):
    """Opens and reads: None where either is refused."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except PermissionError:
        return None


class Guarded(Host):
    """A Host whose kernel side does not outlive it."""

    def __init__(self, on_suite, **words):
        super().__init__(on_suite, "ext4", **words)
        on_suite.at_end(release)

    def full(self):
        self.start()
        if "full mode" not in self.log():
            raise Failure("no full mode: " + self.log()[-400:])
        return self

    def said(self, text):
        """In the log of the latest start."""
        log = self.log()
        return text in log[log.rindex("started (version"):]


@suite.test("pins: complete, and root's alone")
def _(suite):
    suite.check("control: nothing is pinned or attached before", not os.path.exists(HOOKS) and not programs_in_kernel(),
                programs_in_kernel())
    with Guarded(suite) as host:
        host.full()
        paths = tree()
        suite.check("one complete set: maps and links", is_one_set(paths), paths)
        count = len(links())
        suite.check("a link for each program that the log counts", "full mode: %d programs" % count in host.log() and count > 8,
                    (count, host.log()[:300]))
        modes = {os.stat(HOOKS).st_mode & 0o7777} | {m & 0o7777 for p, m in paths.items() if p.count("/") < 2}
        suite.check("folders: 0700", modes == {0o700}, modes)
        files = {m & 0o7777 for p, m in paths.items() if p.count("/") == 2}
        suite.check("pins: 0600", files == {0o600}, files)
        suite.check("all root's", {os.lstat(os.path.join(HOOKS, p)).st_uid for p in paths} == {0})
        busy = release()
        suite.check("--release while the daemon runs: 2, one line that says what to do, and nothing is removed",
                    busy.rc == 2 and "stop it first" in busy.err and len(busy.err.splitlines()) == 1 and tree() == paths, busy)
        status = host.status() or {}
        suite.check("status says full mode", status.get("mode") == "full", status.get("mode"))


@suite.test("nobody without rights can read, open or remove them")
def _(suite):
    with Guarded(suite) as host:
        host.full()
        os.chmod("/sys/fs/bpf", 0o1777)  # as it is mounted without mode=
        suite.at_end(lambda: os.chmod("/sys/fs/bpf", 0o700))
        link = HOOKS + "/" + links()[0]
        deeds = {"list them": "ls " + HOOKS, "open a map": "bpftool map show pinned %s/maps/orders" % SET,
                 "read a map": "bpftool map dump pinned %s/maps/orders" % SET,
                 "remove a link": "rm -f " + link, "rename the folder": "mv %s /sys/fs/bpf/x" % HOOKS,
                 "make a folder inside": "mkdir %s/x" % SET}
        user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "-all", "--"]
        probe = suite.run(user + ["mkdir", "/sys/fs/bpf/somebodys"])
        suite.check("control: an ordinary user can make a folder of his own on this bpffs", probe.rc == 0, probe)
        os.rmdir("/sys/fs/bpf/somebodys")
        for name in ("list them", "open a map", "read a map"):
            suite.check("control: root can %s" % name, suite.run(["sh", "-c", deeds[name]]).rc == 0)
        for name, deed in deeds.items():
            result = suite.run(user + ["sh", "-c", deed])
            suite.check("an ordinary user cannot %s" % name, result.rc != 0, result)
        for pid in (host.pid("gate"), host.daemon.pid):
            result = suite.run(user + ["ls", "/proc/%d/fd" % pid])
            suite.check("nor get at the descriptors of the daemon", result.rc != 0 and not result.out, result)
        suite.check("control: all is there still", is_one_set(), tree())
        host.stop()
        release()
        # He was there first, and holds the lock that a keeper holds.
        squat = suite.popen(user + ["/usr/bin/python3", "-c",
                                    "import os, fcntl, time\nos.mkdir('%s')\nfd = os.open('%s', os.O_RDONLY)\n"
                                    "fcntl.flock(fd, fcntl.LOCK_EX)\nos.mkdir('%s')\ntime.sleep(300)" % (HOOKS, HOOKS, SET)])
        suite.check("control: he has taken the name", eventually(lambda: os.path.isdir(SET)) and
                    os.stat(HOOKS).st_uid == 65534)
        host.full()
        suite.check("a folder that he has put there first, locked, stops nobody", is_one_set() and
                    os.stat(HOOKS).st_uid == 0, tree())
        squat.kill()


@suite.test("a stop on purpose holds the door, --release opens it")
def _(suite):
    with Guarded(suite) as host:
        host.policy(host.watch(on_down="deny"))
        known, unknown = host.put("known", CLEAN), host.put("unknown", b"nobody has asked for this one yet, so far\n")
        bad = host.put("bad", MARKER)
        suite.check("control: without the guard all three can be read", can_read(known) and can_read(unknown) and can_read(bad))
        drop_caches()
        host.full()
        suite.check("guarded: the clean one is read, the infected one is not", can_read(known) == CLEAN and
                    can_read(bad) is None)
        host.stop()
        suite.check("the last lines say that on-down answers from now on, and how to end it",
                    host.said("on-down") and host.said("mailwardd --release"), host.log()[-400:])
        suite.check("nobody runs, the programs are attached all the same", is_one_set() and programs_in_kernel())
        suite.check("what was found clean is read", can_read(known) == CLEAN)
        suite.check("what is not known is refused, and what is infected too", can_read(unknown) is None and
                    can_read(bad) is None)
        result = release()
        suite.check("--release: 0, and how many programs were attached", result.rc == 0 and "programs were attached" in
                    result.out and len(result.out.splitlines()) == 1, result)
        suite.check("no pin is left", not os.path.exists(HOOKS))
        suite.check("and no program in the kernel", not programs_in_kernel(), programs_in_kernel())
        suite.check("control: nothing is refused any more", can_read(unknown) and can_read(bad))
        again = release()
        suite.check("once more: 0, nothing to release", again.rc == 0 and "nothing to release" in again.out, again)
        user = suite.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--", DAEMON, "--release"])
        suite.check("by an ordinary user: 2", user.rc == 2 and "root" in user.err, user)


@suite.test("restart-keeps-verdicts")
def _(suite):
    with Guarded(suite) as host:
        clean, bad = host.put("clean", CLEAN), host.put("bad", MARKER)
        host.full()
        before = host.counter("scans")
        suite.check("control: scanned at first", can_read(clean) == CLEAN and can_read(bad) is None and
                    host.counter("scans") >= before + 2, (before, host.counter("scans")))
        ids, before = map_ids(), set(links())
        for name, end in (("SIGTERM", host.stop), ("SIGKILL of all", host.kill)):
            end()
            suite.check("%s: the set is there while nobody runs" % name, is_one_set(), tree())
            host.full()
            suite.check("%s, restart: the same maps" % name, map_ids() == ids and host.said("remembers"), (ids, map_ids()))
            suite.check("%s, restart: new links in place of the old ones" % name,
                        is_one_set() and not before & set(links()), tree())
            before = set(links())
            held = open(clean, "rb")
            scans = host.counter("scans")
            suite.check("%s, restart: known without a scan" % name, can_read(clean) == CLEAN and can_read(bad) is None and
                        host.counter("scans") == scans, (scans, host.counter("scans")))
            suite.check("%s, restart: an open descriptor goes on" % name, held.read() == CLEAN)
            held.close()
        host.stop()
        host.policy(host.watch(deadline="7s", on_infected="report"))
        host.full()
        suite.check("another policy's answers do not count", map_ids() == ids and can_read(clean) == CLEAN and
                    can_read(bad) == MARKER, (ids, map_ids()))


@suite.test("the keeper alone is killed")
def _(suite):
    with Guarded(suite) as host:
        clean = host.put("clean", CLEAN)
        host.full()
        suite.check("control: read", can_read(clean) == CLEAN)
        ids = map_ids()
        pids = list(host.pids().values())
        os.kill(host.daemon.pid, signal.SIGKILL)
        host.daemon.wait()
        host.full()  # at once, as a service manager does
        suite.check("the next one takes over at once", map_ids() == ids and is_one_set() and host.said("remembers"), tree())
        suite.check("and nobody of the first is left", not [p for p in pids if os.path.exists("/proc/%d" % p)])
        scans = host.counter("scans")
        suite.check("known without a scan", can_read(clean) == CLEAN and host.counter("scans") == scans, host.counter("scans"))


@suite.test("upgrade")
def _(suite):
    def starts(name, change, same, host):
        host.stop()
        ids = map_ids()
        change()
        host.full()
        took = eventually(is_one_set, 10)
        suite.check("%s: one complete set afterwards" % name, took, tree())
        if same:
            suite.check("%s: the maps are kept" % name, map_ids() == ids and host.said("remembers"), host.log()[-300:])
        else:
            suite.check("%s: new maps" % name, not set(map_ids().values()) & set(ids.values()) and not
                        host.said("remembers"), (ids, map_ids()))
        gone = eventually(lambda: len(programs_in_kernel()) == len(links()), 10)
        suite.check("%s: the others' programs are gone" % name, gone, len(programs_in_kernel()))
        suite.check("%s: guarded" % name, can_read(bad) is None and can_read(clean) == CLEAN)

    def remove(path):
        def deed():
            shutil.rmtree(HOOKS + "/" + path) if os.path.isdir(HOOKS + "/" + path) else os.unlink(HOOKS + "/" + path)
        return deed

    def wrong_map():
        os.unlink(SET + "/maps/origins")
        suite.check("control: a map of another shape lies there", pin_foreign_map(SET + "/maps/origins") == 0)

    def half_done():
        os.mkdir(SET + "/new-links-99", 0o700)
        pin_foreign_map(SET + "/new-links-99/lsm_file_open")
        os.mkdir(SET + "/maps-new", 0o700)

    with Guarded(suite) as host:
        clean, bad = host.put("clean", CLEAN), host.put("bad", MARKER)
        host.full()
        can_read(clean)
        starts("nothing changed", lambda: None, True, host)
        starts("a half-done set beside it", half_done, True, host)
        starts("another version's folder", lambda: os.rename(SET, HOOKS + "/v0"), False, host)
        suite.check("and it says that the earlier version is detached", host.said("earlier version"), host.log()[-300:])
        starts("a map of another shape", wrong_map, False, host)
        starts("maps without links: what changed meanwhile went unseen", remove(os.path.dirname(links()[0])), False, host)
        starts("a link that is missing", lambda: remove(links()[0])(), False, host)
        starts("a map that is missing", remove(VERSION + "/maps/state"), False, host)


@suite.test("what changed while nothing was attached is judged anew")
def _(suite):
    with Guarded(suite) as host:
        path = host.put("file", CLEAN)
        host.full()
        held = open(path, "rb")  # the inode stays in the cache, and its storage with it
        suite.check("control: clean", held.read() == CLEAN)
        host.stop()
        shutil.rmtree(os.path.dirname(HOOKS + "/" + links()[0]))
        eventually(lambda: not programs_in_kernel(), 10)
        with open(path, "wb") as f:
            f.write(MARKER)
        host.full()
        suite.check("refused", can_read(path) is None)
        held.seek(0)
        try:
            got = held.read()
        except PermissionError:
            got = b""
        suite.check("by the descriptor that was open before, too", got == b"", got)


@suite.test("a second daemon on the same host")
def _(suite):
    with Guarded(suite) as host, Guarded(suite) as other:
        clean = host.put("clean", CLEAN)
        host.full()
        ids = map_ids()
        other.start()
        suite.check("the second one says that it has the reduced mode, and why",
                    "reduced mode: another mailwardd" in other.log(), other.log()[-300:])
        suite.check("the maps are the first one's", map_ids() == ids and is_one_set())
        suite.check("the first one guards as before", can_read(clean) == CLEAN and host.read(host.put("bad", MARKER)) is None)
        suite.check("the second one guards by fanotify", other.read(other.put("bad", MARKER)) is None)
        other.stop()
        suite.check("its end takes nothing along", is_one_set() and map_ids() == ids)
        host.stop()
        other.full()
        suite.check("when the first one has gone the second can have it", is_one_set())


@suite.test("starts that come to nothing, and on-stop")
def _(suite):
    with Guarded(suite) as host:
        good = open(host.config).read()
        host.write_policy("watch {\n")
        result = host.start_refused(timeout=60)
        suite.check("a policy with mistakes: 2, and nothing is left in the kernel", result.rc == 2 and
                    not os.path.exists(HOOKS), (result, tree()))
        host.write_policy(good)
        host.full()
        clean = host.put("clean", CLEAN)
        can_read(clean)
        host.stop()
        host.write_policy("watch {\n")
        result = host.start_refused(timeout=60)
        suite.check("after an earlier run: what was there goes on", result.rc == 2 and is_one_set() and can_read(clean) == CLEAN,
                    (result, tree()))
        host.write_policy("on-stop = release\n" + good)
        host.full()
        unknown = host.put("unknown", b"somebody else's bytes that nobody knows\n")
        host.stop()
        gone = eventually(lambda: not programs_in_kernel(), 10)
        suite.check("on-stop = release: SIGTERM detaches, and the log says so", gone and not os.path.exists(HOOKS) and
                    host.said("on-stop = release"), (tree(), host.log()[-300:]))
        suite.check("control: nothing is refused then", can_read(unknown) is not None)


suite.main()
