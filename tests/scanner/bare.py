# SPDX-License-Identifier: GPL-2.0-only
"""libclamav by itself, without Mailward: what the tests take as the control. Each scan is a process of its own."""
import ctypes, ctypes.util, os


class Options(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("general", "parse", "heuristic", "mail", "dev")]


def _scan(definitions, fd):
    library = ctypes.CDLL(ctypes.util.find_library("clamav"))
    for name in ("cl_engine_new",):
        getattr(library, name).restype = ctypes.c_void_p
    library.cl_init(0)
    engine = ctypes.c_void_p(library.cl_engine_new())
    count, name, scanned = ctypes.c_uint(), ctypes.c_char_p(), ctypes.c_ulong()
    if library.cl_load(definitions.encode(), engine, ctypes.byref(count), 0x208a) or library.cl_engine_compile(engine):
        return "cannot load"
    options = Options(0, 0xffffffff, 0, 0, 0)
    result = library.cl_scandesc(fd, None, ctypes.byref(name), ctypes.byref(scanned), engine, ctypes.byref(options))
    return {0: "clean", 1: "infected(%s)" % (name.value or b"").decode()}.get(result, "error %d" % result)


def scan(definitions, content):
    """"clean" or "infected(NAME)"; content: bytes, or a path."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if isinstance(content, bytes):
                fd = os.memfd_create("content")
                os.write(fd, content)
            else:
                fd = os.open(content, os.O_RDONLY)
            os.write(write_end, _scan(definitions, fd).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text
