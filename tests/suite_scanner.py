#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
# limit: 480
"""The real mailward-scanner, played by tests/scanner/driver.py: never clean where it was not looked at. Each test has its
positive control: the same content without the condition is found. Needs root (workers' uids, namespaces).
Usage: suite_scanner.py [--build DIR] [word of a test's name...]"""
import base64, bz2, contextlib, ctypes, fcntl, glob, gzip, hashlib, io, lzma, os, random, resource, select, shutil, signal, socket, struct, subprocess
import sys, tempfile, termios, time, traceback, zipfile, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(HERE, "scanner"))
sys.dont_write_bytecode = True
import driver, packed, samples
from driver import Scanner, memory
from samples import EICAR, TEXT, hdb, lz4, mail, ndb, nested, queue_file, rar4, rar5, record, skippable, tarred, zipped, zstd

BUILD = os.environ.get("BUILD", "build")
TESTS, RESULT = [], {"ok": 0, "FAIL": 0, "skipped": 0}
WORK = None
VIRUS = "infected(Mailward.Test.Eicar.UNOFFICIAL)"
PACKED = "infected(Mailward.Test.Payload.UNOFFICIAL)"


class Skip(Exception):
    pass


def test(function):
    TESTS.append(function)
    return function


def waits(function):
    """A test that does little but wait, or one that is long: it runs in a process of its own, beside the others."""
    function.waits = True
    return test(function)


def binary():
    return os.path.join(ROOT, BUILD, "mailward-scanner")


def folder(**files):
    """A folder of definitions: name_ending = text."""
    path = tempfile.mkdtemp(dir=WORK)
    os.chmod(path, 0o755)
    for name, text in files.items():
        put(path, name.replace("_", "."), text)
    return path


def put(path, name, text):
    with open(os.path.join(path, name + "~"), "w") as out:
        out.write(text)
    os.rename(os.path.join(path, name + "~"), os.path.join(path, name))


def usual():
    return folder(test_ndb=ndb("Mailward.Test.Eicar", EICAR) + ndb("Mailward.Test.Small", b"MwT!"),
                  test_hdb=hdb("Mailward.Test.Payload", packed.PAYLOAD))


def scanner(**options):
    return Scanner(binary(), options.pop("definitions", usual()), **options)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, what):
    check(got == wanted, "%s: %r, not %r" % (what, got, wanted))


def expect(s, rows):
    """rows: (what, content, verdict or tuple of them)."""
    wrong = []
    for row in rows:
        what, content, wanted = row[:3]
        reply = s.scan(content, *row[3:])
        got = reply if isinstance(reply, str) else reply.verdict
        if got not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            wrong.append("%s: %s, not %s" % (what, reply, wanted))
    check(not wrong, "; ".join(wrong))


UNSUPPORTED, ENCRYPTED = "unscanned(unsupported)", "unscanned(encrypted)"
TOO_LARGE, TOO_DEEP, TIMEOUT = "unscanned(too-large)", "unscanned(too-deep)", "unscanned(timeout)"
IO_ERROR, ENGINE_ERROR = "unscanned(io-error)", "unscanned(engine-error)"
FAILED = (IO_ERROR, ENGINE_ERROR)


# ---- what is found ----

@test
def found_wherever_it_lies():
    raw_mail = mail(zipped(EICAR))
    with scanner() as s:
        expect(s, [
            ("plain", EICAR, VIRUS), ("clean text", TEXT, "clean"), ("clean mail", mail(), "clean"),
            ("clean mail with zip", mail(zipped(TEXT)), "clean"),
            ("zip", zipped(EICAR), VIRUS), ("zip in zip", nested(EICAR, 3), VIRUS), ("tar", tarred(TEXT, EICAR), VIRUS),
            ("gzip", gzip.compress(packed.PAYLOAD), PACKED), ("bzip2", bz2.compress(packed.PAYLOAD), PACKED),
            ("xz", lzma.compress(packed.PAYLOAD), PACKED), ("mail, base64 zip", raw_mail, VIRUS),
            ("mail, base64 file, by hash", mail(packed.PAYLOAD), PACKED),
            ("mail in mail", mail(raw_mail, name="a.eml"), VIRUS),
            ("Dovecot's head first", b"Return-Path: <a@b>\nDelivered-To: c@d\n" + raw_mail, VIRUS),
            ("mbox, the last of three", b"".join(b"From a@b Sat Jan  1 00:00:00 2022\n" + m + b"\n"
                                                  for m in (mail(), mail(), raw_mail)), VIRUS),
            ("gzip'd mail", gzip.compress(raw_mail), VIRUS),
        ])


@test
def files_of_0_to_6_bytes_are_scanned():
    with scanner() as s:
        rows = [("%d bytes" % n, b"abcdef"[:n], "clean") for n in range(7)]
        small = "infected(Mailward.Test.Small.UNOFFICIAL)"
        rows += [("4 bytes of a signature", b"MwT!", small), ("5 bytes", b"MwT!x", small), ("5 bytes, at the end", b"xMwT!", small),
                 ("6 bytes, which the engine looks at", b"xxMwT!", small)]
        expect(s, rows)


@test
def all_44_clamav_testfiles_are_found():
    files = sorted(glob.glob("/usr/share/clamav-testfiles/*"))
    if len(files) != 44:
        raise Skip("clamav-testfiles are not installed, or other ones")
    with open("/usr/share/clamav-testfiles/clam.exe", "rb") as f:
        clam = f.read()
    for kind, definitions in (("hash", folder(test_hdb=hdb("Mailward.Test.Clam", clam))),
                              ("body", folder(test_ndb=ndb("Mailward.Test.Clam", b"[CLAMAV]")))):
        with scanner(definitions=definitions) as s:
            expect(s, [(kind + " " + os.path.basename(path), path, "infected(Mailward.Test.Clam.UNOFFICIAL)") for path in files])


# ---- what cannot be looked at is not clean ----

