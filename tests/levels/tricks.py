# SPDX-License-Identifier: GPL-2.0-only
"""Mails and containers as those who want to get past a scanner write them: what a mail program or an unpacker still opens,
and a strict parser perhaps not. Each generator yields (what, content), and the payload lies in each of them."""
import base64, binascii, bz2, gzip, io, lzma, os, quopri, struct, tarfile, zipfile, zlib

import mails, samples
from mails import Missing, by_tool, message, seven_zip, tar_of, uuencoded, within, zip_of

FROM = b"From: a@example.org\nTo: b@example.org\nSubject: a test\nMIME-Version: 1.0\n"
WORDS = b"Content-Type: text/plain\n\nGood day.\n"
ATTACHED = b"Content-Type: application/octet-stream\nContent-Disposition: attachment; filename=\"a.bin\"\n"
MIXED = b"Content-Type: multipart/mixed; boundary=\"xx\"\n"


def coded(content):
    return base64.encodebytes(content)


def parts(payload, head=FROM, mixed=MIXED, part=ATTACHED + b"Content-Transfer-Encoding: base64\n", body=None, before=b"--xx\n", after=b"--xx--\n"):
    return head + mixed + b"\n--xx\n" + WORDS + before + part + b"\n" + (coded(payload) if body is None else body) + after


