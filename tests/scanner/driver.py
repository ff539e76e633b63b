# SPDX-License-Identifier: GPL-2.0-only
"""Plays the keeper and the gate for the real mailward-scanner: the descriptors, frames and sockets of include/wire.h."""
import array, fcntl, os, re, select, shutil, signal, socket, struct, tempfile, time

FD_LEASH, FD_DEFINITIONS, FD_OWN_DIR, FD_START_END = 3, 14, 15, 17
LEASH = struct.Struct("<IIQIIQQIIIIIIIII108sII24I1024sQIIQQQQII64sQQQIIII160x")  # the end: struct sweep_shown, quarantine_shown
LEASH_END = (0, 0, 0) + (0,) * 6 + (b"",) + (0,) * 7  # what follows the text
NURSERY = struct.Struct("<IIiIQQ")
REQUEST = struct.Struct("<IIQ")
REPLY = struct.Struct("<IIQBBB5s128s160s32s256sBBB5s8s1024s")
HASHED = struct.Struct("<IIQ32s")
(BEAT, READY, IN_FORCE, MISSING, LOADING, LOADED, SERVING, BEFORE, LOG) = range(1, 10)
(START, PEER, STOP) = (15, 16, 17)
WORKER, HASHER, DEFINITIONS, KILL = 1, 2, 3, 4


def number_of(word):
    """Of an enumerator of enum leash_kind, which grows at its end."""
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "..", "..", "include", "wire.h")) as f:
        kinds = re.sub(r"/\*.*?\*/", "", f.read().split("enum leash_kind {")[1].split("};")[0], flags=re.S)
    return 1 + [w.split("=")[0].strip() for w in kinds.split(",")].index(word)


DEFINITION, REFUSED = number_of("LEASH_DEFINITION"), number_of("LEASH_REFUSED")
KINDS = ["none", "clean", "infected", "unscanned"]
REASONS = ["", "timeout", "too-large", "too-deep", "encrypted", "unsupported", "io-error", "engine-error", "crashed",
           "no-definitions", "busy"]
HEURISTICS = ["macro", "broken", "phishing", "unwanted", "other", "type"]
TYPES = ["executable", "script", "shortcut", "disk-image", "macro-document"]
LOADER_UID, WORKER_UID, LOADER_GID, WORKER_GID = 65282, 65283, 65292, 65293


class Reply:
    def __init__(self, raw):
        (self.version, self.last, self.case, kind, reason, heuristics, _, signature, detail, queue, message, *_) = REPLY.unpack(raw)
        text = lambda b: b.split(b"\0")[0].decode("ascii", "backslashreplace")
        self.kind, self.reason = KINDS[kind], REASONS[reason]
        self.signature, self.detail, self.queue_id, self.message_id = map(text, (signature, detail, queue, message))
        self.heuristics = [name for bit, name in enumerate(HEURISTICS) if heuristics >> bit & 1]
        self.verdict = self.kind
        if self.kind == "infected":
            self.verdict = "%s(%s)" % ("+".join(self.heuristics) or "infected", self.signature)
        if self.kind == "unscanned":
            self.verdict = "unscanned(%s)" % self.reason

    def __repr__(self):
        return self.verdict + (" [%s]" % self.detail if self.detail else "")


def send(sock, data, fd=None):
    control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))] if fd is not None else []
    sock.sendmsg([data], control)


def receive(sock, size, timeout):
    """(bytes, fd or None); (b"", None) at the end; None after the timeout."""
    if not select.select([sock], [], [], max(0, timeout))[0]:
        return None
    try:
        data, control, _, _ = sock.recvmsg(size + 1, socket.CMSG_SPACE(64))
    except ConnectionResetError:
        return b"", None
    fds = array.array("i")
    for level, kind, part in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(part[:len(part) - len(part) % fds.itemsize])
    for extra in fds[1:]:
        os.close(extra)
    return data, (fds[0] if fds else None)


class Late(AssertionError):
    """Something did not happen in its time."""


class Worker:
    def __init__(self, pid, fd, definitions):
        self.pid, self.definitions = pid, definitions
        self.sock = socket.socket(fileno=fd)
        self.cases = 0

    def ask(self, fd, framing=0, case=None):
        self.cases += 1
        self.case = case if case is not None else self.cases
        send(self.sock, REQUEST.pack(1, framing, self.case), fd)

    def answer(self, timeout=30):
        got = receive(self.sock, REPLY.size, timeout)
        if got is None:
            return "timeout"
        if len(got[0]) != REPLY.size:
            return "crashed"
        reply = Reply(got[0])
        assert reply.case == self.case, "the reply is to another case"
        return reply

    def close(self):
        self.sock.close()