@test
def kinds_that_cannot_be_opened_are_unsupported():
    inside = [("zstd", zstd(TEXT)), ("zstd, by the tool", packed.packed("payload.zst")),
              ("Dovecot's lz4", samples.dovecot_lz4(TEXT))]  # as a whole file they are opened: suite_packed.py
    shut = [("lz4", lz4(TEXT)), ("zstd in zstd", zstd(zstd(TEXT))),
            ("lz4, by the tool", packed.packed("payload.lz4")), ("RAR 4", rar4(TEXT)), ("RAR 5", rar5(TEXT)),
            ("skipped frame, then zstd", skippable(zstd(TEXT))), ("skipped frame, then lz4", skippable(lz4(TEXT))),
            ("lzip", packed.packed("payload.lz")), ("lzop", packed.packed("payload.lzo")),
            ("compress", packed.packed("payload.Z")), ("lrzip", packed.packed("payload.lrz")),
            ("zpaq", packed.packed("payload.zpaq")), ("WIM", packed.packed("payload.wim")),
            ("raw LZMA", lzma.compress(TEXT, format=lzma.FORMAT_ALONE)),
            ("zip, LZMA", zipped(TEXT, method=zipfile.ZIP_LZMA)), ("zip, PPMd", packed.packed("zip_PPMd.zip")),
            ("zip, zstd", samples.zip_method(TEXT, 93)), ("zip, xz", samples.zip_method(TEXT, 95)),
            ("zip, shrunk", samples.zip_method(TEXT, 1)), ("zip, an unknown method", samples.zip_method(TEXT, 77)),
            ("zip, the second member", samples.zip_join(zipped(TEXT), samples.zip_method(TEXT, 93))),
            ("7z, bzip2", packed.packed("7z_BZip2.7z")), ("7z, deflate", packed.packed("7z_Deflate.7z")),
            ("7z, BCJ2", packed.packed("7z_BCJ2.7z")), ("7z, cut off", packed.packed("7z_LZMA2.7z")[:-20]),
            ("gzip, cut off in its head", gzip.compress(TEXT)[:12]), ("a Debian package", b"!<arch>\n" + TEXT),
            ("ACE", b"\0" * 7 + b"**ACE**" + TEXT), ("ARC", b"\x1a\x08file.txt\0\0\0\0\0" + struct.pack("<I", 20) + TEXT),
            ("ZOO", b"ZOO 2.10 Archive.\x1a\0\0\xdc\xa7\xc4\xfd" + TEXT), ("StuffIt", b"StuffIt (c)1997-" + TEXT),
            ("a disk image", b"vhdxfile" + TEXT), ("RPM", b"\xed\xab\xee\xdb" + TEXT), ("squashfs", b"hsqs" + TEXT),
            ("a program with a RAR behind it", b"MZ" + bytes(300) + rar4(TEXT)),
            ("a program with a RAR 5 behind it", b"MZ" + bytes(300) + rar5(TEXT)),
            ("a part of a message", b'From: a@b\nMIME-Version: 1.0\nContent-Type: message/partial; id="x"; number=1; total=2\n\n' + TEXT),
            ("an LHA method that nobody knows", packed.packed("payload.lzh").replace(b"-lh5-", b"-lh9-"))]
    with scanner() as s:
        expect(s, [(what, content, UNSUPPORTED) for what, content in shut])
        expect(s, [(what + " in a zip", zipped(TEXT, content), UNSUPPORTED) for what, content in inside + shut])
        expect(s, [(what + " in a mail", mail(content), UNSUPPORTED) for what, content in inside + shut])
        # what it is about: the payload is not seen in there, and is seen where the engine can open it
        expect(s, [("a signature before all else", zipped(zstd(TEXT), EICAR), VIRUS)])
        opened = ["7z_LZMA2.7z", "7z_PPMd.7z", "7z_Copy.7z", "zip_Deflate64.zip", "payload.arj", "payload.lzh"]
        expect(s, [(name, packed.packed(name), PACKED) for name in opened])
        expect(s, [(name + " in a mail", mail(packed.packed(name)), PACKED) for name in opened])
        reply = s.scan(rar5(TEXT))
        equal(reply.detail, "libclamav: cannot open: RAR", "detail")


@test
def encrypted_content_is_said_to_be():
    package = samples.ole2([("EncryptionInfo", b"\4\0\4\0"), ("EncryptedPackage", os.urandom(2000))])
    word = lambda flags: samples.ole2([("WordDocument", struct.pack("<HHHHHH", 0xa5ec, 0xc1, 0, 0x409, 0, flags) + bytes(500))])
    excel = lambda more: samples.ole2([("Workbook", struct.pack("<HHHHHHII", 0x809, 16, 0x600, 5, 0, 0, 0, 0) + more + bytes(500))])
    odf = zipped(b'<?xml version="1.0"?><manifest:manifest><manifest:encryption-data/></manifest:manifest>')
    with scanner() as s:
        expect(s, [
            ("zip", samples.zip_encrypted(EICAR), ENCRYPTED), ("zip, by 7z", packed.packed("zip_crypto.zip"), ENCRYPTED),
            ("zip, AES", packed.packed("zip_aes.zip"), ENCRYPTED), ("7z", packed.packed("7z_encrypted.7z"), ENCRYPTED),
            ("7z with its list", packed.packed("7z_encrypted_list.7z"), ENCRYPTED),
            ("arj", packed.packed("encrypted.arj"), ENCRYPTED),
            ("Office, new", package, ENCRYPTED), ("Word 97", word(0x100), ENCRYPTED),
            ("Excel 97", excel(struct.pack("<HH", 0x2f, 54) + bytes(54)), ENCRYPTED), ("OpenDocument", odf, ENCRYPTED),
            ("zip in a mail", mail(samples.zip_encrypted(EICAR)), ENCRYPTED),
            ("7z in a mail", mail(packed.packed("7z_encrypted.7z")), ENCRYPTED),
            ("Office in a mail", mail(package), ENCRYPTED),
            # controls
            ("an open zip", zipped(EICAR), VIRUS), ("an open member beside", samples.zip_join(samples.zip_encrypted(TEXT), zipped(EICAR)), VIRUS),
            ("Word without password", word(0), "clean"), ("Excel without password", excel(b""), "clean"),
        ])


@test
def every_limit_is_not_clean():
    noise = random.Random(1).randbytes
    cases = [
        ("MaxFileSize", dict(max_file=1 << 20), EICAR + noise(2 << 20), TOO_LARGE, dict()),
        ("MaxFileSize of a member, virus at its end", dict(max_file=1 << 20), gzip.compress(bytes(3 << 20) + EICAR), TOO_LARGE, dict()),
        ("MaxScanSize", dict(max_file=3 << 20, max_scan=4 << 20),
         gzip.compress(tarred(*[bytes(1000) + noise(700 << 10) for _ in range(4)], EICAR)), TOO_LARGE, dict()),
        ("MaxFiles", dict(files=10), zipped(*[b"member %d" % n * 5 for n in range(60)], EICAR), TOO_LARGE, dict()),
        ("MaxRecursion", dict(depth=5), nested(packed.PAYLOAD, 9), TOO_DEEP, dict()),
        ("MaxRecursion in a mail", dict(depth=5), mail(nested(packed.PAYLOAD, 9)), TOO_DEEP, dict()),
        ("MaxScanTime", dict(time_ms=30), zipped(*[noise(1 << 20) for _ in range(24)], EICAR, method=zipfile.ZIP_STORED), TIMEOUT, dict()),
        ("a bomb", dict(max_file=2 << 20, max_scan=3 << 20), zipped(*[zipped(*[bytes(1 << 20)] * 6) for _ in range(6)], zipped(bytes(1 << 20) + EICAR)), TOO_LARGE,
         dict(max_file=100 << 20, max_scan=900 << 20)),
    ]
    for what, small, content, wanted, large in cases:
        with scanner(workers=1, **small) as s:
            reply = s.scan(content)
            check(not isinstance(reply, str) and reply.verdict == wanted, "%s: %s, not %s" % (what, reply, wanted))
            check("limit: " in reply.detail, "%s: %s" % (what, reply.detail))
        with scanner(workers=1, **large) as s:
            equal(s.scan(content).kind, "infected", what + ", the limit raised")
    with scanner(max_file=1 << 20) as s:
        equal(s.scan(zipped(EICAR + bytes(2 << 20))).kind, "infected", "a member above the limit, virus at its head")
    with scanner(max_file=1 << 20) as s:
        big = queue_file(mail(body=TEXT * 3000))
        equal(s.scan(big, 1).verdict, TOO_LARGE, "queue file above the limit")


# ---- the ground gives way ----

def with_fault(what, fault, samples_, wanted=FAILED, undo=None, also=()):
    """fault(pid) spoils a worker that is ready; then it must not say clean, and must end; the next worker finds it."""
    for name, content in samples_:
        with scanner(workers=1) as s:
            worker = s.worker()
            fault(worker.pid)
            fd = memory(content)
            worker.ask(fd)
            reply = worker.answer()
            got = reply if isinstance(reply, str) else reply.verdict
            check(got in wanted + also, "%s, %s: %s" % (what, name, reply))
            if isinstance(reply, driver.Reply):
                equal(reply.last, 1, "%s, %s: last" % (what, name))
            s.until(lambda: worker.pid not in s.children(), 5, "%s: the end of the worker" % what)
            if undo:
                undo(worker.pid)
            check(s.scan(content).kind == "infected", "%s, %s: not found without the fault" % (what, name))
            os.close(fd)


