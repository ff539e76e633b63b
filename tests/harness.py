# SPDX-License-Identifier: GPL-2.0-only
"""What every integration suite stands on. Python 3, standard library only.

A suite is a file tests/suite_NAME.py:

    from harness import Suite, Host, EICAR
    suite = Suite("kernel")             # goes on in a mount namespace of its own; needs root

    @suite.test("an infected file is denied")
    def _(suite):                       # an exception is a failure of this test, the next one runs
        with Host(suite) as host:       # private file systems, policy, definitions; nothing runs yet
            path = host.put("message", EICAR)
            suite.check("control: it can be read without the guard", open(path, "rb").read() == EICAR)
            host.start()                # waits until `mailward status` leaves exit code 4
            suite.check("the open is denied", host.probe("open", path).rc == 1)

    suite.main()                        # runs all, or those whose name holds a word of argv; prints, exits
    suite.main(at_once=3)               # so many at one time, each in a process of its own: for tests that mostly wait

Suite(name, limit=240)
    .check(name, condition, why="")     prints `ok NAME` or `FAIL NAME: why`, counts, returns the condition
    .skip(name, why)                    prints `skipped NAME: why`; tests/run wants it in tests/may-skip
    .say(text)                          a line of report, indented (a distribution, a number)
    .track(pid)                         the watchdog kills that process (and its session, if it leads one) at the end
    .run(argv, timeout=30)              a command -> Result(rc, out, err); rc 124: it took too long and was killed
    .popen(argv, ...)                   subprocess.Popen, tracked by the watchdog, killed at the end of the test
    .at_end(function)                   called after the running test, latest first, also when it failed

Host(suite, file_system="tmpfs"|"ext4"|"overlay"|"overlay-export", watches=None, policy=None, definitions=True)
    .base        tmpfs of its own: run/ state/ definitions/ logs/ etc/ bin/ (never marked)
    .fs          the second file system, the one that gets marked; .watched = fs/in, .outside = fs/out
                 (overlay: a mount of its own over two tmpfs; .lower and .upper are the layers)
    .put(name, bytes, where=None, mode=0o644) -> path, written in .watched, or below `where`, folders made as needed
    .watch(path=None, **words) -> text of one watch block; words: store="files", on_timeout="allow", deadline="2s"
    .policy(*blocks, scanner={...}) writes the policy: blocks as of .watch(); without any: one watch on .watched
    .define({name: bytes}) writes signatures (.ndb, exact bytes); EICAR and MARKER are there by default
    .start(wait=True, programs=None, limits={"NOFILE": (soft, hard)}, env=None, timeout=60, beside=[argv, ...])
                 beside: commands that run in its session (one group for the kernel's scheduler); kill them before .stop()
                 programs: folder with mailwardd and mailward-scanner (see .programs_with)
    .programs_with(scanner=PATH) -> folder with a copy of mailwardd, mailward and that scanner
    .stand_in(*words) uses tests/fake/stand_in.c as the scanner; .behave(*words) changes what it does (see there)
    .stop() -> seconds; raises if it took over 2 s + 5 s slack or left a process.  .kill(): SIGKILL to all, at once
    .restart_all() what a service manager does after .daemon has ended
    .daemon      Popen of the keeper; .log() what it wrote
    .tool(*args, timeout=10) -> (rc, text);  .tool_json(*args) -> list of objects;  .status() -> object or None
    .counter(name) -> a number of status --json, wherever it lies in there (waiting, scans, flushes, ...)
    .pid(name)   of keeper, gate, loader, recorder by `status --json`;  .pids() -> {name: pid}
    .workers() .hasher()   pids of the loader's children, by /proc
    .blocked(*args) -> rows of `blocked --json`
    .wait(what, condition, timeout=15) -> value of condition() once it is true, else raises
    .read(path) -> the bytes, or None where the open, or in full mode the read, was denied with EPERM (in the suite's own
                 process: for loops)
    .openers(count, *paths, processes=4) -> Openers: .wait() -> [Attempt(start, end, errno, bytes, path)]; see there
    .probe(verb, *args) -> Result; rc 0 allowed, 1 denied by us (EPERM), 2 could not try, 3 denied by another errno;
                 .bytes: how many bytes of content were got. See probe.c for the verbs.

in_machine() -> is this the guest of tests/vm/run, whose files nobody needs? Only there may `/` be watched.
eventually(condition, timeout=15), helper(name) -> path of the built tests/NAME.c or tests/fake/NAME.c, EICAR, MARKER
(another harmless "infected" content), CLEAN. BUILD (environment, default build) is where the programs are.

Safety: a suite never runs in the machine's own mount namespace, never watches a path outside the file systems of its
Host, and a watchdog process that was forked first kills every daemon by its pid at the limit, or when the suite ends.
"""
import atexit
import concurrent.futures
import errno
import json
import os
import re
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
BUILD = os.path.join(ROOT, os.environ.get("BUILD", "build"))
SLACK = 5.0
PINS = "/sys/fs/bpf/mailward"
with open(os.path.join(ROOT, "include", "wire.h")) as header:
    WIRE_VERSION = next(int(line.split()[2]) for line in header if line.startswith("#define WIRE_VERSION "))