class Scanner:
    def __init__(self, binary, definitions, workers=2, max_file=100 << 20, max_scan=200 << 20, files=10000, depth=17,
                 time_ms=30000, before_exec=None, stderr=None, own_mode=0o700, environment=None, path=b"",
                 deny_types=(), clamd=None):
        """clamd: the path of its socket, if the signatures are to be its."""
        self.settings = (max_file, max_scan, files, depth, time_ms, workers, WORKER_UID, LOADER_UID, WORKER_GID, LOADER_GID,
                         1 if clamd else 0, (clamd or "").encode(), sum(1 << TYPES.index(word) for word in deny_types), 0)
        self.own = tempfile.mkdtemp(prefix="mailward-loader-")
        os.chown(self.own, LOADER_UID, LOADER_UID)
        os.chmod(self.own, own_mode)
        self.leash, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.gate = None
        self.log, self.loaded, self.serving, self.beats, self.loading = [], None, [], [], 0
        self.definitions, self.workers, self.hasher, self.retired = None, [], None, []
        self.files, self.refused = {}, (0, "")  # index: (name, size, version, signatures, verified); kind, why
        held = os.open(definitions, os.O_RDONLY | os.O_DIRECTORY) if definitions else None
        own = os.open(self.own, os.O_RDONLY | os.O_DIRECTORY)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                move = [(far.fileno(), FD_LEASH), (held, FD_DEFINITIONS), (own, FD_OWN_DIR), (stderr, 2)]
                move = [(fd, number) for fd, number in move if fd is not None]
                move = [(fcntl.fcntl(fd, fcntl.F_DUPFD, 40), number) for fd, number in move]
                for number in range(3, FD_START_END):
                    try:
                        os.close(number)
                    except OSError:
                        pass
                for fd, number in move:
                    os.dup2(fd, number)
                os.closerange(FD_START_END, 4096)
                if before_exec:
                    before_exec()
                os.execve(binary, ["mailward-loader"], environment or os.environ)
            finally:
                os._exit(99)
        far.close()
        for fd in (held, own):
            if fd is not None:
                os.close(fd)
        send(self.leash, LEASH.pack(1, START, 0, 0, 0, *self.settings, *([0] * 24), path, *LEASH_END))
        self.new_gate()

    def new_gate(self):
        """A gate starts, after the old one, if there was one, has gone."""
        if self.gate:
            self.gate.close()
        for worker in self.workers:
            worker.close()
        self.workers, self.hasher, self.definitions = [], None, None
        self.gate, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        send(self.leash, LEASH.pack(1, PEER, 3, 0, 0, *([0] * 11), b"", 0, 0, *([0] * 24), b"", *LEASH_END), far.fileno())
        far.close()

    def turn(self, timeout=0.05):
        """Takes what the loader has sent."""
        ready = select.select([self.leash] + ([self.gate] if self.gate else []), [], [], timeout)[0]
        if self.leash in ready:
            data, fd = receive(self.leash, LEASH.size, 0)
            if not data:
                raise EOFError("the loader has ended")
            fields = LEASH.unpack(data)
            kind, value, text = fields[1], fields[2], fields[43].split(b"\0")[0].decode()
            if kind == BEAT:
                self.beats.append(time.monotonic())
            elif kind == LOADING:
                self.loading += 1
            elif kind == LOADED:
                self.loaded = (value, text, fields[44] / 1e9)
            elif kind == SERVING:
                self.serving.append(value)
            elif kind == DEFINITION:
                name, size, _, _, version, signatures, verified, _ = fields[53:]
                self.files[value] = (name.split(b"\0")[0].decode(), size, version, signatures, verified)
            elif kind == REFUSED:
                self.refused = (value, text)
            elif kind == LOG:
                self.log.append(text)
        if self.gate in ready:
            data, fd = receive(self.gate, NURSERY.size, 0)
            if not data:
                self.gate.close()
                self.gate = None
                return
            _, kind, pid, _, identity, signatures = NURSERY.unpack(data)
            if kind == DEFINITIONS:
                self.definitions = (identity, signatures)
            elif kind == WORKER:
                self.workers.append(Worker(pid, fd, identity))
            elif kind == HASHER:
                self.hasher = Worker(pid, fd, 0)

    def until(self, condition, timeout=20, what="it"):
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                raise Late("%s did not happen in %d s; loaded: %s, log: %s" % (what, timeout, self.loaded, self.log))
            self.turn()

    def worker(self, timeout=20):
        """An idle worker, which is the caller's until release()."""
        self.until(lambda: self.workers, timeout, "a worker")
        return self.workers.pop(0)

    def release(self, worker, reply):
        if isinstance(reply, Reply) and not reply.last:
            self.workers.insert(0, worker)
        else:
            worker.close()

    def scan(self, content, framing=0, timeout=60):
        """content: bytes, or a path."""
        if isinstance(content, bytes):
            fd = memory(content)
        else:
            fd = os.open(content, os.O_RDONLY)
        try:
            worker = self.worker()
            worker.ask(fd, framing)
            reply = worker.answer(timeout)
            self.release(worker, reply)
            return reply
        finally:
            os.close(fd)

    def hash(self, fd, timeout=20):
        self.until(lambda: self.hasher, what="the hasher")
        send(self.hasher.sock, REQUEST.pack(1, 0, 77), fd)
        got = receive(self.hasher.sock, HASHED.size, timeout)
        if not got or len(got[0]) != HASHED.size:
            return None
        _, ok, case, digest = HASHED.unpack(got[0])
        assert case == 77
        return digest.hex() if ok else "could not"

    def kill(self, pid):
        send(self.gate, NURSERY.pack(1, KILL, pid, 0, 0, 0))

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def wait(self, timeout=5):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return status
            time.sleep(0.01)
        return None

    def stop(self):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGTERM)
                if self.wait() is None:
                    os.kill(self.pid, signal.SIGKILL)
                    self.wait()
            except ProcessLookupError:
                pass
        for worker in self.workers:
            worker.close()
        for sock in (self.gate, self.leash):
            if sock:
                sock.close()
        shutil.rmtree(self.own, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def memory(content):
    fd = os.memfd_create("content")
    os.write(fd, content) if len(content) < 1 << 30 else None
    return fd