def fault_samples():
    return [("zip in a mail", mail(zipped(EICAR))), ("zip", zipped(EICAR)), ("gzip", gzip.compress(packed.PAYLOAD)),
            ("tar in a mail", mail(gzip.compress(tarred(EICAR))))]


def inside(pid, script):
    """Runs Python text in the worker's mount namespace, as root."""
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        try:
            root = os.open("/proc/%d/root" % pid, os.O_RDONLY | os.O_DIRECTORY)
            space = os.open("/proc/%d/ns/mnt" % pid, os.O_RDONLY)
            if libc.setns(space, 0x20000):
                os._exit(3)
            os.fchdir(root)
            os.chroot(".")
            script(libc)
            os._exit(0)
        except OSError:
            os._exit(4)
        finally:
            os._exit(5)
    _, status = os.waitpid(child, 0)
    equal(status, 0, "the fault could not be made")


def fill(libc):
    fd = os.open("/filler", os.O_CREAT | os.O_WRONLY)
    size = os.statvfs("/").f_bavail * os.statvfs("/").f_frsize
    os.posix_fallocate(fd, 0, size - 4096 if size > 4096 else 1)
    try:
        while True:
            os.write(fd, bytes(4096))
    except OSError:
        pass


def fill_inodes(libc):
    n = 0
    try:
        while True:
            os.close(os.open("/i%d" % n, os.O_CREAT | os.O_WRONLY))
            n += 1
    except OSError:
        pass


def make_readonly(libc):
    if libc.mount(b"none", b"/", None, 0x20 | 1, None):  # MS_REMOUNT | MS_RDONLY
        os._exit(6)


