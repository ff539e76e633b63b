#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The keeper with stand-ins for everything that it starts (tests/keeper): starts, standstills, deaths, reloads, hostile
callers. The parts do what the words of the policy and of their `behave` files say."""

import mmap
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import BUILD, ROOT, SLACK, WIRE_VERSION, Suite, eventually, processes

suite = Suite("keeper")
PROGRAMS = os.path.join(BUILD, "keeper")
with open(os.path.join(ROOT, "include", "shared.h")) as header:
    STATUS_MAGIC = next(int(line.split()[2][:18], 16) for line in header if line.startswith("#define STATUS_MAGIC "))
VERSION, STATUS, RELOAD, SELFTEST = WIRE_VERSION, 1, 2, 3
REPLY = struct.Struct("<IIiI1024s")
CAPABILITIES = {"kill": 5, "setgid": 6, "setuid": 7, "dac_read_search": 2, "sys_ptrace": 19, "sys_admin": 21, "lease": 28,
                "dac_override": 1, "chown": 0, "fowner": 3, "sys_nice": 23}
FALLBACKS = {"recorder": 65281, "loader": 65282}


def alive(pid):
    entry = processes().get(pid)
    return bool(entry) and entry[2] not in "ZX"


class Keeper:
    """A keeper on a tmpfs of its own."""

    def __init__(self, policy="root /tmp", recorder="", loader="", definitions=True):
        self.base = tempfile.mkdtemp(prefix="mailward-keeper-", dir="/tmp")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "mailward-test", self.base], check=True)
        suite.at_end(self.close)
        self.process = None
        self.runtime, self.state = self.base + "/run", self.base + "/state"
        self.config, self.definitions = self.base + "/conf", self.base + "/definitions"
        for path in (self.runtime, self.state, self.runtime + "/loader", self.state + "/recorder"):
            os.mkdir(path, 0o755)
        if definitions:
            os.mkdir(self.definitions, 0o755)
        self.policy(policy)
        self.behave("recorder", recorder)
        self.behave("loader", loader)

    def policy(self, text):
        with open(self.config, "w") as f:
            f.write(text)

    def behave(self, part, words):
        path = (self.state + "/recorder" if part == "recorder" else self.runtime + "/loader") + "/behave"
        with open(path, "w") as f:
            f.write(words)
        os.chmod(path, 0o644)

    def argv(self, foreground=True):
        return [PROGRAMS + "/mailwardd", "--config", self.config, "--runtime-dir", self.runtime, "--state-dir", self.state,
                "--definitions", self.definitions] + (["--foreground"] if foreground else [])

    def start(self, wait=True, argv=None, env=None, limits=None):
        def before():
            os.setsid()
            for name, pair in (limits or {}).items():
                resource.setrlimit(name, pair)
        with open(self.base + "/log", "ab") as log:
            self.process = subprocess.Popen(argv or self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=before, env=dict(os.environ, **(env or {})))
        suite.track(self.process.pid)
        if wait:
            self.until("ready (pid")
        return self

    def log(self):
        with open(self.base + "/log", "rb") as f:
            return f.read().decode("utf-8", "backslashreplace")

    def until(self, text, count=1, timeout=15):
        if not eventually(lambda: self.log().count(text) >= count, timeout):
            raise AssertionError("the log does not say `%s` %d times: %s" % (text, count, self.log()[-1500:]))

    def children(self):
        """{name: pid} of the living children."""
        found = {}
        for pid, (parent, _, state, _) in processes().items():
            if parent != self.process.pid or state in "ZX":
                continue
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    found[f.read().split(b"\0")[0].decode().replace("mailward-", "")] = pid
            except OSError:
                pass
        return found

    def child(self, name):
        pid = eventually(lambda: self.children().get(name), 10)
        if not pid:
            raise AssertionError("there is no %s: %s" % (name, self.log()[-800:]))
        return pid

    def successor(self, name, pid, timeout=12):
        """Waits for another process of that name; -> seconds."""
        begin = time.monotonic()
        if not eventually(lambda: self.children().get(name) not in (None, pid), timeout, 0.005):
            raise AssertionError("no new %s: %s" % (name, self.log()[-800:]))
        return time.monotonic() - begin

    def end(self, number=signal.SIGTERM, timeout=2 + SLACK):
        begin = time.monotonic()
        os.kill(self.process.pid, number)
        self.process.wait(timeout=timeout)
        return time.monotonic() - begin

    def close(self):
        if self.process and self.process.poll() is None:
            children = list(self.children().values())
            self.process.kill()
            self.process.wait()
            for pid in children:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)
        subprocess.run(["umount", "-l", self.base], stderr=subprocess.DEVNULL)
        try:
            os.rmdir(self.base)
        except OSError:
            pass

    # -- as the tool
    def call(self, verb, timeout=20.0):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(self.runtime + "/keeper.sock")
        sock.settimeout(timeout)
        sock.send(struct.pack("<II", VERSION, verb))
        replies, fds = [], []
        while True:
            data, found, _, _ = socket.recv_fds(sock, REPLY.size + 1, 4)
            fds += found
            if not data:
                break
            _, _, result, more, text = REPLY.unpack(data)
            replies.append((result, text.split(b"\0")[0].decode()))
            if not more:
                break
        sock.close()
        return replies, fds

    def reload(self):
        return self.call(RELOAD)[0]


def has(pid, name, field="CapEff"):
    with open("/proc/%d/status" % pid) as f:
        bits = next(int(line.split()[1], 16) for line in f if line.startswith(field + ":"))
    return bits >> CAPABILITIES[name] & 1


def field(pid, name):
    with open("/proc/%d/status" % pid) as f:
        return next(line.split(":")[1].split() for line in f if line.startswith(name + ":"))


@suite.test("rights of each process")
def _(suite):
    keeper = Keeper().start()
    gate, recorder, loader = (keeper.child(n) for n in ("gate", "recorder", "loader"))
    pid = keeper.process.pid
    suite.check("keeper: CAP_KILL, SETUID, SETGID alone", int(field(pid, "CapEff")[0], 16) == 0xe0,
                field(pid, "CapEff")[0])
    suite.check("keeper: bounding set holds the others' and no more",
                all(has(pid, n, "CapBnd") for n in CAPABILITIES) and not int(field(pid, "CapBnd")[0], 16) >> 12 & 1)
    wanted = sum(1 << CAPABILITIES[n] for n in ("sys_admin", "dac_read_search", "lease", "sys_ptrace", "sys_nice"))
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        suite.check("gate: %s is its five capabilities" % kind, int(field(gate, kind)[0], 16) == wanted)
    suite.check("gate: no new privileges, seccomp", field(gate, "NoNewPrivs") == ["1"] and field(gate, "Seccomp") == ["2"])
    suite.check("recorder: no capability, no new privileges, seccomp, uid of its own",
                int(field(recorder, "CapEff")[0], 16) == 0 and field(recorder, "NoNewPrivs") == ["1"] and
                field(recorder, "Seccomp") == ["2"] and set(field(recorder, "Uid")) == {str(FALLBACKS["recorder"])} or
                "without system users" not in keeper.log(), field(recorder, "Uid"))
    if "asan" not in BUILD:
        locked = {n: int(field(p, "VmLck")[0]) for n, p in (("keeper", pid), ("gate", gate))}
        suite.check("keeper and gate: memory is locked", min(locked.values()) > 1000, locked)
    open_there = {int(n): os.readlink("/proc/%d/fd/%s" % (loader, n)) for n in os.listdir("/proc/%d/fd" % loader)}
    suite.check("loader: nothing but its own descriptors", set(open_there) <= {0, 1, 2, 3, 14, 15}, open_there)
    with open("/proc/%d/environ" % gate, "rb") as f:
        names = {v.split(b"=")[0] for v in f.read().split(b"\0") if v}
    suite.check("gate: no variable is inherited", names <= {b"PATH", b"LC_ALL", b"ASAN_OPTIONS"}, names)
    flags = {n: open("/proc/%d/fdinfo/4" % p).read() for n, p in (("recorder", recorder), ("gate", gate))}
    mode = {n: int(text.split("flags:")[1].split()[0], 8) & 3 for n, text in flags.items()}
    suite.check("status page: the recorder's is read-only, the gate's is not", mode == {"recorder": 0, "gate": 2}, mode)


@suite.test("a gate or a steward without one of its capabilities does not start, and the log says which one is missing")
def _(suite):
    for name in ("sys_admin", "dac_read_search", "lease", "sys_ptrace", "kill", "setuid", "setgid", "dac_override"):
        keeper = Keeper()
        keeper.start(wait=False, argv=["setpriv", "--bounding-set", "-" + name, "--"] + keeper.argv())
        code = keeper.process.wait(timeout=20)
        line = [l for l in keeper.log().splitlines() if "not ready" in l]
        suite.check("without CAP_%s: not ready, exit code 1" % name.upper(), code == 1 and len(line) == 1, keeper.log()[-300:])
        suite.check("without CAP_%s: the line names it" % name.upper(), line and "CAP_" + name.upper() in line[0], line)
        keeper.close()


@suite.test("one instance for each runtime directory")
def _(suite):
    keeper = Keeper().start()
    second = suite.run(keeper.argv())
    suite.check("the second one ends with one line that names the first",
                second.rc == 1 and len(second.err.splitlines()) == 1 and str(keeper.process.pid) in second.err, second)
    suite.check("the first one goes on", keeper.call(STATUS)[0] == [(0, "")])
    seconds = keeper.end()
    suite.check("SIGTERM ends it within 2 s", seconds < 2 + SLACK and keeper.process.returncode == 0, seconds)
    suite.say("ended after %.2f s" % seconds)
    left = sorted(os.listdir(keeper.runtime))
    suite.check("sockets and lock are gone", left == ["loader"], left)
    keeper.start(wait=False)
    keeper.until("ready (pid", 2)
    suite.check("another one can start then", True)


@suite.test("the status page is read-only to who asks")
def _(suite):
    keeper = Keeper(recorder="").start()
    replies, fds = keeper.call(STATUS)
    suite.check("a descriptor comes with the reply", replies == [(0, "")] and len(fds) == 1)
    try:
        mmap.mmap(fds[0], 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        suite.check("it can't be mapped for writing", False)
    except PermissionError:
        suite.check("it can't be mapped for writing", True)
    page = mmap.mmap(fds[0], 4096, mmap.MAP_SHARED, mmap.PROT_READ)
    suite.check("its magic is right", struct.unpack("<Q", page[:8])[0] == STATUS_MAGIC)
    names = [n for n in ("keeper", "gate", "loader", "recorder", "steward") if n.encode() + b"\0" in page[:4096]]
    suite.check("it names the five processes", len(names) == 5, names)
    released = struct.unpack_from("<Q", page, 16 + 7 * 8)[0]
    suite.check("what the recorder knew of earlier runs is there", released == 3, released)


@suite.test("a part that ends is started again")
def _(suite):
    keeper = Keeper().start()
    for name in ("gate", "loader", "recorder", "steward"):
        pid = keeper.child(name)
        os.kill(pid, signal.SIGKILL)
        seconds = keeper.successor(name, pid)
        suite.check("%s: a successor after 100 ms" % name, 0.05 < seconds < 0.1 + SLACK, seconds)
        suite.say("%s: %.0f ms" % (name, seconds * 1000))
    keeper.until("got peer 1", 3)
    keeper.until("got peer 2", 3)
    keeper.until("got peer 4", 3)
    suite.check("gate, loader, recorder and steward get new sockets to each other", True)
    keeper.until("took policy 1", 2)
    keeper.until("steward: has the policy in force", 2)
    suite.check("the new gate gets the policy in force", True)
    time.sleep(1.2)  # of more than 20 lines within a second the keeper drops the rest; a gate's life has six
    pids, seconds = [], []
    for i in range(10):
        pids.append(keeper.child("gate"))
        os.kill(pids[-1], signal.SIGKILL)
        seconds.append(keeper.successor("gate", pids[-1]))
        keeper.until("took policy 1", 3 + i)
        time.sleep(0.45)
    suite.check("ten kills: the delay is still the first one, because each gate gave a sign of life",
                min(seconds[-3:]) < 1, seconds)  # the seventh would wait 5 s


@suite.test("a part that talks too much is cut short, and the log says so")
def _(suite):
    keeper = Keeper()
    keeper.policy("gate talk")
    keeper.start()
    keeper.until("more lines within a second are left out")
    suite.check("no more than 20 lines of a second", 10 < keeper.log().count("and another line") <= 20, keeper.log())


@suite.test("the delay doubles where no start succeeds")
def _(suite):
    keeper = Keeper().start()
    keeper.behave("recorder", "die")
    os.kill(keeper.child("recorder"), signal.SIGKILL)
    keeper.until("starts again in", 5, timeout=20)
    delays = [int(l.split("starts again in ")[1].split()[0]) for l in keeper.log().splitlines() if "recorder (pid" in l]
    suite.say("delays: %s ms" % delays)
    suite.check("100, 200, 400, 800 ms", all(abs(d - e) < 30 for d, e in zip(delays, (100, 200, 400, 800, 1600))), delays)
    keeper.behave("recorder", "")
    keeper.until("got peer 2", 2, timeout=20)
    suite.check("it serves again by itself", True)


@suite.test("a part that stands still is killed")
def _(suite):
    keeper = Keeper().start()
    for name, limit in (("gate", 1.5), ("loader", 2.0), ("recorder", 10.0)):
        pid = keeper.child(name)
        begin = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        came = eventually(lambda: keeper.children().get(name) not in (None, pid), limit + 10, 0.005)
        seconds = time.monotonic() - begin
        suite.check("%s: stopped, and replaced within %.1f s" % (name, limit + 0.5), came and
                    limit - 0.4 < seconds < limit + 0.5 + SLACK, seconds)
        suite.say("%s: %.2f s" % (name, seconds))
        suite.check("%s: the log says that it stood still" % name,
                    "%s (pid %d) stands still; killed" % (name, pid) in keeper.log())


@suite.test("loading definitions is no standstill")
def _(suite):
    keeper = Keeper(loader="loading").start()
    suite.check("a loader that was silent for 3 s while loading has not been killed", "killed" not in keeper.log())
    keeper.end()
    keeper = Keeper(loader="empty").start()
    suite.check("without definitions it is ready, and says so", "no definitions (the folder is empty)" in keeper.log())


def opener(path):
    """A process that opens and reads; -> Popen whose output is what it got."""
    text = "import sys\ntry:\n    sys.stdout.write('got ' + open(sys.argv[1]).read())\nexcept OSError as e:\n    sys.stdout.write('errno %d' % e.errno)\n"
    return suite.popen(["/usr/bin/python3", "-S", "-c", text, path], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)


def answer_of(process, end):
    try:
        return process.communicate(timeout=max(end - time.monotonic(), 0.1))[0].decode()
    except subprocess.TimeoutExpired:
        return "still waits"


def private_mount(keeper):
    """A tmpfs that the stand-in marks, as a mount."""
    path = keeper.base + "/watched"
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "mailward-watched", path], check=True)
    suite.at_end(lambda: subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL))
    for i in range(20):
        with open("%s/f%d" % (path, i), "w") as f:
            f.write("bytes")
    return path


@suite.test("accesses of a dead gate are answered by its notes, all others refused")
def _(suite):
    for how, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
        keeper = Keeper()
        path = private_mount(keeper)
        suite.check("control, %s: without the guard it can be read" % how, open(path + "/f0").read() == "bytes")
        keeper.policy("gate read mark %s" % path)
        keeper.start()
        openers = [opener("%s/f%d" % (path, i)) for i in range(20)]
        time.sleep(1.5)
        suite.check("%s: all wait" % how, all(p.poll() is None for p in openers))
        gate = keeper.child("gate")
        begin = time.monotonic()
        os.kill(gate, number)
        answers = [answer_of(p, begin + 10) for p in openers]
        seconds = time.monotonic() - begin
        allowed, denied = answers.count("got bytes"), answers.count("errno 1")
        suite.check("%s: each is answered within 2 s" % how, seconds < 2 + SLACK, seconds)
        suite.say("%s: 20 answers after %.3f s: %d allowed by their note, %d denied" % (how, seconds, allowed, denied))
        suite.check("%s: noted ones are allowed, the others denied" % how, allowed + denied == 20 and allowed == denied == 10,
                    answers)
        keeper.until("answered 20 accesses for the gate")
        keeper.until("note: 10 accesses, watch 0, answer 1")
        keeper.until("note: 10 accesses, watch 4294967295, answer 2")
        suite.check("%s: the recorder gets a row for each kind" % how, True)
        keeper.successor("gate", gate)
        after = opener(path + "/f0")
        time.sleep(0.7)
        suite.check("%s: the next gate guards again" % how, after.poll() is None)
        keeper.close()


@suite.test("who has not been read yet waits for the next gate")
def _(suite):
    keeper = Keeper()
    path = private_mount(keeper)
    keeper.policy("gate mark %s" % path)
    keeper.start()
    waiting = opener(path + "/f0")
    time.sleep(0.7)
    gate = keeper.child("gate")
    os.kill(gate, signal.SIGKILL)
    keeper.successor("gate", gate)
    time.sleep(1)
    suite.check("an access in the queue is not let go by the gate's death", waiting.poll() is None)
    keeper.end()
    suite.check("it goes on when the daemon has ended on purpose", waiting.communicate(timeout=10)[0] == b"got bytes")


@suite.test("our own programs lie on a marked file system")
def _(suite):
    keeper = Keeper()
    path = private_mount(keeper)
    for name in ("mailwardd", "mailward-scanner"):
        shutil.copy2(os.path.join(PROGRAMS, name), path)
    keeper.policy("gate read mark %s" % path)
    keeper.start(argv=[path + "/mailwardd"] + keeper.argv()[1:])
    for i in range(3):
        waiting = opener(path + "/f%d" % i)
        time.sleep(0.7)
        suite.check("control: an open there waits", waiting.poll() is None)
        gate = keeper.child("gate")
        begin = time.monotonic()
        os.kill(gate, signal.SIGKILL)
        later = opener(path + "/f%d" % (i + 10))
        keeper.until("took policy 1", 2 + i)
        seconds = time.monotonic() - begin
        suite.say("the gate is back after %.2f s" % seconds)
        suite.check("a gate whose exec nobody can answer for comes up within 2 s all the same", seconds < 2 + SLACK, seconds)
        suite.check("who waited meanwhile was refused, or waits again", waiting.communicate(timeout=5)[0] in
                    (b"errno 1", b"got bytes"))
        later.kill()
    loader = keeper.child("loader")
    os.kill(loader, signal.SIGKILL)
    keeper.successor("loader", loader)
    suite.check("a loader there is started again too", True)


@suite.test("reload is all or nothing")
def _(suite):
    keeper = Keeper().start()
    suite.check("a good policy: 0", keeper.reload() == [(0, "")])
    suite.check("it is the second one", "policy 2 is in force" in keeper.log())
    keeper.policy("complain file:3: there is no word bogus")
    replies = keeper.reload()
    suite.check("a wrong one: 2 and every complaint", replies == [(2, "file:3: there is no word bogus"),
                                                                 (2, "and another complaint")], replies)
    suite.check("nothing was sent to the gate", keeper.log().count("took policy") == 2)
    _, fds = keeper.call(STATUS)
    page = mmap.mmap(fds[0], 0, mmap.MAP_SHARED, mmap.PROT_READ)
    suite.check("the first complaint is on the status page", b"file:3: there is no word bogus\0" in page[:8192])
    keeper.policy("reader-dies")
    replies = keeper.reload()
    suite.check("a reader that dies: 2, and how", len(replies) == 1 and replies[0][0] == 2 and "exit code 3" in replies[0][1],
                replies)
    keeper.policy("root /tmp;gate hold")
    begin = time.monotonic()
    replies = keeper.reload()
    suite.check("a gate that doesn't take it: 2 after 2 s", replies[0][0] == 2 and 1.5 < time.monotonic() - begin < 2 + SLACK,
                replies)
    keeper.until("took policy 2", 2)
    suite.check("the old one stays: the gate gets it again", True)
    keeper.policy("root /tmp;gate die")
    replies = keeper.reload()
    suite.check("a gate that dies of it: 2", replies[0][0] == 2, replies)
    keeper.until("took policy 2", 3)
    suite.check("its successor gets the old one", True)
    keeper.policy("root /tmp")
    os.kill(keeper.process.pid, signal.SIGHUP)
    keeper.until("policy 3 is in force")
    suite.check("SIGHUP reloads too", True)
    keeper.policy("root /tmp;workers 7")
    loader = keeper.child("loader")
    suite.check("other scanner settings: 0", keeper.reload()[0][0] == 0)
    keeper.successor("loader", loader)
    keeper.until("workers 7")
    suite.check("the loader starts again with them", True)


@suite.test("nobody waits for a reader that hangs")
def _(suite):
    keeper = Keeper().start()
    keeper.policy("slow-reader")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(keeper.runtime + "/keeper.sock")
    sock.send(struct.pack("<II", VERSION, RELOAD))
    begin = time.monotonic()
    hangs = lambda: not select.select([sock], [], [], 0)[0]  # noqa: E731
    suite.check("status is answered meanwhile", keeper.call(STATUS)[0] == [(0, "")] and hangs())
    gate = keeper.child("gate")
    os.kill(gate, signal.SIGKILL)
    suite.check("a gate is replaced meanwhile", keeper.successor("gate", gate) < 0.1 + SLACK and hangs())
    sock.settimeout(15 + SLACK)
    result = REPLY.unpack(sock.recv(REPLY.size))[2]
    seconds = time.monotonic() - begin
    suite.check("the reload fails after 15 s", result == 2 and 14 < seconds < 15 + SLACK, seconds)


@suite.test("a watch whose folder is missing is taken up when it appears")
def _(suite):
    keeper = Keeper()
    folder = keeper.base + "/later"
    keeper.policy("root %s" % folder)
    keeper.start()
    suite.check("the daemon runs without it", "got a watch without a root" in keeper.log())
    count = keeper.log().count("took policy")
    time.sleep(2.5)
    suite.check("the gate is not bothered while nothing changes", keeper.log().count("took policy") == count)
    os.mkdir(folder)
    keeper.until("got a root", timeout=2 + SLACK)
    suite.check("it is taken up", True)
    subprocess.run(["mount", "-t", "tmpfs", "mailward-watched", folder], check=True)
    suite.at_end(lambda: subprocess.run(["umount", "-l", folder], stderr=subprocess.DEVNULL))
    keeper.until("got a root", 2, timeout=2 + SLACK)
    suite.check("a mount on it is noticed", True)


@suite.test("not ready: a line that says why, and an exit code")
def _(suite):
    cases = (("a wrong policy", dict(policy="complain file:1: no"), 2, "file:1: no"),
             ("a reader that dies", dict(policy="reader-dies"), 2, "exit code 3"),
             ("a gate that dies", dict(policy="root /tmp;gate die"), 1, "the gate has ended 4 times"),
             ("a gate that sends what it must not", dict(policy="root /tmp;gate liar"), 1, "the gate has ended 4 times"),
             ("a loader that dies", dict(loader="die"), 1, "the loader has ended 4 times"),
             ("a recorder that dies", dict(recorder="die"), 1, "the recorder has ended 4 times"))
    for name, words, expected, text in cases:
        keeper = Keeper(**words).start(wait=False)
        code = keeper.process.wait(timeout=30)
        suite.check("%s: exit code %d" % (name, expected), code == expected, keeper.log()[-500:])
        suite.check("%s: says why" % name, text in keeper.log() and keeper.log().count("not ready") == 1, keeper.log()[-500:])
        suite.check("%s: leaves nothing" % name, not os.path.exists(keeper.runtime + "/lock"))
        keeper.close()


@suite.test("in the background it returns when it is ready")
def _(suite):
    keeper = Keeper(loader="loading")
    begin = time.monotonic()
    result = suite.run(keeper.argv(foreground=False), timeout=20)
    seconds = time.monotonic() - begin
    with open(keeper.runtime + "/lock") as f:
        pid = int(f.read())
    suite.track(pid)
    suite.check("0, once it is ready", result.rc == 0 and seconds > 2.5 and "ready" in result.err, (result, seconds))
    suite.check("it has no terminal and is nobody's child", processes()[pid][1] != os.getsid(0))
    os.kill(pid, signal.SIGTERM)
    suite.check("SIGTERM ends it", eventually(lambda: not alive(pid), 2 + SLACK))
    keeper.policy("complain file:9: no")
    result = suite.run(keeper.argv(foreground=False), timeout=20)
    suite.check("2 and the complaint where it can't", result.rc == 2 and "file:9: no" in result.err, result)


@suite.test("hostile callers")
def _(suite):
    keeper = Keeper().start()
    path = keeper.runtime + "/keeper.sock"

    def connect(timeout=5):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(timeout)
        sock.connect(path)
        return sock
    for name, data in (("one byte", b"x"), ("a frame too long", b"x" * 9000), ("a wrong version", struct.pack("<II", 9, STATUS)),
                       ("a wrong verb", struct.pack("<II", VERSION, 77)), ("verb 0", struct.pack("<II", VERSION, 0))):
        sock = connect()
        sock.send(data)
        suite.check("%s: hung up on" % name, sock.recv(10) == b"")
        sock.close()
    sock = connect()
    socket.send_fds(sock, [struct.pack("<II", VERSION, STATUS)], [0, 1, 2, 0, 1, 2])
    suite.check("six descriptors: hung up on", sock.recv(2000) == b"")
    begin, sock = time.monotonic(), connect(10)
    suite.check("who says nothing is hung up on after 2 s", sock.recv(10) == b"" and 1.5 < time.monotonic() - begin < 2 + SLACK)
    before = len(os.listdir("/proc/%d/fd" % keeper.process.pid))
    silent = []
    for i in range(1000):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.setblocking(False)
        try:
            sock.connect(path)
        except BlockingIOError:
            pass
        silent.append(sock)
    time.sleep(0.3)
    most = len(os.listdir("/proc/%d/fd" % keeper.process.pid)) - before
    suite.check("1,000 callers: 64 at a time", 0 < most <= 64, most)
    gate = keeper.child("gate")
    os.kill(gate, signal.SIGKILL)
    suite.check("1,000 callers: a gate is replaced as ever", keeper.successor("gate", gate) < 0.1 + SLACK)
    with open("/proc/%d/stat" % keeper.process.pid) as f:
        used = sum(int(v) for v in f.read().rsplit(")", 1)[1].split()[11:13])
    time.sleep(1)
    with open("/proc/%d/stat" % keeper.process.pid) as f:
        used = sum(int(v) for v in f.read().rsplit(")", 1)[1].split()[11:13]) - used
    suite.check("1,000 callers: it does not spin", used < 30, "%d ticks in a second" % used)
    for sock in silent:
        sock.close()
    suite.check("and then everybody is served again", eventually(lambda: keeper.call(STATUS)[0] == [(0, "")], 10))
    unread = []
    for i in range(200):
        sock = connect(None)
        sock.send(struct.pack("<II", VERSION, STATUS))
        unread.append(sock)
    suite.check("200 that never read their answer hold up nobody", keeper.call(STATUS)[0] == [(0, "")])
    suite.check("the keeper is the same", keeper.process.poll() is None and "killed" not in keeper.log())


@suite.test("the selftest")
def _(suite):
    keeper = Keeper().start()
    begin = lambda: keeper.log().count("selftest: policy ")
    log = keeper.log()
    suite.check("it runs once, with the policy and the loader's canary, before the keeper is ready",
                log.count("selftest: policy 1, canary c0ffee, definitions 1") == 1 and
                log.index("selftest: policy 1") < log.index("ready (pid"), log)
    suite.check("asked for, it runs again, and who asked is answered when it is over",
                keeper.call(SELFTEST)[0] == [(0, "")] and begin() == 2)
    suite.check("after each reload it runs with the new policy", keeper.reload() == [(0, "")] and
                eventually(lambda: "selftest: policy 2, canary c0ffee" in keeper.log(), 5))
    loader = keeper.child("loader")
    os.kill(loader, signal.SIGKILL)
    suite.check("and with each loader's canary", eventually(lambda: begin() == 4, 5), keeper.log()[-800:])
    keeper.policy("selftest misses")
    keeper.reload()
    keeper.until("selftest: watch 1: it went through")
    suite.check("what was not blocked is in the log, and on the page", True)
    _, fds = keeper.call(STATUS)
    page = mmap.mmap(fds[0], 0, mmap.MAP_SHARED, mmap.PROT_READ)
    suite.check("of that watch too", page[:].count(b"it went through\0") == 2)
    keeper.policy("workers 3")
    keeper.reload()
    keeper.until("a canary is refused again in each watch that enforces")
    keeper.policy("selftest dies")
    keeper.reload()
    keeper.until("the selftest has ended (exit code 3)")
    suite.check("one that dies: 2, and how", keeper.call(SELFTEST)[0] == [(2, "the selftest has ended (exit code 3)")])
    keeper.policy("selftest liar")
    keeper.reload()
    keeper.until("sent a frame that it must not send")
    suite.check("one that lies is killed", keeper.call(SELFTEST)[0] == [(2, "the selftest has ended (signal 9)")])
    keeper.policy("selftest silent")
    keeper.reload()
    eventually(lambda: "selftest" in keeper.children(), 5)
    suite.check("while one hangs, status is answered", keeper.call(STATUS)[0] == [(0, "")])
    suite.check("and a policy is taken", keeper.policy("workers 3") or keeper.reload() == [(0, "")])
    suite.check("a stop tells it to end, and waits", keeper.end() < 2 + SLACK and "selftest: told to end" in keeper.log(),
                keeper.log()[-400:])
    keeper = Keeper()
    keeper.policy("selftest silent")
    began = time.monotonic()
    keeper.start()
    suite.check("being ready waits three seconds for it at most", 2.5 < time.monotonic() - began < 4 + SLACK,
                time.monotonic() - began)
    keeper = Keeper()
    keeper.behave("loader", "no canary")
    keeper.start()
    suite.check("a loader without a canary: it runs without one after two seconds",
                "selftest: policy 1, canary , definitions 1" in keeper.log(), keeper.log())


@suite.test("few descriptors")
def _(suite):
    keeper = Keeper().start(limits={resource.RLIMIT_NOFILE: (128, 128)})
    with open("/proc/%d/limits" % keeper.child("gate")) as f:
        line = next(l for l in f if l.startswith("Max open files"))
    suite.check("the gate has the limit that was given, and no more", line.split()[3:5] == ["128", "128"], line)
    gate = keeper.child("gate")
    os.kill(gate, signal.SIGKILL)
    suite.check("it is replaced", keeper.successor("gate", gate) < 1 + SLACK)


@suite.test("the keeper's death is everybody's")
def _(suite):
    keeper = Keeper().start()
    pids = keeper.children()
    suite.check("four parts run", len(pids) == 4, pids)
    keeper.process.kill()
    keeper.process.wait()
    begin = time.monotonic()
    ended = eventually(lambda: not any(alive(pids[n]) for n in ("gate", "recorder")), 1 + SLACK, 0.01)
    suite.check("all have ended within a second", ended and time.monotonic() - begin < 1 + SLACK)
    keeper.start(wait=False)
    keeper.until("ready (pid", 2)
    suite.check("the next one takes over the lock and the sockets", True)


@suite.test("a part that does not want to end")
def _(suite):
    keeper = Keeper(loader="stopped").start()
    os.kill(keeper.child("recorder"), signal.SIGSTOP)
    children = list(keeper.children().values())
    seconds = keeper.end()
    suite.check("SIGTERM ends everything within 2 s all the same", seconds < 2 + SLACK, seconds)
    suite.say("ended after %.2f s" % seconds)
    suite.check("nobody is left", eventually(lambda: not any(alive(p) for p in children), 1 + SLACK))


@suite.test("a keeper that was stopped blames nobody")
def _(suite):
    keeper = Keeper().start()
    os.kill(keeper.process.pid, signal.SIGSTOP)
    time.sleep(4)
    os.kill(keeper.process.pid, signal.SIGCONT)
    time.sleep(1)
    suite.check("no part was killed for it", "stands still" not in keeper.log(), keeper.log()[-400:])


@suite.test("what the service manager is told")
def _(suite):
    keeper, told = Keeper(loader="loading"), []
    path = keeper.base + "/notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    threading.Thread(target=lambda: [told.append(manager.recv(4096).decode()) for _ in range(1000)], daemon=True).start()
    keeper.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000000"})
    time.sleep(2)
    keeper.reload()
    keeper.end()
    eventually(lambda: any("STOPPING=1" in words for words in told), SLACK)  # who reads may be behind
    text = "\n".join(told).split("\n")
    suite.check("EXTEND_TIMEOUT_USEC while it loads", "EXTEND_TIMEOUT_USEC=10000000" in text)
    suite.check("READY=1, then RELOADING=1 and READY=1, then STOPPING=1",
                [t for t in text if t in ("READY=1", "RELOADING=1", "STOPPING=1")] ==
                ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"], text)
    suite.check("a watchdog beat at least every half of its time", text.count("WATCHDOG=1") >= 3, text.count("WATCHDOG=1"))
    keeper.close()
    keeper = Keeper()
    path = keeper.base + "/notify"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(path)
    keeper.start(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000"})
    time.sleep(3)
    gate = keeper.child("gate")
    os.kill(gate, signal.SIGKILL)
    suite.check("a manager that reads nothing holds up nobody", keeper.successor("gate", gate) < 0.1 + SLACK)


@suite.test("folders that are somebody else's")
def _(suite):
    keeper = Keeper()
    os.chmod(keeper.runtime, 0o777)
    result = suite.run(keeper.argv())
    suite.check("a runtime directory that others may write: refused, with one line",
                result.rc == 1 and "writable" in result.err and len(result.err.splitlines()) <= 2, result)
    os.chmod(keeper.runtime, 0o755)
    os.rmdir(keeper.definitions)
    os.unlink(keeper.runtime + "/loader/behave")
    os.rmdir(keeper.runtime + "/loader")
    os.symlink("/etc", keeper.runtime + "/loader")
    before = os.stat("/etc")
    result = suite.run(keeper.argv())
    after = os.stat("/etc")
    suite.check("a link in place of a folder: refused, and what it points to is left alone",
                result.rc == 1 and (before.st_uid, before.st_mode) == (after.st_uid, after.st_mode), result)
    os.unlink(keeper.runtime + "/loader")
    keeper.start()
    suite.check("missing definitions and folders are no error", os.stat(keeper.runtime + "/loader").st_mode & 0o777 == 0o700)


@suite.test("the kernel side: taken, handed over, left or taken back")
def _(suite):
    keeper = Keeper().start()
    suite.check("without one: reduced mode, why and what to do in the log",
                "reduced mode: the stand-in has none; and no remedy" in keeper.log() and "full mode" not in keeper.log())
    suite.check("without one: no child has a map, nobody is labelled",
                "the gate holds 0 maps" in keeper.log() and "labelled" not in keeper.log() and "the reader holds" not in
                keeper.log(), keeper.log())
    keeper.end()
    suite.check("without one: nothing is said of it at the end", "kernel side" not in keeper.log(), keeper.log())
    keeper.close()

    keeper = Keeper().start(env={"FAKE_HOOKS": "full"})
    log = keeper.log()
    suite.check("full mode is said", "full mode: 1 programs" in log and "reduced" not in log, log)
    suite.check("the keeper labels itself, before it has a child",
                "a process is labelled 4" in log and log.index("labelled 4") < log.index("holds"), log)
    suite.check("the gate has all maps", "the gate holds 11 maps" in log, log)
    suite.check("ready only when a reader with the labels has looked at what runs",
                "the reader holds 1 maps" in log and log.index("the reader holds 1") < log.index("ready (pid"), log)
    keeper.reload()
    keeper.until("the reader holds 1 maps", 2)
    gate = keeper.child("gate")
    os.kill(gate, signal.SIGKILL)
    keeper.successor("gate", gate)
    keeper.until("the gate holds 11 maps", 2)
    suite.check("after a reload too; and the next gate has the maps", True)
    keeper.end()
    suite.check("SIGTERM leaves it, and says so",
                "the kernel side stays" in keeper.log() and "mailwardd --release" in keeper.log() and
                "detached" not in keeper.log().replace("--release` detaches", ""), keeper.log())
    keeper.close()

    keeper = Keeper("root /tmp;on-stop release").start(env={"FAKE_HOOKS": "full"})
    keeper.end()
    log = keeper.log()
    suite.check("on-stop = release: detached when the gate has ended, and said",
                "stand-in: detached" in log and "on-stop = release" in log and "stays" not in log, log)
    keeper.close()

    keeper = Keeper().start(env={"FAKE_HOOKS": "labels"})
    suite.check("labels alone: reduced mode, one map for the gate, running processes labelled",
                "reduced mode" in keeper.log() and "the gate holds 1 maps" in keeper.log() and
                "the reader holds 1 maps" in keeper.log(), keeper.log())
    keeper.close()


@suite.test("the kernel side of an earlier run")
def _(suite):
    keeper = Keeper().start(env={"FAKE_HOOKS": "reused"})
    keeper.until("stand-in: settled")
    log = keeper.log()
    suite.check("the first policy of a run has the number 1", "took policy 1" in log, log)
    suite.check("what a third one had left is detached once the gate's marks stand, not before",
                log.index("took policy") < log.index("settled"), log)
    keeper.reload()
    keeper.until("took policy 2")
    suite.check("the next one another", True)
    keeper.close()

    keeper = Keeper("complain wrong").start(wait=False, env={"FAKE_HOOKS": "full"})
    code = keeper.process.wait(timeout=20)
    suite.check("a start that comes to nothing leaves nothing attached", code == 2 and "detached" in keeper.log(), keeper.log())
    keeper.close()
    keeper = Keeper("complain wrong").start(wait=False, env={"FAKE_HOOKS": "reused"})
    code = keeper.process.wait(timeout=20)
    suite.check("but what was there before goes on", code == 2 and "stand-in: detached" not in keeper.log(), keeper.log())
    keeper.close()


@suite.test("options")
def _(suite):
    program = PROGRAMS + "/mailwardd"
    result = suite.run([program, "--version"])
    suite.check("--version", result.rc == 0 and result.out.startswith("mailwardd "), result)
    suite.check("--help names every option", all(w in suite.run([program, "--help"]).out for w in
                                                 ("--config", "--runtime-dir", "--state-dir", "--definitions", "--foreground",
                                                  "--release")))
    suite.check("--release says that there is nothing to release", "nothing" in suite.run([program, "--release"]).out)
    def release(words):
        return subprocess.run([program, "--release"], env=dict(os.environ, FAKE_HOOKS=words), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True)
    some, busy = release("full"), release("busy")
    suite.check("--release says how many programs it detached", some.returncode == 0 and "1 programs" in some.stdout, some)
    suite.check("--release while a daemon lives: 2, and one line that says what to do",
                busy.returncode == 2 and "stop it first" in busy.stderr and len(busy.stderr.splitlines()) == 1, busy)
    suite.check("an unknown option: 2", suite.run([program, "--bogus"]).rc == 2)
    suite.check("a word too many: 2", suite.run([program, "bogus"]).rc == 2)
    result = suite.run(["bash", "-c", "exec -a mailward-gate " + program])
    suite.check("a part started by hand: 2 and a sentence", result.rc == 2 and "by hand" in result.err, result)
    nobody = suite.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", program, "--foreground"])
    suite.check("not as root: 1 and one line", nobody.rc == 1 and "root" in nobody.err and len(nobody.err.splitlines()) == 1, nobody)


suite.main()
