# SPDX-License-Identifier: GPL-2.0-only
"""What the suites of full mode (suite_vm_*.py) stand on, besides the harness.

FullHost(suite, file_system="ext4", ...)     a Host whose daemon must come up in full mode
    .guard()            starts it; a mode that isn't full is a failure of the test
    .release() -> Result of `mailwardd --release`; nothing is left of the guard then. Also done at the end of each test
    .rows(path, reason=None)   of `blocked` for that path, once there are any (5 s)
    .puppet(name=None, listed=False, uid=0, mode=0o755, **options) -> Puppet
                        a copy of tests/puppet.c below .base/bin; the same name is the same file
    .program(source, name, mode=0o755) -> path of a copy below .base/bin
    .software(name, *paths) -> text of a block mail-software
Puppet: .do("open", "r+", path) -> number, or -errno; see puppet.c for the verbs. .pid, .end()
    .read_ways(fd) -> {way: number or -errno} of reading by that descriptor
pins() -> paths below /sys/fs/bpf/mailward;  programs_left() -> names of LSM programs that are attached
check_nothing_left(suite)
in_child(function, uid=0, user_namespace=False) -> 0 or the errno that it ended with; each_in_child(): for many
USER: uid of an ordinary user;  as_user(argv) -> argv, by that user;  drop_caches() is the harness's
"""
import ctypes
import errno
import json
import os
import shutil
import socket
import subprocess

from harness import PINS, Failure, Host, eventually, helper

USER = 4711
if not os.path.exists("/proc/self/fd/3"):
    os.dup2(os.open("/dev/null", os.O_RDONLY), 3)  # puppets get their socket there: nothing of subprocess's own may lie there
READS = ("pread", "read", "mmap", "sendfile", "splice")


def as_user(argv, uid=USER):
    return ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "--"] + list(argv)


def pins():
    return [os.path.join(path, name) for path, _, names in os.walk(PINS) for name in names]


def programs_left():
    """Names of the programs in the kernel that refuse anything; nobody else has any in a machine of the tests'."""
    out = subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True).stdout
    return [p.get("name", p["id"]) for p in json.loads(out or b"[]") if p["type"] == "lsm"]


def check_nothing_left(suite, name="released"):
    suite.check("%s: no pin is left" % name, not pins(), pins()[:5])
    suite.check("%s: no program is left in the kernel" % name, eventually(lambda: not programs_left(), 15, 0.5),
                programs_left())


class Puppet:
    def __init__(self, suite, path, uid=0, env=None, **options):
        self.far, near = socket.socketpair()  # the other end is what `send` and `recv` use

        def become():
            os.dup2(near.fileno(), 3)
            if uid:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
        self.process = suite.popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                   bufsize=1, preexec_fn=become, pass_fds=(3, near.fileno()), start_new_session=True, cwd="/",
                                   env=dict(os.environ, **(env or {})), **options)
        near.close()
        suite.at_end(self.far.close)
        if not self.process.stdout.readline().startswith("ok"):
            raise Failure("%s does not answer" % path)
        self.pid = self.process.pid

    def do(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        reply = self.process.stdout.readline().split()
        if len(reply) != 2:
            raise Failure("puppet %s: %s" % (words[0], reply))
        return int(reply[1]) if reply[0] == "ok" else -int(reply[1])

    def become(self, path):
        """Executes another puppet's program; the same process goes on."""
        return self.do("exec", path) > 0

    def read_ways(self, fd):
        return {way: self.do(way, fd) for way in READS}

    def open_ways(self, path):
        """What can be read of a path by any flags of an open: {flags and way: number or -errno}."""
        found = {}
        for flags in ("r", "r+"):
            fd = self.do("open", flags, path)
            if fd < 0:
                found[flags] = fd
                continue
            found.update(("%s %s" % (flags, way), value) for way, value in self.read_ways(fd).items())
            self.do("close", fd)
        return found

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            self.process.wait(10)

    @staticmethod
    def pass_on(sender, fd, receiver):
        """-> the descriptor's number at the receiver, or -errno"""
        if sender.do("send", fd) < 0:
            raise Failure("the descriptor can't be sent")
        message, fds, _, _ = socket.recv_fds(sender.far, 1, 1)
        if not fds:
            return -errno.EBADMSG
        socket.send_fds(receiver.far, [message], fds)
        os.close(fds[0])
        return receiver.do("recv")


def refused(found):
    """Did every way end in EPERM, and was there one at all?"""
    return bool(found) and all(value == -errno.EPERM for value in found.values())


def got(found):
    """Bytes that any of the ways brought."""
    return sum(value for value in found.values() if value > 0)


def in_child(function, uid=0, user_namespace=False, timeout=30):
    """function() in a process of its own, by that user, as root of a user namespace of its own if so wanted -> 0, or the
    errno of the OSError it ended with, or 255: anything else."""
    return each_in_child(lambda _: function(), [None], uid, user_namespace, timeout)[None]


def each_in_child(function, items, uid=0, user_namespace=False, timeout=30):
    """The same for function(item) of each, one after another in one process -> {item: 0, errno or 255}"""
    items, (read_end, write_end) = list(items), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if uid:
                become(uid)
            if user_namespace:
                enter_user_namespace(uid)
            for item in items:
                os.write(write_end, bytes([outcome(function, item)]))
        except BaseException as error:
            print("    %s: %s" % (type(error).__name__, error), flush=True)
        finally:
            os._exit(0)
    os.close(write_end)
    if not eventually(lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT), timeout, 0.01):
        os.kill(pid, 9)
    os.waitpid(pid, 0)
    codes = os.read(read_end, 65536)
    os.close(read_end)
    return {item: codes[i] if i < len(codes) else 255 for i, item in enumerate(items)}


