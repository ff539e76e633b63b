# SPDX-License-Identifier: GPL-2.0-only
"""Mails and documents made at run time, most of them by the programs that people use."""
import base64, binascii, email.encoders, email.message, email.mime.base, email.mime.multipart, email.mime.text, email.policy
import io, os, quopri, shutil, struct, subprocess, tarfile, tempfile, zipfile, zlib


def message(*parts):
    """parts: (name, bytes) or an email.message.Message; by Python's email library, base64."""
    mail = email.mime.multipart.MIMEMultipart()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", "a test"
    mail["Message-ID"], mail["Date"] = "<levels@example.org>", "Sat, 01 Jan 2022 00:00:00 +0000"
    mail.attach(email.mime.text.MIMEText("Good day.\n"))
    for part in parts:
        if isinstance(part, tuple):
            name, content = part
            part = email.mime.base.MIMEBase("application", "octet-stream")
            part.set_payload(content)
            email.encoders.encode_base64(part)
            part.add_header("Content-Disposition", "attachment", filename=name)
        mail.attach(part)
    return mail.as_bytes()


def quoted_printable(content, name="a.txt"):
    part = email.mime.base.MIMEBase("text", "plain")
    part.set_payload(quopri.encodestring(content).decode())
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.add_header("Content-Disposition", "attachment", filename=name)
    return message(part)


def within(mail, levels=1):
    """A mail in a mail, as message/rfc822."""
    for _ in range(levels):
        outer = email.mime.multipart.MIMEMultipart()
        outer["From"], outer["To"], outer["Subject"] = "c@example.org", "d@example.org", "Fwd: a test"
        part = email.mime.base.MIMEBase("message", "rfc822")
        part.set_payload([email.message_from_bytes(mail)])
        outer.attach(part)
        mail = outer.as_bytes()
    return mail


def uuencoded(content, name="a.bin"):
    lines = [b"begin 644 " + name.encode() + b"\n"]
    lines += [binascii.b2a_uu(content[at:at + 45]) for at in range(0, len(content), 45)]
    return (b"From: a@example.org\nTo: b@example.org\nSubject: uuencode\n\nGood day.\n\n" + b"".join(lines) + b"`\nend\n")


def yencoded(content, name="a.bin"):
    out, column = bytearray(), 0
    for byte in content:
        byte = (byte + 42) & 255
        if byte in (0, 10, 13, 61):
            out += bytes([61, (byte + 64) & 255])
            column += 1
        else:
            out.append(byte)
        column += 1
        if column >= 128:
            out += b"\r\n"
            column = 0
    return (b"From: a@example.org\nTo: b@example.org\nSubject: yEnc\n\n=ybegin line=128 size=%d name=%s\r\n" %
            (len(content), name.encode()) + bytes(out) + b"\r\n=yend size=%d crc32=%08x\r\n" % (len(content), zlib.crc32(content)))


def winmail(name, content):
    """A TNEF stream (MS-OXTNEF) with one attachment."""
    def attribute(level, number, data):
        return struct.pack("<BII", level, number, len(data)) + data + struct.pack("<H", sum(data) & 0xffff)
    return (struct.pack("<IH", 0x223e9f78, 1) + attribute(1, 0x00089006, struct.pack("<I", 0x10000)) +
            attribute(1, 0x00069007, struct.pack("<II", 1252, 0)) + attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0") +
            attribute(2, 0x00069002, struct.pack("<HIHHI", 1, 0xffffffff, 0, 0, 0)) +
            attribute(2, 0x00018010, name.encode() + b"\0") + attribute(2, 0x0006800f, content))


def html_data(content, kind="application/octet-stream"):
    return (b"<html><body><p>Your invoice</p><a download=\"a.bin\" href=\"data:%s;base64,%s\">open</a></body></html>\n" %
            (kind.encode(), base64.b64encode(content)))


def pdf(content, name=b"a.bin"):
    """A PDF with an embedded file."""
    packed, objects = zlib.compress(content), []
    objects.append(b"<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles << /Names [(%s) 4 0 R] >> >> >>" % name)
    objects.append(b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
    objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>")
    objects.append(b"<< /Type /Filespec /F (%s) /EF << /F 5 0 R >> >>" % name)
    objects.append(b"<< /Type /EmbeddedFile /Filter /FlateDecode /Length %d >>\nstream\n%s\nendstream" % (len(packed), packed))
    out, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1) + b"".join(b"%010d 00000 n \n" % at for at in offsets)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


# ---- archives by the programs that people use ----

class Missing(Exception):
    pass


def by_tool(argv, files, result):
    """Runs argv in a folder that holds files {name: bytes}; the bytes of `result`."""
    if not shutil.which(argv[0]):
        raise Missing(argv[0])
    folder = tempfile.mkdtemp()
    try:
        for name, content in files.items():
            os.makedirs(os.path.dirname(os.path.join(folder, name)) or folder, exist_ok=True)
            with open(os.path.join(folder, name), "wb") as f:
                f.write(content)
        done = subprocess.run(argv, cwd=folder, capture_output=True)
        if done.returncode != 0:
            raise Missing("%s: %s" % (argv[0], done.stderr[-200:]))
        with open(os.path.join(folder, result), "rb") as f:
            return f.read()
    finally:
        shutil.rmtree(folder)


