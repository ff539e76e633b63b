# SPDX-License-Identifier: GPL-2.0-only
"""The programs in the kernel (bpf/) by themselves: tests/vm/try_hooks.c loads them and plays the gate by hand, no daemon
runs. Each scenario first shows that the access succeeds while no policy is in force."""
import ctypes
import errno
import mmap
import os
import signal
import subprocess
import sys
import time

from harness import BUILD, Host, Suite, eventually

suite = Suite("vm_hooks", limit=400)
libc = ctypes.CDLL(None, use_errno=True)

OBSERVE, ENFORCE = 1, 2
FILES, MAILDIR, SDBOX, MBOX = 0, 1, 2, 3
ALLOW, DENY = 1, 2
MAIL, SERVICE, OWN, GATE = 1, 2, 4, 8
OUTSIDE, UNSURE = -1, -2
WAYS = ("open", "read", "map", "protect", "exec")
WHYS = ("denied", "unknown", "down", "stacked", "exec-never")
CONTENT = b"#!/bin/sh\nexit 0\n"


class Hooks:
    """The programs, attached, and the maps that the gate writes."""

    def __init__(self, suite, mode="full"):
        self.suite = suite
        self.process = subprocess.Popen([os.path.join(BUILD, "tests", "try_hooks"), mode], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=sys.stdout, universal_newlines=True, bufsize=1)
        suite.track(self.process.pid)
        self.programs = {}
        for line in self.lines("programs"):
            name, rest = line.split(" ", 1)
            state, instructions = rest.rsplit(" ", 1)
            self.programs[name] = (state, int(instructions))
        self.epoch = 1
        self.fresh()

    def fresh(self):
        self.session, self.policy, self.definitions, self.strictest, self.track = 7, 3, 5, 0, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self is shared:  # loading them takes most of the time
            self.do("reset")
            self.fresh()
        else:
            self.end()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        time.sleep(0.3)  # programs go a moment after their links

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        return self.process.stdout.readline().strip()

    def lines(self, command):
        self.process.stdin.write(command + "\n")
        found = []
        while True:
            line = self.process.stdout.readline()
            if not line or line == "end\n":
                return found
            found.append(line.rstrip("\n"))

    def do(self, command):
        answer = self.ask(command)
        if answer != "ok":
            raise RuntimeError("%s: %s" % (command, answer))

    def watch(self, path, index=0, mode=ENFORCE, store=FILES, may_refuse=1, down=DENY, exec_never=0, origin_mail=0):
        self.do("watch %d %d %d %d %d %d %d" % (index, mode, store, may_refuse, down, exec_never, origin_mail))
        self.do("system %s" % path)
        self.do("folder %s %d" % (path, index))

    def orders(self, policy=None):
        """In force from now on; a new epoch each time."""
        self.epoch += 1
        self.do("orders %d %d %d %d %d %d" % (self.session, self.policy if policy is None else policy, self.definitions,
                                              self.epoch, self.strictest, self.track))

    def generation(self, path):
        """(generation, watch, unheld, origin) or None"""
        words = self.ask("generation %s" % path).split()
        return None if words == ["none"] else tuple(map(int, words))

    def verdict(self, path, answer, session=0, origin=0):
        self.do("verdict %s %d %d %d" % (path, answer, session, origin))

    def label(self, pid):
        words = self.ask("label %d" % pid).split()
        return (0, 0) if words == ["none"] else tuple(map(int, words))

    def refusals(self):
        found = []
        for line in self.lines("refusals"):
            way, why, watch, pid, uid, comm, cut, path = line.split(" ", 7)
            found.append((WAYS[int(way)], WHYS[int(why)], int(watch), int(pid), int(uid), comm, int(cut), path))
        return found

    def state(self):
        return dict(zip(("next", "moves", "dead_session", "refused", "refusals_lost", "no_memory"),
                        map(int, self.ask("state").split())))


# ---- accesses: 0 or an errno ----

def tried(function, *args):
    try:
        function(*args)
        return 0
    except OSError as error:
        return error.errno


def read_fd(fd):
    def read():
        if not os.pread(fd, 100, 0):
            raise OSError(errno.ENODATA, "nothing")
    return tried(read)


def opened(path, flags=os.O_RDONLY):
    def run():
        os.close(os.open(path, flags))
    return tried(run)