# Put together here, so that no scanner finds them in the tree.
EICAR = ("X5O!P%@AP[4\\PZX54(P^)7CC)7}$" + "EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!" + "$H+H*").encode()
MARKER = b"mailward-" + b"test-" + b"marker-" + b"4711-infected"
CLEAN = b"Nothing of interest is in this file, and it is long enough to be looked at.\n"


class Failure(Exception):
    """The test can't go on."""


class Result:
    def __init__(self, rc, out, err=""):
        self.rc, self.out, self.err = rc, out, err

    @property
    def bytes(self):
        """Bytes of content that a probe got: the sum of its `bytes N` words."""
        words = self.out.split()
        return sum(int(words[i + 1]) for i, word in enumerate(words[:-1]) if word == "bytes" and words[i + 1].isdigit())

    def __repr__(self):
        return "rc %s %r %r" % (self.rc, self.out[-300:], self.err[-300:])


def eventually(condition, timeout=15.0, step=0.05):
    """The first true value of condition(), or the last false one."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value or time.monotonic() > end:
            return value
        time.sleep(step)


def helper(name):
    """Builds tests/NAME.c or tests/fake/NAME.c where its program is older, and returns the program's path."""
    source = next(p for p in (os.path.join(TESTS, name + ".c"), os.path.join(TESTS, "fake", name + ".c"))
                  if os.path.exists(p))
    folder = os.path.join(BUILD, "tests")
    program = os.path.join(folder, name)
    base = os.path.join(ROOT, "daemon", "base")
    used = [source] + [os.path.join(TESTS, f) for f in os.listdir(TESTS) if f.endswith(".h")]
    if os.path.dirname(source).endswith("fake"):
        used += [os.path.join(base, f) for f in ("frame.c", "loop.c", "log.c")]
        used += [os.path.join(ROOT, "include", f) for f in os.listdir(os.path.join(ROOT, "include"))]
        used += [os.path.join(TESTS, "fake", f) for f in os.listdir(os.path.join(TESTS, "fake")) if f.endswith(".h")]
    if not os.path.exists(program) or os.path.getmtime(program) < max(os.path.getmtime(f) for f in used):
        os.makedirs(folder, exist_ok=True)
        temporary = "%s.%d" % (program, os.getpid())
        subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                        "-I" + os.path.join(ROOT, "include"), "-I" + base, "-I" + os.path.join(TESTS, "fake"),
                        "-o", temporary] + [f for f in used if f.endswith(".c")] + ["-pthread"], check=True)
        os.rename(temporary, program)
    return program


def in_machine():
    """Process 1 is tests/vm/guest.sh: everything here is gone with the machine."""
    with open("/proc/1/cmdline", "rb") as f:
        return f.read().split(b"\0")[1:2] == [b"/run/vm/guest.sh"]


