# SPDX-License-Identifier: GPL-2.0-only
"""Malformed frames to every socket, clients that never read, a thousand clients: no frame ends or stalls a process."""
import array
import os
import random
import resource
import socket
import struct
import subprocess
import time

from harness import BUILD, ROOT, CLEAN, MARKER, SLACK, WIRE_VERSION, Host, Suite, eventually

suite = Suite("frames")
KEEPER, RECORDER, STEWARD = "keeper.sock", "recorder.sock", "steward.sock"
KEEPER_SIZE = 8
RECORDER_SIZE = 4 + 4 + 8 + 4 + 4 + 4096
VERSION = WIRE_VERSION


def steward_size():
    """sizeof(struct steward_ask), as the compiler has it."""
    program = os.path.join(BUILD, "tests", "steward_size.%d" % os.getpid())
    os.makedirs(os.path.dirname(program), exist_ok=True)
    subprocess.run(["gcc", "-x", "c", "-", "-o", program, "-D_GNU_SOURCE", "-I" + os.path.join(ROOT, "include")], check=True,
                   input=b"#include <stdio.h>\n#include \"steward.h\"\n"
                         b"int main(void) { printf(\"%zu\", sizeof(struct steward_ask)); }\n")
    size = int(subprocess.run([program], check=True, stdout=subprocess.PIPE).stdout)
    os.unlink(program)
    return size


STEWARD_SIZE = steward_size()


def connect(host, name):
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Blocking, with a limit: a non-blocking connect fails where the queue of the listener is full for a moment.
    for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 5, 0))
    sock.connect(os.path.join(host.runtime, name))
    return sock