def heads(payload):
    """Headers that stand twice, contradict each other, or are written oddly."""
    other, mixed = b"Content-Type: text/plain\n", MIXED
    yield "Content-Type twice, the multipart first", parts(payload, mixed=mixed + other)
    yield "Content-Type twice, the multipart last", parts(payload, mixed=other + mixed)
    yield "no MIME-Version", parts(payload, head=FROM.replace(b"MIME-Version: 1.0\n", b""))
    for what, first, last in (("base64 first", b"base64", b"7bit"), ("base64 last", b"7bit", b"base64"),
                              ("base64, quoted-printable", b"base64", b"quoted-printable"), ("quoted-printable, base64", b"quoted-printable", b"base64")):
        yield "encoding twice, " + what, parts(payload, part=ATTACHED + b"Content-Transfer-Encoding: %s\nContent-Transfer-Encoding: %s\n" % (first, last))
    for how in (b"Content-Transfer-Encoding: BASE64", b"Content-Transfer-Encoding : base64", b"content-transfer-encoding:base64",
                b"Content-Transfer-Encoding:\n base64", b"Content-Transfer-Encoding: \"base64\"", b"Content-Transfer-Encoding: base64;",
                b"Content-Transfer-Encoding: base64 (words)", b"Content-Transfer-Encoding: (words) base64", b"Content-Transfer-Encoding: base64   ",
                b"Content-Transfer-Encoding:\tbase64", b"Content-Transfer-Encoding: base 64", b"Content-Transfer-Encoding: x-base64",
                b"Content-Transfer-Encoding: base64, base64", b"Content-Transfer-Encoding: base64\0", b"Content-Transfer-Encoding: \xc2\xa0base64",
                b"Content-Transfer-Encoding: base64 8bit", b"Content-Transfer-Encoding:\r base64"):
        yield "encoding: %r" % how.decode("latin-1"), parts(payload, part=ATTACHED + how + b"\n")
    yield "a line that is no header", parts(payload, part=ATTACHED + b"no header at all\nContent-Transfer-Encoding: base64\n")
    yield "a line that is no header, in the head", parts(payload, head=FROM + b"no header at all\n")
    yield "an unknown type of the part", parts(payload, part=b"Content-Type: foo\nContent-Transfer-Encoding: base64\n")
    yield "an empty type of the part", parts(payload, part=b"Content-Type:\nContent-Transfer-Encoding: base64\n")
    yield "the part is text", parts(payload, part=b"Content-Type: text/plain; name=a.bin\nContent-Transfer-Encoding: base64\n")
    yield "the part is a picture", parts(payload, part=b"Content-Type: image/png\nContent-Transfer-Encoding: base64\n")
    yield "the part has no type", parts(payload, part=b"Content-Transfer-Encoding: base64\n")
    yield "the part has no head but its encoding, in capitals", parts(payload, part=b"CONTENT-TRANSFER-ENCODING: BASE64\n")
    for kind in (b"alternative", b"related", b"signed", b"report", b"parallel", b"digest", b"appledouble", b"x-mixed-replace", b"encrypted",
                 b"form-data", b"byteranges", b"unknown", b"", b"MIXED", b"mixed;;", b"voice-message"):
        yield "multipart/" + kind.decode(), parts(payload, mixed=b"Content-Type: multipart/%s; boundary=xx\n" % kind)
    yield "one part alone, base64", FROM + ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload)
    yield "one part alone, text", FROM + b"Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n" + coded(payload)
    yield "one part alone, no type", FROM + b"Content-Transfer-Encoding: base64\n\n" + coded(payload)
    yield "a multipart that is base64", FROM + MIXED + b"Content-Transfer-Encoding: base64\n\n" + coded(parts(payload, head=b"", mixed=b""))
    yield "a mail in a mail, base64", parts(payload, part=b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n", body=coded(parts(payload)))
    yield "a mail in a mail, quoted-printable", parts(payload, part=b"Content-Type: message/rfc822\nContent-Transfer-Encoding: quoted-printable\n",
                                                      body=quopri.encodestring(parts(payload).replace(b"xx", b"yy")))
    yield "message/global", parts(payload, part=b"Content-Type: message/global\n", body=parts(payload).replace(b"xx", b"yy"))
    yield "a digest's mail without a type", parts(payload, mixed=b"Content-Type: multipart/digest; boundary=xx\n", part=b"", body=parts(payload).replace(b"xx", b"yy"))
    yield "a mail as text/rfc822-headers", parts(payload, part=b"Content-Type: text/rfc822-headers\n", body=parts(payload).replace(b"xx", b"yy"))
    yield "a piece of a mail (message/partial)", FROM + b"Content-Type: message/partial; id=a; number=1; total=2\n\n" + parts(payload)
    yield "a NUL in the head", parts(payload, head=FROM.replace(b"a test", b"a\0test"))
    yield "300 headers", parts(payload, head=FROM + b"X-One: two\n" * 300)
    yield "a header of 100 kB", parts(payload, head=FROM + b"X-One: " + b"two " * 25000 + b"\n")
    yield "a header of 5,000 lines", parts(payload, head=FROM + b"X-One: two\n" + b" three\n" * 5000)
    yield "the type folded in 40 lines", parts(payload, mixed=b"Content-Type:" + b"\n\t" * 40 + b"multipart/mixed;\n boundary=xx\n")
    yield "an empty line of blanks in the type", parts(payload, mixed=b"Content-Type: multipart/mixed;\n  \n boundary=xx\n")


def beginnings(payload):
    """What stands first decides whether libclamav takes it for a mail at all."""
    whole = parts(payload)
    for first in (b"X-Spam: no", b"DKIM-Signature: v=1; a=rsa-sha256", b"ARC-Seal: i=1; a=rsa-sha256", b"Authentication-Results: mx.example.org",
                  b"List-Id: <a.example.org>", b"Sender: a@example.org", b"x: y", b"Organization: example", b"Content-Language: en", b"Mime-Version: 1.0",
                  b"Content-Type: text/plain", b"User-Agent: Mutt", b"Return-Path: <a@example.org>", b"Delivered-To: b@example.org", b"Received: from a",
                  b"from: a@example.org", b"FROM: a@example.org", b"Comments: a", b"X-Gm-Message-State: a", b"Importance: high", b"Thread-Index: abc",
                  b"References: <a@b>", b"Cc: a@b", b"Bcc: a@b", b"In-Reply-To: <a@b>", b"Received-SPF: pass", b"Resent-From: a@b", b"Autocrypt: a",
                  b"Envelope-to: a@b", b"Z" * 900 + b": a", b"Precedence: bulk", b"Errors-To: a@b", b"Dkim-Filter: a"):
        yield "begins with %s" % first[:30].decode(), first + b"\n" + whole
    yield "begins with a header of three lines", b"X-Spam: no\n and\n more\n" + whole
    yield "begins with a BOM", b"\xef\xbb\xbf" + whole
    yield "begins with an empty line", b"\n" + whole
    yield "begins with ten empty lines", b"\r\n" * 10 + whole
    yield "begins with a blank", b" " + whole
    yield "begins with a line that is none", b"hello\n" + whole
    yield "begins as an mbox", b"From a@example.org Sat Jan  1 00:00:00 2022\n" + whole
    yield "begins as a quoted mbox", b">From a@example.org Sat Jan  1 00:00:00 2022\n" + whole
    yield "begins as an mbox, X-Spam", b"From a@example.org Sat Jan  1 00:00:00 2022\nX-Spam: no\n" + whole
    yield "the type alone", MIXED + b"\n--xx\n" + ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n"
    yield "Received, twenty times", b"Received: from a by b;\n Sat, 1 Jan 2022 00:00:00 +0000\n" * 20 + whole
    yield from begun(payload)
    yield "an attached mail that begins with X-Spam", message(("a.eml", b"X-Spam: no\n" + whole))
    yield "message/rfc822 that begins with X-Spam", parts(payload, part=b"Content-Type: message/rfc822\n", body=b"X-Spam: no\n" + whole.replace(b"xx", b"yy"))


def boundaries(payload):
    whole = parts(payload)
    yield "no last boundary", parts(payload, after=b"")
    yield "the last boundary alone", parts(payload, before=b"--xx--\n--xx\n")
    yield "behind the last boundary", parts(payload, before=b"--xx--\nepilogue\n--xx\n")
    yield "in the preamble", FROM + MIXED + b"\n" + ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx\n" + WORDS + b"--xx--\n"
    yield "no boundary is named", whole.replace(b"; boundary=\"xx\"", b"")
    yield "an empty boundary", whole.replace(b"xx", b"")
    for how in (b"boundary=xx", b"boundary='xx'", b"BOUNDARY=xx", b"boundary = \"xx\"", b"boundary=\"xx\"; boundary=\"yy\"", b"boundary=\"yy\"; boundary=\"xx\"",
                b"boundary*=us-ascii''xx", b"boundary*0=x; boundary*1=x", b"boundary*0*=us-ascii''x; boundary*1*=%78", b"charset=utf-8; boundary=xx",
                b"(words) boundary=xx", b"boundary=(words)xx", b"boundary=xx (words)", b"boundary=\"xx", b"boundary=xx\"", b"boundary=\"x\\x\"",
                b"\n\tboundary=xx", b"boundary=\n\t\"xx\"", b"boundary=\"x\n x\"", b"xboundary=yy; boundary=xx", b"name=\"boundary=yy\"; boundary=xx",
                b"boundary=\"=?us-ascii?Q?xx?=\"", b"boundary==xx", b"boundary:xx", b"boundary=xx;;", b";;boundary=xx", b"boundary=\"xx\"yy"):
        yield "boundary: %r" % how.decode(), whole.replace(b"boundary=\"xx\"", how)
    yield "a boundary of 70 characters", whole.replace(b"xx", b"x" * 70)
    yield "a boundary of 300 characters", whole.replace(b"xx", b"x" * 300)
    yield "a boundary with odd characters", whole.replace(b"xx", b"'()+_,-./:=?")
    yield "a boundary of hyphens", whole.replace(b"xx", b"----")
    yield "a boundary that ends with a blank", whole.replace(b"\"xx\"", b"\"xx \"")
    yield "a boundary with a blank inside", whole.replace(b"xx", b"x x")
    yield "blanks behind the boundary", whole.replace(b"--xx\n", b"--xx  \t\n")
    yield "blanks before the boundary", whole.replace(b"\n--xx\n", b"\n --xx\n")
    yield "more behind the boundary", whole.replace(b"--xx\n", b"--xxmore\n")
    yield "the boundary in other letters", whole.replace(b"--xx\n", b"--XX\n")
    yield "no hyphens", whole.replace(b"\n--xx\n", b"\nxx\n")
    yield "no empty line before the boundary", FROM + MIXED + b"--xx\n" + ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n"
    yield "a boundary that begins another", FROM + MIXED + b"\n--xx\nContent-Type: multipart/mixed; boundary=xxyy\n\n--xxyy\n" + ATTACHED + \
        b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xxyy--\n--xx--\n"
    yield "a boundary that another begins", FROM + MIXED.replace(b"xx", b"xxyy") + b"\n--xxyy\nContent-Type: multipart/mixed; boundary=xx\n\n--xx\n" + ATTACHED + \
        b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n--xxyy--\n"
    yield "the same boundary inside", FROM + MIXED + b"\n--xx\n" + MIXED + b"\n--xx\n" + ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n--xx--\n"
    yield "the outer one is not ended", FROM + MIXED + b"\n--xx\nContent-Type: multipart/mixed; boundary=yy\n\n--yy\n" + ATTACHED + \
        b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n"
    for depth in (5, 20, 60, 200):
        inner = ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload)
        for n in range(depth):
            inner = b"Content-Type: multipart/mixed; boundary=b%03d\n\n--b%03d\n" % (n, n) + inner + b"\n--b%03d--\n" % n
        yield "multiparts nested %d deep" % depth, FROM + inner
    yield "2,000 parts before it", FROM + MIXED + b"\n" + b"--xx\nContent-Type: text/plain\n\nx\n" * 2000 + b"--xx\n" + ATTACHED + \
        b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n"
    yield "mbox, the third of three", b"\n".join(b"From a@example.org Sat Jan  1 00:00:00 2022\n" + m for m in (message(), message(), whole))
    yield "mbox, no empty lines between", b"".join(b"From a@example.org Sat Jan  1 00:00:00 2022\n" + m for m in (message(), whole))
    yield "a From line in the part", parts(payload, part=b"From a@example.org Sat Jan  1 00:00:00 2022\n" + ATTACHED + b"Content-Transfer-Encoding: base64\n")
    yield "a From line before the part", parts(payload, before=b"\nFrom a@example.org Sat Jan  1 00:00:00 2022\n\n--xx\n")