def processes():
    """{pid: (parent, session, state, command)} from /proc; never waits for anybody."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as f:
                text = f.read().decode("utf-8", "replace")
        except OSError:
            continue
        rest = text[text.rindex(")") + 2:].split()
        found[int(name)] = (int(rest[1]), int(rest[3]), rest[0], text[text.index("(") + 1:text.rindex(")")])
    return found


def session_members(leader):
    return [pid for pid, (_, session, state, _) in processes().items() if session == leader and state not in "ZX"]


def descendants(root, table=None):
    table = table or processes()
    out, todo = [], [root]
    while todo:
        parent = todo.pop()
        children = [p for p, entry in table.items() if entry[0] == parent]
        out += children
        todo += children
    return out


def born(pid):
    """When this process or thread was started, in clock ticks since boot; None: there is none of that number."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as f:
            return int(f.read().rsplit(b")", 1)[1].split()[19])
    except OSError:
        return None


BORN = {}  # of what the watchdog was told; where tens of thousands of threads come and go their numbers are soon somebody else's


def kill_tree(pid):
    """SIGKILL to a process, what it started, and its session if it leads one. Only pids that a suite started."""
    table = processes()
    victims = {p for p, entry in table.items() if entry[1] == pid}
    if pid in table:
        if BORN.get(pid, born(pid)) != born(pid):
            return
        victims |= set([pid] + descendants(pid, table))
    victims -= {0, 1, os.getpid()}
    for victim in victims:
        try:
            os.kill(victim, signal.SIGKILL)
        except OSError:
            pass


class Watchdog:
    """A process that was forked before anything else. It is told pids over a pipe, and kills them when the time is up
    or when the pipe closes, whatever hangs in the suite."""

    def __init__(self, limit):
        read_end, self.pipe = os.pipe()
        suite = os.getpid()
        if os.fork() == 0:
            os.close(self.pipe)
            try:
                os.setsid()
                for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(s, signal.SIG_IGN)
                self.guard(read_end, suite, time.monotonic() + limit)
            finally:
                os._exit(0)
        os.close(read_end)

    @staticmethod
    def guard(read_end, suite, end):
        pids = []
        buffer = b""
        while True:
            left = end - time.monotonic()
            ready = select.select([read_end], [], [], max(left, 0))[0] if left > 0 else []
            if not ready:
                os.write(2, b"watchdog: the time is up, killing what the suite started\n")
                for pid in pids:
                    kill_tree(pid)
                time.sleep(10)  # for the suite to say what it was doing
                for pid in pids:
                    kill_tree(pid)
                try:
                    os.kill(suite, signal.SIGKILL)
                except OSError:
                    pass
                return
            data = os.read(read_end, 4096)
            if not data:
                for pid in pids:
                    kill_tree(pid)
                return
            buffer += data
            while len(buffer) >= 16:
                kind, pid, start = struct.unpack("iiq", buffer[:16])
                buffer = buffer[16:]
                if kind:
                    pids.append(pid)
                    BORN[pid] = start
                elif pid in pids:
                    pids.remove(pid)

    def add(self, pid):
        BORN[pid] = born(pid) or 0
        os.write(self.pipe, struct.pack("iiq", 1, pid, BORN[pid]))

    def forget(self, pid):
        BORN.pop(pid, None)
        os.write(self.pipe, struct.pack("iiq", 0, pid, 0))


def enter_namespace():
    """Goes on in a mount namespace of its own, by executing the suite again. Sure of it, or the suite ends."""
    here = os.readlink("/proc/self/ns/mnt")
    before = os.environ.pop("MAILWARD_TEST_NAMESPACE", None)
    if before is None:
        if os.geteuid() != 0:
            sys.exit("the suites need root")
        os.environ["MAILWARD_TEST_NAMESPACE"] = here
        os.execvp("unshare", ["unshare", "-m", "--propagation", "private", sys.executable] + sys.argv)
    if before == here:
        sys.exit("this is still the mount namespace that the suite was started in")
    # What a daemon pins here ends with this namespace, and no other suite's daemon meets it.
    subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", "/sys/fs/bpf"], stderr=subprocess.DEVNULL)