def outcome(function, item):
    try:
        function(item)
        return 0
    except OSError as error:
        return error.errno
    except Exception as error:
        print("    %s: %s" % (type(error).__name__, error), flush=True)
        return 255


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as after an exec; else /proc/self is not its own


def enter_user_namespace(uid):
    """This process becomes root in a user and mount namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(0x10000000 | 0x00020000) < 0:  # CLONE_NEWUSER | CLONE_NEWNS
        raise Failure("no user namespace: %s" % os.strerror(ctypes.get_errno()))
    for name, text in (("setgroups", "deny"), ("gid_map", "0 %d 1" % uid), ("uid_map", "0 %d 1" % uid)):
        with open("/proc/self/" + name, "w") as f:
            f.write(text)
    if os.geteuid() != 0:
        raise Failure("not root in the namespace")


class FullHost(Host):
    def __init__(self, suite, file_system="ext4", **options):
        self.guarded = False
        super().__init__(suite, file_system, **options)

    def guard(self, **options):
        self.guarded = True
        self.start(**options)
        rc, mode = self.tool("status", "--field", "mode")
        if mode.strip() != "full":
            raise Failure("the mode is %s, not full; log: %s" % (mode.strip(), self.log()[-600:]))

    def release_only(self):
        return self.suite.run([os.path.join(self.programs, "mailwardd"), "--config", self.config, "--runtime-dir",
                               self.runtime, "--state-dir", self.state, "--definitions", self.definitions, "--release"],
                              timeout=60)

    def release(self):
        if self.daemon and self.daemon.poll() is None:
            self.stop()
        self.guarded = False
        return self.release_only()

    def close(self):
        if self.guarded:
            if self.daemon and self.daemon.poll() is None:
                self.kill()
            self.release()
        super().close()

    def rows(self, path, reason=None):
        words = ("--path", path) + (("--reason", reason) if reason else ())
        return eventually(lambda: self.blocked(*words), 5, 0.2) or []

    def program(self, source, name, mode=0o755):
        path = os.path.join(self.base, "bin", name)
        if not os.path.exists(path):
            shutil.copyfile(source, path)
            os.chmod(path, mode)
        return path

    def puppet(self, name="puppet", uid=0, mode=0o755, **options):
        return Puppet(self.suite, self.program(helper("puppet"), name, mode), uid, **options)

    @staticmethod
    def software(name, *paths):
        return "mail-software %s { roots = { %s } }\n" % (name, ", ".join('"%s"' % path for path in paths))

    def counters(self):
        status = self.status()
        return {name: value for part in (status, status.get("counters", {})) for name, value in part.items()
                if isinstance(value, int)}
