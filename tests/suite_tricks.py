#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Every way that we know to hide something in a mail or an archive from a scanner, but not from who reads it: found, or unscanned
with which reason; never clean. What is not seen is named here and in README. Needs root.
Usage: suite_tricks.py [--build DIR] [word of a test's name...]"""
import bz2, gzip, os, sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "levels"), os.path.join(HERE, "scanner")]
sys.dont_write_bytecode = True
import suite_scanner as base
import mails, packed, samples, tricks
from mails import message, tar_of, zip_of
from samples import EICAR, TEXT, dbox, hdb, ndb
from suite_scanner import check, equal, expect, folder, scanner

base.TESTS.clear()
test = base.test
# Its pieces stand before the whole: a compressor refers to them, so that the whole is not readable without being unpacked.
WHOLE = packed.PAYLOAD
PAYLOAD = b"\n".join(WHOLE[at:at + 14] for at in range(0, len(WHOLE), 14)[::-1]) + b"\n" + WHOLE
# README, "What is not seen": browsers and programs put it together themselves, or nothing says what it is.
UNSEEN = {"HTML, base64 with blanks", "HTML, data: in capitals", "HTML that smuggles", "SVG with a data: URI", "a visiting card with a picture",
          "a flat OpenDocument", "brotli, the file", "brotli, in a mail"}


def definitions(word):
    # 3 and 7: what libclamav makes of HTML and of text, in small letters
    return folder(test_ndb=ndb("Mailward.Test.Words", word) + "".join(
        "Mailward.Test.Plain%d:%d:*:%s\n" % (target, target, word.lower().hex()) for target in (3, 7)))


