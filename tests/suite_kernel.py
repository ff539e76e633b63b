# SPDX-License-Identifier: GPL-2.0-only
"""Every way to a file's content, on every kind of file system: invariants no-byte-before-verdict (the part of reduced
mode: no open or exec without an answer) and verdict-of-one-generation."""
import os
import subprocess
import time

from harness import CLEAN, EICAR, MARKER, Host, Suite, eventually, helper

suite = Suite("kernel")
KINDS = ("tmpfs", "ext4", "overlay")

READING = ("open", "open-nonblock", "open-noatime", "openat2", "open-rdwr", "pread", "readv", "mmap", "sendfile", "splice",
           "copy_file_range", "aio", "io_uring", "opath-reopen", "handle", "passed")
RUNNING = ("exec", "exec-opath", "interpreter")
NAMING = ("opath", "stat")

serial = 0


def unique(content):
    """Different bytes each time, so that no verdict for the same content can answer."""
    global serial
    serial += 1
    return content + b"\n# %d\n" % serial


def contents(verb):
    if verb in RUNNING:
        script = b"#!/bin/sh\necho ran\n"
        return {"infected": unique(script + b"# " + MARKER), "clean": unique(script)}
    return {"infected": unique(EICAR if serial % 2 else MARKER), "clean": unique(CLEAN), "empty": b"",
            "tiny": b"abc"}


def arguments(host, verb, path):
    return (verb, path, host.fs) if verb == "handle" else (verb, path)


@suite.test("every verb in a watched and an unwatched place")
def _(suite):
    for kind in KINDS:
        with Host(suite, kind) as host:
            files = {}
            for verb in READING + RUNNING + NAMING:
                for what, content in contents(verb).items():
                    files[verb, what] = (host.put("%s-%s" % (verb, what), content, mode=0o755),
                                         host.put("%s-%s" % (verb, what), content, host.outside, mode=0o755))
            untried = set()
            for verb in READING + RUNNING:
                inside, outside = files[verb, "infected"]
                before = host.probe(*arguments(host, verb, inside))
                if before.rc == 2 or (verb == "handle" and kind == "overlay" and before.rc):
                    suite.skip("%s on %s" % (verb, kind), "this kernel can't: %s" % before.err.strip())
                    untried.add(verb)
                    continue
                suite.check("control: %s of an infected file on %s without the guard" % (verb, kind),
                            before.rc == 0 and before.bytes > 0, before)
            host.start()
            bytes_got = 0
            for verb in READING + RUNNING:
                if verb in untried:
                    continue
                inside, outside = files[verb, "infected"]
                result = host.probe(*arguments(host, verb, inside))
                bytes_got += result.bytes
                suite.check("%s of an infected file is denied on %s" % (verb, kind), result.rc == 1, result)
                result = host.probe(*arguments(host, verb, outside))
                suite.check("%s of an infected file outside the watch is allowed on %s" % (verb, kind),
                            result.rc == 0 and result.bytes > 0, result)
                for what in ("clean", "empty", "tiny"):
                    if (verb, what) not in files:
                        continue
                    for where, path in zip(("inside", "outside"), files[verb, what]):
                        result = host.probe(*arguments(host, verb, path))
                        suite.check("%s of a file that is %s is allowed %s on %s" % (verb, what, where, kind),
                                    result.rc == 0 and (what == "empty" or result.bytes > 0), result)
            for verb in NAMING:
                result = host.probe(verb, files[verb, "infected"][0])
                suite.check("%s of an infected file shows no byte and is allowed on %s" % (verb, kind),
                            result.rc == 0, result)
            suite.say("%s: bytes of infected files read: %d" % (kind, bytes_got))
            suite.check("bytes of infected files read on %s: 0" % kind, bytes_got == 0, bytes_got)
            rows = host.wait("a row for each denial", lambda: [
                r for r in host.blocked() if r["answer"] == "deny" and r["verdict"] == "infected"])
            suite.check("every denied file is in the list of blocked accesses on %s" % kind, eventually(
                lambda: {os.path.basename(r["path"]) for r in host.blocked()} >=
                {"%s-infected" % v for v in READING + RUNNING if v not in untried}, 5),
                sorted(os.path.basename(r["path"]) for r in rows))


