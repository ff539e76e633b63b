# SPDX-License-Identifier: GPL-2.0-only
"""Content made at run time: mails, archives, queue files. Nothing here is stored whole."""
import base64, bz2, gzip, hashlib, io, lzma, struct, tarfile, zipfile, zlib

EICAR = b"".join([b"X5O!P%@AP[4", b"\\PZX54(P^)7CC)7}$", b"EICAR-STANDARD-", b"ANTIVIRUS-TEST-", b"FILE!$H+H*"])
TEXT = b"A harmless line.\n" * 40


def ndb(name, pattern):
    return "%s:0:*:%s\n" % (name, pattern.hex())


def hdb(name, content):
    return "%s:%d:%s\n" % (hashlib.md5(content).hexdigest(), len(content), name)


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for number, member in enumerate(members):
            archive.writestr("member%d.bin" % number, member)
    return out.getvalue()


def nested(content, depth):
    for _ in range(depth):
        content = zipped(content, method=zipfile.ZIP_STORED)
    return content


def tarred(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number, member in enumerate(members):
            info = tarfile.TarInfo("member%d" % number)
            info.size = len(member)
            archive.addfile(info, io.BytesIO(member))
    return out.getvalue()


def mail(attachment=None, queue_id="4ABCDEF123", message_id="<one@example.org>", name="file.bin", body=b"Good day.\n"):
    head = [b"Return-Path: <a@example.org>",
            b"Received: from localhost (localhost [127.0.0.1])\n\tby mx.example.org (Postfix) with ESMTP id %s\n\tfor <b@example.org>; Sat, 1 Jan 2022 00:00:00 +0000 (UTC)" % queue_id.encode(),
            b"From: a@example.org", b"To: b@example.org", b"Subject: a test", b"Message-ID: " + message_id.encode(),
            b"MIME-Version: 1.0", b'Content-Type: multipart/mixed; boundary="=-b"']
    parts = b'\n\n--=-b\nContent-Type: text/plain\n\n' + body
    if attachment is not None:
        parts += (b'\n--=-b\nContent-Type: application/octet-stream; name="' + name.encode() +
                  b'"\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename="' + name.encode() +
                  b'"\n\n' + base64.encodebytes(attachment))
    return b"\n".join(head) + parts + b"\n--=-b--\n"


def varint(number):
    out = bytearray()
    while True:
        out.append(number & 0x7f | (0x80 if number > 0x7f else 0))
        number >>= 7
        if not number:
            return bytes(out)


def record(kind, data=b""):
    return kind.encode() + varint(len(data)) + data


def queue_file(message, piece=0):
    """As cleanup(8) writes it; piece: lines are cut into L records of that size."""
    lines = b""
    for line in message.split(b"\n")[:-1]:
        while piece and len(line) > piece:
            lines += record("L", line[:piece])
            line = line[piece:]
        lines += record("N", line)
    return (record("C", b"%15d %15d %15d %15d %15d %15d" % (len(message), 0, 1, 0, len(message), 0)) +
            record("T", b"1640995200 123456") + record("S", b"a@example.org") + record("O", b"b@example.org") +
            record("R", b"b@example.org") + record("M") + lines + record("X") + record("E"))


def zstd(content):
    """One frame, one raw block (RFC 8878)."""
    return (b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", len(content) - 256) +
            struct.pack("<I", len(content) << 3 | 1)[:3] + content)


def lz4(content):
    """One frame with one uncompressed block; its header checksum is left to readers that look at it."""
    return b"\x04\x22\x4d\x18\x60\x40\x82" + struct.pack("<I", len(content) | 1 << 31) + content + bytes(4)


def zstd_zeros(size):
    """`size` zero bytes in blocks of one repeated byte: 4 bytes for each 128 KiB."""
    blocks, left = b"", size
    while left:
        part = min(left, 128 << 10)
        left -= part
        blocks += struct.pack("<I", part << 3 | 1 << 1 | (0 if left else 1))[:3] + b"\0"
    return b"\x28\xb5\x2f\xfd\x00\x38" + blocks


def dovecot_lz4(content, chunk=65536):
    """As Dovecot's zlib plugin writes it; each chunk is one sequence of literals (LZ4 block format)."""
    out = b"Dovecot-LZ4\x0d\x2a\x9b\xc5" + struct.pack(">I", chunk)
    for at in range(0, len(content), chunk):
        part = content[at:at + chunk]
        if len(part) < 15:
            block = bytes([len(part) << 4]) + part
        else:
            block = b"\xf0" + b"\xff" * ((len(part) - 15) // 255) + bytes([(len(part) - 15) % 255]) + part
        out += struct.pack(">I", len(block)) + block
    return out


def dbox(*messages):
    """A file of Dovecot's sdbox (one message) or mdbox."""
    out = b"2 M1e C61d0c3f0\n"
    for message in messages:
        out += b"\1\2N" + b" " * 10 + b"%016x\n" % len(message) + message + b"\n\1\3\nR61d0c3f0\nV100\nG0a1b2c\nBINBOX\n\n"
    return out


def skippable(content):
    return b"\x50\x2a\x4d\x18" + struct.pack("<I", 7) + b"skipped" + content


def rar4(content, name=b"file.bin"):
    """One stored file."""
    def block(kind, flags, body):
        head = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
        return struct.pack("<H", zlib.crc32(head) & 0xffff) + head
    body = struct.pack("<IIBIIBBHI", len(content), len(content), 3, zlib.crc32(content), 0x21000000, 20, 0x30, len(name), 32)
    return b"Rar!\x1a\x07\0" + block(0x73, 0, bytes(6)) + block(0x74, 0x8000, body + name) + content + block(0x7b, 0x4000, b"")


def rar5(content, name=b"file.bin"):
    def block(body):
        body = varint(len(body)) + body
        return struct.pack("<I", zlib.crc32(body)) + body
    file = (varint(2) + varint(2) + varint(len(content)) + varint(4) + varint(len(content)) + varint(0o644) +
            struct.pack("<I", zlib.crc32(content)) + varint(0) + varint(1) + varint(len(name)) + name)
    return (b"Rar!\x1a\x07\x01\0" + block(varint(1) + varint(0) + varint(0)) + block(file) + content +
            block(varint(5) + varint(0) + varint(0)))


def zip_method(content, method):
    """A zip whose only member says that it is packed by `method`."""
    data = bytearray(zipped(content, method=zipfile.ZIP_STORED))
    for magic, at in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        start = data.index(magic)
        data[start + at:start + at + 2] = struct.pack("<H", method)
    return bytes(data)


def zip_encrypted(content, password=b"secret"):
    """ZipCrypto (APPNOTE 6.1), stored."""
    keys = [0x12345678, 0x23456789, 0x34567890]
    table = [zlib.crc32(bytes([n]), 0xffffffff) ^ 0xffffffff ^ 0xff000000 for n in range(256)]
    crc = [0] * 256
    for n in range(256):
        value = n
        for _ in range(8):
            value = value >> 1 ^ (0xedb88320 if value & 1 else 0)
        crc[n] = value

    def update(byte):
        keys[0] = crc[(keys[0] ^ byte) & 255] ^ keys[0] >> 8
        keys[1] = ((keys[1] + (keys[0] & 255)) * 134775813 + 1) & 0xffffffff
        keys[2] = crc[(keys[2] ^ keys[1] >> 24) & 255] ^ keys[2] >> 8

    for byte in password:
        update(byte)
    plain, out = bytes(11) + bytes([zlib.crc32(content) >> 24]) + content, bytearray()
    for byte in plain:
        mix = (keys[2] | 2) & 0xffff
        out.append(byte ^ (mix * (mix ^ 1) >> 8 & 255))
        update(byte)
    name = b"file.bin"
    fields = struct.pack("<HHHHHIIIHH", 20, 1, 0, 0, 33, zlib.crc32(content), len(out), len(content), len(name), 0)
    local = b"PK\3\4" + fields + name + bytes(out)
    central = b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + name
    return local + central + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(central), len(local), 0)


def zip_join(first, second):
    """Both archives' members in one (the second one's offsets moved)."""
    def parts(data):
        end = data.rindex(b"PK\5\6")
        count, size, start = struct.unpack("<HII", data[end + 10:end + 20])
        return data[:start], data[start:start + size], count
    one, one_list, one_count = parts(first)
    two, two_list, two_count = parts(second)
    moved, at = bytearray(two_list), 0
    while at < len(moved):
        offset = struct.unpack("<I", moved[at + 42:at + 46])[0]
        moved[at + 42:at + 46] = struct.pack("<I", offset + len(one))
        name, extra, comment = struct.unpack("<HHH", moved[at + 28:at + 34])
        at += 46 + name + extra + comment
    listing = one_list + bytes(moved)
    count = one_count + two_count
    return one + two + listing + b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, count, count, len(listing), len(one + two), 0)