def hidden(generate):
    """Scans all that it makes; prints what became of it."""
    found, wrong, missing = [], [], []
    rows = [(what, content) for what, content in generate(PAYLOAD)]
    with scanner(definitions=definitions(WHOLE[:40])) as s, scanner(definitions=definitions(b"no such words are anywhere")) as other:
        for what, content in rows:
            if isinstance(content, mails.Missing):
                missing.append("%s: %s" % (what, content))
                continue
            reply, control = s.scan(content), other.scan(content)
            if isinstance(reply, str) or isinstance(control, str) or (control.kind == "infected" and not control.heuristics):
                wrong.append("%s: %s, without the signature %s" % (what, reply, control))
            elif reply.kind == "infected" and not reply.heuristics:
                found.append(what)
            elif reply.kind == "unscanned" and reply.reason in ("unsupported", "encrypted", "too-deep", "too-large", "engine-error"):
                print("  %-60s %s" % (what, reply))
            elif what not in UNSEEN:
                wrong.append("%s: %s" % (what, reply))
    print("  found (%d): %s" % (len(found), "; ".join(found)))
    if missing:
        print("  not made: " + "; ".join(missing))
    check(not wrong, "%d: %s" % (len(wrong), "; ".join(wrong)))
    check(len(found) > len(rows) // 3 or len(rows) < 40, "only %d of %d are found" % (len(found), len(rows)))


@test
def headers_that_contradict_each_other():
    hidden(tricks.heads)


@test
def parts_of_every_type():
    hidden(tricks.types)


@test
def multiparts_of_every_kind():
    hidden(tricks.multiparts)


@test
def messages_that_do_not_begin_as_one():
    hidden(tricks.beginnings)


@test
def boundaries_of_every_form():
    hidden(tricks.boundaries)


@test
def lines_and_encodings():
    hidden(tricks.lines)


@test
def zips_that_contradict_themselves():
    hidden(tricks.zips)


@test
def streams_and_archives():
    hidden(tricks.streams)


@test
def documents_and_disks():
    hidden(tricks.documents)


@test
def everyday_forms_are_clean():
    """What the odd forms are told from."""
    signature = b"--ss\nContent-Type: %s\n\n-----BEGIN PGP SIGNATURE-----\n\niQEz=\n=abcd\n-----END PGP SIGNATURE-----\n--ss--\n"
    signed = tricks.FROM + b"Content-Type: multipart/signed; micalg=pgp-sha256;\n protocol=\"application/pgp-signature\"; boundary=\"ss\"\n\n--ss\n"
    attached = tricks.MIXED + b"\n--xx\n" + tricks.WORDS + b"--xx\n" + tricks.ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + tricks.coded(TEXT) + b"--xx--\n"
    base64_alone = tricks.FROM + b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + tricks.coded(b"hello, world")
    quoted = tricks.FROM + b"Content-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nwords =\nand words=20\n-- \nName: me\nx =3D 1\n"
    separator = b"From a@example.org Sat Jan  1 00:00:00 2022\n"
    dkim = b"DKIM-Signature: v=1; a=rsa-sha256;\n" + b"\tabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz;\n" * 30
    head_alone = message(mails.email.message_from_bytes(b"Content-Type: text/rfc822-headers\n\n" + dkim + b"From: a@b\n" + tricks.MIXED))
    rows = [("signed", signed + tricks.WORDS + signature % b"application/pgp-signature; name=\"signature.asc\""),
            ("signed, an attachment", signed + attached + signature % b"application/pgp-signature"),
            ("signed, S/MIME", signed + attached + signature % b"application/pkcs7-signature; name=smime.p7s"),
            ("signed, in a list's mail", tricks.FROM + b"Content-Type: multipart/mixed; boundary=yy\n\n--yy\n" + signed[len(tricks.FROM):] + attached +
             signature % b"application/pgp-signature" + b"--yy\n" + tricks.WORDS + b"--yy--\n"),
            ("two that are signed, mbox", (separator + signed + attached + signature % b"application/pgp-signature" + b"\n") * 2),
            ("base64 alone", base64_alone), ("base64 alone, mbox", (separator + base64_alone + b"\n") * 3), ("base64 alone, dbox", dbox(base64_alone)),
            ("base64 alone, mdbox", dbox(base64_alone, quoted)), ("quoted-printable", quoted), ("quoted-printable, mbox", (separator + quoted + b"\n") * 3),
            ("uuencode", mails.uuencoded(TEXT)), ("words that begin", tricks.FROM + b"\nwe\nbegin 0644 times\nand begin-base64 of nothing\n"),
            ("begins with DKIM", dkim + tricks.FROM + attached), ("a report with such a mail", mails.within(dkim + tricks.FROM + attached)),
            ("a report with its head", head_alone), ("300 parts", tricks.FROM + tricks.MIXED + b"\n" + b"--xx\nContent-Type: text/plain\n\nwords\n" * 300 + b"--xx--\n"),
            ("bzip2", bz2.compress(TEXT)), ("tar of folders", gzip.compress(tar_of({"a/b.txt": TEXT, "c" * 150: TEXT}))),
            ("an invitation", message(("a.ics", b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nATTACH:http://example.org/a\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"))),
            ("a tar with a zip in it", tar_of({"a.zip": zip_of({"a.txt": TEXT})})), ("a picture, then a zip", message(("a.png", b"\x89PNG\r\n\x1a\n" + bytes(60)),
                                                                                                              ("a.zip", zip_of({"a.txt": TEXT})))),
            ("a text of an old Mac", b"a: b\rc: d\r" * 50), ("Word's XML of 2003", dict(tricks.documents(TEXT))["Word's XML of 2003"].replace(b"editdata.mso", b"wordml://1.png"))]
    with scanner(workers=1) as s:
        expect(s, [(what, content, "clean") for what, content in rows])


@test
def messages_within_are_looked_at_within_the_limits():
    """Each message that does not begin as one costs a copy: in the limits of the scan."""
    inner = b"X-Spam: no\nSubject: a\n" + tricks.MIXED + b"\n--xx\n" + tricks.WORDS + b"--xx\n" + tricks.ATTACHED + \
        b"Content-Transfer-Encoding: base64\n\n" + tricks.coded(b"%s") + b"--xx--\n"
    def nested(depth):
        mail = inner.replace(tricks.coded(b"%s"), tricks.coded(PAYLOAD))
        for _ in range(depth):
            mail = inner.replace(tricks.coded(b"%s"), tricks.coded(mail))
        return mail
    with scanner(definitions=definitions(WHOLE[:40]), workers=1, max_file=4 << 20, max_scan=8 << 20, time_ms=4000) as s:
        for depth in (0, 1, 5, 20):  # none of them nests anything in what the engine sees
            equal(s.scan(nested(depth)).kind, "infected", "%d deep" % depth)
        for what, content in (("40 of them", message(*[("a.eml", nested(0).replace(tricks.coded(PAYLOAD), tricks.coded(TEXT)))] * 40)),
                              ("a large one", nested(0).replace(tricks.coded(PAYLOAD), tricks.coded(TEXT * 10000)))):
            reply = s.scan(content)
            check(not isinstance(reply, str) and reply.kind in ("unscanned", "clean"), "%s: %s" % (what, reply))
            print("  %-20s %s" % (what, reply))
            if what != "a large one":
                equal(reply.kind, "unscanned", what)
            equal(s.scan(nested(1)).kind, "infected", "the next one")


if __name__ == "__main__":
    sys.exit(base.main())