def send(sock, data, descriptors=()):
    """True if the kernel took it."""
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    try:
        sock.sendmsg([data], control, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        return True
    except OSError:
        return False


def keeper_request(verb, version=VERSION):
    return struct.pack("<II", version, verb & 0xffffffff)


def recorder_request(verb, version=VERSION, since=0, uid=0xffffffff, reason=0, path=b""):
    return struct.pack("<IIqII", version, verb & 0xffffffff, since, uid, reason) + path.ljust(4096, b"\0")[:4096]


def steward_request(verb, version=VERSION):
    return struct.pack("<II", version, verb & 0xffffffff).ljust(STEWARD_SIZE, b"\0")


class Health:
    """What must not change whatever is sent."""

    def __init__(self, host):
        self.host = host
        self.serial = 0
        host.wait("a healthy daemon", lambda: host.tool("status")[0] == 0)
        self.pids = host.pids()

    def check(self, what):
        host, suite = self.host, self.host.suite
        self.serial += 1
        started = time.monotonic()
        rc, text = host.tool("status")
        seconds = time.monotonic() - started
        suite.check("%s: status answers within a second" % what, rc == 0 and seconds < 1 + SLACK, (rc, seconds, text))
        suite.check("%s: no process has ended" % what, host.pids() == self.pids, (self.pids, host.pids()))
        bad = host.put("bad-%d" % self.serial, MARKER + b"%d" % self.serial)
        good = host.put("good-%d" % self.serial, CLEAN + b"%d" % self.serial)
        started = time.monotonic()
        suite.check("%s: the guard works" % what, host.read(bad) is None and host.read(good) is not None)
        suite.check("%s: and is not held up" % what, time.monotonic() - started < 5.1 + SLACK)
        suite.check("%s: blocked answers" % what, eventually(lambda: host.blocked("--path", bad), 5))


@suite.test("malformed frames")
def _(suite):
    random.seed(4711)
    with Host(suite) as host:
        host.start()
        health = Health(host)
        null = os.open("/dev/null", os.O_RDWR)
        for name, size, valid in ((KEEPER, KEEPER_SIZE, keeper_request), (RECORDER, RECORDER_SIZE, recorder_request),
                                  (STEWARD, STEWARD_SIZE, steward_request)):
            sent = 0
            for length in (0, 1, 3, size - 1, size + 1, size * 2, 65536, 150000):
                with connect(host, name) as sock:
                    sent += send(sock, random.randbytes(length))
            health.check("frames of a wrong size to %s" % name)
            for _ in range(200):
                with connect(host, name) as sock:
                    for _ in range(3):
                        sent += send(sock, random.randbytes(size))
            health.check("random frames to %s" % name)
            for version in (0, 2, 0xffffffff):
                with connect(host, name) as sock:
                    sent += send(sock, valid(1, version))
            for verb in (0, 5, 77, 0x7fffffff, -1):
                with connect(host, name) as sock:
                    sent += send(sock, valid(verb))
            health.check("wrong versions and verbs to %s" % name)
            for count in (1, 2, 9, 200):
                with connect(host, name) as sock:
                    sent += send(sock, valid(1), [null] * count)
                    sent += send(sock, b"x", [null] * count)
            health.check("descriptors that nobody asked for, to %s" % name)
            for _ in range(300):
                sock = connect(host, name)
                send(sock, valid(1))
                sock.close()
            health.check("clients of %s that leave before the answer" % name)
            with connect(host, name) as sock:
                for _ in range(500):
                    send(sock, valid(1))
            health.check("500 requests in one connection to %s" % name)
            suite.say("%s: %d malformed frames were taken by the kernel" % (name, sent))
            # How many get through depends on how soon the daemon hangs up on the first wrong one.
            suite.check("control: frames reach %s" % name, sent >= 100, sent)
        os.close(null)


@suite.test("requests that are well-formed and hostile")
def _(suite):
    with Host(suite) as host:
        host.start()
        health = Health(host)
        for path in (b"/" * 4096, b"\xff" * 4096, b"a\n\x1b[2J", b"' OR 1=1; DROP TABLE history; --", b"%s%n%x" * 100,
                     b"../../../etc/passwd", b"/" + b"%" * 4000):
            for verb in (1, 2, 3):
                with connect(host, RECORDER) as sock:
                    send(sock, recorder_request(verb, path=path, since=-2 ** 63, reason=0xfffffff0))
                    send(sock, recorder_request(verb, path=path, since=2 ** 63 - 1, reason=1000))
        health.check("hostile paths to the recorder")
        a, b = socket.socketpair()
        r, w = os.pipe()
        odd = [a.fileno(), r, w, os.open("/", os.O_PATH), os.open("/proc/self/mem", os.O_RDONLY), os.open("/dev/zero",
               os.O_RDONLY), os.memfd_create("x"), os.open(host.watched, os.O_RDONLY), os.open("/proc", os.O_PATH)]
        fifo = host.base + "/fifo"
        os.mkfifo(fifo)
        odd.append(os.open(fifo, os.O_PATH))
        for descriptor in odd + [None]:
            with connect(host, RECORDER) as sock:
                send(sock, recorder_request(4), [descriptor] if descriptor is not None else [])
                try:
                    sock.recv(65536)
                except OSError:
                    pass
        health.check("explain of things that are no files")
        for descriptor in odd[1:]:
            os.close(descriptor)
        b.close()


@suite.test("a client that never reads")
def _(suite):
    with Host(suite) as host:
        host.start()
        health = Health(host)
        silent = []
        for name, request in ((KEEPER, keeper_request(1)), (RECORDER, recorder_request(1)), (RECORDER, recorder_request(2)),
                              (RECORDER, recorder_request(3)), (RECORDER, recorder_request(3))):
            sock = connect(host, name)
            for _ in range(10000):
                if not send(sock, request):
                    break
            silent.append(sock)
        health.check("clients that ask until the socket is full and never read")
        files = [host.put("many-%d" % i, MARKER + b"many %d" % i) for i in range(300)]
        started = time.monotonic()
        denied = sum(host.read(path) is None for path in files)
        suite.say("300 denials while clients do not read: %.1f s" % (time.monotonic() - started))
        suite.check("a client that never reads holds up no answer", denied == 300, denied)
        health.check("after 300 denials that nobody read")
        suite.check("and the record is complete for those who read", eventually(
            lambda: sum(r["count"] for r in host.blocked("--path", host.watched) if "/many-" in r["path"]) == 300, 8),
            sum(r["count"] for r in host.blocked("--path", host.watched) if "/many-" in r["path"]))
        for sock in silent:
            sock.close()
        health.check("after they have left")


@suite.test("a thousand clients")
def _(suite):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    for name, request in ((KEEPER, keeper_request(1)), (RECORDER, recorder_request(2))):
        with Host(suite) as host:
            host.start()
            pids = host.pids()
            clients, refused = [], 0
            for _ in range(1000):
                sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                sock.settimeout(0.2)
                try:
                    sock.connect(os.path.join(host.runtime, name))
                    send(sock, request)
                    clients.append(sock)
                except OSError:
                    refused += 1
                    sock.close()
                    if refused > 20:
                        break
            suite.say("%s: %d clients at once, then refused or made to wait" % (name, len(clients)))
            bad, good = host.put("bad", MARKER), host.put("good", CLEAN)
            suite.check("with a thousand clients at %s the guard works" % name,
                        host.read(bad) is None and host.read(good) == CLEAN)
            started = time.monotonic()
            rc, text = host.tool("status")
            seconds = time.monotonic() - started
            suite.say("status with %d clients: %d after %.2f s" % (len(clients), rc, seconds))
            suite.check("with a thousand clients at %s a further one does not hang" % name, rc != 124 and
                        seconds < 1 + SLACK, (rc, seconds, text))
            for sock in clients:
                sock.close()
            suite.check("when they have left status answers again (%s)" % name,
                        eventually(lambda: host.tool("status")[0] == 0, 5), host.tool("status"))
            suite.check("when they have left blocked answers again (%s)" % name,
                        eventually(lambda: host.tool("blocked")[0] == 0, 5))
            suite.check("no process has ended for a thousand clients (%s)" % name, host.pids() == pids,
                        (pids, host.pids()))


@suite.test("who may connect")
def _(suite):
    with Host(suite) as host:
        os.chmod(host.base, 0o755)
        host.start()
        for name in (KEEPER, RECORDER):
            text = ("import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_SEQPACKET)\n"
                    "s.connect(sys.argv[1])\n")
            path = os.path.join(host.runtime, name)
            root = suite.run(["/usr/bin/python3", "-c", text, path])
            suite.check("control: root may connect to %s" % name, root.rc == 0, root)
            nobody = suite.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "/usr/bin/python3", "-c",
                                text, path])
            suite.check("an unprivileged user may not connect to %s" % name,
                        nobody.rc != 0 and "PermissionError" in nobody.err, nobody)
        rc = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", host.programs + "/mailward",
                             "--runtime-dir", host.runtime, "status"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=10)
        suite.say("status as an unprivileged user: exit code %d" % rc.returncode)
        suite.check("the tool tells an unprivileged user that he may not, in one line", rc.returncode in (2, 4) and
                    len(rc.stdout.splitlines()) == 1, rc.stdout)


@suite.test("follow and watch")
def _(suite):
    with Host(suite) as host:
        bad = host.put("bad", MARKER)
        good = host.put("good", CLEAN)
        host.start()
        follow = suite.popen([host.programs + "/mailward", "--runtime-dir", host.runtime, "blocked", "--follow", "--json"],
                             stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        watch = suite.popen([host.programs + "/mailward", "--runtime-dir", host.runtime, "watch", "--json"],
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for stream in (follow.stdout, watch.stdout):
            os.set_blocking(stream.fileno(), False)
        time.sleep(0.5)
        seen = {follow: b"", watch: b""}

        def lines(process):
            seen[process] += process.stdout.read() or b""
            return seen[process]
        started = time.monotonic()
        host.read(bad)
        suite.check("follow shows a denial within a second", eventually(lambda: b"/bad" in lines(follow), 1 + SLACK),
                    seen[follow])
        suite.say("a denial was shown after %.2f s" % (time.monotonic() - started))
        host.read(good)
        suite.check("watch shows every decision", eventually(
            lambda: b"/bad" in lines(watch) and b"/good" in lines(watch), 1 + SLACK), seen[watch])
        suite.check("follow shows denials alone", b"/good" not in lines(follow), seen[follow])


suite.main()