def lines(payload):
    whole, text = parts(payload), base64.b64encode(payload)
    yield "CR LF", whole.replace(b"\n", b"\r\n")
    yield "CR alone", whole.replace(b"\n", b"\r")
    yield "CR CR LF", whole.replace(b"\n", b"\r\r\n")
    yield "LF CR", whole.replace(b"\n", b"\n\r")
    yield "CR alone in the part's head", whole.replace(ATTACHED, ATTACHED.replace(b"\n", b"\r"))
    yield "CR alone in the head", FROM.replace(b"\n", b"\r") + whole[len(FROM):]
    yield "a vertical tab for each line end in the head", whole.replace(b"octet-stream\n", b"octet-stream\v")
    yield "NULs at the line ends", whole.replace(b"\n", b"\0\n")
    for what, body in (("one line", text), ("one character a line", b"\n".join(bytes([c]) for c in text)), ("blanks", b" ".join(text[n:n + 4] for n in range(0, len(text), 4))),
                       ("junk", b"!".join(text[n:n + 4] for n in range(0, len(text), 4))), ("hyphens", b"-".join(text[n:n + 5] for n in range(0, len(text), 5))),
                       ("NULs", b"\0".join(text[n:n + 5] for n in range(0, len(text), 5))), ("8 bit between", b"\xff".join(text[n:n + 7] for n in range(0, len(text), 7))),
                       ("no padding", text.rstrip(b"=")), ("too much padding", text + b"===="), ("padding in the middle", base64.b64encode(payload[:10]) + base64.b64encode(payload[10:])),
                       ("padding in each line", b"\n".join(base64.b64encode(payload[n:n + 10]) for n in range(0, len(payload), 10))),
                       ("padding first", b"====\n" + text), ("an empty line first", b"\n\n\n" + text), ("an empty line inside", text[:24] + b"\n\n\n" + text[24:]),
                       ("words before it", b"This is it:\n" + text), ("words behind it", text + b"\nThat was it.\n"),
                       ("base64url", text.replace(b"+", b"-").replace(b"/", b"_")), ("tabs first", b"\n".join(b"\t" + text[n:n + 60] for n in range(0, len(text), 60))),
                       ("lines of 61", b"\n".join(text[n:n + 61] for n in range(0, len(text), 61))), ("a line of 10,000 blanks", b" " * 10000 + text),
                       ("a quoted mail", b"\n".join(b"> " + text[n:n + 60] for n in range(0, len(text), 60)))):
        yield "base64, " + what, parts(payload, body=body + b"\n")
    quoted = quopri.encodestring(payload, quotetabs=True)
    every = b"".join(b"=%02X" % c for c in payload)
    small = b"".join(b"=%02x" % c for c in payload)
    for what, body in (("each character", b"=\n".join(every[n:n + 72] for n in range(0, len(every), 72))), ("small letters", b"=\n".join(small[n:n + 72] for n in range(0, len(small), 72))),
                       ("one line", every), ("a character a line", b"=\n".join(bytes([c]) for c in payload)), ("blanks behind =", b"= \t\n".join(every[n:n + 72] for n in range(0, len(every), 72))),
                       ("CR LF", b"=\r\n".join(every[n:n + 72] for n in range(0, len(every), 72))), ("wrong ones before", b"=ZZ=\n" + quoted)):
        yield "quoted-printable, " + what, parts(payload, part=ATTACHED + b"Content-Transfer-Encoding: quoted-printable\n", body=body + b"\n")
    yield "8bit", parts(payload, part=ATTACHED + b"Content-Transfer-Encoding: 8bit\n", body=payload)
    yield "binary", parts(payload, part=ATTACHED + b"Content-Transfer-Encoding: binary\n", body=payload)
    uu = uuencoded(payload).split(b"\n\nGood day.\n\n")[1]
    for encoding in (b"x-uuencode", b"uuencode", b"x-uue", b"7bit", b"X-UUENCODE"):
        yield "uuencode as %s" % encoding.decode(), parts(payload, part=ATTACHED + b"Content-Transfer-Encoding: %s\n" % encoding, body=uu)
    yield "uuencode in a text", parts(payload, part=b"Content-Type: text/plain\n", body=b"words\n\n" + uu)
    yield "uuencode without its end", uuencoded(payload)[:-6]
    yield "uuencode with blanks", uuencoded(payload).replace(b"`", b" ")
    yield "uuencode, mode 0644", uuencoded(payload).replace(b"begin 644", b"begin 0644")
    yield "uuencode, the second", uuencoded(b"hello") + uu
    yield "begin-base64", FROM + b"\nwords\n\nbegin-base64 644 a.bin\n" + coded(payload) + b"====\n"
    yield "begin-base64 in a part", parts(payload, part=b"Content-Type: text/plain\n", body=b"begin-base64 644 a.bin\n" + coded(payload) + b"====\n")
    yield "yEnc in a part", parts(payload, part=b"Content-Type: text/plain\n", body=mails.yencoded(payload).split(b"\n\n", 1)[1])
    yield "yEnc by its encoding", parts(payload, part=ATTACHED + b"Content-Transfer-Encoding: x-yencode\n", body=mails.yencoded(payload).split(b"\n\n", 1)[1])
    hqx = binhex(payload)
    yield "BinHex in the text", FROM + b"\n" + hqx
    yield "BinHex in a part", parts(payload, part=b"Content-Type: application/mac-binhex40\n", body=hqx)
    yield "BinHex in a text part", parts(payload, part=b"Content-Type: text/plain\n", body=hqx)
    yield "cut off in the base64", parts(payload + os.urandom(3000))[:-2000]


