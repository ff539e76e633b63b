// SPDX-License-Identifier: GPL-2.0-only
/* Sources: the formats' own descriptions (PE/COFF, System V ABI, Mach-O, JVM 4, MS-CFB, MS-SHLLINK, ECMA-119, ECMA-167,
 * MS-VHDX) and file(1)'s magic. */
#include "kinds.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "wire.h"

#define HEAD_LOOKED_AT 2048 /* bytes, of a text */

struct content {
	const unsigned char *bytes;
	size_t size;
};

static bool has(const struct content *content, size_t at, const void *wanted, size_t length)
{
	return at <= content->size && length <= content->size - at && !memcmp(content->bytes + at, wanted, length);
}
#define HAS(content, at, text) has(content, at, text, sizeof(text) - 1)

static uint32_t le16(const unsigned char *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t le32(const unsigned char *bytes)
{
	return le16(bytes) | le16(bytes + 2) << 16;
}

static uint32_t be32(const unsigned char *bytes)
{
	return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* PE (and with it .NET), NE, LE, LX; else DOS, told from a text that begins with the two letters by its fields. */
static bool is_dos_program(const struct content *content)
{
	const unsigned char *bytes = content->bytes;
	uint32_t header;

	if (content->size < 28 || (!HAS(content, 0, "MZ") && !HAS(content, 0, "ZM")))
		return false;
	header = content->size >= 64 ? le32(bytes + 60) : 0;
	if (header && (HAS(content, header, "PE\0\0") || HAS(content, header, "NE") || HAS(content, header, "LE") ||
		       HAS(content, header, "LX")))
		return true;
	return le16(bytes + 2) < 512 && le16(bytes + 4) > 0 && le16(bytes + 8) >= 2 && le16(bytes + 8) < 0x1000;
}

/* 0xcafebabe begins a Java class and a universal binary. */
static bool is_macho_or_class(const struct content *content)
{
	static const uint32_t machos[] = {0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabf};
	uint32_t magic;

	if (content->size < 8)
		return false;
	magic = be32(content->bytes);
	for (size_t i = 0; i < sizeof(machos) / sizeof(machos[0]); i++)
		if (magic == machos[i])
			return true;
	return magic == 0xcafebabe && be32(content->bytes + 4) != 0; /* its version, or how many architectures */
}

static bool is_program(const struct content *content)
{
	return is_dos_program(content) || is_macho_or_class(content) || HAS(content, 0, "\177ELF") ||
	       HAS(content, 0, "dex\n03") || HAS(content, 0, "\xed\xab\xee\xdb") ||
	       HAS(content, 0, "!<arch>\ndebian-binary");
}

/* ---- texts ---- */

/* Finds words, whatever their case, in the beginning of a text. */
static bool text_has(const char *text, size_t size, const char *wanted)
{
	size_t length = strlen(wanted);

	for (size_t at = 0; at + length <= size; at++)
		if (!strncasecmp(text + at, wanted, length))
			return true;
	return false;
}

static bool begins(const char *text, size_t size, const char *wanted)
{
	size_t length = strlen(wanted);

	return size >= length && !strncasecmp(text, wanted, length);
}

/* The beginning as bytes of one each, where it is UTF-16, as PowerShell's and Explorer's files may be. */
static size_t text_head(const struct content *content, char *out)
{
	size_t size = 0, at = 0, step = 1;

	if (HAS(content, 0, "\xff\xfe"))
		at = 2, step = 2;
	else if (HAS(content, 0, "\xfe\xff"))
		at = 3, step = 2;
	else if (HAS(content, 0, "\xef\xbb\xbf"))
		at = 3;
	while (at < content->size &&
	       (content->bytes[at] == ' ' || (content->bytes[at] >= '\t' && content->bytes[at] <= '\r')))
		at += step;
	for (; at < content->size && size < HEAD_LOOKED_AT; at += step)
		out[size++] = (char)content->bytes[at];
	return size;
}

static unsigned text_types(const struct content *content)
{
	char head[HEAD_LOOKED_AT];
	size_t size = text_head(content, head);
	bool marked_up = size > 0 && head[0] == '<';
	const char *line = memchr(head, '\n', size);
	size_t first = line ? (size_t)(line - head) : size;

	if (begins(head, size, "#!") && memchr(head, '/', first < 64 ? first : 64))
		return 1u << TYPE_SCRIPT;
	if (begins(head, size, "#@~^") || begins(head, size, "@echo off") || begins(head, size, "REGEDIT4") ||
	    begins(head, size, "Windows Registry Editor Version") || begins(head, size, "on error resume next") ||
	    begins(head, size, "option explicit"))
		return 1u << TYPE_SCRIPT;
	if (marked_up &&
	    (text_has(head, size, "<hta:application") || text_has(head, size, "<scriptlet") ||
	     (text_has(head, size, "<script") && (text_has(head, size, "<job") || text_has(head, size, "<package")))))
		return 1u << TYPE_SCRIPT;
	if (begins(head, size, "[InternetShortcut") || begins(head, size, "[{000214A0-0000-0000-C000-000000000046}") ||
	    begins(head, size, "[Desktop Entry]") ||
	    (begins(head, size, "[Shell]") && text_has(head, size, "IconFile")) ||
	    (marked_up && (text_has(head, size, "<libraryDescription") ||
			   text_has(head, size, "<searchConnectorDescription") || text_has(head, size, "<PCSettings"))))
		return 1u << TYPE_SHORTCUT;
	return 0;
}

/* ---- disks ---- */

/* A boot sector with what FAT or NTFS write into it, or a table of partitions in which one at least makes sense. */
static bool is_boot_sector(const struct content *content)
{
	const unsigned char *bytes = content->bytes;
	bool used = false;

	if (content->size < 512 || content->size % 512 != 0 || bytes[510] != 0x55 || bytes[511] != 0xaa)
		return false;
	if ((bytes[0] == 0xeb || bytes[0] == 0xe9) && (HAS(content, 54, "FAT") || HAS(content, 82, "FAT32") ||
						       HAS(content, 3, "NTFS") || HAS(content, 3, "EXFAT")))
		return true;
	for (size_t i = 0; i < 4; i++) {
		const unsigned char *entry = bytes + 446 + 16 * i;
		if (entry[0] & 0x7f)
			return false;
		used |= entry[4] && le32(entry + 8) && le32(entry + 12);
	}
	return used && content->size > 512;
}

static bool is_disk_image(const struct content *content)
{
	size_t last = content->size >= 512 ? content->size - 512 : SIZE_MAX;

	for (size_t at = 0x8000; at < 0x8000 + 8 * 2048 && at < content->size; at += 2048)
		if (HAS(content, at + 1, "CD001") || HAS(content, at + 1, "BEA01") || HAS(content, at + 1, "NSR02") ||
		    HAS(content, at + 1, "NSR03"))
			return true;
	return HAS(content, 0, "conectix") || HAS(content, 0, "vhdxfile") || HAS(content, 0, "KDMV") ||
	       HAS(content, 0, "QFI\xfb") || HAS(content, 0, "MSWIM\0\0\0") || HAS(content, 64, "\x7f\x10\xda\xbe") ||
	       HAS(content, last, "conectix") || HAS(content, last, "koly") || HAS(content, 512, "EFI PART") ||
	       HAS(content, 1024, "H+\0\4") || HAS(content, 1024, "HX\0\5") || is_boot_sector(content);
}

/* ---- OLE2 ---- */

static const unsigned char ole2_magic[8] = {0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1};

/* Entries of the directory are 128 bytes and lie at multiples of that; none is looked for by the chains, which may be
 * broken on purpose. */
static unsigned ole2_types(const struct content *content)
{
	static const char vba[] = "_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0\0", root[] = "R\0o\0o\0t\0 \0E\0n\0t\0r\0y\0\0";
	static const unsigned char installer[] = {0x10, 0x0c, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46};
	unsigned types = 0;

	for (size_t at = 512; at < content->size && content->size - at >= 128; at += 128) {
		const unsigned char *entry = content->bytes + at;
		if (entry[66] == 2 && !memcmp(entry, vba, sizeof(vba)))
			types |= 1u << TYPE_MACRO_DOCUMENT;
		/* a package (84), a patch (86), a transform (82) */
		if (entry[66] == 5 && !memcmp(entry, root, sizeof(root)) && entry[80] >= 0x82 && entry[80] <= 0x86 &&
		    !memcmp(entry + 81, installer, sizeof(installer)))
			types |= 1u << TYPE_EXECUTABLE;
	}
	return types;
}

unsigned kind_types(const unsigned char *bytes, size_t size)
{
	static const unsigned char lnk[] = {0x4c, 0, 0, 0, 1, 0x14, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46};
	struct content content = {bytes, size};
	unsigned types;

	if (has(&content, 0, ole2_magic, sizeof(ole2_magic)))
		return ole2_types(&content);
	if (has(&content, 0, lnk, sizeof(lnk)))
		return 1u << TYPE_SHORTCUT;
	types = text_types(&content);
	if (is_program(&content))
		types |= 1u << TYPE_EXECUTABLE;
	if (is_disk_image(&content))
		types |= 1u << TYPE_DISK_IMAGE;
	return types;
}

/* ---- members ---- */

static bool path_ends(const char *path, size_t size, const char *end)
{
	size_t length = strlen(end);

	if (size < length)
		return false;
	for (size_t i = 0; i < length; i++) {
		char c = path[size - length + i];
		if (c == '\\')
			c = '/';
		if (strncasecmp(&c, end + i, 1) != 0)
			return false;
	}
	return size == length || path[size - length - 1] == '/' || path[size - length - 1] == '\\';
}

static bool path_begins(const char *path, size_t size, const char *start)
{
	size_t length = strlen(start);

	return size > length && !strncasecmp(path, start, length);
}

unsigned kind_of_member(const char *path, size_t size)
{
	if (path_ends(path, size, "META-INF/MANIFEST.MF"))
		return 1u << TYPE_EXECUTABLE;
	if (path_ends(path, size, "vbaProject.bin") || path_begins(path, size, "xl/macrosheets/"))
		return 1u << TYPE_MACRO_DOCUMENT;
	/* OpenDocument: the lists of a library are there without a macro, too */
	if (path_begins(path, size, "Basic/") && size > 4 && !strncasecmp(path + size - 4, ".xml", 4) &&
	    !path_ends(path, size, "script-lb.xml") && !path_ends(path, size, "script-lc.xml"))
		return 1u << TYPE_MACRO_DOCUMENT;
	return 0;
}