class Suite:
    def __init__(self, name, limit=240):
        enter_namespace()
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        self.name, self.limit = name, limit * float(os.environ.get("TIME_FACTOR", "1"))
        self.passed = self.failed = self.skipped = 0
        self.started = time.monotonic()
        self.watchdog = Watchdog(self.limit + 60)
        self.tests, self.ends, self.hosts = [], [], []
        os.environ["LC_ALL"] = "C.UTF-8"
        atexit.register(self.clean)
        for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(s, lambda number, frame: sys.exit(128 + number))

    # -- bookkeeping
    def check(self, name, condition, why=""):
        if condition:
            self.passed += 1
            print("ok %s" % name)
        else:
            self.failed += 1
            print("FAIL %s%s" % (name, ": " + str(why).replace("\n", " | ") if why != "" else ""))
        return bool(condition)

    def skip(self, name, why):
        self.skipped += 1
        print("skipped %s: %s" % (name, why))

    def say(self, text):
        print("    %s" % text)

    def test(self, name):
        def register(function):
            self.tests.append((name, function))
            return function
        return register

    def main(self, at_once=1):
        wanted = [a for a in sys.argv[1:] if not a.startswith("-")]
        only = os.environ.pop("MAILWARD_TEST_ONLY", None)
        chosen = [(name, function) for name, function in self.tests
                  if (name == only if only else not wanted or any(word in name for word in wanted))]
        if at_once > 1 and len(chosen) > 1 and not in_machine():  # one kernel side at a time there
            self.several([name for name, _ in chosen], at_once)
            chosen = []
        for name, function in chosen:
            started = time.monotonic()
            print("-- %s" % name)
            try:
                function(self)
            except SystemExit:
                raise
            except BaseException as error:  # a crash of a test is a failure of it
                where = traceback.extract_tb(error.__traceback__)
                place = next((f for f in reversed(where) if "suite_" in f.filename), where[-1])
                self.check(name, False, "%s: %s (line %d)" % (type(error).__name__, error, place.lineno))
                if os.environ.get("TRACE"):
                    traceback.print_exc(file=sys.stdout)
            self.clean()
            seconds = time.monotonic() - started
            if seconds > 20:
                self.say("%s: %.0f s" % (name, seconds))
        seconds = time.monotonic() - self.started
        print("%s: %d passed, %d failed, %d skipped (%.1f s)" %
              (self.name, self.passed, self.failed, self.skipped, seconds))
        sys.stdout.flush()
        sys.exit(1 if self.failed else 0)

    def several(self, names, at_once):
        """Each test by this suite's own program; their lines come in one piece."""
        running = []

        def one(name):
            process = subprocess.Popen([sys.executable, os.path.abspath(sys.argv[0])], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                                       env=dict(os.environ, MAILWARD_TEST_ONLY=name))
            self.track(process.pid)
            running.append(process)
            text = process.communicate()[0]
            running.remove(process)
            self.watchdog.forget(process.pid)
            return name, text

        def follow(pool):
            for done in concurrent.futures.as_completed([pool.submit(one, name) for name in names]):
                name, text = done.result()
                ended = False
                for line in text.splitlines():
                    if re.match(r"%s: \d+ passed, " % re.escape(self.name), line):
                        ended = True
                        continue
                    print(line)
                    self.passed += line.startswith("ok ")
                    self.failed += line.startswith("FAIL ")
                    self.skipped += line.startswith("skipped ")
                if not ended:
                    self.check(name, False, "it did not come to its end")

        with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
            try:
                follow(pool)
            except BaseException:  # Ctrl-C: those that run clean up, no other one is begun
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(running):
                    process.terminate()
                raise

    # -- processes
    def track(self, pid):
        self.watchdog.add(pid)

    def at_end(self, function):
        self.ends.append(function)

    def clean(self):
        while self.ends:
            function = self.ends.pop()
            try:
                function()
            except Exception as error:  # the rest is to be cleaned up all the same
                print("    cleaning up: %s: %s" % (type(error).__name__, error))

    def popen(self, argv, **options):
        process = subprocess.Popen(argv, **options)
        self.track(process.pid)

        def end():
            if process.poll() is None:
                kill_tree(process.pid)
            process.wait()
            self.watchdog.forget(process.pid)
        self.at_end(end)
        return process

    def run(self, argv, timeout=30, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options)
        self.track(process.pid)
        try:
            out, err = process.communicate(timeout=timeout)
            rc = process.returncode
        except subprocess.TimeoutExpired:
            kill_tree(process.pid)
            try:
                out, err = process.communicate(timeout=10)
            except subprocess.TimeoutExpired:
                out, err = b"", b""
            rc = 124
        self.watchdog.forget(process.pid)
        return Result(rc, out.decode("utf-8", "backslashreplace"), err.decode("utf-8", "backslashreplace"))