def read(path):
    """The open, then the read: (errno, errno)"""
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        return error.errno, None
    try:
        return 0, read_fd(fd)
    finally:
        os.close(fd)


def mapped(path, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE, mode=os.O_RDONLY):
    def run():
        fd = os.open(path, mode)
        try:
            mmap.mmap(fd, 10, flags=flags, prot=prot).close()
        finally:
            os.close(fd)
    return tried(run)


def executed(path):
    return tried(lambda: subprocess.run([path], stdin=subprocess.DEVNULL, check=False))


def write(path, content=b"more\n"):
    with open(path, "ab", buffering=0) as f:
        f.write(content)


def child_of(function):
    """Runs function in a child -> its pid; it waits at the end until it is killed."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            function()
            os.write(write_end, b"x")
            signal.pause()
        finally:
            os._exit(0)
    os.close(write_end)
    os.read(read_end, 1)
    os.close(read_end)
    suite.track(pid)
    return pid


def ended(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


shared = None


def hooks_of(suite):
    global shared
    shared = shared or Hooks(suite)
    return shared


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("3\n")


def host_of(suite):
    return Host(suite, "ext4", definitions=False)


# ---- scenarios ----

@suite.test("loading")
def _(suite):
    for mode in ("labels", "full"):
        with Hooks(suite, mode) as hooks:
            failed = {n: s for n, s in hooks.programs.items() if s[0] not in ("attached", "not-loaded")}
            suite.check("every program that this kernel has a hook for is attached (%s)" % mode,
                        hooks.programs and not failed, failed)
            attached = [n for n, s in hooks.programs.items() if s[0] == "attached"]
            if mode == "labels":
                suite.check("labels need three tracepoints and nothing else", sorted(attached) == [
                    "tp_sched_process_exec", "tp_sched_process_exit", "tp_sched_process_fork"], attached)
                continue
            missing = [n for n, s in hooks.programs.items() if s[0] == "not-loaded"]
            suite.say("%s: not wanted here: %s" % (os.uname().release, " ".join(missing)))
            suite.say("verified instructions: " + " ".join("%s %d" % (n, s[1]) for n, s in hooks.programs.items() if s[1]))
            suite.check("one layout of inode_setattr is taken", len([n for n in attached if "setattr" in n]) == 1, attached)


@suite.test("an unknown file")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        path, free = host.put("unknown", CONTENT, mode=0o755), host.put("free", CONTENT, host.outside, mode=0o755)
        hooks.watch(host.watched)
        hooks.do("beat on")
        suite.check("control: without a policy it is read, mapped and executed",
                    (read(path), mapped(path), executed(path)) == ((0, 0), 0, 0))
        hooks.orders()
        suite.check("it is opened and not read", read(path) == (0, errno.EPERM), read(path))
        suite.check("nor mapped", mapped(path) == errno.EPERM)
        suite.check("nor mapped for nothing at first", mapped(path, 0) == errno.EPERM)
        suite.check("nor executed", executed(path) == errno.EPERM)
        suite.check("nor does sendfile get a byte of it", tried(sendfile, path) == errno.EPERM)
        suite.check("a file outside is", (read(free), mapped(free), executed(free)) == ((0, 0), 0, 0))
        suite.check("it is known where both lie", hooks.generation(path)[1] == 0 and hooks.generation(free)[1] == OUTSIDE,
                    (hooks.generation(path), hooks.generation(free)))
        host.put("empty", b"")
        fd = os.open(host.watched + "/empty", os.O_RDONLY)
        suite.check("an empty file is not refused", tried(os.pread, fd, 10, 0) == 0)
        os.close(fd)
        refused = hooks.refusals()
        suite.check("refusals are told: way, why, watch, who and the path", ("read", "unknown", 0, os.getpid(), 0) ==
                    refused[0][:5] and refused[0][6:] == (0, "unknown"), refused[:1])
        suite.check("in every way", {r[0] for r in refused} == {"read", "map", "exec"}, refused)
        suite.check("and counted", hooks.state()["refused"] == len(refused), (hooks.state(), len(refused)))
        deep = host.put("a/b/message", CONTENT)
        read(deep)
        refused = hooks.refusals()
        suite.check("the path is from the file upwards", refused and refused[0][6:] == (0, "message<b<a"), refused)


def sendfile(path):
    out, inp = os.open("/dev/null", os.O_WRONLY), os.open(path, os.O_RDONLY)
    try:
        os.sendfile(out, inp, 0, 10)
    finally:
        os.close(out)
        os.close(inp)


@suite.test("answers")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        path = host.put("file", CONTENT, mode=0o755)
        hooks.watch(host.watched)
        hooks.do("beat on")
        hooks.orders()
        early = os.open(path, os.O_RDONLY)
        suite.check("control: no answer, no byte", read_fd(early) == errno.EPERM)
        hooks.verdict(path, ALLOW)
        suite.check("allow: it is read, mapped and executed, by old descriptors too",
                    (read(path), mapped(path), executed(path), read_fd(early)) == ((0, 0), 0, 0, 0))
        before = hooks.generation(path)[0]
        write(path)
        suite.check("a write makes a new generation", hooks.generation(path)[0] > before)
        suite.check("which nobody has allowed", (read(path), read_fd(early)) == ((0, errno.EPERM), errno.EPERM))
        hooks.verdict(path, DENY)
        suite.check("deny: it is not opened", read(path)[0] == errno.EPERM and executed(path) == errno.EPERM)
        suite.check("nor read by an old descriptor", read_fd(early) == errno.EPERM)
        suite.check("nor opened for both", opened(path, os.O_RDWR) == errno.EPERM)
        suite.check("which does not make it unknown", opened(path) == errno.EPERM)
        hooks.definitions += 1
        hooks.orders()
        suite.check("a deny of other definitions leaves the open to the gate, not the read", read(path) == (0, errno.EPERM),
                    read(path))
        hooks.definitions -= 1
        hooks.orders()
        suite.check("control: it was that deny", opened(path) == errno.EPERM)
        suite.check("an open for writing alone goes through", opened(path, os.O_WRONLY) == 0)
        hooks.verdict(path, ALLOW, session=hooks.session)
        suite.check("a provisional allow counts while its gate lives", read(path) == (0, 0))
        hooks.verdict(path, ALLOW, session=hooks.session + 1)
        suite.check("that of another gate does not", read(path) == (0, errno.EPERM))
        hooks.verdict(path, ALLOW)
        suite.check("control: a lasting one does", read(path) == (0, 0))
        hooks.do("watch 0 %d 0 1 %d 0 0" % (OBSERVE, DENY))
        hooks.verdict(path, DENY)
        suite.check("a watch that only observes refuses nothing", read(path) == (0, 0))
        hooks.do("watch 0 %d %d 0 %d 0 0" % (ENFORCE, MBOX, DENY))
        suite.check("nor does a store that bears no refusal", read(path) == (0, 0))
        os.close(early)


@suite.test("changes of content")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        path, source = host.put("file", CONTENT * 500), host.put("source", CONTENT, host.outside)
        hooks.watch(host.watched)
        hooks.do("beat on")
        hooks.orders()
        both = os.open(path, os.O_RDWR)
        other = os.open(source, os.O_RDONLY)

        def splice():
            ends = os.pipe()
            os.write(ends[1], b"spliced")
            if libc.splice(ends[0], None, both, None, 7, 0) != 7:
                raise OSError(ctypes.get_errno(), "splice")
            os.close(ends[0])
            os.close(ends[1])

        def by_mapping():
            memory = mmap.mmap(both, 4096, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)
            memory.close()

        ways = {
            "open for writing": lambda: os.close(os.open(path, os.O_WRONLY)),
            "pwrite": lambda: os.pwrite(both, b"x", 0),
            "pwritev": lambda: os.pwritev(both, [b"x", b"y"], 0),
            "ftruncate": lambda: os.ftruncate(both, 5000),
            "truncate": lambda: os.truncate(path, 4900),
            "open with O_TRUNC": lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
            "fallocate": lambda: os.posix_fallocate(both, 0, 9000),
            "copy_file_range": lambda: os.copy_file_range(other, both, 10, 0, 0),
            "sendfile": lambda: os.sendfile(both, other, 0, 10),
            "splice": splice,
            "a shared writable mapping": by_mapping,
        }
        for name, change in ways.items():
            opened(path)
            hooks.verdict(path, ALLOW)
            allowed, before = read_fd(both), hooks.generation(path)[0]
            change()
            after = hooks.generation(path)[0]
            suite.check("a new generation and no read after: %s" % name,
                        allowed == 0 and after > before and read_fd(both) in (errno.EPERM, errno.ENODATA), (allowed, before, after))
            os.pwrite(both, CONTENT, 0)
        hooks.verdict(path, ALLOW)
        before = hooks.generation(path)[0]
        os.chmod(path, 0o600)
        os.utime(path)
        os.rename(path, path + "2")
        suite.check("chmod, utime and rename change no content", hooks.generation(path + "2")[0] == before and
                    read_fd(both) == 0)
        # A private mapping that was made while nothing was guarded, then opened further.
        memory = mapping_of(both)
        os.pwrite(both, b"x", 0)
        suite.check("what can already be read of a mapping is not asked about again", memory.protect(mmap.PROT_READ) == 0)
        memory = mapping_of(both, 0) if hooks.verdict(path + "2", ALLOW) is None else None
        os.pwrite(both, b"x", 0)
        suite.check("a mapping of nothing becomes readable only with an allow", memory.protect(mmap.PROT_READ) == errno.EPERM)
        hooks.verdict(path + "2", ALLOW)
        suite.check("control: with one it does", memory.protect(mmap.PROT_READ) == 0)
        os.close(both)
        os.close(other)


class mapping_of:
    def __init__(self, fd, prot=mmap.PROT_READ):
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self.at = libc.mmap(None, 4096, prot, mmap.MAP_PRIVATE, fd, 0)

    def protect(self, prot):
        return ctypes.get_errno() if libc.mprotect(self.at, 4096, prot) else 0


@suite.test("control files")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        free = ["dovecot.index", "dovecot.index.log.2", ".Sent/dovecot-uidlist", "dovecot-uidvalidity.0123abcd", "subscriptions",
                "dovecot.list.index.log", ".forward", ".Sent/maildirfolder", "dovecot-uidvalidity", ".Sent/dovecot.index.cache"]
        held = ["cur/dovecot.index", "new/1.2.host", "dovecot.index.exe", "dovecot-uidvalidity.0123abcg", ".Sent/subscriptions",
                "maildirfolder", "dovecot-uidvalidity.0123abcde", ".Sent/cur/dovecot-uidlist", "dovecot.index.log.2x",
                "dovecot-uidvalidity.", "evil.lock"]
        paths = {name: host.put(name, CONTENT, mode=0o755) for name in free + held}
        hooks.watch(host.watched, store=MAILDIR)
        hooks.do("beat on")
        suite.check("control: without a policy all are read", all(read(p) == (0, 0) for p in paths.values()))
        hooks.orders()
        for name in free:
            suite.check("%s is left alone" % name, read(paths[name]) == (0, 0) and hooks.generation(paths[name])[2] == 1)
        for name in held:
            suite.check("%s is a file like any other" % name, read(paths[name]) == (0, errno.EPERM))
        suite.check("a control file is not executed", executed(paths["dovecot.index"]) == errno.EPERM)
        fd = os.open(paths["dovecot.index"], os.O_RDONLY)
        os.rename(paths["dovecot.index"], host.watched + "/evil")
        suite.check("what has another name now is held, by an old descriptor too", read_fd(fd) == errno.EPERM)
        os.close(fd)
        os.rename(host.watched + "/.Sent", host.watched + "/cur2")
        os.rename(host.watched + "/cur2", host.watched + "/cur/x")
        suite.check("and where the folder has another name: it is asked again", read(host.watched + "/cur/x/maildirfolder") ==
                    (0, errno.EPERM))
        sdbox = host.put("dbox-Mails/dovecot.index.log", CONTENT), host.put("dbox-Mails/u.1", CONTENT)
        hooks.watch(host.watched, store=SDBOX)
        hooks.orders()
        suite.check("sdbox: the index beside the messages is left alone, they are not",
                    (read(sdbox[0]), read(sdbox[1])) == ((0, 0), (0, errno.EPERM)))


@suite.test("exec = never")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        path = host.put("script", CONTENT, mode=0o755)
        program = host.watched + "/true"
        subprocess.run(["cp", "/bin/true", program], check=True)
        hooks.watch(host.watched)
        hooks.do("beat on")
        hooks.orders()
        for p in (path, program):
            opened(p)
            hooks.verdict(p, ALLOW)
        exec_map = mmap.PROT_READ | mmap.PROT_EXEC
        suite.check("control: what is allowed is executed elsewhere", (executed(path), executed(program), mapped(program, exec_map))
                    == (0, 0, 0))
        hooks.watch(host.watched, exec_never=1)
        hooks.orders()
        suite.check("neither a script nor a program is executed, though it is allowed", (executed(path), executed(program)) ==
                    (errno.EPERM, errno.EPERM))
        suite.check("nor mapped to be executed", mapped(program, exec_map) == errno.EPERM)
        suite.check("nor made executable later", protected(program) == errno.EPERM)
        suite.check("nor run by its loader", executed_by_loader(program) != 0)
        suite.check("it is read", read(program) == (0, 0))
        refused = hooks.refusals()
        suite.check("and this is why", refused and {r[:2] for r in refused} == {("exec", "exec-never")}, refused)


def protected(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return mapping_of(fd).protect(mmap.PROT_READ | mmap.PROT_EXEC)
    finally:
        os.close(fd)


def executed_by_loader(path):
    return subprocess.run(["/lib64/ld-linux-x86-64.so.2", path], stderr=subprocess.DEVNULL, check=False).returncode


@suite.test("places")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        inside, outside = host.put("in", CONTENT), host.put("out", CONTENT, host.outside)
        hooks.watch(host.watched)
        hooks.do("beat on")
        suite.check("control: without a policy both are read", (read(inside), read(outside)) == ((0, 0), (0, 0)))
        hooks.orders()
        suite.check("outside it is read", read(outside) == (0, 0))
        fd = os.open(outside, os.O_RDONLY)
        os.rename(outside, host.watched + "/moved")
        suite.check("not when it has moved in", (read(host.watched + "/moved"), read_fd(fd)) == ((0, errno.EPERM), errno.EPERM))
        os.close(fd)
        os.rename(host.watched + "/moved", outside)
        suite.check("and again when it has moved out", read(outside) == (0, 0))
        os.link(outside, host.watched + "/linked")
        suite.check("a link inside is not read", read(host.watched + "/linked") == (0, errno.EPERM))
        suite.check("then by its name outside neither", read(outside) == (0, errno.EPERM))
        os.unlink(host.watched + "/linked")
        suite.check("until the link is gone", read(outside) == (0, 0))
        opened(inside)
        os.link(inside, host.outside + "/escaped")
        suite.check("a link outside to what is known to be inside is not read", read(host.outside + "/escaped") == (0, errno.EPERM))
        folder = host.put("a/b/c/message", CONTENT, host.outside)
        suite.check("control: a file in a folder outside is read", read(folder) == (0, 0))
        os.rename(host.outside + "/a", host.watched + "/a")
        suite.check("not when the folder has moved in", read(host.watched + "/a/b/c/message") == (0, errno.EPERM))
        suite.check("which was counted", hooks.state()["moves"] >= 1)
        os.makedirs(host.watched + "/mount")
        subprocess.run(["mount", "--bind", host.outside, host.watched + "/mount"], check=True)
        subprocess.run(["mount", "--bind", host.watched, host.outside], check=True)
        suite.check("a bind mount makes no difference", (read(host.watched + "/mount/out"), read(host.outside + "/in")) ==
                    ((0, 0), (0, errno.EPERM)))
        subprocess.run(["umount", host.watched + "/mount"], check=True)
        subprocess.run(["umount", host.outside], check=True)
        if hasattr(os, "O_TMPFILE"):
            fd = os.open(host.watched, os.O_TMPFILE | os.O_RDWR)
            os.write(fd, CONTENT)
            suite.check("a file without a name belongs to its folder", read_fd(fd) == errno.EPERM)
            os.close(fd)
        deep = host.put("/".join(["d"] * 45) + "/message", CONTENT, host.outside)
        shallow = host.put("/".join(["d"] * 30) + "/message", CONTENT, host.outside)
        suite.check("30 folders deep it is sure to be outside", read(shallow) == (0, 0))
        suite.check("45 folders deep it is not: the strictest watch counts", read(deep) == (0, errno.EPERM) and
                    hooks.generation(deep)[1] == UNSURE, hooks.generation(deep))
        nested = host.put("sub/file", CONTENT)
        hooks.watch(host.watched + "/sub", 1, mode=OBSERVE)
        hooks.orders()
        suite.check("the folder nearest to the file decides", (read(nested), read(inside)) == ((0, 0), (0, errno.EPERM)))
        handle = handle_of(inside)
        drop_caches()
        fd = opened_by_handle(host.watched, handle)
        suite.check("a file that was opened by its handle, of a folder that nobody has looked at, is refused",
                    fd >= 0 and read_fd(fd) == errno.EPERM, fd)
        os.close(fd)


class Handle(ctypes.Structure):
    _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle, mount = Handle(size=128), ctypes.c_int()
    if libc.name_to_handle_at(-100, path.encode(), ctypes.byref(handle), ctypes.byref(mount), 0):
        raise OSError(ctypes.get_errno(), "name_to_handle_at")
    return handle


def opened_by_handle(folder, handle):
    at = os.open(folder, os.O_RDONLY)
    fd = libc.open_by_handle_at(at, ctypes.byref(handle), os.O_RDONLY)
    os.close(at)
    return fd


@suite.test("overlayfs")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        for name in ("unknown", "allowed", "denied"):
            host.put(name, CONTENT)
        host.put("free", CONTENT, host.outside)
        mounts = []
        for name, lower in (("inside", host.watched), ("outside", host.outside)):
            at = host.base + "/over-" + name
            for part in ("", "/top", "/upper", "/work"):
                os.mkdir(at + part)
            subprocess.run(["mount", "-t", "overlay", "-o", "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (lower, at, at),
                            "over", at + "/top"], check=True)
            suite.at_end(lambda at=at: subprocess.run(["umount", "-l", at + "/top"], stderr=subprocess.DEVNULL))
            mounts.append(at + "/top")
        hooks.watch(host.watched)
        hooks.do("beat on")
        suite.check("control: without a policy it is read through the overlay", read(mounts[0] + "/unknown") == (0, 0) and
                    mapped(mounts[0] + "/unknown") == 0)
        hooks.orders()
        for name, answer in (("allowed", ALLOW), ("denied", DENY)):
            opened(host.watched + "/" + name)
            hooks.verdict(host.watched + "/" + name, answer)
        suite.check("what is unknown is not even opened through it", opened(mounts[0] + "/unknown") == errno.EPERM)
        suite.check("nor what is denied", opened(mounts[0] + "/denied") == errno.EPERM)
        suite.check("what is allowed is read and mapped", (read(mounts[0] + "/allowed"), mapped(mounts[0] + "/allowed")) ==
                    ((0, 0), 0))
        suite.check("as is a file that lies outside", (read(mounts[1] + "/free"), mapped(mounts[1] + "/free")) == ((0, 0), 0))
        refused = hooks.refusals()
        suite.check("and it is said that this was an overlay", {r[:2] for r in refused} == {("open", "stacked"), ("open", "denied")},
                    refused)
        fd = os.open(mounts[0] + "/allowed", os.O_RDONLY)
        write(host.watched + "/allowed")
        suite.check("a change below is seen by a descriptor of the overlay", read_fd(fd) == errno.EPERM)
        os.close(fd)
        top = host.base + "/user"
        os.makedirs(top + "/top")
        os.chmod(host.base, 0o755)
        script = "mount -t overlay -o lowerdir=%s:%s over %s/top && cat %s/top/unknown" % (host.watched, host.outside, top, top)
        result = suite.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urm", "sh", "-c", script])
        suite.check("an ordinary user's own overlay gives no byte", result.rc != 0 and result.out == "" and "not permitted" in
                    result.err, result)
        hooks.orders(policy=0)
        result = suite.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Urm", "sh", "-c", script])
        suite.check("control: without a policy it does", result.out.encode() == CONTENT, result)


@suite.test("the gate is gone")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        for name in ("unknown", "allowed", "denied", "provisional"):
            host.put(name, CONTENT)
        paths = {name: host.watched + "/" + name for name in ("unknown", "allowed", "denied", "provisional")}
        hooks.watch(host.watched)
        gate = child_of(lambda: None)
        hooks.do("setlabel %d %d 0" % (gate, OWN | GATE))
        hooks.do("beat on")
        hooks.orders()
        for p in paths.values():
            opened(p)
        hooks.verdict(paths["allowed"], ALLOW)
        hooks.verdict(paths["denied"], DENY)
        hooks.verdict(paths["provisional"], ALLOW, session=hooks.session)
        suite.check("control: while it lives the provisional allow counts", read(paths["provisional"]) == (0, 0))

        def result():
            return {name: read(p) for name, p in paths.items()}
        hooks.do("beat off")
        time.sleep(2.3)
        strict = {"unknown": (0, errno.EPERM), "allowed": (0, 0), "denied": (errno.EPERM, None), "provisional": (0, errno.EPERM)}
        hooks.refusals()
        suite.check("it stands still for two seconds: on-down = deny", result() == strict, result())
        suite.check("and that is why", ("read", "down") in {r[:2] for r in hooks.refusals()})
        hooks.do("beat on")
        suite.check("control: it goes on", result()["provisional"] == (0, 0))
        thread = child_of(lambda: None)
        hooks.do("setlabel %d %d 0" % (thread, OWN))
        ended(thread)
        suite.check("another process of ours may end", hooks.state()["dead_session"] == 0)
        ended(gate)
        suite.check("its death is known at once", hooks.state()["dead_session"] == hooks.session, hooks.state())
        suite.check("on-down = deny", result() == strict, result())
        hooks.do("watch 0 %d 0 1 %d 0 0" % (ENFORCE, ALLOW))
        suite.check("on-down = allow: what is unknown is read, what is denied is not", result() == dict(
            strict, unknown=(0, 0), provisional=(0, 0)), result())
        hooks.session += 1
        hooks.orders()
        suite.check("the next gate answers again", result()["unknown"] == (0, errno.EPERM))


@suite.test("labels")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        script = host.put("mailscript", b"#!/bin/sh\nsleep 60 &\necho ready\nwait\n", host.outside, mode=0o755)
        broken = host.put("broken", b"#!/nothing/here\n", host.outside, mode=0o755)
        binary = host.outside + "/maild"
        subprocess.run(["cp", "/bin/sh", binary], check=True)
        hooks.do("program %s 1 0" % script)
        hooks.do("program %s 2 0" % binary)
        hooks.do("program %s 4 0" % broken)
        suite.check("we have no label", hooks.label(os.getpid()) == (0, 0))

        def run(argv, uid=0):
            words = ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"] if uid else []
            process = suite.popen(words + argv, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
            process.stdout.readline()
            return process

        def children(pid):
            with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
                return [int(p) for p in f.read().split()]
        process = run([script])
        suite.check("a script that is listed, started by root: mail software and service", hooks.label(process.pid) ==
                    (MAIL | SERVICE, 1), hooks.label(process.pid))
        child = children(process.pid)[0]
        eventually(lambda: open("/proc/%d/comm" % child).read() == "sleep\n")
        suite.check("what it starts: mail software, no service", hooks.label(child) == (MAIL, 1), hooks.label(child))
        process.kill()
        process.wait()
        suite.check("it is known what it was after its end", hooks.ask("leaver %d" % process.pid) == "%d 1" % (MAIL | SERVICE))
        os.kill(child, signal.SIGKILL)
        process = run([script], uid=65534)
        suite.check("started by an ordinary user: no service", hooks.label(process.pid) == (MAIL, 1), hooks.label(process.pid))
        process.kill()
        process = run([binary, "-c", "%s -c 'setpriv --reuid=65534 --clear-groups %s' ; echo; read x" % (binary, script)])
        suite.check("two softwares add up", hooks.label(process.pid)[1] == 2, hooks.label(process.pid))
        process.kill()
        # (without 3 a process in the background would read from /dev/null)
        direct = run([binary, "-c",
                      "exec 3<&0; (exec setpriv --reuid=65534 --clear-groups %s -c 'echo; read x' <&3) & echo; wait" % binary])

        def user_runs_it():
            pid = (children(direct.pid) or [0])[0]
            return pid and os.stat("/proc/%d" % pid).st_uid == 65534 and os.readlink("/proc/%d/exe" % pid) == binary
        eventually(user_runs_it)
        suite.check("the service does not come back behind another program", hooks.label(children(direct.pid)[0]) == (MAIL, 2),
                    hooks.label(children(direct.pid)[0]))
        direct.kill()
        held = run([binary, "-c", "exec %s -c 'echo; read x'" % binary])
        suite.check("one listed program that executes another one keeps the service", hooks.label(held.pid) == (MAIL | SERVICE, 2))
        held.kill()

        def fail():
            try:
                os.execv(broken, [broken])
            except OSError:
                pass
        failed = child_of(fail)
        suite.check("an exec that fails labels nobody", hooks.label(failed) == (0, 0), hooks.label(failed))
        ended(failed)

        def fail_and_go_on():
            fail()
            os.execv("/bin/sh", ["sh", "-c", "read x"])
        pid = os.fork()
        if pid == 0:
            fail_and_go_on()
        suite.track(pid)
        eventually(lambda: open("/proc/%d/comm" % pid).read() == "sh\n")
        suite.check("nor does it label what is executed next", hooks.label(pid) == (0, 0), hooks.label(pid))
        ended(pid)
        daemon = child_of(lambda: None)
        hooks.do("setlabel %d %d 3" % (daemon, MAIL))
        suite.check("a process that ran already is labelled from outside", hooks.label(daemon) == (MAIL, 3))
        ended(daemon)
        threaded = run(["/usr/bin/python3", "-c", THREADED % script])
        suite.check("an exec by another thread keeps the label of its process", hooks.label(threaded.pid) == (MAIL, 1) or
                    hooks.label(threaded.pid) == (MAIL | SERVICE, 1), hooks.label(threaded.pid))
        threaded.kill()


THREADED = """
import os, threading
threading.Thread(target=lambda: os.execv(%r, ["x"])).start()
import time
time.sleep(60)
"""


@suite.test("who wrote it")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        other, mail = host.put("other", CONTENT), host.watched + "/mail"
        hooks.watch(host.watched, origin_mail=1)
        hooks.do("beat on")
        hooks.track = 1
        hooks.orders()
        suite.check("control: what others wrote is read where origin = mail", read(other) == (0, 0))

        def deliver():
            hooks.do("setlabel %d %d 1" % (os.getpid(), MAIL))
            subprocess.run(["sh", "-c", "echo x >%s; echo x >%s/extracted" % (mail, host.outside)], check=True)
            hooks.do("setlabel %d 0 0" % os.getpid())
        deliver()
        suite.check("what mail software wrote is not", read(mail) == (0, errno.EPERM), hooks.generation(mail))
        suite.check("it is marked, wherever it lies", hooks.generation(mail)[3] == 1 and
                    hooks.generation(host.outside + "/extracted")[3] == 1)
        suite.check("and is an attachment when it moves in", tried(os.rename, host.outside + "/extracted", host.watched + "/extracted")
                    == 0 and read(host.watched + "/extracted") == (0, errno.EPERM))
        hooks.verdict(mail, ALLOW)
        suite.check("control: with an allow it is read", read(mail) == (0, 0))
        drop_caches()
        suite.check("its inode goes from the cache", hooks.generation(mail) is None, hooks.generation(mail))
        suite.check("it is still known where it comes from", read(mail) == (0, errno.EPERM), hooks.generation(mail))
        hooks.verdict(other, 0, origin=1)
        suite.check("the mark on disk counts as well", read(other) == (0, errno.EPERM))


@suite.test("whom it does not keep out")
def _(suite):
    with host_of(suite) as host, hooks_of(suite) as hooks:
        path = host.put("file", CONTENT)
        hooks.watch(host.watched)
        hooks.do("beat on")
        hooks.orders()
        both, alone = os.open(path, os.O_RDWR), os.open(path, os.O_RDONLY)
        suite.check("control: an ordinary process reads by neither descriptor", (read_fd(both), read_fd(alone)) ==
                    (errno.EPERM, errno.EPERM))
        hooks.do("setlabel %d %d 1" % (os.getpid(), MAIL))
        suite.check("mail software neither: its label gives no byte", (read_fd(both), read_fd(alone)) == (errno.EPERM, errno.EPERM))
        hooks.do("setlabel %d %d 1" % (os.getpid(), MAIL | SERVICE))
        suite.check("the service reads back what it has open for writing, and nothing else", (read_fd(both), read_fd(alone)) ==
                    (0, errno.EPERM))
        hooks.do("setlabel %d %d 0" % (os.getpid(), OWN))
        suite.check("our own processes read all", (read_fd(both), read_fd(alone), executed(path)) == (0, 0, errno.EACCES))
        hooks.do("setlabel %d 0 0" % os.getpid())
        suite.check("control: without the label nothing", (read_fd(both), read_fd(alone)) == (errno.EPERM, errno.EPERM))
        os.close(both)
        os.close(alone)


suite.main()
