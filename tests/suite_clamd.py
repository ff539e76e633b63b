#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""engine = clamd: the signatures are those of a clamd that runs on the host. With Debian's clamd, and with ones that lie, hang
and fall over; never clean where it was not looked at.
Usage: suite_clamd.py [--build DIR] [word of a test's name...]"""
import gzip, os, signal, sys, tempfile, threading, time

sys.dont_write_bytecode = True
import suite_scanner as base
import driver, packed, samples
from harness import SLACK
from clamd_host import Clamd, FakeClamd
from samples import EICAR, TEXT, dbox, hdb, mail, ndb, nested, queue_file, rar5, zipped, zstd
from suite_scanner import (ENCRYPTED, ENGINE_ERROR, PACKED, TIMEOUT, TOO_DEEP, TOO_LARGE, UNSUPPORTED, VIRUS, Skip, check, equal,
                           expect, memory, put, test, usual, waits)

base.TESTS.clear()
SIGNATURES = {"test.ndb": ndb("Mailward.Test.Eicar", EICAR) + ndb("Mailward.Test.Small", b"MwT!"),
              "test.hdb": hdb("Mailward.Test.Payload", packed.PAYLOAD)}


def folder():
    path = tempfile.mkdtemp(dir=base.WORK)
    os.chmod(path, 0o755)
    return path


def clamd(**settings):
    if not os.path.exists("/usr/sbin/clamd"):
        raise Skip("not installed: clamav-daemon")
    return Clamd(folder(), SIGNATURES, **settings)


def scanner(host, definitions=None, **options):
    return driver.Scanner(base.binary(), definitions, clamd=host if isinstance(host, str) else host.socket if isinstance(host, Clamd) else host.path,
                          **options)


def fake(answer):
    return FakeClamd(os.path.join(folder(), "fake.ctl"), answer)


def eventually(s, content, wanted, seconds=20, what="the verdict"):
    """Until a scan of it says `wanted`."""
    end = time.monotonic() + seconds
    while True:
        try:
            reply = s.scan(content)
        except BrokenPipeError:  # a worker of the old definitions, which has been told to take no more
            reply = "no worker"
        if not isinstance(reply, str) and reply.verdict == wanted:
            return reply
        check(time.monotonic() < end, "%s: %s, not %s" % (what, reply, wanted))
        s.turn(0.2)


# ---- Debian's clamd ----

@test
def clamd_s_signatures_are_used_and_none_is_in_memory():
    with clamd() as host, scanner(host) as s:
        reply = s.scan(EICAR)
        equal(reply.verdict, VIRUS, "EICAR")
        check(reply.detail.endswith("; clamd: Mailward.Test.Eicar.UNOFFICIAL"), reply.detail)
        reply = s.scan(mail())
        equal((reply.verdict, reply.detail), ("clean", "clamd: OK"), "a clean mail")
        expect(s, [("zip", zipped(EICAR), VIRUS), ("mail, by hash", mail(packed.PAYLOAD), PACKED), ("clean mail with zip", mail(zipped(TEXT)), "clean"),
                   ("queue file", queue_file(mail(zipped(EICAR))), VIRUS, 1), ("4 bytes", b"MwT!", "infected(Mailward.Test.Small.UNOFFICIAL)"),
                   ("nothing", b"", "clean"), ("zstd", zstd(mail(packed.PAYLOAD)), PACKED), ("clean zstd", zstd(mail(body=TEXT)), "clean"),
                   ("mdbox", dbox(gzip.compress(mail()), gzip.compress(mail(packed.PAYLOAD))), PACKED)])
        check(s.loaded[1].startswith("clamd: ClamAV "), s.loaded)
        equal(s.refused, (0, ""), "no trouble")
        with open("/proc/%d/maps" % s.pid) as maps:
            check("clam" in maps.read(), "libclamav is there, without signatures")
    # control: with signatures that find nothing it is clean
    with Clamd(folder(), {"none.ndb": ndb("Mailward.Test.None", b"no such thing")}) as host, scanner(host) as s:
        expect(s, [("without the signature", EICAR, "clean")])


@test
def what_clamd_passes_over_is_judged_all_the_same():
    """clamd says OK to each of these; the worker's own libclamav, without signatures, does not."""
    rows = [("zstd in a zip", zipped(zstd(TEXT)), UNSUPPORTED), ("RAR", mail(rar5(TEXT)), UNSUPPORTED), ("7z, bzip2", packed.packed("7z_BZip2.7z"), UNSUPPORTED),
            ("encrypted zip in a mail", mail(samples.zip_encrypted(TEXT)), ENCRYPTED), ("encrypted 7z", packed.packed("7z_encrypted_list.7z"), ENCRYPTED),
            ("mail-crypt", b"CRYPTED\x03\x07" + os.urandom(600), ENCRYPTED)]
    with clamd(AlertEncrypted="no") as host, scanner(host, depth=6, max_file=1 << 20) as s:
        expect(s, rows + [("our depth", nested(TEXT, 12), TOO_DEEP), ("our size", mail(body=TEXT * 100000), TOO_LARGE)])
        expect(s, [("a signature before it", samples.zip_join(samples.zip_encrypted(TEXT), zipped(EICAR)), VIRUS)])


@test
def clamd_s_own_limits_are_not_clean():
    big = mail(gzip.compress(TEXT * 10000 + packed.PAYLOAD))
    with clamd(MaxFileSize="100K", MaxRecursion="5") as host, scanner(host) as s:
        expect(s, [("its size", big, TOO_LARGE), ("its depth", nested(packed.PAYLOAD, 9), TOO_DEEP), ("within", mail(), "clean")])
    with clamd() as host, scanner(host) as s:
        expect(s, [("control: within", nested(packed.PAYLOAD, 9), PACKED)])


@test
def a_clamd_that_says_ok_beyond_its_limits_says_nothing_that_counts():
    for settings in (dict(AlertExceedsMax="no"), dict(ScanMail="no"), dict(ScanArchive="no")):
        with clamd(**settings) as host, scanner(host) as s:
            reply = s.scan(mail())
            equal(reply.verdict, ENGINE_ERROR, "%s: a clean mail" % settings)
            check("AlertExceedsMax" in reply.detail, reply.detail)
            equal(s.scan(EICAR).verdict, VIRUS, "%s: what it finds counts" % settings)
            s.until(lambda: s.refused[0] == 4, 5, "the issue")
            check("AlertExceedsMax" in s.refused[1], s.refused)


@waits
def a_clamd_that_comes_goes_and_comes_back():
    host = clamd()
    with scanner(host, time_ms=5000) as s:
        s.until(lambda: s.loaded, 10, "a word of the definitions")
        equal(s.loaded[0], 0, "none yet")
        check("No such file" in s.loaded[1], s.loaded)
        with host:
            s.until(lambda: s.definitions and s.definitions[1], 10, "its definitions")
            identity = s.definitions[0]
            expect(s, [("found", EICAR, VIRUS), ("clean", mail(), "clean")])
        reply = s.scan(EICAR)
        equal(reply.verdict, ENGINE_ERROR, "when it has gone")
        s.until(lambda: s.refused[0] == 4, 10, "the issue")
        with host:
            eventually(s, EICAR, VIRUS, what="when it is back")
            equal(s.definitions[0], identity, "the same definitions: no verdict is void")
            s.until(lambda: s.refused[0] == 0, 10, "the issue is over")
            # stopped in the middle
            os.kill(host.process.pid, signal.SIGSTOP)
            started = time.monotonic()
            reply = s.scan(EICAR)
            took = time.monotonic() - started
            check(not isinstance(reply, str) and reply.verdict in (TIMEOUT, ENGINE_ERROR), reply)
            check(took < 5 + 5, "%.1f s" % took)
            os.kill(host.process.pid, signal.SIGCONT)
            eventually(s, EICAR, VIRUS, what="when it goes on")
        with host:
            host.stop(signal.SIGKILL)
            equal(s.scan(EICAR).verdict, ENGINE_ERROR, "killed")


LATER, FOUND_LATER = b"word of the later signature", "infected(Mailward.Test.Later.UNOFFICIAL)"


@waits
def new_files_in_clamd_s_folder_void_what_was_judged():
    with clamd(SelfCheck="3600") as host:
        for name in os.listdir(host.database):  # they have long been there
            os.utime(os.path.join(host.database, name), (1e9, 1e9))
        with scanner(host, host.database) as s:
            expect(s, [("before", LATER, "clean")])
            before = s.definitions[0]
            time.sleep(3)
            s.turn()
            equal(s.definitions[0], before, "nothing has changed")
            host.put("later.ndb", ndb("Mailward.Test.Later", b"later signature"))
            s.until(lambda: s.definitions[0] != before, 40, "other definitions")
            eventually(s, LATER, FOUND_LATER)


@waits
def files_that_are_young_at_the_start_are_told_to_clamd():
    with clamd(SelfCheck="3600") as host:
        host.put("later.ndb", ndb("Mailward.Test.Later", b"later signature"))
        with scanner(host, host.database) as s:
            eventually(s, LATER, "clean", what="not in clamd's memory")
            first = s.definitions[0]
            s.until(lambda: s.definitions[0] != first, 40, "they are known to be in its memory")
            eventually(s, LATER, FOUND_LATER)
            after = s.definitions[0]
        for name in os.listdir(host.database):
            os.utime(os.path.join(host.database, name), (1e9, 1e9))
        with scanner(host, host.database) as s:
            eventually(s, LATER, FOUND_LATER, what="after a restart")
            check(s.definitions[0] not in (first,), "files as young as these were not in clamd's memory")


@test
def one_that_takes_the_place_of_another_proves_itself_anew():
    """Within the minute in which the proof of the first one would hold; its version is the same."""
    deep = nested(packed.PAYLOAD, 9)
    with clamd(MaxRecursion="5") as host, scanner(host) as s:
        expect(s, [("control: the first one, beyond its limits", deep, TOO_DEEP), ("within", mail(), "clean")])
        host.stop(signal.SIGKILL)
        host.settings["AlertExceedsMax"] = "no"
        with host:
            for what, content in (("beyond its limits, it says OK", deep), ("within", mail())):
                reply = s.scan(content)
                equal(reply.verdict, ENGINE_ERROR, what)
            s.until(lambda: s.refused[0] == 4, 10, "the issue")


@test
def other_kinds_of_attachment_void_what_was_judged():
    with clamd() as host:
        seen = []
        for types in ((), ("executable",)):
            with scanner(host, deny_types=types) as s:
                seen.append((s.scan(mail(TEXT, name="a.exe")).kind, s.definitions[0]))
        equal([kind for kind, _ in seen], ["clean", "infected"], "a program by its name")
        check(seen[0][1] != seen[1][1], "the verdicts of the first would count for the second")


@test
def workers_ask_at_the_same_time():
    with clamd() as host, scanner(host, workers=4) as s:
        contents = [mail(zipped(EICAR if n % 3 == 0 else TEXT), message_id="<%d@example.org>" % n) for n in range(60)]
        waiting, wrong = list(enumerate(contents)), []
        while waiting:
            batch, waiting = waiting[:4], waiting[4:]
            asked = []
            for n, content in batch:
                worker = s.worker()
                fd = memory(content)
                worker.ask(fd)
                os.close(fd)
                asked.append((n, worker))
            for n, worker in asked:
                reply = worker.answer()
                if isinstance(reply, str) or reply.verdict != (VIRUS if n % 3 == 0 else "clean"):
                    wrong.append((n, reply))
                s.release(worker, reply)
        equal(wrong, [], "wrong verdicts")


@test
def a_scan_that_takes_long_is_waited_for():
    many = zipped(*[os.urandom(1 << 20) for _ in range(20)], EICAR)
    with clamd() as host, scanner(host) as s:
        expect(s, [("20 MB", many, VIRUS)])


# ---- what is no clamd ----

@test
def only_one_question_is_ever_put_on_a_connection():
    with fake(lambda command, content: NotImplemented) as host, scanner(host) as s:
        equal(s.scan(mail()).verdict, "clean", "control: one that behaves")
        commands = {data for data, _ in host.asked}
        equal(commands, {b"zVERSION\0", b"zFILDES\0\0"}, "what it was asked")
        check(any(content == mail() for _, content in host.asked), "it got the file's content")
        equal(s.definitions[1], 2 ** 64 - 1, "how many signatures is not known")


@waits
def a_new_version_voids_what_was_judged():
    version = [FakeClamd.VERSION]
    with fake(lambda command, content: version[0] if command == b"VERSION" else NotImplemented) as host, scanner(host) as s:
        equal(s.scan(mail()).verdict, "clean", "before")
        first = s.definitions[0]
        version[0] = b"ClamAV 1.4.6/27501/Sun Nov 22 08:00:00 2026\0"
        s.until(lambda: s.definitions[0] != first, 10, "other definitions")
        check("27501" in s.loaded[1], s.loaded)
        s.until(lambda: any(worker.definitions == s.definitions[0] for worker in s.workers), 10, "workers of the new ones")
        version[0] = FakeClamd.VERSION
        s.until(lambda: s.definitions[0] == first, 10, "the first ones again")


@test
def one_that_lies_is_found_out():
    def says(answer, only_files=True):
        return lambda command, content: answer if command == b"FILDES" or not only_files else NotImplemented
    for what, answer in (("OK to everything", b"fd[7]: OK\0"), ("something in everything", b"fd[7]: Some.Thing FOUND\0"),
                         ("errors", b"fd[7]: lstat() failed. ERROR\0")):
        with fake(says(answer)) as host, scanner(host) as s:
            equal(s.scan(mail()).verdict, ENGINE_ERROR, what)
            s.until(lambda: s.refused[0] == 4, 5, what + ": the issue")


@test
def answers_that_no_clamd_gives_are_not_clean():
    def only(answer):
        """It behaves while it is tried, and answers the file with `answer`."""
        def give(command, content):
            if command == b"FILDES" and b"Subject: canary" not in content:
                if isinstance(answer, type):
                    raise answer()
                return answer
            return NotImplemented
        return give
    whole = b"fd[7]: Heuristics.Limits.Exceeded.MaxScanTime FOUND\0"
    rows = [("nothing", b"", ENGINE_ERROR), ("it hangs up", ConnectionError, ENGINE_ERROR), ("no end", b"fd[7]: OK", ENGINE_ERROR),
            ("OK alone", b"OK\0", ENGINE_ERROR), ("another command's", b"PONG\0", ENGINE_ERROR), ("more behind it", b"fd[7]: OK\0fd[7]: OK\0", ENGINE_ERROR),
            ("an error", b"fd[7]: Can't allocate memory ERROR\0", ENGINE_ERROR), ("OK with words", b"fd[7]: OK really\0", ENGINE_ERROR),
            ("a very long one", b"fd[7]: " + b"x" * 5000 + b" OK\0", ENGINE_ERROR), ("binary", os.urandom(50).replace(b"\0", b"x") + b"\0", ENGINE_ERROR),
            ("no name", b"fd[7]:  FOUND\0", ("infected(?)", ENGINE_ERROR)), ("its time is over", whole, TIMEOUT),
            ("control characters", b"fd[7]: A\x1b[2JB FOUND\0", "infected(A?[2JB)"), ("as it should", b"fd[7]: OK\0", "clean")]
    for what, answer, wanted in rows:
        with fake(only(answer)) as host, scanner(host) as s:
            expect(s, [(what, mail(), wanted)])


@waits
def one_that_hangs_costs_a_timeout_and_no_more():
    held = threading.Event()
    def give(command, content):
        if command == b"FILDES" and b"Subject: canary" not in content and not held.is_set():
            return None
        return NotImplemented
    with fake(give) as host, scanner(host, time_ms=1500) as s:
        started = time.monotonic()
        reply = s.scan(mail())
        took = time.monotonic() - started
        equal(reply.verdict, TIMEOUT, "a file")
        check(1.3 < took < 1.5 + SLACK, "%.1f s" % took)
        held.set()
        eventually(s, mail(), "clean", what="when it answers again")


@waits
def one_that_never_answers_is_said_to():
    with fake(lambda command, content: None) as host, scanner(host) as s:
        s.until(lambda: s.loaded, 20, "a word of the definitions")
        equal(s.loaded[0], 0, "none")
        check("does not answer" in s.loaded[1], s.loaded)
        check(len(s.beats) > 20, "the loader's beats went on: %d" % len(s.beats))


@test
def one_that_takes_no_connections_is_said_to():
    import socket
    path = os.path.join(folder(), "full.ctl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(0)
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)
            with scanner(path) as s:
                s.until(lambda: s.loaded, 20, "a word of the definitions")
                check("no more connections" in s.loaded[1] or "does not answer" in s.loaded[1], s.loaded)
    os.chmod(path, 0o600)
    with scanner(path) as s:
        s.until(lambda: s.loaded, 20, "a word of the definitions")
        check("Permission denied" in s.loaded[1], s.loaded)


if __name__ == "__main__":
    sys.exit(base.main())