class Host:
    def __init__(self, suite, file_system="tmpfs", watches=None, policy=None, definitions=True, size="512M"):
        self.suite, self.kind, self.size = suite, file_system, size
        self.daemon, self.mounts, self.no_status = None, [], ""
        self.programs = BUILD
        self.base = tempfile.mkdtemp(prefix="mailward-test-", dir="/tmp")
        suite.at_end(self.close)
        self.mount("-t", "tmpfs", "-o", "mode=0755,size=1G", "mailward-test", self.base)
        for name in ("run", "state", "definitions", "logs", "etc", "bin", "fs"):
            os.mkdir(os.path.join(self.base, name), 0o755)
        self.runtime, self.state = self.base + "/run", self.base + "/state"
        self.definitions, self.config = self.base + "/definitions", self.base + "/etc/mailward.conf"
        self.fs = self.base + "/fs"
        self.make_file_system()
        self.watched, self.outside = self.fs + "/in", self.fs + "/out"
        os.makedirs(self.watched, exist_ok=True)
        os.makedirs(self.outside, exist_ok=True)
        os.chmod(self.fs, 0o755)
        if definitions:
            self.define({"Mailward.Test.Eicar": EICAR, "Mailward.Test.Marker": MARKER})
        if policy is not None:
            self.write_policy(policy)
        else:
            self.policy(*(watches or []))

    # -- file systems
    def mount(self, *args):
        subprocess.run(["mount"] + list(args), check=True, stdout=subprocess.DEVNULL)
        self.mounts.append(args[-1])

    def make_file_system(self):
        if self.kind == "tmpfs":
            self.mount("-t", "tmpfs", "-o", "mode=0755,size=" + self.size, "mailward-watched", self.fs)
        elif self.kind == "ext4":
            image = self.base + "/image"
            with open(image, "wb") as f:
                f.truncate(256 << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-N", "20000", image], check=True)
            self.mount("-o", "loop", image, self.fs)
        elif self.kind in ("overlay", "overlay-export"):
            words = ",index=on,nfs_export=on" if self.kind == "overlay-export" else ""  # then its files have handles
            for name in ("lower", "upper"):
                os.mkdir(self.base + "/" + name)
                self.mount("-t", "tmpfs", "-o", "mode=0755", "mailward-" + name, self.base + "/" + name)
            self.lower, self.upper = self.base + "/lower/tree", self.base + "/upper/tree"
            for path in (self.lower, self.upper, self.base + "/upper/work"):
                os.mkdir(path, 0o755)
            self.mount("-t", "overlay", "-o", "lowerdir=%s,upperdir=%s,workdir=%s%s" %
                       (self.lower, self.upper, self.base + "/upper/work", words), "mailward-overlay", self.fs)
        else:
            raise ValueError(self.kind)

    def put(self, name, content, where=None, mode=0o644):
        path = os.path.join(where or self.watched, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)
        os.chmod(path, mode)
        return path

    # -- what the daemon reads
    def watch(self, path=None, **words):
        lines = "".join("    %s = %s\n" % (word.replace("_", "-"), value) for word, value in words.items())
        return 'watch "%s" {\n%s}\n' % (path or self.watched, lines)

    def policy(self, *blocks, scanner=None, top=""):
        text = top + "".join(blocks or [self.watch()])
        if scanner:
            text += "scanner {\n%s}\n" % "".join("    %s = %s\n" % (w.replace("_", "-"), v) for w, v in scanner.items())
        self.write_policy(text)

    def write_policy(self, text):
        with open(self.config + ".new", "w") as f:
            f.write(text)
        os.rename(self.config + ".new", self.config)

    def define(self, signatures):
        """One .ndb line for each: the exact bytes, anywhere in a file of any type."""
        with open(self.definitions + "/mailward-test.ndb", "w") as f:
            for name, content in signatures.items():
                f.write("%s:0:*:%s\n" % (name, content.hex()))
        os.chmod(self.definitions + "/mailward-test.ndb", 0o644)

    def stand_in(self, *words):
        """Programs whose scanner is tests/fake/stand_in.c; .behave() says what it does."""
        self.programs = self.programs_with(helper("stand_in"))
        self.behave(*words)
        return self.programs

    def behave(self, *words):
        """The stand-in reads its behaviour anew at each request."""
        path = self.programs + "/behaviour"
        with open(path + ".new", "w") as f:
            f.write("".join(word + "\n" for word in words))
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def programs_with(self, scanner):
        folder = tempfile.mkdtemp(dir=self.base + "/bin")
        os.chmod(folder, 0o755)
        for name in ("mailwardd", "mailward"):
            shutil.copy2(os.path.join(BUILD, name), folder)
        shutil.copy2(scanner, os.path.join(folder, "mailward-scanner"))
        return folder

    # -- the daemon
    def start(self, wait=True, programs=None, limits=None, env=None, timeout=60, args=(), beside=()):
        self.programs = programs or self.programs
        self.assert_private()
        log = open(self.base + "/logs/daemon.log", "ab")

        def before_exec():
            os.setsid()
            for name, pair in (limits or {}).items():
                resource.setrlimit(getattr(resource, "RLIMIT_" + name), pair)
            for argv in beside:
                if os.fork() == 0:
                    os.execvp(argv[0], argv)
        self.daemon = subprocess.Popen(
            [os.path.join(self.programs, "mailwardd"), "--config", self.config, "--runtime-dir", self.runtime,
             "--state-dir", self.state, "--definitions", self.definitions, "--foreground"] + list(args),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before_exec, cwd="/",
            env=dict(os.environ, **(env or {})))
        log.close()
        self.suite.track(self.daemon.pid)
        if wait:
            self.wait_ready(timeout)
        return self.daemon

    restart_all = start

    def wait_ready(self, timeout=60):
        end = time.monotonic() + timeout
        while True:
            if self.daemon.poll() is not None:
                raise Failure("mailwardd ended with %d: %s" % (self.daemon.returncode, self.log()[-600:]))
            rc, text = self.tool("status")
            if rc in (0, 1):
                return rc
            if time.monotonic() > end:
                raise Failure("status still ends with %d: %s; log: %s" % (rc, text[-300:], self.log()[-600:]))
            time.sleep(0.05)

    def assert_private(self):
        """No permission mark may ever reach the file system of `/`: every watched path lies on a file system of ours.
        (A policy made on purpose to be refused is started with .start_refused.) A machine of the tests' own may mark all."""
        if in_machine():
            return
        root = os.stat("/").st_dev
        for part in open(self.config).read().split('watch "')[1:]:
            path = part.split('"')[0]
            while not os.path.exists(path):
                path = os.path.dirname(path)
            if os.stat(path).st_dev in (root, os.stat("/tmp").st_dev, os.stat(self.base).st_dev):
                raise Failure("%s is not on a file system of the test" % path)

    def start_refused(self, timeout=10):
        """Starts a daemon that must refuse its policy. -> Result; it is killed at the time limit."""
        return self.suite.run([os.path.join(self.programs, "mailwardd"), "--config", self.config, "--runtime-dir",
                               self.runtime, "--state-dir", self.state, "--definitions", self.definitions,
                               "--foreground"], timeout=timeout)

    def log(self):
        try:
            with open(self.base + "/logs/daemon.log", "rb") as f:
                return f.read().decode("utf-8", "backslashreplace")
        except OSError:
            return ""

    def stop(self):
        pid = self.daemon.pid
        started = time.monotonic()
        if self.daemon.poll() is None:
            os.kill(pid, signal.SIGTERM)
        try:
            self.daemon.wait(timeout=2 + SLACK)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("mailwardd did not end within %.0f s of SIGTERM" % (2 + SLACK))
        seconds = time.monotonic() - started
        left = eventually(lambda: not session_members(pid), 1 + SLACK)
        if not left:
            table = processes()
            names = ["%d %s" % (p, table[p][3]) for p in session_members(pid) if p in table]
            self.kill()
            raise Failure("mailwardd has ended, but left %s" % ", ".join(names))
        self.suite.watchdog.forget(pid)
        return seconds

    def kill(self):
        if self.daemon:
            kill_tree(self.daemon.pid)
            self.daemon.wait()
            eventually(lambda: not session_members(self.daemon.pid), 5)
            self.suite.watchdog.forget(self.daemon.pid)

    def let_go(self):
        """Where the kernel holds the full mode, what a daemon leaves behind would refuse the next test its files."""
        if self.daemon and os.path.isdir(PINS):
            self.suite.run([os.path.join(self.programs, "mailwardd"), "--config", self.config, "--runtime-dir", self.runtime,
                            "--state-dir", self.state, "--definitions", self.definitions, "--release"], timeout=60)

    def close(self):
        if self.daemon and (self.daemon.poll() is None or session_members(self.daemon.pid)):
            self.kill()
        self.let_go()
        if os.environ.get("KEEP_LOG"):
            print(self.log())
        for path in reversed(self.mounts):
            subprocess.run(["umount", "-l", path], stderr=subprocess.DEVNULL)
        self.mounts = []
        try:
            os.rmdir(self.base)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and self.daemon:
            tail = [line for line in self.log().splitlines() if line][-6:]
            for line in tail:
                self.suite.say("log: " + line)
        if kind is None and self.daemon and self.daemon.poll() is None:
            try:
                self.stop()
            finally:
                self.close()
        else:
            self.close()

    # -- what it says
    def tool(self, *args, timeout=10):
        result = self.suite.run([os.path.join(self.programs if os.path.exists(self.programs + "/mailward") else BUILD,
                                              "mailward"), "--runtime-dir", self.runtime, "--state-dir", self.state]
                                + [os.fsencode(a) if isinstance(a, str) else a for a in args], timeout=timeout)
        self.error = result.err
        return result.rc, result.out or result.err

    def tool_json(self, *args, timeout=10):
        rc, text = self.tool(*args, "--json", timeout=timeout)
        if rc in (2, 3, 124):
            raise Failure("%s --json ended with %d: %s" % (" ".join(map(str, args)), rc, text[-300:]))
        return [json.loads(line) for line in text.splitlines() if line.strip()]

    def status(self):
        started = time.monotonic()
        rc, text = self.tool("status", "--json")
        try:
            return json.loads(text)
        except ValueError:
            self.no_status = "exit code %d after %.1f s: %s" % (rc, time.monotonic() - started, text[-300:].strip())
            return None

    def counter(self, name):
        def find(thing):
            if isinstance(thing, dict):
                if name in thing and isinstance(thing[name], (int, float)):
                    return thing[name]
                thing = thing.values()
            if isinstance(thing, (list, type({}.values()))):
                for part in thing:
                    value = find(part) if isinstance(part, (dict, list)) else None
                    if value is not None:
                        return value
            return None
        status = self.status()
        value = find(status) if status else None
        if value is None:
            raise Failure("status --json says nothing of %s (%s)" % (name, "it has other fields" if status else
                                                                     self.no_status))
        return value

    def pids(self):
        status = self.status() or {}
        return {p["name"]: p["pid"] for p in status.get("processes", []) if p.get("pid")}

    def pid(self, name):
        pids = self.pids()
        if name not in pids:
            raise Failure("status --json names no process %s (%s)" % (name, pids))
        return pids[name]

    def loader_children(self):
        """[(pid, what its /proc entry calls it)]"""
        children = []
        for pid in descendants(self.pid("loader")):
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    text = f.read().replace(b"\0", b" ").decode("utf-8", "replace")
                with open("/proc/%d/comm" % pid) as f:
                    text += " " + f.read().strip()
            except OSError:
                continue
            children.append((pid, text))
        return children

    def workers(self):
        return [pid for pid, name in self.loader_children() if name.endswith("mailward-worker")]

    def hasher(self):
        return next((pid for pid, name in self.loader_children() if name.endswith("mailward-hasher")), None)

    def blocked(self, *args):
        return self.tool_json("blocked", *args)

    def wait(self, what, condition, timeout=15):
        value = eventually(condition, timeout)
        if not value:
            raise Failure("after %d s still not: %s" % (timeout, what))
        return value

    def wait_waiting(self, count, timeout=30):
        return self.wait("%d accesses wait" % count, lambda: self.counter("waiting") >= count, timeout)

    @staticmethod
    def read(path):
        try:
            fd = os.open(path, os.O_RDONLY)
        except PermissionError as error:
            if error.errno == errno.EPERM:
                return None
            raise
        try:
            return os.read(fd, 1 << 20)
        except PermissionError as error:  # full mode
            if error.errno == errno.EPERM:
                return None
            raise
        finally:
            os.close(fd)

    def openers(self, count, *paths, processes=4):
        return Openers(self.suite, count, paths, processes)

    def probe(self, *args, timeout=60):
        return self.suite.run([helper("probe")] + [os.fsencode(a) if isinstance(a, str) else
                                                   a if isinstance(a, bytes) else str(a) for a in args], timeout=timeout)


class Attempt:
    """One open. Times are of time.monotonic(); error: errno, 0 where it was allowed; bytes: of content that were read."""

    def __init__(self, line, paths):
        start, end, error, size, path = line.split()
        self.start, self.end, self.error, self.bytes = float(start), float(end), int(error), int(size)
        self.path = paths[int(path)]
        self.waited = self.end - self.start


class Openers:
    """Many threads of `probe openers`, each of which opens one of the paths and reads it."""

    def __init__(self, suite, count, paths, processes):
        self.paths = paths
        self.out = tempfile.TemporaryFile()
        self.process = suite.popen([helper("probe"), "openers", str(count), str(processes)] + list(paths),
                                   stdin=subprocess.DEVNULL, stdout=self.out, stderr=subprocess.DEVNULL,
                                   start_new_session=True)

    def running(self):
        return self.process.poll() is None

    def wait(self, timeout=90):
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_tree(self.process.pid)
            self.process.wait()
            raise Failure("openers still wait after %d s" % timeout)
        self.out.seek(0)
        lines = self.out.read().decode().splitlines()
        ended = [line for line in lines if line.startswith("ended:")]
        if ended:  # what it did not come to is nothing that anybody was refused or got
            raise Failure("openers: %s" % "; ".join(ended))
        return [Attempt(line, self.paths) for line in lines if line[:1].isdigit()]


def distribution(values):
    """`min / median / 90 % / max` of seconds, in ms."""
    values = sorted(values)
    if not values:
        return "none"
    pick = lambda share: values[min(len(values) - 1, int(len(values) * share))] * 1000
    return "%d waits, ms: min %.0f, median %.0f, 90 %% %.0f, 99 %% %.0f, max %.0f" % (
        len(values), values[0] * 1000, pick(.5), pick(.9), pick(.99), values[-1] * 1000)


def drop_caches():
    """Forgets inodes and names that nobody uses: what comes next is the first open ever, as the kernel sees it."""
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")