def zip_of(files, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tar_of(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def seven_zip(files, *words):
    return by_tool(["7z", "a", "-bd", *words, "out.7z", *files], files, "out.7z")


def iso(files):
    return by_tool(["genisoimage", "-quiet", "-J", "-r", "-o", "out.iso", *["-graft-points"],
                    *["%s=%s" % (name, name) for name in files]], files, "out.iso")


# ---- Office ----

def compound(tree):
    """A compound file (MS-CFB). tree: {name: bytes or a tree}; every stream in sectors of 512 bytes."""
    sectors, fat, entries = [], [], []

    def add(data):
        count, first = max(1, -(-len(data) // 512)), len(sectors)
        for n in range(count):
            sectors.append(data[n * 512:(n + 1) * 512].ljust(512, b"\0"))
            fat.append(first + n + 1 if n + 1 < count else 0xfffffffe)
        return first

    def walk(name, node, kind):
        index = len(entries)
        entries.append(None)
        child, start, size = 0xffffffff, 0, 0
        if isinstance(node, dict):
            children = [walk(n, c, 1 if isinstance(c, dict) else 2) for n, c in node.items()]
            for left, right in zip(children, children[1:]):
                entries[left][1] = right
            child = children[0] if children else child
        else:
            data = node.ljust(4096, b"\0")
            start, size = add(data), len(data)
        entries[index] = [name, 0xffffffff, kind, child, start if kind == 2 else 0xfffffffe if kind == 5 else 0, size]
        return index
    walk("Root Entry", tree, 5)
    raw = b""
    for name, right, kind, child, start, size in entries:
        text = name.encode("utf-16-le") + b"\0\0"
        raw += (text.ljust(64, b"\0") + struct.pack("<HBBIII", len(text), kind, 1, 0xffffffff, right, child) + bytes(36) +
                struct.pack("<IQ", start, size))
    directory = add(raw.ljust(-(-len(raw) // 512) * 512, b"\0"))
    table = len(sectors)
    fat.append(0xfffffffd)
    assert len(fat) <= 128
    sectors.append(struct.pack("<%dI" % len(fat), *fat).ljust(512, b"\xff"))
    head = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3e, 3, 0xfffe, 9, 6) + bytes(6) +
            struct.pack("<IIIIIIIII", 0, 1, directory, 0, 4096, 0xfffffffe, 0, 0xfffffffe, 0) +
            struct.pack("<I", table)).ljust(512, b"\xff")
    return head + b"".join(sectors)


def vba_packed(data):
    """MS-OVBA 2.4.1, literals alone."""
    out = b"\1"
    for at in range(0, len(data), 3500):
        chunk = data[at:at + 3500]
        body = b"".join(b"\0" + chunk[n:n + 8] for n in range(0, len(chunk), 8))
        out += struct.pack("<H", 0xb000 | (len(body) + 2 - 3)) + body
    return out


def vba_project(source):
    """vbaProject.bin with one module (MS-OVBA 2.3)."""
    def record(number, data=b""):
        return struct.pack("<HI", number, len(data)) + data
    wide = lambda text: text.encode("utf-16-le")
    directory = (record(1, struct.pack("<I", 1)) + record(2, struct.pack("<I", 0x409)) + record(0x14, struct.pack("<I", 0x409)) +
                 record(3, struct.pack("<H", 1252)) + record(4, b"VBAProject") + record(5) + record(0x40) + record(6) + record(0x3d) +
                 record(7, bytes(4)) + record(8, bytes(4)) + struct.pack("<HIIH", 9, 4, 1, 0) + record(0xc) + record(0x3c) +
                 record(0xf, struct.pack("<H", 1)) + record(0x13, struct.pack("<H", 0xffff)) +
                 record(0x19, b"Module1") + record(0x47, wide("Module1")) + record(0x1a, b"Module1") + record(0x32, wide("Module1")) +
                 record(0x1c) + record(0x48) + record(0x31, bytes(4)) + record(0x1e, bytes(4)) +
                 record(0x2c, struct.pack("<H", 0xffff)) + record(0x21) + record(0x2b) + record(0x10))
    module = b'Attribute VB_Name = "Module1"\r\n' + source
    return compound({"VBA": {"dir": vba_packed(directory), "Module1": vba_packed(module), "_VBA_PROJECT": b"\xcc\x61\xff\xff\0\0\0"},
                     "PROJECT": b"ID=\"{0}\"\r\nModule=Module1\r\nName=\"VBAProject\"\r\n"})


def office(kind, macro=None, **more):
    """docx, xlsx and their like; with a macro: docm, xlsm."""
    main = {"doc": ("word/document.xml", b"<w:document/>"), "xls": ("xl/workbook.xml", b"<workbook/>")}[kind]
    types = (b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
             b'<Default Extension="xml" ContentType="application/xml"/></Types>')
    files = {"[Content_Types].xml": types, "_rels/.rels": b'<?xml version="1.0"?><Relationships/>',
             main[0]: b'<?xml version="1.0"?>' + main[1]}
    if macro is not None:
        files[os.path.dirname(main[0]) + "/vbaProject.bin"] = vba_project(macro)
    files.update(more)
    return zip_of(files)