@suite.test("programs")
def _(suite):
    with Host(suite, "ext4") as host:
        with open("/bin/true", "rb") as f:
            elf = f.read()
        infected = host.put("infected", elf + MARKER, mode=0o755)
        clean = host.put("clean", elf, mode=0o755)
        library = host.put("library.so", open(find_library(), "rb").read() + MARKER, mode=0o755)
        preload = dict(os.environ, LD_PRELOAD=library)
        control = suite.run(["/bin/true"], env=preload)
        suite.check("control: an infected program runs without the guard", host.probe("exec", infected).rc == 0)
        suite.check("control: an infected library is loaded without the guard", not control.err, control)
        host.start()
        for verb in ("exec", "exec-opath"):
            result = host.probe(verb, infected)
            suite.check("%s of an infected ELF is denied" % verb, result.rc == 1 and "exit" not in result.out, result)
            result = host.probe(verb, clean)
            suite.check("%s of a clean ELF is allowed" % verb, result.rc == 0 and "exit 0" in result.out, result)
        result = suite.run(["/bin/true"], env=preload)
        suite.check("an infected library is not loaded", "cannot be preloaded" in result.err, result)
        accesses = eventually(lambda: [r["access"] for r in host.blocked("--path", infected) if r["access"] == "exec"], 5)
        suite.check("the record tells exec from open", accesses, host.blocked("--path", infected))


def find_library():
    for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64"):
        for name in ("libz.so.1", "libm.so.6"):
            if os.path.exists(os.path.join(folder, name)):
                return os.path.join(folder, name)
    raise RuntimeError("no library to load")


@suite.test("ten openers, one scan")
def _(suite):
    with Host(suite) as host:
        host.start()
        for what, content in (("clean", CLEAN), ("infected", MARKER)):
            before, known = host.counter("scans"), host.counter("accesses")
            inside = host.put(what, unique(content))  # the scan may begin when it is closed
            attempts = host.openers(10, inside, processes=10).wait()
            scans, accesses = host.counter("scans") - before, host.counter("accesses") - known
            suite.check("ten processes that open one %s file are one scan" % what, scans == 1,
                        "%d scans, %d accesses" % (scans, accesses))
            wanted = 0 if what == "clean" else 1
            suite.check("ten openers of a %s file get the same answer" % what,
                        len(attempts) == 10 and all(a.error == wanted for a in attempts), [a.error for a in attempts])
    with Host(suite) as host:
        host.policy(host.watch(deadline="30s"))
        path = host.put("file", CLEAN)
        host.stand_in()
        host.start()
        host.behave("hold")
        openers = host.openers(10, path)
        host.wait_waiting(10)
        suite.check("ten openers that wait are one case", host.counter("cases") == 1, host.counter("cases"))
        host.behave()
        suite.check("ten openers go on together", all(a.error == 0 and a.bytes for a in openers.wait()))