def binhex(content, name=b"a.bin"):
    def crc(data):
        value = 0
        for byte in data + b"\0\0":
            for bit in range(7, -1, -1):
                value = (value << 1 | byte >> bit & 1) ^ (0x1021 if value & 0x8000 else 0)
                value &= 0xffff
        return struct.pack(">H", value)
    head = bytes([len(name)]) + name + b"\0" + b"BINAhDmp" + struct.pack(">HII", 0, len(content), 0)
    data = (head + crc(head) + content + crc(content) + crc(b"")).replace(b"\x90", b"\x90\0")
    digits = b"!\"#$%&'()*+,-012345689@ABCDEFGHIJKLMNPQRSTUVXYZ[`abcdefhijklmpqr"
    bits = int.from_bytes(data + bytes(-len(data) % 3), "big")
    count = -(-len(data) * 8 // 6)
    total = (len(data) + -len(data) % 3) * 8
    text = bytes(digits[bits >> (total - 6 * (n + 1)) & 63] for n in range(count))
    text = b":" + text + b":"
    return b"(This file must be converted with BinHex 4.0)\n\n" + b"\n".join(text[n:n + 64] for n in range(0, len(text), 64)) + b"\n"


def types(payload):
    """libclamav goes by the type of a part, mail programs by the name that stands there."""
    encoded = b"Content-Transfer-Encoding: base64\n"
    for kind in (b"text/html", b"text/enriched", b"text/x-vcard", b"text/calendar", b"text", b"text/rfc822", b"video/mp4", b"audio/wav", b"model/x", b"font/ttf",
                 b"x-foo/bar", b"*/*", b"application/x-foo", b"application/pkcs7-mime", b"application/pgp", b"application/pgp-signature", b"application/pgp-encrypted",
                 b"application/ms-tnef", b"application/x-pkcs7-signature", b"text/plain; charset=utf-16", b"text/html; charset=utf-7", b"message/foo",
                 b"message/http", b"message/delivery-status", b"message/disposition-notification", b"message/external-body; access-type=local-file; name=x"):
        named = b"Content-Type: " + kind + b"\n"
        yield "inline: " + kind.decode(), parts(payload, part=named + encoded)
        yield "attached: " + kind.decode(), parts(payload, part=named + b"Content-Disposition: attachment; filename=a.zip\n" + encoded)
        if not kind.startswith(b"message/"):
            yield "the whole: " + kind.decode(), FROM + named + encoded + b"\n" + coded(payload)
    yield "message/rfc822, the whole", FROM + b"Content-Type: message/rfc822\n\n" + parts(payload)
    whole = parts(payload)
    for how in (b"mUltiPart/MiXed", b"multipart / mixed", b"multipart", b"\"multipart/mixed\"", b"(words) multipart/mixed", b"multipart(words)/mixed", b"multipart/\n mixed",
                b"\n multipart/mixed"):
        yield "type: %r" % how.decode(), whole.replace(b"multipart/mixed", how)
    yield "type: no semicolon", whole.replace(b"multipart/mixed;", b"multipart/mixed")


def multiparts(payload):
    """libclamav takes some parts of some kinds for other forms of the same text."""
    part = ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload)
    page = b"Content-Type: text/html\n\n<html>hello</html>\n"
    rows = [("before the text", [part, WORDS]), ("between texts", [WORDS, part, WORDS]), ("behind text and page", [WORDS, page, part]),
            ("behind an attachment", [b"Content-Type: application/x\n\nwords\n", part]), ("behind a page", [page, part]), ("before a page", [part, page]),
            ("behind a mail", [b"Content-Type: message/rfc822\n\n" + FROM + WORDS, part]),
            ("behind a multipart", [b"Content-Type: multipart/alternative; boundary=zz\n\n--zz\n" + WORDS + b"--zz--\n", part]),
            ("in a related part", [WORDS, b"Content-Type: multipart/related; boundary=zz\n\n--zz\n" + page + b"--zz\n" + part + b"--zz--\n"])]
    for kind in (b"mixed", b"alternative", b"related", b"report", b"digest", b"appledouble", b"form-data", b"encrypted", b"signed", b"unknown"):
        for what, inside in rows:
            yield "%s: %s" % (kind.decode(), what), FROM + b"Content-Type: multipart/%s; boundary=xx\n\n" % kind + b"".join(b"--xx\n" + one for one in inside) + b"--xx--\n"
    signed = FROM + b"Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=ss\n\n--ss\n"
    signature = b"--ss\nContent-Type: application/pgp-signature\n\n-----BEGIN PGP SIGNATURE-----\n--ss--\n"
    yield "signed, as it should be", signed + parts(payload)[len(FROM):] + signature
    yield "signed, a part alone", signed + part + signature
    yield "signed, the signature first", signed + b"Content-Type: application/pgp-signature\n\nwords\n--ss\n" + part + b"--ss--\n"
    yield "signed, behind the signature", signed + WORDS + signature[:-7] + b"--ss\n" + part + b"--ss--\n"
    yield "signed, it says that it is the signature", signed + WORDS + b"--ss\n" + part.replace(b"application/octet-stream", b"application/pgp-signature") + b"--ss--\n"
    yield "signed, a signature by another name", signed + WORDS + b"--ss\n" + part.replace(ATTACHED, b"Content-Disposition: attachment; filename=\"a.zip\"\n"
                                                                                        b"Content-Type: application/pgp-signature\n") + b"--ss--\n"
    yield "signed, with a boundary in pieces", (signed + WORDS + b"--ss\n" + part + b"--ss--\n").replace(b"boundary=ss", b"boundary*0=s; boundary*1=s")