def limit_worker(pid, which, value):
    """As the worker's own user: setting another user's limits takes a capability that root may lack in a container."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(*[driver.WORKER_GID] * 3)
            os.setresuid(*[driver.WORKER_UID] * 3)
            resource.prlimit(pid, which, (value, value))
            os._exit(0)
        finally:
            os._exit(5)
    _, status = os.waitpid(child, 0)
    equal(status, 0, "the limit could not be set")


@test
def a_full_file_system_is_not_clean():
    with_fault("tmpfs full", lambda pid: inside(pid, fill), fault_samples()[:2] + [("tar", mail(gzip.compress(tarred(EICAR + bytes(9000)))))],
               also=("unscanned(unsupported)",))


@test
def no_inodes_is_not_clean():
    with_fault("out of inodes", lambda pid: inside(pid, fill_inodes), fault_samples())


@test
def a_temporary_folder_that_cannot_be_written_is_not_clean():
    rows = fault_samples() + [("the bare file", EICAR)]
    with_fault("tmpfs read-only", lambda pid: inside(pid, make_readonly), rows)
    with_fault("tmpfs not ours", lambda pid: inside(pid, lambda libc: (os.chown("/", 0, 0), os.chmod("/", 0o700))), rows)


@test
def too_few_descriptors_is_not_clean():
    # 0, 1, 2, two sockets, and the file itself: n more may be opened
    seen = set()
    for more in (0, 1, 2, 3):
        limit = 6 + more
        for name, content in fault_samples() + [("deep", mail(nested(EICAR, 8)))]:
            with scanner(workers=1) as s:
                worker = s.worker()
                limit_worker(worker.pid, resource.RLIMIT_NOFILE, limit)
                fd = memory(content)
                worker.ask(fd)
                reply = worker.answer()
                got = reply if isinstance(reply, str) else reply.verdict
                seen.add(got)
                check(got != "clean", "%d descriptors, %s: clean" % (limit, name))
                os.close(fd)
                equal(s.scan(content).kind, "infected", name + " with enough descriptors")
    check(seen & set(FAILED), "no lack of descriptors was felt: %s" % seen)


@test
def a_file_size_limit_is_not_clean():
    with_fault("RLIMIT_FSIZE", lambda pid: limit_worker(pid, resource.RLIMIT_FSIZE, 8), fault_samples(),
               wanted=FAILED + ("crashed",))


@waits
def no_memory_is_not_clean():
    big = mail(zipped(random.Random(2).randbytes(20 << 20) + EICAR))
    with scanner(workers=1) as s:
        worker = s.worker()
        with open("/proc/%d/statm" % worker.pid) as f:
            size = int(f.read().split()[0]) * 4096
        limit_worker(worker.pid, resource.RLIMIT_AS, size + (4 << 20))
        fd = memory(big)
        worker.ask(fd)
        reply = worker.answer()
        check(reply == "crashed" or reply.verdict in FAILED, "no memory: %s" % reply)
        equal(s.scan(big).verdict, VIRUS, "with memory")


@waits
def no_call_of_the_engine_fails_unnoticed():
    """The n-th call that uses a file, then the n-th that wants memory, fails; n goes through the beginning of a scan and
    is drawn after that. (Where return codes and messages alone are believed, some of these end in "clean".)"""
    if "asan" in BUILD:
        raise Skip("a sanitizer has its own malloc and open")
    library = os.path.join(WORK, "fail_nth.so")
    subprocess.run([os.environ.get("CC", "gcc"), "-shared", "-fPIC", "-O1", "-I" + ROOT + "/include", "-o", library,
                    HERE + "/scanner/fail_nth.c"], check=True)
    contents = {"mail with zip": mail(zipped(packed.PAYLOAD)), "mail with gzip'd tar": mail(gzip.compress(tarred(packed.PAYLOAD))),
                "mail with 7z": mail(packed.packed("7z_LZMA2.7z")), "arj": packed.packed("payload.arj"), "lzh": packed.packed("payload.lzh")}
    signatures = hdb("Mailward.Test.Payload", packed.PAYLOAD)
    for name in ("clam.chm", "clam.cab", "clam.exe.rtf", "clam.ole.doc", "clam.ppt", "clam.pdf", "clam.exe.html", "clam.tnef",
                 "clam.newc.cpio", "clam-upx.exe", "clam_ISmsi_int.exe", "clam.sis"):
        path = "/usr/share/clamav-testfiles/" + name
        if os.path.exists(path):
            with open(path, "rb") as f:
                contents[name] = f.read()
    if os.path.exists("/usr/share/clamav-testfiles/clam.exe"):
        with open("/usr/share/clamav-testfiles/clam.exe", "rb") as f:
            signatures += hdb("Mailward.Test.Clam", f.read())
    draw, seen, clean = random.Random(5), {}, []
    with scanner(definitions=folder(test_hdb=signatures), environment=dict(os.environ, LD_PRELOAD=library)) as s:
        for name, content in contents.items():
            fd = memory(content)
            for kind, numbers in ((1, list(range(1, 13)) + draw.sample(range(13, 60), 5)),
                                  (2, list(range(14, 50, 4)) + draw.sample(range(50, 1000), 8))):
                for n in [0] + numbers:
                    worker = s.worker()
                    worker.ask(fd, case=kind << 56 | n << 32 | n)
                    reply = worker.answer()
                    s.release(worker, reply)
                    verdict = reply if isinstance(reply, str) else reply.kind + reply.reason
                    seen[verdict] = seen.get(verdict, 0) + 1
                    if n == 0:
                        equal(verdict, "infected", name + ", nothing fails")
                    elif verdict == "clean":
                        clean.append("%s: %s call %d" % (name, ("", "file", "memory")[kind], n))
            os.close(fd)
    print("  " + ", ".join("%s %d" % (verdict, seen[verdict]) for verdict in sorted(seen)))
    check(not clean, "%d clean: %s" % (len(clean), clean[:5]))
    check(seen.get("unscannedio-error", 0) > 50 and seen.get("unscannedengine-error", 0) > 50, "too few failures were felt")


@test
def two_workers_at_once_never_disturb_each_other():
    content = mail(zipped(EICAR))
    with scanner(workers=2) as s:
        fd = memory(content)
        wrong = []
        for _ in range(60):
            pair = [s.worker(), s.worker()]
            for worker in pair:
                worker.ask(fd)
            for worker in pair:
                reply = worker.answer()
                if isinstance(reply, str) or reply.verdict != VIRUS:
                    wrong.append(str(reply))
                worker.close()
        check(not wrong, "%d of 120: %s" % (len(wrong), wrong[:3]))
        # the same without a finding: both say clean because both looked (120 of them, in workers that live on)
        clean = memory(mail(zipped(TEXT)))
        for _ in range(60):
            pair = [s.worker(), s.worker()]
            for worker in pair:
                worker.ask(clean)
            for worker in pair:
                reply = worker.answer()
                equal(reply.verdict, "clean", "two at once")
                s.release(worker, reply)


@test
def what_is_handed_over_is_a_file_or_nothing():
    reader, writer = os.pipe()
    with scanner() as s:
        for what, fd in (("a pipe", reader), ("a folder", os.open("/", os.O_RDONLY)), ("a device", os.open("/dev/zero", os.O_RDONLY)),
                         ("write-only", os.open(os.path.join(WORK, "w"), os.O_CREAT | os.O_WRONLY))):
            if what == "write-only":
                os.write(fd, TEXT)
            worker = s.worker()
            worker.ask(fd)
            reply = worker.answer()
            check(reply.verdict in FAILED and reply.last == 1, "%s: %s" % (what, reply))
        content = memory(TEXT + EICAR)
        os.lseek(content, 0, os.SEEK_END)
        worker = s.worker()
        worker.ask(content)
        equal(worker.answer().verdict, VIRUS, "the offset does not matter")


# ---- queue files and heads ----

@test
def bodies_in_exims_spool_are_opened():
    """NAME-D of Exim: a body whose header lies in another file."""
    name = b"1aBcDe-0001Fg-2H-D\n"
    whole = mail(zipped(EICAR)).replace(b"\r\n", b"\n")
    body = whole.split(b"\n\n", 1)[1]
    single = base64.encodebytes(zipped(EICAR))
    with scanner() as s:
        expect(s, [("control: a body without its header is not opened", body, "clean"),
                   ("a multipart", name + body, VIRUS), ("base64 alone", name + single, VIRUS),
                   ("as it lies there", name + EICAR, VIRUS), ("a clean one", name + mail(zipped(TEXT)).split(b"\n\n", 1)[-1], "clean"),
                   ("its name alone", name, "clean")])


@test
def queue_files_are_unwrapped():
    bad = mail(zipped(EICAR), queue_id="3XYZ9", message_id="<queue@example.org>")
    raw = queue_file(bad)
    offset = raw.index(record("X"))
    jumped = raw[:offset] + record("p", b"%15d" % (len(raw) + 40)) + raw[offset:] + b"#" * 40
    jumped = jumped[:raw.index(b"M\0")] + jumped[raw.index(b"M\0"):]
    tail = record("N", b"the end") + record("X") + record("E")
    far = len(raw[:offset] + record("p", b"%15d" % 0) + raw[offset:])
    jumped = raw[:offset] + record("p", b"%15d" % far) + raw[offset:] + tail
    circle = raw[:offset] + record("p", b"%15d" % offset) + raw[offset:]
    with scanner() as s:
        expect(s, [("with its framing on", raw, "clean"), ("unwrapped", raw, VIRUS, 1),
                   ("lines in pieces", queue_file(bad, piece=30), VIRUS, 1), ("a jump", jumped, VIRUS, 1),
                   ("a clean one", queue_file(mail(zipped(TEXT))), "clean", 1),
                   ("no queue file", bad, VIRUS, 1), ("no queue file, clean", TEXT, "clean", 1),
                   ("cut off", raw[:len(raw) // 2], IO_ERROR, 1), ("its end is missing", raw[:offset], IO_ERROR, 1),
                   ("jumps in a circle", circle, IO_ERROR, 1), ("a wrong record", raw[:offset] + record("Q", b"x") + raw[offset:], IO_ERROR, 1),
                   ("a length that never ends", raw[:offset] + b"N" + b"\xff" * 20, IO_ERROR, 1), ("empty", b"", "clean", 1)])
        reply = s.scan(raw, 1)
        equal((reply.queue_id, reply.message_id), ("3XYZ9", "<queue@example.org>"), "ids")
    if shutil.which("postcat"):
        path = os.path.join(WORK, "queue")
        with open(path, "wb") as f:
            f.write(raw)
        out = subprocess.run(["postcat", "-bh", path], capture_output=True)
        if out.returncode == 0:
            equal(out.stdout, bad, "postcat reads our queue file")


@test
def ids_come_from_the_head_alone():
    late = b"Subject: x\n\nReceived: from a by b with ESMTP id EVIL1;\nMessage-ID: <evil@x>\n" + TEXT
    lmtp = b"Received: from b\n\tby b with LMTP\n\tid sess+abc/def; date\n" + mail()
    with scanner() as s:
        rows = [(mail(), "4ABCDEF123", "<one@example.org>"), (late, "", ""), (lmtp, "4ABCDEF123", "<one@example.org>"),
                (b"Message-ID:\n <folded@x>\nSubject: x\n\nx\n", "", "<folded@x>"), (b"Message-ID: <a\x1b[31m@x>\nTo: x\n\nx\n", "", ""),
                (b"Received: by x (id FALSE) id " + b"A" * 40 + b"; d\n\nxxxxx", "", ""), (b"Message-ID: " + b"<" + b"m" * 400 + b">\n\nxxxx", "", "")]
        for content, queue_id, message_id in rows:
            reply = s.scan(content)
            equal((reply.queue_id, reply.message_id), (queue_id, message_id), "ids of %r" % content[:40])


# ---- the processes ----

def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@test
def each_process_has_only_its_rights():
    with scanner(workers=2) as s:
        s.until(lambda: len(s.workers) == 2 and s.hasher, what="two workers and a hasher")
        loader = status_of(s.pid)
        equal(loader["Uid"].split(), [str(driver.LOADER_UID)] * 4, "loader's uid")
        equal(int(loader["CapEff"], 16), 1 << 21 | 1 << 7 | 1 << 6 | 1 << 5, "loader: SYS_ADMIN SETUID SETGID KILL")
        equal(int(loader["CapBnd"], 16), 0, "loader's bounding set")
        check(os.readlink("/proc/%d/ns/net" % s.pid) != os.readlink("/proc/self/ns/net"), "the loader has the host's network")
        for pid in [s.pid] + s.children():  # what may not be dumped belongs to root
            equal(os.stat("/proc/%d/fd" % pid).st_uid, 0, "owner of /proc/PID/fd")
        equal((loader["NoNewPrivs"], loader["Groups"].strip()), ("1", ""), "loader: no new privileges, no groups")
        for pid in [w.pid for w in s.workers] + [s.hasher.pid]:
            status = status_of(pid)
            equal(status["Uid"].split(), [str(driver.WORKER_UID)] * 4, "worker's uid")
            equal(status["Gid"].split(), [str(driver.WORKER_GID)] * 4, "worker's gid")
            equal([int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")], [0] * 5, "worker's capabilities")
            equal((status["NoNewPrivs"], status["Seccomp"], status["Groups"].strip()), ("1", "2", ""), "no new privileges, seccomp, no groups")
            for space in ("mnt", "net", "ipc", "uts", "cgroup"):
                check(os.readlink("/proc/%d/ns/%s" % (pid, space)) != os.readlink("/proc/self/ns/" + space), space + " namespace is ours")
            with open("/proc/%d/mounts" % pid) as f:
                mounts = f.read().splitlines()
            check(len(mounts) == 1 and "tmpfs" in mounts[0], "mounts: %s" % mounts)
            for word in ("nosuid", "nodev", "noexec", "nosymfollow"):
                check(word in mounts[0].split()[3].split(","), "root is not " + word)
            equal(sorted(os.listdir("/proc/%d/fd" % pid)), ["0", "1", "2", "3", "4"], "descriptors")
            equal({os.readlink("/proc/%d/fd/%d" % (pid, n)) for n in range(3)}, {"/dev/null"}, "standard descriptors")
            with open("/proc/%d/limits" % pid) as f:
                limits = f.read()
            for word in ("core file size", "processes", "locked memory"):
                check([line for line in limits.splitlines() if word in line and line.split()[-3] == "0"], "limit of " + word)
        roots = {os.stat("/proc/%d/root/." % w.pid).st_dev for w in s.workers}
        equal(len(roots), 2, "a file system for each worker")


@test
def the_box_refuses_what_the_same_program_does_outside():
    probe = os.path.join(WORK, "box_probe")
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu11", "-D_GNU_SOURCE", "-I" + ROOT + "/daemon/scanner", "-o", probe,
                    HERE + "/scanner/box_probe.c", ROOT + "/daemon/scanner/box.c", "-lseccomp", "-lcap-ng"], check=True)
    place = tempfile.mkdtemp(dir=WORK)
    ask = lambda where, trade, what: subprocess.run([probe, where, trade, what], cwd=place, capture_output=True, text=True).stdout.strip()
    wrong = []
    for what, parser in (("/etc/passwd", "refused: ENOENT"), ("/proc/self/status", "refused: ENOENT"), ("descriptors", "refused: EBADF"),
                         ("socket", ""), ("unix-socket", ""), ("exec-memory", ""), ("make-executable", ""), ("fork", ""), ("thread", ""),
                         ("exec", ""), ("kill", ""), ("ptrace", ""), ("mount", ""), ("setuid", ""), ("unshare", ""), ("symlink", ""),
                         ("device", ""), ("core", ""), ("write-own", "done"), ("read-new", "done")):
        parser = parser or "killed: SYS"
        reader = "refused: EBADF" if what == "descriptors" else "killed: SYS"
        got = [ask("outside", "parser", what), ask("inside", "parser", what), ask("inside", "reader", what)]
        if got != ["done", parser, reader]:
            wrong.append("%s: %s" % (what, got))
    check(not wrong, "; ".join(wrong))


class Filter:
    """A seccomp filter that makes one call fail: what a kernel or container without it would do."""

    def __init__(self, *rules):
        self.rules = rules

    def __call__(self):
        class Arg(ctypes.Structure):
            _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]
        lib = ctypes.CDLL("libseccomp.so.2")
        lib.seccomp_init.restype = ctypes.c_void_p
        lib.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, ctypes.POINTER(Arg)]
        lib.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
        lib.seccomp_load.argtypes = [ctypes.c_void_p]
        context = lib.seccomp_init(0x7fff0000)
        lib.seccomp_attr_set(context, 3, 0)  # no no_new_privs: the loader must do that itself
        for call, error, args in self.rules:
            number = lib.seccomp_syscall_resolve_name(call.encode())
            array = (Arg * max(1, len(args)))(*[Arg(*arg) for arg in args])
            if lib.seccomp_rule_add_array(context, 0x00050000 | error, number, len(args), array):
                os._exit(98)
        if lib.seccomp_load(context):
            os._exit(98)


EPERM, ENOSYS = 1, 38
MASKED, SAME = 7, 4


@waits
def a_worker_whose_box_has_a_hole_does_not_start():
    layers = [
        ("namespaces", ("unshare", EPERM, [(0, MASKED, 0x20000, 0x20000)])),
        ("root", ("fsopen", EPERM, [])), ("root", ("pivot_root", EPERM, [])), ("root", ("umount2", EPERM, [])),
        ("limits", ("prlimit64", EPERM, [(1, SAME, resource.RLIMIT_NPROC, 0)])),
        ("user", ("setresuid", EPERM, [(0, SAME, driver.WORKER_UID, 0)])),
        ("user", ("prctl", EPERM, [(0, SAME, 47, 0)])),
        ("seccomp", ("seccomp", EPERM, []), ("prctl", EPERM, [(0, SAME, 22, 0)])),
        ("landlock", ("landlock_restrict_self", EPERM, [])), ("landlock", ("landlock_create_ruleset", EPERM, [])),
    ]
    for layer, *rules in layers:
        with scanner(before_exec=Filter(*rules)) as s:
            s.until(lambda: s.loaded and s.log, 10, "a complaint about " + layer)
            end, pids = time.monotonic() + 1.2, set()
            while time.monotonic() < end:
                s.turn(0.01)
                pids.update(s.children())
            check(not s.workers and not s.hasher and not s.serving, "%s (%s): it serves" % (layer, rules[0][0]))
            check(any('layer "%s" of the box' % layer in line for line in s.log), "%s: %s" % (layer, s.log))
            check(layer in s.loaded[1] and s.loaded[0] > 0, "status text: %s" % (s.loaded,))
            check(len(s.log) <= 2, "%s is complained of %d times" % (layer, len(s.log)))
            check(len(pids) <= 14, "%d forks in 1.2 s" % len(pids))
            check(s.beats and time.monotonic() - s.beats[-1] < 1, "no beats")
    # the one exception: a kernel without Landlock
    with scanner(before_exec=Filter(("landlock_create_ruleset", ENOSYS, []))) as s:
        equal(s.scan(EICAR).verdict, VIRUS, "without Landlock in the kernel")
    with scanner(before_exec=Filter(("landlock_create_ruleset", 95, []))) as s:
        equal(s.scan(EICAR).verdict, VIRUS, "with Landlock turned off in the kernel")


@test
def a_loader_that_cannot_give_its_rights_away_does_not_start():
    for what, rule in (("network", ("unshare", EPERM, [(0, MASKED, 0x40000000, 0x40000000)])), ("uid", ("setresuid", EPERM, [])),
                       ("new privileges", ("prctl", EPERM, [(0, SAME, 38, 0)])), ("core dumps", ("prctl", EPERM, [(0, SAME, 4, 0)])),
                       ("the keeper's end", ("prctl", EPERM, [(0, SAME, 1, 0)]))):
        out, err = os.pipe()
        starts = None
        try:
            with scanner(before_exec=Filter(rule), stderr=err) as s:
                s.until(lambda: s.loaded or s.beats, 3, "its end")
                starts = True
        except (EOFError, BrokenPipeError):
            pass
        check(not starts, "it starts without: " + what)
        line = os.read(out, 4096).decode()
        check(line.count("\n") == 1 and line.startswith("mailward-loader: cannot start: "), "%s: %r" % (what, line))
        os.close(out), os.close(err)


@test
def without_each_capability_nothing_serves():
    libc = ctypes.CDLL(None)
    for name, number in (("SYS_ADMIN", 21), ("SETUID", 7), ("SETGID", 6), ("KILL", 5)):
        serves = None
        try:
            with scanner(before_exec=lambda: libc.prctl(24, number, 0, 0, 0), stderr=os.open("/dev/null", os.O_WRONLY)) as s:
                s.until(lambda: s.workers or s.hasher, 3, "never")
                serves = True
        except (EOFError, driver.Late, BrokenPipeError):
            pass
        check(not serves, "it serves without CAP_" + name)
    with scanner() as s:
        s.worker()


@test
def it_says_what_it_is_and_refuses_to_be_run_by_hand():
    run = lambda *words: subprocess.run([binary(), *words], capture_output=True, text=True)
    version = run("--version")
    check(version.returncode == 0 and version.stdout.startswith("mailward-scanner 0.") and "libclamav" in version.stdout, version.stdout)
    check(run("--help").returncode == 0 and "mailwardd" in run("--help").stdout, "help")
    for words in ((), ("x",), ("--version", "x")):
        check(run(*words).returncode == 2 and "mailwardd" in run(*words).stderr, "run by hand: %s" % (words,))
    forged = subprocess.run(["mailward-loader"], executable=binary(), capture_output=True, text=True)
    equal(forged.returncode, 2, "run under the loader's name")


@test
def no_usable_settings_no_loader():
    for options in (dict(workers=0), dict(workers=65), dict(max_file=0), dict(depth=0), dict(depth=500), dict(time_ms=0)):
        with scanner(stderr=os.open("/dev/null", os.O_WRONLY), **options) as s:
            status = s.wait()
            check(status is not None and os.WEXITSTATUS(status) == 1, "%s: %s" % (options, status))


@test
def a_worker_is_replaced_after_50_cases_a_finding_or_its_end():
    with scanner(workers=1) as s:
        pid = None
        for case in range(1, 51):
            worker = s.worker()
            pid = pid or worker.pid
            equal(worker.pid, pid, "the same worker")
            worker.ask(memory_of_text)
            reply = worker.answer()
            equal((reply.verdict, reply.last), ("clean", 1 if case == 50 else 0), "case %d" % case)
            s.release(worker, reply)
        second = s.worker()
        check(second.pid != pid, "it went on after 50")
        second.ask(memory_of_eicar)
        equal(second.answer().last, 1, "after a finding")
        third = s.worker()
        check(third.pid != second.pid, "it went on after a finding")
        s.kill(third.pid)  # what the gate does to one that hangs
        fourth = s.worker(2)
        equal(third.answer(2), "crashed" if third.cases else third.answer(2), "killed")
        os.kill(fourth.pid, signal.SIGSEGV)
        fifth = s.worker(2)
        os.kill(fifth.pid, signal.SIGSTOP)
        fifth.ask(memory_of_text)
        equal(fifth.answer(0.3), "timeout", "stopped")
        s.kill(fifth.pid)
        equal(fifth.answer(2), "crashed", "stopped and killed")
        fifth.close()
        sixth = s.worker(2)
        sixth.close()  # the gate lets it go
        equal(s.scan(EICAR).verdict, VIRUS, "after all that")
        check(0 in s.serving and 1 in s.serving, "serving: %s" % s.serving)


@test
def a_wrong_frame_of_the_gate_ends_the_worker_alone():
    wrong = [(driver.REQUEST.pack(2, 0, 1), True), (driver.REQUEST.pack(1, 2, 1), True), (driver.REQUEST.pack(1, 0, 1), False),
             (b"x", True), (bytes(1000), True), (b"", False)]
    with scanner(workers=1) as s:
        for data, with_fd in wrong:
            worker = s.worker()
            if data:
                driver.send(worker.sock, data, memory_of_text if with_fd else None)
            else:
                worker.sock.shutdown(socket.SHUT_WR)
            worker.case = 1
            equal(worker.answer(3), "crashed", "after %r" % data[:20])
        worker = s.worker()
        import array
        worker.sock.sendmsg([driver.REQUEST.pack(1, 0, 1)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory_of_text] * 3))])
        worker.case = 1
        equal(worker.answer(3), "crashed", "three descriptors")
        equal(s.scan(EICAR).verdict, VIRUS, "after wrong frames")


@test
def a_gate_that_ends_takes_its_workers_along():
    with scanner(workers=3) as s:
        s.until(lambda: len(s.workers) == 3 and s.hasher, what="three workers")
        old = {w.pid for w in s.workers} | {s.hasher.pid}
        gate, s.gate = s.gate, None
        kept = s.workers
        gate.close()  # its workers' sockets stay open, as in a child that the old gate may have had
        s.until(lambda: not old & set(s.children()), 3, "the end of the old workers")
        s.workers = []
        s.new_gate()
        s.until(lambda: len(s.workers) == 3 and s.hasher and s.definitions, 5, "workers for the new gate")
        check(not old & {w.pid for w in s.workers}, "an old worker was given to the new gate")
        equal(s.scan(EICAR).verdict, VIRUS, "new gate")
        old = {w.pid for w in s.workers}
        s.new_gate()  # the keeper was faster than the loader
        s.until(lambda: len(s.workers) == 3 and s.hasher, 5, "workers for the third gate")
        check(not old & set(s.children()), "workers of the second gate live on")
        # nonsense from the gate costs it its socket
        driver.send(s.gate, driver.NURSERY.pack(1, 9, 0, 0, 0, 0))
        s.until(lambda: s.gate is None, 3, "the end of the socket")
        s.new_gate()
        s.until(lambda: s.workers, 5, "workers for the fourth gate")
        s.kill(1), s.kill(0), s.kill(-1), s.kill(os.getpid())
        equal(s.scan(EICAR).verdict, VIRUS, "after kills of what is not ours")
        for worker in kept:
            worker.close()


@test
def the_end_of_the_loader_is_the_end_of_all():
    for how in ("SIGTERM", "LEASH_STOP", "the keeper's end", "SIGKILL"):
        with scanner(workers=2) as s:
            s.until(lambda: len(s.workers) == 2 and s.hasher, what="two workers")
            children = s.children()
            equal(len(children), 3, "children")
            begin = time.monotonic()
            if how == "SIGTERM":
                os.kill(s.pid, signal.SIGTERM)
            elif how == "LEASH_STOP":
                driver.send(s.leash, driver.LEASH.pack(1, driver.STOP, 0, 0, 0, *([0] * 11), b"", 0, 0, *([0] * 24), b"", *driver.LEASH_END))
            elif how == "SIGKILL":
                os.kill(s.pid, signal.SIGKILL)
            else:
                s.leash.close()
                s.leash = None
            check(s.wait(2) is not None, how + ": the loader lives on")
            while any(os.path.exists("/proc/%d" % pid) and status_of(pid)["State"][0] not in "ZX" for pid in children):
                check(time.monotonic() - begin < 2, how + ": workers live on")
                time.sleep(0.01)


@waits
def no_definitions_are_said_and_awaited():
    for what, definitions in (("an empty folder", folder()), ("no database in it", folder(notes_txt="x"))):
        with scanner(definitions=definitions) as s:
            s.until(lambda: s.loaded and s.definitions and s.hasher, 5, "the word that there are none")
            equal((s.loaded[0], s.definitions), (0, (0, 0)), what)
            check("no definitions" in s.loaded[1], s.loaded[1])
            s.turn(0.5)
            check(not s.workers, "it serves without definitions")
            put(definitions, "new.ndb", ndb("Mailward.Test.Eicar", EICAR))
            s.until(lambda: s.workers, 6, "the new definitions' worker")
            equal((s.loaded[0], s.definitions[1]), (1, 1), "signatures")
            check(abs(s.loaded[2] - time.time()) < 60, "the newest file's time: %s" % s.loaded[2])
            equal(s.scan(EICAR).verdict, VIRUS, "with definitions")
    with scanner(definitions=None) as s:
        s.until(lambda: s.loaded and s.definitions, 5, "the word that there is no folder")
        check(s.loaded[0] == 0 and "folder" in s.loaded[1], s.loaded[1])


@waits
def broken_definitions_are_said_and_tried_again():
    broken = folder(a_ndb="This is no signature\n")
    with scanner(definitions=broken) as s:
        s.until(lambda: s.loaded and s.definitions, 5, "the complaint")
        equal((s.loaded[0], s.definitions), (0, (0, 0)), "broken")
        check("Malformed database" in s.loaded[1], s.loaded[1])
        loads = s.loading
        end = time.monotonic() + 3
        while time.monotonic() < end:
            s.turn(0.1)
        equal(s.loading, loads, "it tries again although nothing changed")
        check(not s.workers, "it serves")
        put(broken, "a.ndb", ndb("Mailward.Test.Eicar", EICAR))
        s.until(lambda: s.workers, 6, "a worker")
        equal(s.scan(EICAR).verdict, VIRUS, "mended")
        before = s.definitions
        put(broken, "b.ndb", "broken again\n")  # what is in use stays in use
        s.until(lambda: any("old definitions stay" in line for line in s.log), 8, "the complaint")
        equal(s.scan(EICAR).verdict, VIRUS, "with the old definitions")
        equal(s.definitions, before, "definitions")


def takes(worker, fd):
    try:
        worker.ask(fd)
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


@waits
def new_definitions_are_taken_up_without_losing_a_case():
    definitions = usual()
    other = b"another signature, which nobody has had"
    fd = memory(other)
    with scanner(definitions=definitions, workers=3) as s:
        equal(s.scan(other).verdict, "clean", "before")
        s.until(lambda: len(s.workers) == 3, what="three workers")
        old, first = list(s.workers), s.definitions
        s.workers = []
        busy, asked, idle = old
        os.kill(busy.pid, signal.SIGSTOP)  # in the middle of a case
        busy.ask(memory_of_eicar)
        os.kill(asked.pid, signal.SIGSTOP)  # will have its case in the socket when it hears of the end
        put(definitions, "more.ndb", ndb("Mailward.Test.More", other))
        s.until(lambda: len(s.workers) == 3, 15, "workers with the new definitions")
        check(all(w.definitions != first[0] for w in s.workers), "the new workers' identity")
        equal(s.definitions, first, "the gate was told while old workers live")
        s.until(lambda: idle.pid not in s.children(), 5, "the end of the idle one")
        check(not takes(idle, fd), "a worker that has gone takes a case")
        check(takes(asked, fd), "a worker that does not know yet takes no case")
        os.kill(asked.pid, signal.SIGCONT)
        reply = asked.answer()
        check(not isinstance(reply, str), "asked before it went: %s" % reply)
        equal((reply.verdict, reply.last), ("clean", 1), "asked before it went")
        s.turn(0.5)
        equal(s.definitions, first, "the gate was told while an old worker is busy")
        os.kill(busy.pid, signal.SIGCONT)
        reply = busy.answer()
        equal((reply.verdict, reply.last), (VIRUS, 1), "busy")
        begin = time.monotonic()
        s.until(lambda: s.definitions != first, 5, "the word of the new definitions")
        check(time.monotonic() - begin > 1.5, "it came before the gate could have read the last old verdict")
        equal(s.definitions, (s.workers[0].definitions, first[1] + 1), "identity, signatures")
        equal(s.scan(other).verdict, "infected(Mailward.Test.More.UNOFFICIAL)", "after")
        for worker in old:
            worker.close()
    # one that hears of the end between two cases: the next one is its last, whatever else waits
    with scanner(definitions=definitions, workers=1, time_ms=30000) as s:
        worker, large = s.worker(), memory(mail(zipped(random.Random(3).randbytes(16 << 20))))
        for _ in range(9):  # stopped in the middle of its first case
            worker.ask(large, case=1)
            while struct.unpack("i", fcntl.ioctl(worker.sock, termios.TIOCOUTQ, bytes(4)))[0]:  # not taken yet
                time.sleep(0.002)
            time.sleep(0.02)
            os.kill(worker.pid, signal.SIGSTOP)
            if not select.select([worker.sock], [], [], 0)[0]:
                break
            os.kill(worker.pid, signal.SIGCONT)
            worker.answer()
        else:
            check(False, "control: it could not be stopped in the middle of a case")
        worker.ask(memory(TEXT), case=1)
        put(definitions, "third.ndb", ndb("Mailward.Test.Third", b"the third one, for nobody"))
        s.workers = []
        s.until(lambda: s.workers, 15, "a worker with the new definitions")
        os.kill(worker.pid, signal.SIGCONT)
        replies = worker.answer(), worker.answer()
        check("crashed" not in replies and "timeout" not in replies, "between two cases: %s, %s" % replies)
        equal((replies[0].last, replies[1].verdict, replies[1].last), (0, "clean", 1), "between two cases")
        worker.close()
    # an old worker that hangs is ended after the time for one scan
    with scanner(definitions=definitions, workers=1, time_ms=500) as s:
        hung = s.worker()
        first = s.definitions
        os.kill(hung.pid, signal.SIGSTOP)
        os.unlink(os.path.join(definitions, "more.ndb"))
        s.until(lambda: s.definitions != first, 20, "new definitions although an old worker hangs")
        check(hung.pid not in s.children(), "it lives on")
        hung.close()


@test
def the_identity_is_that_of_the_files_and_limits():
    definitions = usual()

    def identity(**options):
        with scanner(definitions=definitions, workers=1, **options) as s:
            s.until(lambda: s.definitions, 5, "definitions")
            return s.definitions[0]
    first = identity()
    check(first != 0, "zero")
    equal(identity(), first, "the same files")
    for name in ("max_file", "max_scan", "files", "depth", "time_ms"):
        check(identity(**{name: 16}) != first, "%s does not change it" % name)
    check(identity(deny_types=("script",)) != first, "deny-types does not change it")
    put(definitions, "readme.txt", "no database")
    equal(identity(), first, "a file that is no database")
    os.utime(os.path.join(definitions, "test.ndb"))
    second = identity()
    check(second != first, "a touched file")
    os.rename(os.path.join(definitions, "test.hdb"), os.path.join(definitions, "test2.hdb"))
    check(identity() not in (first, second), "a renamed file")


@test
def a_canary_that_cannot_be_made_means_no_worker():
    with scanner(own_mode=0o500) as s:
        s.until(lambda: s.loaded, 5, "the complaint")
        check(s.loaded[0] == 0 and "canary" in s.loaded[1], s.loaded[1])
        s.turn(0.5)
        check(not s.workers, "it serves")
        os.chmod(s.own, 0o700)
        equal(s.scan(EICAR).verdict, VIRUS, "as soon as it can be made")
        equal(os.listdir(s.own), [], "nothing is left in its folder")


@test
def a_worker_that_does_not_find_the_canary_does_not_serve():
    # openat fails for the worker's scan: its canary scan ends in io-error inside the box
    with scanner(max_file=64) as s:  # the canary's mail is larger than that: a limit, so it is not found
        s.until(lambda: s.log, 5, "the complaint")
        check("canary" in s.log[0], s.log)
        s.turn(0.5)
        check(not s.workers, "it serves")


@test
def the_smallest_settings_still_serve():
    for options in (dict(max_file=1024, max_scan=1024, files=1, depth=1, time_ms=1000), dict(max_file=1024, max_scan=1024, depth=2),
                    dict(max_file=1024, max_scan=1024, depth=3), dict(max_file=1024, max_scan=1024, depth=4),
                    dict(max_file=1024, max_scan=1024, depth=100)):
        with scanner(workers=1, **options) as s:
            equal(s.scan(EICAR).verdict, VIRUS, str(options))
            equal(s.scan(TEXT).verdict, "clean", str(options))
            check(s.scan(mail(zipped(packed.PAYLOAD))).kind != "clean", str(options))


@test
def beats_go_on_while_definitions_load():
    lines = "".join("%032x:%d:Mailward.Test.H%d\n" % (n * 2654435761 % (1 << 128), 100 + n % 5000, n) for n in range(400000))
    with scanner(definitions=folder(big_hdb=lines, small_ndb=ndb("Mailward.Test.Eicar", EICAR))) as s:
        begin = time.monotonic()
        s.until(lambda: s.workers, 60, "a worker")
        took = time.monotonic() - begin
        gaps = [b - a for a, b in zip([begin] + s.beats, s.beats + [time.monotonic()])]
        check(max(gaps) < 2, "a gap of %.1f s between beats" % max(gaps))
        equal((s.loading, s.loaded[0]), (1, 400001), "loaded")
        print("  loading 400,001 signatures took %.2f s, longest gap between beats %.2f s" % (took, max(gaps)))
        # a stop in the middle of a load
    with scanner(definitions=folder(big_hdb=lines)) as s:
        s.until(lambda: s.loading, 10, "the start of a load")
        os.kill(s.pid, signal.SIGTERM)
        check(s.wait(2) is not None, "SIGTERM while loading")


@test
def the_hasher_hashes():
    with scanner(max_file=1 << 20) as s:
        for content in (b"", b"abc", os.urandom(300000)):
            equal(s.hash(memory(content)), hashlib.sha256(content).hexdigest(), "digest")
        equal(s.hash(memory(bytes((1 << 20) + 1))), "could not", "above the limit")
        equal(s.hash(os.open("/", os.O_RDONLY)), "could not", "a folder")
        content = memory(b"abc")
        os.lseek(content, 3, os.SEEK_SET)
        equal(s.hash(content), hashlib.sha256(b"abc").hexdigest(), "whatever the offset")
        first = s.hasher.pid
        s.hasher = None
        s.kill(first)
        equal(s.hash(memory(b"abc")), hashlib.sha256(b"abc").hexdigest(), "the next hasher")
        os.kill(s.hasher.pid, signal.SIGSTOP)
        check(s.hash(memory(b"abc"), 0.3) is None, "stopped")
        stopped, s.hasher = s.hasher.pid, None
        s.kill(stopped)
        equal(s.hash(memory(b"abc")), hashlib.sha256(b"abc").hexdigest(), "after a standstill")


@test
def everyday_mail_is_clean():
    def report(kind, last=b"message/rfc822"):
        return (b'From: MAILER-DAEMON@x\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=' + kind + b'; boundary="b"\n\n--b\n'
                b'Content-Type: text/plain\n\nhello\n\n--b\nContent-Type: message/' + kind + b'\n\nReporting-MTA: dns; x\n\nAction: failed\n'
                b'\n--b\nContent-Type: ' + last + b'\n\n' + mail() + b'\n--b--\n')
    image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\6\0\0\0\x1f\x15\xc4\x89\0\0\0\nIDATx\x9cc\0\1\0\0\5\0\1\r\n-\xb4\0\0\0\0IEND\xaeB`\x82"
    document = zipped(b'<?xml version="1.0"?><w:document/>', TEXT)
    rows = [("delivery report", report(b"delivery-status")), ("its head alone", report(b"delivery-status", b"text/rfc822-headers")),
            ("read receipt", report(b"disposition-notification")), ("abuse report", report(b"feedback-report")),
            ("picture", mail(image, name="a.png")), ("document", mail(document, name="a.docx")), ("empty attachment", mail(b"")),
            ("attachment of one byte", mail(b"x")), ("gzip of nothing", mail(gzip.compress(b""))), ("gzip of 3 bytes", mail(gzip.compress(b"abc"))),
            ("zip of an empty file", mail(zipped(b""))), ("tar of a folder and an empty file", mail(tarred(b""))),
            ("odd word in the subject", b"Subject: =?utf-8?x?abc?=\n" + mail()),
            ("signed", mail().replace(b"multipart/mixed", b"multipart/signed")), ("CRLF", mail(zipped(TEXT)).replace(b"\n", b"\r\n")),
            ("HTML", mail(body=b"<html><body><a href='http://example.org'>x</a></body></html>")), ("8 bit", mail(body=bytes(range(128, 256)))),
            ("long lines", mail(body=b"x" * 100000)), ("a thousand parts", mail().replace(b"--=-b--", b"".join(b"--=-b\n\npart %d\n" % n for n in range(1000)) + b"--=-b--"))]
    with scanner(workers=1) as s:
        expect(s, [(what, content, "clean") for what, content in rows])


@test
def hostile_mails_leave_the_worker_alive():
    rows = []
    for charset in ("utf-8", "x-unknown", "IBM905", "iso-2022-cn-ext", "UTF-7", "hz-gb-2312", "..%2f..%2fetc", "A" * 300):
        body = ("Content-Type: text/html; charset=%s\nContent-Transfer-Encoding: base64\nSubject: =?%s?B?dGVzdA==?=\n"
                "From: a@b\nMIME-Version: 1.0\n\n" % (charset, charset)).encode()
        rows.append((charset[:20], body + __import__("base64").b64encode(b"<html><meta charset=" + charset.encode() + b"><body>" + TEXT), "clean"))
    rows.append(("NUL bytes", mail(body=bytes(5000)), "clean"))
    rows.append(("UTF-16 html", "<html><body>x</body></html>".encode("utf-16") * 10, "clean"))
    with scanner(workers=1) as s:
        pid = s.worker()
        s.workers.insert(0, pid)
        expect(s, rows)
        equal(s.workers[0].pid, pid.pid, "the same worker did it all")


def run_one(suite, function):
    name, started = suite + "." + function.__name__, time.monotonic()
    try:
        function()
        RESULT["ok"] += 1
        print("ok %s (%.1f s)" % (name, time.monotonic() - started), flush=True)
    except Skip as why:
        RESULT["skipped"] += 1
        print("skipped %s: %s" % (name, why), flush=True)
    except Exception as error:
        RESULT["FAIL"] += 1
        where = traceback.extract_tb(error.__traceback__)[1 if len(traceback.extract_tb(error.__traceback__)) > 1 else 0]
        kind = "AssertionError" if isinstance(error, AssertionError) else type(error).__name__
        print("FAIL %s: line %d: %s: %s" % (name, where.lineno, kind, error), flush=True)


def start_beside(suite, function):
    """(pid, descriptor of its output); before any thread is there."""
    output, far = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(far, 1)
        run_one(suite, function)
        sys.stdout.flush()
        os._exit(0)
    os.close(far)
    return pid, output


def main():
    """The tests in TESTS, of the suite that was started."""
    global WORK, BUILD, memory_of_text, memory_of_eicar
    suite = os.path.basename(sys.argv[0])[len("suite_"):-len(".py")]
    words = sys.argv[1:]
    if words[:1] == ["--build"]:
        BUILD, words = words[1], words[2:]
    begin = time.monotonic()
    if os.geteuid() != 0:
        print("skipped %s: needs root" % suite)
        print("%s: 0 passed, 0 failed, 1 skipped (0 s)" % suite)
        return 0
    WORK = tempfile.mkdtemp(prefix="mailward-scanner-test-")
    os.chmod(WORK, 0o755)
    memory_of_text, memory_of_eicar = memory(TEXT), memory(EICAR)
    chosen = [function for function in TESTS if not words or any(word in function.__name__ for word in words)]
    beside = [start_beside(suite, function) for function in chosen if hasattr(function, "waits")]
    for function in chosen:
        if not hasattr(function, "waits"):
            run_one(suite, function)
    for pid, output in beside:
        with os.fdopen(output) as lines:
            for line in lines:
                print(line, end="", flush=True)
                if line.split(" ")[0] in RESULT:
                    RESULT[line.split(" ")[0]] += 1
        if os.waitpid(pid, 0)[1] != 0:
            print("FAIL %s: a test beside the others has died" % suite, flush=True)
            RESULT["FAIL"] += 1
    shutil.rmtree(WORK, ignore_errors=True)
    print("%s: %d passed, %d failed, %d skipped (%.0f s)" % (suite, RESULT["ok"], RESULT["FAIL"], RESULT["skipped"], time.monotonic() - begin))
    return 1 if RESULT["FAIL"] else 0


if __name__ == "__main__":
    sys.exit(main())