@suite.test("content that changes after approval")
def _(suite):
    bad = unique(MARKER)

    def write(path):
        with open(path, "r+b") as f:
            f.write(bad)

    def append(path):
        with open(path, "ab") as f:
            f.write(bad)

    def truncate(path):
        os.truncate(path, 0)
        with open(path, "r+b") as f:
            f.write(bad)

    def rename_over(path):
        other = os.path.join(os.path.dirname(path), "..", "fresh-" + os.path.basename(path))
        with open(other, "wb") as f:
            f.write(bad)
        os.rename(other, path)

    def same_size_and_times(path):
        st = os.stat(path)
        text = (bad + b" " * st.st_size)[:st.st_size]
        with open(path, "r+b") as f:
            f.write(text)
        os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))

    def store(path):
        done = store_start(path)
        done()

    def store_start(path):
        process = suite.popen([helper("probe"), "mapped-store", path, bad.decode()], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
        process.stdout.readline()  # mapped
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()  # stored

        def done():
            process.stdin.close()
            process.wait()
        return done

    def store_while_mapped(path):
        suite.at_end(store_start(path))

    def copy_over(path):
        with open(path, "r+b") as out, open(source, "rb") as f:
            os.copy_file_range(f.fileno(), out.fileno(), len(bad))

    ways = (write, append, truncate, rename_over, same_size_and_times, store, store_while_mapped, copy_over)
    for kind in KINDS:
        with Host(suite, kind) as host:
            source = host.put("source", bad, host.outside)
            for way in ways:
                path = host.put("control-" + way.__name__, unique(CLEAN) * 4)
                way(path)
                suite.check("control: %s makes the file infected on %s" % (way.__name__, kind),
                            MARKER in host.read(path))
            host.start()
            for way in ways:
                path = host.put(way.__name__, unique(CLEAN) * 4)
                first, second = host.read(path), host.read(path)
                approved = first is not None and second is not None
                way(path)
                got = host.read(path)
                suite.check("a file that was approved and then changed by %s is denied on %s" % (way.__name__, kind),
                            approved and got is None, (approved, got and got[:60]))
                os.truncate(path, 0)
                suite.check("it is allowed again when it is emptied (%s, %s)" % (way.__name__, kind),
                            host.read(path) == b"")


@suite.test("inode numbers that are used again")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            host.start()
            missed = wrong = again = 0
            numbers = set()
            for i in range(100):
                path = os.path.join(host.watched, "file")
                with open(path, "wb") as f:
                    f.write(unique(MARKER if i % 2 else CLEAN))
                number = os.stat(path).st_ino
                again += number in numbers
                numbers.add(number)
                got = host.read(path)
                missed += i % 2 == 1 and got is not None
                wrong += i % 2 == 0 and got is None
                os.unlink(path)
            suite.say("%s: %d of 100 inode numbers were used before" % (kind, again))
            suite.check("a verdict never passes to the next file with the same inode number on %s" % kind,
                        missed == 0 and wrong == 0, "%d missed, %d wrong" % (missed, wrong))


@suite.test("content that changes during the scan")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            host.policy(host.watch(deadline="20s"))
            path = host.put("file", CLEAN * 3)
            host.stand_in()
            host.start()
            writer = suite.popen([helper("probe"), "held-writer", path, MARKER.decode()], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            suite.check("control: a writer may open the clean file on %s" % kind,
                        writer.stdout.readline() == b"open\n")
            host.behave("hold-late")
            reader = host.openers(1, path)
            host.wait_waiting(1)
            eventually(lambda: False, 0.5)  # until the old content has been judged
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            suite.check("control: the writer has written during the scan on %s" % kind,
                        writer.stdout.readline() == b"written\n")
            host.behave()
            attempt = reader.wait()[0]
            suite.check("a file that changed during its scan is not let through on %s" % kind,
                        attempt.error == 1 and attempt.bytes == 0, (attempt.error, attempt.bytes))
            writer.stdin.close()
            writer.wait()
            suite.check("and is denied when the writer is gone on %s" % kind, host.read(path) is None)


@suite.test("a writer that keeps the file open")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            path = host.put("file", CLEAN * 3)
            host.start()
            writer = suite.popen([helper("probe"), "held-writer", path, MARKER.decode()], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            writer.stdout.readline()
            suite.check("a clean file is allowed while a writer has it open on %s" % kind,
                        host.read(path) == CLEAN * 3)
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            writer.stdout.readline()
            suite.check("what the writer then writes is denied to the next open on %s" % kind, host.read(path) is None)


@suite.test("a mapping made before the approval")
def _(suite):
    """Stores through it move no change time any more, and nobody closes anything."""
    for kind in KINDS + ("overlay-export",):
        with Host(suite, kind) as host:
            path = host.put("file", CLEAN * 3)
            host.start()
            writer = suite.popen([helper("probe"), "mapped-store", path, MARKER.decode()], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE)
            suite.check("control: a clean file is mapped on %s" % kind, writer.stdout.readline() == b"mapped\n")
            time.sleep(0.1)  # until the change time is an old one
            suite.check("it is allowed while it is mapped and clean on %s" % kind,
                        [host.read(path) for _ in range(2)] == [CLEAN * 3] * 2)
            before = os.stat(path).st_ctime_ns
            writer.stdin.write(b"\n")
            writer.stdin.flush()
            suite.check("control: the store through the mapping moved no change time on %s" % kind,
                        writer.stdout.readline() == b"stored\n" and os.stat(path).st_ctime_ns == before)
            suite.check("what is stored through a mapping made before the approval is denied to the next open on %s" % kind,
                        host.read(path) is None)
            writer.stdin.close()
            writer.wait()


@suite.test("new folders")
def _(suite):
    for kind in ("tmpfs", "ext4"):
        with Host(suite, kind) as host:
            control = host.put("deep/er/file", MARKER, host.outside)
            host.start()
            suite.check("control: outside it is allowed on %s" % kind, host.read(control) is not None)
            missed = refused = 0
            for i in range(200):
                folder = os.path.join(host.watched, "new-%d" % i, "cur")
                os.makedirs(folder)
                bad, good = os.path.join(folder, "bad"), os.path.join(folder, "good")
                for path, content in ((bad, MARKER), (good, CLEAN)):
                    with open(path, "wb") as f:
                        f.write(unique(content))
                missed += host.read(bad) is not None
                refused += host.read(good) is None
            suite.say("%s: new folder used at once, 200 times: %d missed" % (kind, missed))
            suite.check("a new folder that is used at once, 200 times, is guarded on %s" % kind, missed == 0, missed)
            suite.check("clean files in new folders are allowed on %s" % kind, refused == 0, refused)


@suite.test("names")
def _(suite):
    for kind in KINDS:
        with Host(suite, kind) as host:
            host.start()

            def outside(name, content=MARKER):
                path = host.put(name, unique(content), host.outside)
                if host.read(path) is None:  # and now the kernel may have it in its ignore marks
                    raise RuntimeError("denied outside")
                return path

            def settled(before):
                eventually(lambda: host.counter("flushes") > before, 5)

            before = host.counter("flushes")
            source, target = outside("renamed"), host.watched + "/renamed-in"
            os.rename(source, target)
            settled(before)
            suite.check("a file renamed into the watch is guarded on %s" % kind, host.read(target) is None)
            os.rename(target, host.watched + "/again")
            suite.check("a denied file renamed within the watch stays denied on %s" % kind,
                        host.read(host.watched + "/again") is None)
            good = host.put("good", unique(CLEAN))
            host.read(good)
            os.rename(good, host.watched + "/good-too")
            suite.check("an approved file renamed within the watch stays allowed on %s" % kind,
                        host.read(host.watched + "/good-too") is not None)
            before = host.counter("flushes")
            source = outside("linked")
            os.link(source, host.watched + "/linked-in")
            settled(before)
            suite.check("a file linked into the watch is guarded by its new name on %s" % kind,
                        host.read(host.watched + "/linked-in") is None)
            got = host.read(source)
            suite.say("%s: by its old name outside it is %s" % (kind, "denied" if got is None else "allowed"))
            inside, other = host.put("two-names", unique(MARKER)), host.outside + "/two-names"
            os.link(inside, other)  # the latest name, which is the one that its handle leads to
            for _ in range(2):
                host.read(other)
            suite.check("a file with a second name in the watch is guarded by it, however often it was opened outside, on %s" %
                        kind, host.read(inside) is None)
            bad = host.put("bad", unique(MARKER))
            os.link(bad, host.watched + "/bad-too")
            suite.check("a hard link inside the watch is denied on %s" % kind,
                        host.read(host.watched + "/bad-too") is None and host.read(bad) is None)
            before = host.counter("flushes")
            folder = os.path.dirname(outside("folder/file"))
            os.rename(folder, host.watched + "/folder-in")
            settled(before)
            suite.check("a folder renamed into the watch is guarded on %s" % kind,
                        host.read(host.watched + "/folder-in/file") is None)
            before = host.counter("flushes")
            keep, swap = host.put("keep", unique(CLEAN)), outside("swap")
            subprocess.run(["python3", "-c", EXCHANGE, keep, swap], check=True)
            settled(before)
            suite.check("a file exchanged into the watch is guarded on %s" % kind, host.read(keep) is None)
            bad = host.put("gone", unique(MARKER))
            for verb, extra in (("rename", host.watched + "/gone-too"), ("link", host.watched + "/gone-link"),
                                ("truncate", "0"), ("unlink", None)):
                path = host.watched + "/gone-too" if verb in ("link", "truncate", "unlink") else bad
                result = host.probe(verb, path, *([extra] if extra else []))
                suite.check("%s of an infected file is nobody's business on %s" % (verb, kind), result.rc == 0, result)


EXCHANGE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.renameat2(-100, os.fsencode(sys.argv[1]), -100, os.fsencode(sys.argv[2]), 2):
    sys.exit(os.strerror(ctypes.get_errno()))
"""


@suite.test("what reduced mode does not guard")
def _(suite):
    """README's table: asserted here so that a change is noticed."""
    with Host(suite) as host:
        path = host.put("file", CLEAN)
        empty = host.put("empty", b"")
        host.start()
        for name, file in (("an approved file", path), ("an empty file", empty)):
            reader = suite.popen([helper("probe"), "held", file], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            suite.check("control: %s is opened" % name, reader.stdout.readline() == b"opened\n")
            with open(file, "r+b") as f:
                f.write(MARKER)
            reader.stdin.close()
            text = reader.stdout.read()
            suite.say("descriptor of %s, opened before the change: %s" %
                      (name, "not guarded" if b"allowed" in text else "refused"))
            suite.check("the next open of %s that was changed is denied" % name, host.read(file) is None)
            reader.wait()


suite.main()