def begun(payload):
    """A message whose first headers libclamav does not know, wherever it lies."""
    body = MIXED + b"\n--xx\n" + WORDS + b"--xx\n" + ATTACHED + b"Content-Transfer-Encoding: base64\n\n" + coded(payload) + b"--xx--\n"
    for head in (b"X-Spam: no\nSubject: a\n", b"X-Spam: no\n" * 200 + b"From: a@b\n", b"X-Spam: " + b"no " * 1000 + b"\nFrom: a@b\n", b"Content-Disposition: inline\n",
                 b"X-Spam: no\nTo: a\nDate: b\nSubject: c\n", b"\xef\xbb\xbfX-Spam: no\n", b"\n\nX-Spam: no\n", b"X-Spam: no\n.no header\n"):
        whole, what = head + body, "begins %r, " % head[:40].decode("latin-1")
        yield what + "the whole", whole
        yield what + "attached", message(("a.eml", whole))
        yield what + "in a zip", message(("a.zip", zip_of({"a.eml": whole})))
        yield what + "message/rfc822", parts(payload, part=b"Content-Type: message/rfc822\n", body=whole.replace(b"xx", b"yy"))
        yield what + "message/rfc822 in base64", parts(payload, part=b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n", body=coded(whole))
        yield what + "dbox", samples.dbox(whole)
        yield what + "mdbox", samples.dbox(message(), whole)
        yield what + "zstd", pack("zstd -q", whole)
        yield what + "gzip", gzip.compress(whole)
        if head[:1] != b"\n":
            yield what + "mbox", b"From a@example.org Sat Jan  1 00:00:00 2022\n" + whole


def odd_tars(payload):
    small = zip_of({"a.bin": payload})
    tar = tar_of({"a.zip": small})

    def changed(at, value):
        out = bytearray(tar)
        out[at:at + len(value)] = value
        out[148:156] = b"        "
        out[148:156] = b"%06o\0 " % sum(out[:512])
        return bytes(out)
    record = b"%d size=%d\n" % (len(b" size=%d\n" % len(small)) + 2, len(small))
    for what, content in (("a size in base 256", changed(124, b"\x80" + bytes(7) + struct.pack(">I", len(small)))), ("a size with blanks", changed(124, b"%11o " % len(small))),
                          ("an unknown type", changed(156, b"A")), ("contiguous", changed(156, b"7")), ("an old type", changed(156, b"\0")),
                          ("a size in a pax header", tar_typed(tar_of({"PaxHeader": record}), b"x")[:1024] + changed(124, b"00000000000\0"))):
        yield "tar, " + what, content
        yield "tar, %s, gzip'd" % what, gzip.compress(content)


def tar_typed(tar, kind):
    out = bytearray(tar)
    out[156:157] = kind
    out[148:156] = b"        "
    out[148:156] = b"%06o\0 " % sum(out[:512])
    return bytes(out)


# ---- archives and streams ----

def local_only(payload):
    whole = zip_of({"a.bin": payload})
    return whole[:whole.index(b"PK\1\2")]


def streamed(payload):
    """Sizes come behind the data, as where an archive is written into a pipe."""
    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = b""

        def writable(self):
            return True

        def write(self, data):
            self.data += bytes(data)
            return len(data)
    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", payload)
    return pipe.data


def patched(whole, magic, at, value, which=0):
    out, start = bytearray(whole), -1
    for _ in range(which + 1):
        start = whole.index(magic, start + 1)
    out[start + at:start + at + len(value)] = value
    return bytes(out)


def zips(payload):
    plain = zip_of({"a.bin": payload})
    yield "zip, sizes behind the data", streamed(payload)
    yield "zip, only local headers", local_only(payload)
    yield "zip, 100 bytes before it", os.urandom(100) + plain
    yield "zip, 1 MB before it", bytes(1 << 20) + plain
    yield "zip, 3 MB before it", os.urandom(3 << 20) + plain
    yield "zip, text before it", b"hello, this is text\n" * 50 + plain
    yield "zip, 100 kB behind it", plain + bytes(100 << 10)
    yield "zip behind a clean zip", zip_of({"b.txt": b"clean and more"}) + plain
    yield "a clean zip behind it", plain + zip_of({"b.txt": b"clean and more"})
    yield "zip in the comment of a clean one", patched(zip_of({"b.txt": b"clean"}), b"PK\5\6", 20, struct.pack("<H", len(plain))) + plain
    yield "zip, encrypted by its local header alone", patched(plain, b"PK\3\4", 6, b"\1\0")
    yield "zip, encrypted by its list alone", patched(plain, b"PK\1\2", 8, b"\1\0")
    yield "zip, stored by its local header", patched(plain, b"PK\3\4", 8, b"\0\0")
    yield "zip, stored by its list", patched(plain, b"PK\1\2", 10, b"\0\0")
    yield "zip, an unknown method in the local header", patched(plain, b"PK\3\4", 8, b"\x55\0")
    yield "zip, an unknown method in the list", patched(plain, b"PK\1\2", 10, b"\x55\0")
    yield "zip, no size in the local header", patched(plain, b"PK\3\4", 18, bytes(8))
    yield "zip, no size in the list", patched(plain, b"PK\1\2", 20, bytes(8))
    yield "zip, huge sizes in the local header", patched(plain, b"PK\3\4", 18, b"\xff" * 8)
    yield "zip, huge sizes in the list", patched(plain, b"PK\1\2", 20, b"\xff\xff\xff\x7f" * 2)
    yield "zip, a wrong checksum", patched(plain, b"PK\3\4", 14, b"\0\0\0\0")
    yield "zip, a local header with another magic", patched(plain, b"PK\3\4", 0, b"PK\3\5")
    yield "zip, a list with another magic", patched(plain, b"PK\1\2", 0, b"PK\1\3")
    yield "zip, no end of the list", plain[:plain.index(b"PK\5\6")]
    yield "zip, a list of nothing", patched(plain, b"PK\5\6", 8, bytes(4))
    yield "zip, cut off in the list", plain[:-30]
    yield "zip, many disks", patched(plain, b"PK\5\6", 4, b"\1\0\1\0")
    yield "zip, a spanned marker first", b"PK\7\x08" + plain
    yield "zip, PK00 first", b"PK00" + plain
    yield "zip, the second of the same name", two_of_a_name(payload)
    yield "zip, a name of 60,000 bytes", zip_of({"a" * 60000: payload})
    yield "zip, a name without letters", zip_of({"/": b"", "../..": payload})
    yield "zip, a folder that has content", zip_of({"a/": payload})
    yield "zip, bzip2", zip_of({"a.bin": payload}, zipfile.ZIP_BZIP2)
    yield "zip, LZMA", zip_of({"a.bin": payload}, zipfile.ZIP_LZMA)
    yield "zip, encrypted member before", samples.zip_join(samples.zip_encrypted(b"x" * 100), plain)
    yield "zip, encrypted member behind", samples.zip_join(plain, samples.zip_encrypted(b"x" * 100))
    yield "zip, encrypted", samples.zip_encrypted(payload)
    yield "zip, 64 bits", zip64(payload)
    yield "zip, the list twice, the first clean", two_lists(payload)
    yield "zip, cut off in its data", zip_of({"a.bin": payload + os.urandom(5000)})[:-3000]
    for n, which in enumerate(("first", "second")):
        names = ["0.txt", "a.bin"][::1 if n else -1]
        two = zip_of({name: payload if name == "a.bin" else b"clean and harmless text" for name in names})
        for what, magic, at, value in (("no size", b"PK\3\4", 18, bytes(8)), ("no packed size", b"PK\3\4", 18, bytes(4)), ("huge sizes", b"PK\3\4", 18, b"\xff" * 8),
                                       ("a huge packed size", b"PK\3\4", 18, b"\xff\xff\xff\x7f"), ("another method", b"PK\3\4", 8, b"\0\0"),
                                       ("encrypted", b"PK\3\4", 6, b"\1\0"), ("masked", b"PK\3\4", 6, b"\0\x20"), ("a longer name", b"PK\3\4", 26, b"\xff\0"),
                                       ("no size in the list", b"PK\1\2", 20, bytes(8)), ("another method in the list", b"PK\1\2", 10, b"\0\0"),
                                       ("a longer name in the list", b"PK\1\2", 28, b"\xff\0"), ("elsewhere by the list", b"PK\1\2", 42, b"\xff\xff\0\0"),
                                       ("the other's place in the list", b"PK\1\2", 42, struct.pack("<I", 0 if n else two.index(b"PK\3\4", 10)))):
            odd = patched(two, magic, at, value, n)
            yield "zip, the %s of two: %s" % (which, what), odd
            if what.startswith("no "):
                yield "text, then a zip, the %s of two: %s" % (which, what), b"hello, this is text\n" * 50 + odd
                yield "zip, then junk, the %s of two: %s" % (which, what), odd + bytes(1000)
    for what, words in (("of one", "zip -q -fz out.zip a.bin"), ("of two", "zip -q -fz out.zip b.txt a.bin"), ("from a pipe", "cat a.bin | zip -q - - >out.zip")):
        yield "zip of 64 bits, " + what, by_tool(["sh", "-c", words], {"a.bin": payload, "b.txt": b"clean and harmless text"}, "out.zip")
    yield "a PNG with a zip behind it", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(17) + b"\0\0\0\0IEND\xaeB`\x82" + plain
    yield "a GIF with a zip behind it", b"GIF89a\1\0\1\0\0\0\0;" + plain
    yield "a JPEG with a zip behind it", b"\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xd9" + plain
    yield "a PDF with a zip behind it", mails.pdf(b"hello") + plain
    yield "HTML with a zip behind it", b"<html><body>hello</body></html>\n" + plain
    yield "a program with a zip behind it", open("/bin/true", "rb").read() + plain
    yield "an mp3 with a zip behind it", b"ID3\3\0\0\0\0\0\n" + bytes(4000) + plain
    yield "a 7z with a zip behind it", seven_zip({"b.txt": b"clean"}) + plain
    yield "a RAR with a zip behind it", samples.rar4(b"clean") + plain
    yield "a tar with a zip behind it", tar_of({"b.txt": b"clean"}) + plain
    yield "a zip with a RAR behind it", zip_of({"b.txt": b"clean"}) + samples.rar4(payload)
    yield "a 7z behind 100 bytes", os.urandom(100) + seven_zip({"a.bin": payload})
    yield "a 7z behind text", b"hello\n" * 40 + seven_zip({"a.bin": payload})
    yield "a PDF behind 900 bytes", b"junk " * 180 + mails.pdf(payload)


def two_of_a_name(payload):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bin", b"clean and harmless")
        archive.writestr("b.bin", payload)
    return out.getvalue().replace(b"b.bin", b"a.bin")


def zip64(payload):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.bin", "w", force_zip64=True) as member:
            member.write(payload)
    return out.getvalue()


def two_lists(payload):
    """One end of the list speaks of a clean member, the last one of the other."""
    clean, bad = zip_of({"b.txt": b"clean"}), zip_of({"a.bin": payload})
    end = bytearray(bad[bad.index(b"PK\5\6"):])
    listing = bytearray(bad[bad.index(b"PK\1\2"):bad.index(b"PK\5\6")])
    data = bad[:bad.index(b"PK\1\2")]
    listing[42:46] = struct.pack("<I", len(clean))
    end[16:20] = struct.pack("<I", len(clean) + len(data))
    return clean + data + bytes(listing) + bytes(end)


def pack(words, content):
    return by_tool(["sh", "-c", words + " <a >out"], {"a": content}, "out")


def streams(payload):
    yield "gzip, two members, the second", gzip.compress(b"clean and harmless") + gzip.compress(payload)
    yield "gzip, two members, the first", gzip.compress(payload) + gzip.compress(b"clean and harmless")
    yield "gzip, cut in two members", gzip.compress(payload[:20]) + gzip.compress(payload[20:])
    yield "gzip, a hundred members, the last", gzip.compress(b"clean and harmless") * 100 + gzip.compress(payload)
    yield "gzip, with extra, name and comment", b"\x1f\x8b\x08\x1c" + bytes(6) + struct.pack("<H", 300) + bytes(300) + b"name\0comment\0" + gzip.compress(payload)[10:]
    yield "gzip, with a checksum of its head", b"\x1f\x8b\x08\x02" + bytes(6) + b"\0\0" + gzip.compress(payload)[10:]
    yield "gzip, reserved flags", b"\x1f\x8b\x08\xe0" + bytes(6) + gzip.compress(payload)[10:]
    yield "gzip, a wrong checksum", gzip.compress(payload)[:-8] + bytes(8)
    yield "gzip, no end", gzip.compress(payload + os.urandom(3000))[:-900]
    yield "gzip, junk behind it", gzip.compress(payload) + b"junk" * 50
    yield "bzip2, two streams", bz2.compress(b"clean and harmless") + bz2.compress(payload)
    yield "bzip2, no end", bz2.compress(payload)[:-8]
    yield "xz, two streams", lzma.compress(b"clean and harmless") + lzma.compress(payload)
    yield "xz, padding between", lzma.compress(b"clean and harmless") + bytes(8) + lzma.compress(payload)
    yield "xz, no end", lzma.compress(payload)[:-30]
    yield "xz, BCJ", lzma.compress(payload, filters=[{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2}])
    yield "lzma", lzma.compress(payload, lzma.FORMAT_ALONE)
    z = lambda content: pack("zstd -q", content)
    clean = z(b"clean and harmless")
    for wrap, name in ((lambda c: c, "the file"), (lambda c: message(("a.zst", c)), "in a mail")):
        yield "zstd, skippable frame first, " + name, wrap(samples.skippable(z(payload)))
        yield "zstd, skippable frames first, " + name, wrap(samples.skippable(samples.skippable(z(payload))))
        yield "zstd, skippable of other number first, " + name, wrap(b"\x5f\x2a\x4d\x18\4\0\0\0abcd" + z(payload))
        yield "zstd, two frames, " + name, wrap(clean + z(payload))
        yield "zstd, skippable between, " + name, wrap(clean + b"\x50\x2a\x4d\x18\4\0\0\0abcd" + z(payload))
        yield "zstd, a window of 2 GB, " + name, wrap(pack("zstd -q --ultra -22 --long=31", payload * 10))
        yield "lz4, " + name, wrap(pack("lz4 -q", payload))
        yield "lz4, legacy, " + name, wrap(pack("lz4 -q -l", payload))
        yield "lz4, skippable first, " + name, wrap(samples.skippable(pack("lz4 -q", payload)))
        yield "skippable alone with it inside, " + name, wrap(b"\x50\x2a\x4d\x18" + struct.pack("<I", len(payload)) + payload)
        yield "lzip, " + name, wrap(pack("lzip -q", payload))
        yield "lzop, " + name, wrap(pack("lzop -q", payload))
        yield "brotli, " + name, wrap(pack("brotli", payload))
    yield "tar, gzip'd twice", gzip.compress(gzip.compress(tar_of({"a.bin": payload})))
    for fmt, name in ((tarfile.USTAR_FORMAT, "ustar"), (tarfile.GNU_FORMAT, "GNU"), (tarfile.PAX_FORMAT, "pax")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=fmt) as archive:
            for member, content in (("x" * 99, b"clean"), ("\u00e9" * 40 + ("y" * 60 if fmt != tarfile.USTAR_FORMAT else ""), payload)):
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        yield "tar, %s" % name, gzip.compress(out.getvalue())
    tar = tar_of({"a.bin": payload})
    v7 = bytearray(tar)
    v7[257:265] = bytes(8)
    v7[148:156] = b"        "
    v7[148:156] = b"%06o\0 " % sum(v7[:512])
    yield "tar, version 7", bytes(v7)
    yield "tar, version 7, gzip'd", gzip.compress(bytes(v7))
    yield "tar, two of them", gzip.compress(tar_of({"b.txt": b"clean"}) + tar)
    yield "tar, cut off", gzip.compress(tar[:512 + len(payload)])
    yield from odd_tars(payload)
    for form in ("odc", "newc", "bin", "crc"):
        try:
            yield "cpio, " + form, gzip.compress(by_tool(["sh", "-c", "echo a.bin | cpio -o -H %s >out 2>/dev/null" % form], {"a.bin": payload}, "out"))
        except Missing as missing:
            yield "cpio, " + form, missing
    for method in ("LZMA", "LZMA2", "PPMd", "BZip2", "Deflate", "Copy"):
        yield "7z, " + method, seven_zip({"a.bin": payload * 3}, "-m0=" + method)
    yield "7z, BCJ", seven_zip({"a.exe": open("/bin/true", "rb").read(), "a.bin": payload}, "-m0=BCJ", "-m1=LZMA")
    yield "7z, BCJ2", seven_zip({"a.exe": open("/bin/true", "rb").read(), "a.bin": payload}, "-mf=BCJ2")
    yield "7z, Delta", seven_zip({"a.bin": payload}, "-mf=Delta:4")
    yield "7z, no list compressed", seven_zip({"a.bin": payload}, "-mhc=off")
    yield "7z, encrypted", seven_zip({"a.bin": payload}, "-psecret")
    yield "7z, list encrypted", seven_zip({"a.bin": payload}, "-psecret", "-mhe=on")
    yield "7z, cut off", seven_zip({"a.bin": payload})[:-10]
    yield "7z, an empty file before it", seven_zip({"0.txt": b"", "a.bin": payload})
    yield "ar", by_tool(["ar", "rc", "out.a", "a.bin"], {"a.bin": payload}, "out.a")


def documents(payload):
    plain = zip_of({"a.bin": payload})
    yield "ISO in a zip", zip_of({"a.iso": mails.iso({"a.bin": payload})})
    yield "ISO, UDF", by_tool(["genisoimage", "-quiet", "-udf", "-o", "out.iso", "a.bin"], {"a.bin": payload}, "out.iso")
    yield "ISO, a hidden file", by_tool(["genisoimage", "-quiet", "-J", "-hide", "a.bin", "-hide-joliet", "b", "-o", "out.iso", "a.bin"], {"a.bin": payload}, "out.iso")
    for kind in ("ext2", "ext4"):
        try:
            yield kind + " image", by_tool(["sh", "-c", "mkfs.%s -q -d d out 400" % kind], {"d/a.bin": plain * 3}, "out")
        except Missing as missing:
            yield kind + " image", missing
    yield "FAT image", fat(plain)
    yield "FAT image in a mail", message(("a.img", fat(plain)))
    yield "FAT image with a table of partitions", b"\0" * 446 + b"\x80\1\1\0\6\1\1\1" + struct.pack("<II", 1, 2880) + bytes(48) + b"\x55\xaa" + fat(plain)
    yield "OLE2 stream", mails.compound({"stream": plain})
    yield "Outlook's .msg with an attachment", mails.compound({"__attach_version1.0_#00000000": {"__substg1.0_37010102": plain, "__substg1.0_3707001F": "a.zip".encode("utf-16-le")},
                                                              "__properties_version1.0": bytes(64)})
    yield "OLE2 package", mails.compound({"\1Ole10Native": struct.pack("<I", len(payload) + 30) + b"\2\0a.bin\0a.bin\0\0\0\3\0\6\0\0\0a.bin\0" + struct.pack("<I", len(payload)) + payload})
    yield "docx with an OLE2 package", mails.office("doc", **{"word/embeddings/oleObject1.bin": mails.compound(
        {"\1Ole10Native": struct.pack("<I", len(plain) + 30) + b"\2\0a.bin\0a.bin\0\0\0\3\0\6\0\0\0a.bin\0" + struct.pack("<I", len(plain)) + plain})})
    ole = b"\1\5\0\0\2\0\0\0\x08\0\0\0Package\0" + bytes(8) + struct.pack("<I", len(payload) + 40) + \
        b"\2\0a.bin\0a.bin\0\0\0\3\0\6\0\0\0a.bin\0" + struct.pack("<I", len(payload)) + payload + bytes(16)
    for what, data in (("", ole.hex().encode()), (", blanks", b" \r\n".join(ole.hex().encode()[n:n + 2] for n in range(0, 2 * len(ole), 2)))):
        yield "RTF with a package" + what, b"{\\rtf1\\ansi hello {\\object\\objemb{\\*\\objclass Package}{\\*\\objdata " + data + b"}}}"
    yield "RTF with a package, no version", b"{\\rt{\\object\\objemb{\\*\\objdata " + ole.hex().encode() + b"}}}"
    for what, name, code in (("hex", b"/ASCIIHexDecode", lambda c: c.hex().encode() + b">"), ("base 85", b"/ASCII85Decode", lambda c: base64.a85encode(c) + b"~>"),
                             ("runs", b"/RunLengthDecode", lambda c: b"".join(bytes([len(c[n:n + 128]) - 1]) + c[n:n + 128] for n in range(0, len(c), 128)) + b"\x80"),
                             ("hex, deflate", b"[/ASCIIHexDecode /FlateDecode]", lambda c: zlib.compress(c).hex().encode() + b">"),
                             ("short names", b"/Fl", zlib.compress), ("odd letters", b"/#46lateDecode", zlib.compress),
                             ("lzw", b"/LZWDecode", lzw)):
        whole, packed = mails.pdf(plain), code(plain)
        start, end = whole.index(b"<< /Type /EmbeddedFile"), whole.index(b"endstream")
        yield "PDF, " + what, whole[:start] + b"<< /Type /EmbeddedFile /Filter %s /Length %d >>\nstream\n%s\n" % (name, len(packed), packed) + whole[end:]
    yield "PDF, a wrong length", mails.pdf(plain).replace(b"/Length ", b"/Length 9")
    yield "PDF, no end", mails.pdf(plain)[:mails.pdf(plain).index(b"endstream")]
    yield "HTML, base64 with blanks", mails.html_data(plain).replace(b";base64,", b"; base64,")
    yield "HTML, data: in capitals", mails.html_data(plain).replace(b"data:", b"DATA:")
    yield "HTML, an entity in it", mails.html_data(plain).replace(b"data:", b"d&#97;ta:")
    yield "HTML, percent signs", (b"<html><body><a download=\"a.bin\" href=\"data:application/octet-stream," + b"".join(b"%%%02x" % c for c in payload) + b"\">open</a></body></html>")
    yield "HTML in UTF-16", b"\xff\xfe" + mails.html_data(plain).decode().encode("utf-16-le")
    yield "HTML that smuggles", b"<html><script>var b = atob(\"" + base64.b64encode(plain) + b"\"); save(b);</script></html>"
    yield "SVG with a data: URI", b"<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"data:application/zip;base64," + base64.b64encode(plain) + b"\"/></svg>"
    yield "MHT", b"From: <Saved by Windows>\nSubject: x\nMIME-Version: 1.0\n" + parts(payload)[len(FROM):]
    yield "a calendar entry with an attachment", b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nATTACH;ENCODING=BASE64;VALUE=BINARY;FILENAME=a.zip:" + base64.b64encode(plain) + b"\nEND:VEVENT\nEND:VCALENDAR\n"
    yield "a visiting card with a picture", b"BEGIN:VCARD\nPHOTO;ENCODING=b;TYPE=JPEG:" + base64.b64encode(plain) + b"\nEND:VCARD\n"
    yield "a flat OpenDocument", b"<?xml version=\"1.0\"?><office:document><office:binary-data>" + base64.b64encode(plain) + b"</office:binary-data></office:document>"
    yield "Word's XML of 2003", b"<?xml version=\"1.0\"?><w:wordDocument xmlns:w=\"http://schemas.microsoft.com/office/word/2003/wordml\"><w:binData w:name=\"editdata.mso\">" + \
        base64.b64encode(active_mime(plain)) + b"</w:binData></w:wordDocument>"
    yield "Office's package in one XML", b"<?xml version=\"1.0\" standalone=\"yes\"?><?mso-application progid=\"Word.Document\"?>" \
        b"<pkg:package xmlns:pkg=\"http://schemas.microsoft.com/office/2006/xmlPackage\"><pkg:part pkg:name=\"/word/vbaProject.bin\"><pkg:binaryData>" + \
        base64.b64encode(mails.vba_project(payload)) + b"</pkg:binaryData></pkg:part></pkg:package>"
    yield "ActiveMime", active_mime(plain)
    yield "OneNote", onenote(plain)
    yield "TNEF with a zip", mails.winmail("a.zip", plain)
    yield "TNEF, a wrong checksum", mails.winmail("a.zip", plain)[:-2] + b"\0\0"
    yield "TNEF, cut off", mails.winmail("a.zip", plain)[:-20]
    yield "a mail that is signed so that its text is inside (p7m)", opaque(message(("a.zip", plain)))
    yield "the same, as a file", opaque(message(("a.zip", plain)), "-outform", "DER")
    yield "AppleDouble", b"\0\5\x16\7\0\2\0\0" + bytes(16) + struct.pack(">HIII", 1, 1, 38, len(plain)) + plain
    yield "MacBinary", b"\0\5a.bin".ljust(65, b"\0") + b"BINAhDmp" + bytes(10) + struct.pack(">II", len(plain), 0) + bytes(37) + plain
    yield "Flash, compressed", b"CWS\6" + struct.pack("<I", len(plain) + 8) + zlib.compress(plain)


def active_mime(content):
    head = b"ActiveMime\0\0\1\xf0\4\0\0\0\xff\xff\xff\xff\0\0\7\xf0"
    return head.ljust(50, b"\0") + zlib.compress(content)


def fat(content):
    """A FAT12 floppy with A.ZIP in it, in pieces that do not lie side by side."""
    count = -(-len(content) // 512)
    boot = b"\xeb\x3c\x90MSDOS5.0" + struct.pack("<HBHBHHBHHHI", 512, 1, 1, 2, 224, 2880, 0xf0, 9, 18, 2, 0) + bytes(6) + b"\x29" + bytes(4) + b"NO NAME    FAT12   "
    boot = boot.ljust(510, b"\0") + b"\x55\xaa"
    table, clusters = [0xff0, 0xfff] + [0] * 2846, [2 + 2 * n for n in range(count)]
    for this, after in zip(clusters, clusters[1:] + [0xfff]):
        table[this] = after
    raw = b"".join(bytes([a & 255, a >> 8 | (b & 15) << 4, b >> 4]) for a, b in zip(table[::2], table[1::2])).ljust(9 * 512, b"\0")
    root = (b"A       ZIP\x20" + bytes(14) + struct.pack("<HI", 2, len(content))).ljust(224 * 32, b"\0")
    data = bytearray((2880 - 33) * 512)
    for n, cluster in enumerate(clusters):
        data[(cluster - 2) * 512:(cluster - 2) * 512 + len(content[n * 512:n * 512 + 512])] = content[n * 512:n * 512 + 512]
    return boot + raw + raw + root + bytes(data)


def lzw(content):
    """Literals alone, a new table before it grows (PDF, early change)."""
    bits, count = 0, 0
    codes = []
    for n in range(0, len(content), 200):
        codes += [256, *content[n:n + 200]]
    for code in codes + [257]:
        bits, count = bits << 9 | code, count + 9
    return (bits << -count % 8).to_bytes((count + 7) // 8, "big")


def onenote(content):
    """A section file with one embedded file (MS-ONESTORE 2.6.13)."""
    head = bytes.fromhex("e4525c7b8cd8a74daeb15378d02996d3") + bytes(1008)
    return head + bytes.fromhex("e716e3bd65261145a4c48d4d0b7a9eac") + struct.pack("<Q", len(content)) + bytes(12) + content + bytes(-len(content) % 8) + \
        bytes.fromhex("22a7fb71790f0b4abb13899256426b24")


def opaque(mail, *words):
    return by_tool(["sh", "-c", "openssl req -x509 -newkey rsa:2048 -nodes -keyout k -out c -subj /CN=a -days 2 2>/dev/null && "
                    "openssl smime -sign -nodetach -in m -signer c -inkey k -from a@b -to c@d -subject x " + " ".join(words) + " >out"], {"m": mail}, "out")