def ole2(streams):
    """A compound file with small streams (each one sector of 512 bytes or more, FAT of one sector)."""
    sectors, fat, entries = [], [], []

    def add(data):
        first = len(sectors)
        count = max(1, -(-len(data) // 512))
        for n in range(count):
            sectors.append(data[n * 512:(n + 1) * 512].ljust(512, b"\0"))
            fat.append(first + n + 1 if n + 1 < count else 0xfffffffe)
        return first
    sectors.append(None), fat.append(0xfffffffd)  # sector 0: the FAT
    sectors.append(None), fat.append(0xfffffffe)  # sector 1: the directory

    def entry(name, kind, start, size, child=0xffffffff, right=0xffffffff):
        raw = name.encode("utf-16-le") + b"\0\0"
        return (raw.ljust(64, b"\0") + struct.pack("<HBBIII", len(raw), kind, 1, 0xffffffff, right, child) + bytes(36) +
                struct.pack("<IQ", start, size))
    streams = [(name, data.ljust(4096, b"\0")) for name, data in streams]  # below 4096 they would go to the mini stream
    directory = [entry("Root Entry", 5, 0xfffffffe, 0, child=1)]
    for number, (name, data) in enumerate(streams):
        right = number + 2 if number + 1 < len(streams) else 0xffffffff
        directory.append(entry(name, 2, add(data), len(data), right=right))
    while len(directory) < 4:
        directory.append(bytes(128))
    assert len(directory) == 4 and len(fat) <= 128
    sectors[0] = struct.pack("<%dI" % len(fat), *fat).ljust(512, b"\xff")
    sectors[1] = b"".join(directory)
    head = (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH", 0x3e, 3, 0xfffe, 9, 6) + bytes(6) +
            struct.pack("<IIIIIIIII", 0, 1, 1, 0, 4096, 0xfffffffe, 0, 0xfffffffe, 0) + struct.pack("<I", 0)).ljust(512, b"\xff")
    return head + b"".join(sectors)
