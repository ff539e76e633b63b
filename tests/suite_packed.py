#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Messages that Dovecot has compressed or encrypted, in maildir, sdbox and mdbox: what is in them is found, or it is said
why not; never clean. The control is libclamav by itself, on the same file with the same definitions.
Usage: suite_packed.py [--build DIR] [word of a test's name...]"""
import base64, bz2, glob, gzip, lzma, os, shutil, struct, subprocess, sys, tempfile, time

sys.dont_write_bytecode = True
import suite_scanner as base
import bare, packed, samples
from samples import EICAR, TEXT, dbox, dovecot_lz4, mail, zipped, zstd, zstd_zeros
from suite_scanner import (ENCRYPTED, PACKED, TIMEOUT, TOO_LARGE, UNSUPPORTED, VIRUS, Skip, check, equal, expect, inside, fill,
                           scanner, test, usual, waits, with_fault)

base.TESTS.clear()
CLEAN_MAIL = mail(zipped(TEXT), message_id="<clean@example.org>")


def broken_up(content):
    """A body that has the attachment's base64 in pieces, last first: a compressor refers to them, so that what it writes
    does not have the attachment in one piece, readable without being unpacked."""
    text = base64.b64encode(content)
    return TEXT + b"\n".join(text[at:at + 14] for at in range(0, len(text), 14)[::-1]) + b"\n"


BAD_MAIL = mail(packed.PAYLOAD, body=broken_up(packed.PAYLOAD), queue_id="4BADBAD456", message_id="<bad@example.org>")
LONG_BAD = mail(packed.PAYLOAD, body=TEXT * 600 + broken_up(packed.PAYLOAD))


def tool(*words, content):
    if not shutil.which(words[0]):
        raise Skip(words[0] + " is not installed")
    return subprocess.run(words, input=content, capture_output=True, check=True).stdout


def zstd_tool(content):
    return tool("zstd", "-q", "-c", content=content)


def lz4_tool(content):
    """The blocks of lz4's own frame in Dovecot's framing."""
    frame, out = tool("lz4", "-q", "-c", "-B4", "--no-frame-crc", content=content), dovecot_lz4(b"")
    at = 15 if frame[4] & 8 else 7
    while True:
        size = struct.unpack("<I", frame[at:at + 4])[0]
        if size == 0:
            return out
        check(size < 1 << 31, "a block that is not compressed")
        out += struct.pack(">I", size) + frame[at + 4:at + 4 + size]
        at += 4 + size


PACKERS = {"zstd": zstd_tool, "lz4": lz4_tool}
OTHERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def missed(rows, wanted="clean"):
    """The control: by itself libclamav says `wanted`."""
    definitions = usual()
    for what, content in rows:
        equal(bare.scan(definitions, content), wanted, "libclamav by itself: " + what)


# ---- made by hand ----

@test
def a_compressed_message_is_opened():
    rows = [("%s, %s" % (name, what), pack(content)) for name, pack in PACKERS.items()
            for what, content in (("a mail", BAD_MAIL), ("a long one", LONG_BAD))]
    missed(rows)
    missed([("the mail, not packed", BAD_MAIL)], PACKED)
    with scanner() as s:
        expect(s, [(what, content, PACKED) for what, content in rows])
        expect(s, [(name + ", clean", pack(CLEAN_MAIL), "clean") for name, pack in PACKERS.items()])
        expect(s, [("zstd, nothing in it", zstd_zeros(0) + b"\1\0\0", "clean"), ("lz4, nothing in it", dovecot_lz4(b""), "clean"),
                   ("zstd, 4 bytes of a signature", zstd_tool(b"MwT!"), "infected(Mailward.Test.Small.UNOFFICIAL)"),
                   ("lz4, 4 bytes of a signature", dovecot_lz4(b"MwT!"), "infected(Mailward.Test.Small.UNOFFICIAL)"),
                   ("zstd, by the tool", packed.packed("payload.zst"), PACKED)])
        reply = s.scan(zstd_tool(BAD_MAIL))
        equal((reply.queue_id, reply.message_id), ("4BADBAD456", "<bad@example.org>"), "its head")


@test
def messages_in_a_dbox_file_are_looked_at_one_by_one():
    every = dict(PACKERS, **OTHERS)
    rows = [("sdbox, " + name, dbox(pack(BAD_MAIL))) for name, pack in every.items()]
    rows += [("mdbox, %s, the second of three" % name, dbox(pack(CLEAN_MAIL), pack(BAD_MAIL), pack(CLEAN_MAIL))) for name, pack in every.items()]
    rows += [("mdbox, packed behind plain, %s" % name, dbox(CLEAN_MAIL, pack(BAD_MAIL))) for name, pack in every.items()]
    missed(rows)
    with scanner() as s:
        expect(s, [(what, content, PACKED) for what, content in rows])
        expect(s, [("plain behind packed, " + name, dbox(pack(CLEAN_MAIL), BAD_MAIL), PACKED) for name, pack in every.items()])
        expect(s, [("sdbox, plain", dbox(BAD_MAIL), PACKED), ("mdbox, plain", dbox(CLEAN_MAIL, CLEAN_MAIL, BAD_MAIL), PACKED)])
        expect(s, [("clean, " + name, dbox(pack(CLEAN_MAIL), CLEAN_MAIL, pack(TEXT)), "clean") for name, pack in every.items()])
        reply = s.scan(dbox(zstd_tool(CLEAN_MAIL), zstd_tool(BAD_MAIL)))
        check(reply.detail.startswith("in stored message 2, at byte "), reply)
        equal((reply.queue_id, reply.message_id), ("4BADBAD456", "<bad@example.org>"), "the head of the infected one")
        for what, content in (("plain", dbox(CLEAN_MAIL)), ("zstd", dbox(zstd_tool(CLEAN_MAIL)))):
            equal(s.scan(content).message_id, "<clean@example.org>", "the head of the only one, " + what)
        equal(s.scan(dbox(CLEAN_MAIL, CLEAN_MAIL)).message_id, "", "no head of one of many")


@test
def what_does_not_open_is_not_clean():
    long = mail(zipped(TEXT), body=TEXT * 600)
    whole = {"zstd": zstd_tool(long), "lz4": lz4_tool(long), "gz": gzip.compress(long)}
    rows = []
    for name, content in whole.items():
        if name != "gz":
            rows += [(name + ", cut off", content[:-7]), (name + ", more behind it", content + b"more"),
                     (name + ", cut off in its head", content[:16])]
        rows += [(name + ", cut off, in mdbox", dbox(CLEAN_MAIL, content[:-20]))]
    rows += [("mdbox, cut off", dbox(CLEAN_MAIL, CLEAN_MAIL)[:-3]), ("mdbox, a wrong size", dbox(CLEAN_MAIL).replace(b"\1\2N          00000", b"\1\2N          0000f")),
             ("zstd in mdbox, zstd again", dbox(zstd(zstd(TEXT)))), ("lz4's own frame in mdbox", dbox(samples.lz4(TEXT)))]
    missed(rows)
    with scanner() as s:
        for what, content in rows:
            reply = s.scan(content)
            check(not isinstance(reply, str) and reply.kind == "unscanned", "%s: %s" % (what, reply))
        # a reader gets what comes out before the damage, so it is looked at
        expect(s, [("infected, then cut off", dovecot_lz4(mail(zipped(EICAR)) + TEXT * 9000, 4096)[:-7], VIRUS)])


@test
def encrypted_messages_are_said_to_be():
    crypted = b"CRYPTED\x03\x07\x02" + os.urandom(900)
    rows = [("maildir", crypted), ("sdbox", dbox(crypted)), ("mdbox", dbox(CLEAN_MAIL, crypted)), ("beside zstd", dbox(zstd_tool(CLEAN_MAIL), crypted))]
    missed(rows)
    with scanner() as s:
        expect(s, [(what, content, ENCRYPTED) for what, content in rows])
        expect(s, [("an infected one beside", dbox(crypted, zstd_tool(BAD_MAIL)), PACKED)])


@waits
def the_limits_of_a_scan_hold():
    big = zstd_zeros(30 << 20)
    check(len(big) < 2000, "the bomb is small")
    rows = [("file size", dict(max_file=1 << 20), zstd_tool(mail()) + zstd_zeros(2 << 20), TOO_LARGE, "limit: MaxFileSize"),
            ("file size, lz4", dict(max_file=1 << 20), dovecot_lz4(mail(body=TEXT * 3000)), TOO_LARGE, "limit: MaxFileSize"),
            ("file size, mdbox", dict(max_file=1 << 20), dbox(CLEAN_MAIL, zstd_zeros(2 << 20)), TOO_LARGE, "limit: MaxFileSize"),
            ("scan size, all messages together", dict(max_file=40 << 20, max_scan=80 << 20), dbox(big, big, big), TOO_LARGE, "limit: MaxScanSize"),
            ("members", dict(files=10), dbox(*[zstd_tool(CLEAN_MAIL)] * 11), TOO_LARGE, "limit: MaxFiles"),
            ("time, all messages together", dict(time_ms=300), dbox(*[zstd_zeros(20 << 20)] * 9), TIMEOUT, "limit: MaxScanTime")]
    for what, limits, content, wanted, detail in rows:
        with scanner(workers=1, **limits) as s:
            started = time.monotonic()
            reply = s.scan(content)
            took = time.monotonic() - started
            check(not isinstance(reply, str) and reply.verdict == wanted, "%s: %s, not %s" % (what, reply, wanted))
            check(reply.detail.startswith("libclamav: " + detail), "%s: %s" % (what, reply))
            check(took < limits.get("time_ms", 20000) / 1000 + 1, "%s: %.1f s" % (what, took))
            equal(s.scan(mail()).verdict, "clean", "the next case after " + what)
    with scanner(workers=1, max_file=40 << 20) as s:
        expect(s, [("the limit raised", dbox(big, zstd_tool(BAD_MAIL)), PACKED), ("and clean", dbox(big, zstd_tool(CLEAN_MAIL)), "clean")])


@test
def no_room_to_unpack_is_not_clean():
    with_fault("tmpfs full", lambda pid: inside(pid, fill), [("zstd", zstd_tool(BAD_MAIL)), ("lz4 in mdbox", dbox(CLEAN_MAIL, lz4_tool(BAD_MAIL)))],
               also=(UNSUPPORTED,))


# ---- made by Dovecot ----

class Dovecot:
    """doveadm on stores of its own, without a server."""
    UID = 65284

    def __init__(self):
        if not shutil.which("doveadm"):
            raise Skip("not installed: dovecot-core")
        self.base = tempfile.mkdtemp(dir=base.WORK)
        os.chmod(self.base, 0o711)
        self.numbers = 0

    def store(self, kind, plugins="zlib", settings=""):
        """A new mailbox; returns its folder and a function that runs doveadm on it."""
        self.numbers += 1
        folder = os.path.join(self.base, "%s%d" % (kind, self.numbers))
        os.mkdir(folder)
        os.chown(folder, self.UID, self.UID)
        config = os.path.join(self.base, "dovecot%d.conf" % self.numbers)
        with open(config, "w") as out:
            out.write("mail_location = %s:%s/mail\nmail_plugins = %s\nlog_path = %s/log\nbase_dir = %s\nstate_dir = %s\nssl = no\n"
                      "first_valid_uid = 0\nfirst_valid_gid = 0\nmail_uid = %d\nmail_gid = %d\nnamespace inbox {\n  inbox = yes\n}\n"
                      "plugin {\n%s}\n" % (kind, folder, plugins, folder, folder, folder, self.UID, self.UID, settings))

        def run(*words, **options):
            done = subprocess.run(["doveadm", "-c", config, *words], capture_output=True, timeout=60,
                                  env=dict(os.environ, HOME=folder, USER="root"), **options)
            check(done.returncode == 0, "doveadm %s: %s" % (words, done.stderr))
            return done.stdout
        return folder, run

    def files(self, folder):
        """The files that hold messages, oldest first."""
        found = [path for pattern in ("mail/new/*", "mail/cur/*", "mail/mailboxes/INBOX/dbox-Mails/u.*", "mail/storage/m.*")
                 for path in glob.glob(os.path.join(folder, pattern)) if not path.endswith((".index", ".log", ".cache"))]
        return sorted(found, key=os.path.getmtime)


@waits
def real_dovecot_stores_are_opened():
    host, definitions = Dovecot(), usual()
    missed_by_bare = []
    with scanner(definitions=definitions) as s:
        for kind in ("maildir", "sdbox", "mdbox"):
            for save in ("zstd", "lz4", "gz", "bz2", None):
                what = "%s, %s" % (kind, save or "plain")
                folder, doveadm = host.store(kind, settings="  zlib_save = %s\n" % save if save else "")
                for message in (CLEAN_MAIL, LONG_BAD, CLEAN_MAIL):
                    doveadm("save", input=message)
                equal(doveadm("fetch", "text", "all").count(b"Subject: a test"), 3, what + ": Dovecot reads them back")
                files = host.files(folder)
                equal(len(files), 1 if kind == "mdbox" else 3, what + ": files")
                verdicts = sorted(str(s.scan(path).verdict) for path in files)
                equal(verdicts, [PACKED] if kind == "mdbox" else ["clean", "clean", PACKED], what)
                if not any(bare.scan(definitions, path) == PACKED for path in files):
                    missed_by_bare.append(what)
    print("libclamav by itself misses: " + "; ".join(missed_by_bare))
    equal(missed_by_bare, ["maildir, zstd", "maildir, lz4", "sdbox, zstd", "sdbox, lz4", "sdbox, gz", "sdbox, bz2",
                           "mdbox, zstd", "mdbox, lz4", "mdbox, gz", "mdbox, bz2"], "what libclamav misses by itself")


@test
def real_mail_crypt_is_encrypted():
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    host = Dovecot()
    key = os.path.join(host.base, "key.pem")
    subprocess.run("openssl ecparam -name prime256v1 -genkey | openssl pkey -out %s && openssl pkey -in %s -pubout -out %s.pub" %
                   (key, key, key), shell=True, check=True, capture_output=True)
    os.chmod(key, 0o644)
    with scanner() as s:
        for kind in ("maildir", "sdbox", "mdbox"):
            for plugins, more in (("mail_crypt", ""), ("zlib mail_crypt", "  zlib_save = zstd\n")):
                folder, doveadm = host.store(kind, plugins, "  mail_crypt_global_private_key = <%s\n  mail_crypt_global_public_key = <%s.pub\n"
                                             "  mail_crypt_save_version = 2\n%s" % (key, key, more))
                doveadm("save", input=BAD_MAIL)
                check(b"Subject: a test" in doveadm("fetch", "text", "all"), "Dovecot reads it back")
                expect(s, [("%s, %s" % (kind, plugins), path, ENCRYPTED) for path in host.files(folder)])


if __name__ == "__main__":
    sys.exit(base.main())
