// SPDX-License-Identifier: GPL-2.0-only
#include "formats.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "zips.h"

#define PARAMETERS_MAX 1000 /* of an attachment in a calendar entry: more are odd enough */

struct magic {
	const char *name;
	size_t offset, length;
	const char *bytes;
};
#define MAGIC(name, offset, bytes)                                                                                     \
	{                                                                                                              \
		name, offset, sizeof(bytes) - 1, bytes                                                                 \
	}

/* Sources: the formats' own descriptions and file(1)'s magic. Self-extracting forms are caught by the same bytes
 * where the engine hands the archive inside as a layer of its own. */
static const struct magic shut[] = {
	MAGIC("zstd", 0, "\x28\xb5\x2f\xfd"),
	MAGIC("zstd dictionary", 0, "\x37\xa4\x30\xec"),
	MAGIC("lz4", 0, "\x04\x22\x4d\x18"),
	MAGIC("lz4", 0, "\x02\x21\x4c\x18"),
	MAGIC("Dovecot's lz4", 0, "Dovecot-LZ4\x0d\x2a\x9b\xc5"),
	MAGIC("lzip", 0, "LZIP"),
	MAGIC("lzop", 0, "\x89LZO\0\r\n\x1a\n"),
	MAGIC("lrzip", 0, "LRZI"),
	MAGIC("rzip", 0, "RZIP"),
	MAGIC("lzfse", 0, "bvx2"),
	MAGIC("lzfse", 0, "bvxn"),
	MAGIC("pbzx", 0, "pbzx"),
	MAGIC("snappy", 0, "\xff\x06\0\0sNaPpY"),
	MAGIC("compress", 0, "\x1f\x9d"),
	MAGIC("pack", 0, "\x1f\x1e"),
	MAGIC("freeze", 0, "\x1f\x9f"),
	MAGIC("SCO compress", 0, "\x1f\xa0"),
	MAGIC("ACE", 7, "**ACE**"),
	MAGIC("ZOO", 20, "\xdc\xa7\xc4\xfd"),
	MAGIC("StuffIt", 0, "StuffIt (c)1997-"),
	MAGIC("StuffIt", 0, "StuffIt!"),
	MAGIC("StuffIt", 10, "rLau"),
	MAGIC("WIM", 0, "MSWIM\0\0\0"),
	MAGIC("WIM", 0, "WLPWM\0\0\0"),
	MAGIC("zpaq", 0, "7kSt\xa0\x31\x83\xd3"),
	MAGIC("zpaq", 0, "zPQ"),
	MAGIC("ar", 0, "!<arch>\n"),
	MAGIC("RPM", 0, "\xed\xab\xee\xdb"),
	MAGIC("squashfs", 0, "hsqs"),
	MAGIC("squashfs", 0, "sqsh"),
	MAGIC("cramfs", 0, "\x45\x3d\xcd\x28"),
	MAGIC("VHD", 0, "conectix"),
	MAGIC("VHDX", 0, "vhdxfile"),
	MAGIC("VMDK", 0, "KDMV"),
	MAGIC("qcow", 0, "QFI\xfb"),
	MAGIC("UHarc", 0, "UHA"),
	MAGIC("InstallShield 3 archive", 0, "\x13\x5d\x65\x8c"),
	MAGIC("age", 0, "age-encryption.org/v1"),
	MAGIC("MSZIP", 0, "SZ \x88\xf0\x27\x33\xd1"),
	MAGIC("KWAJ", 0, "KWAJ\x88\xf0\x27\xd1"),
	MAGIC("ActiveMime", 0, "ActiveMime"),
	MAGIC("NTFS", 3, "NTFS    "),
	MAGIC("exFAT", 3, "EXFAT   "),
};

static uint32_t le16(const unsigned char *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8;
}

static bool type_is(const char *type, const char *name)
{
	return !strncmp(type, "CL_TYPE_", 8) && !strcmp(type + 8, name);
}

static bool is_lha(const unsigned char *bytes, size_t size)
{
	return size >= 7 && bytes[2] == '-' && bytes[6] == '-' &&
	       ((bytes[3] == 'l' && (bytes[4] == 'h' || bytes[4] == 'z')) || (bytes[3] == 'p' && bytes[4] == 'm'));
}

/* delharc, in libclamav, opens lh0, lh4-lh7, lhx, lzs, lz4, lz5 and pm0; lhd is a folder. At another it ends, so every
 * member's counts. */
static const char *lha_unsupported(const unsigned char *bytes, size_t size)
{
	static const char *const opens[] = {"-lh0-", "-lh1-", "-lh4-", "-lh5-", "-lh6-", "-lh7-",
					    "-lhx-", "-lhd-", "-lzs-", "-lz4-", "-lz5-", "-pm0-"};
	const unsigned char *at = bytes + 2, *end = bytes + size;

	if (size < 21 || !is_lha(bytes, size))
		return NULL;
	for (; (at = memchr(at, '-', (size_t)(end - at))) && end - at >= 5; at++) {
		bool known = !is_lha(at - 2, (size_t)(end - at) + 2);
		for (size_t i = 0; !known && i < sizeof(opens) / sizeof(opens[0]); i++)
			known = !memcmp(at, opens[i], 5);
		if (!known)
			return "LHA method";
	}
	return NULL;
}

/* libclamav reads the ISO 9660 side of a disk that has two, Windows the other one. */
static bool has_udf_beside(const unsigned char *bytes, size_t size)
{
	size_t first = 16 * 2048 + 1;

	if (size < first + 5 || memcmp(bytes + first, "CD001", 5) != 0)
		return false;
	for (size_t at = first; at < (size_t)64 * 2048 && at < size && size - at >= 5; at += 2048)
		if (!memcmp(bytes + at, "NSR0", 4))
			return true;
	return false;
}

/* ARC has only a first byte to go by: the method must be one that exists, the name a name, the sizes fit. */
static bool is_arc(const unsigned char *bytes, size_t size)
{
	size_t length = 0;

	if (size < 29 || bytes[0] != 0x1a || bytes[1] == 0 || bytes[1] > 9)
		return false;
	while (length < 13 && bytes[2 + length])
		if (bytes[2 + length++] <= ' ')
			return false;
	return length > 0 && length < 13 &&
	       (le16(bytes + 15) | (uint64_t)le16(bytes + 17) << 16) <= size; /* the packed size */
}

/* A raw LZMA stream (.lzma): properties below 225, a dictionary of 2^n or 2^n + 2^(n-1), a size that is plausible. */
static bool is_lzma(const unsigned char *bytes, size_t size)
{
	uint32_t dictionary;
	bool unknown = true;

	if (size < 14 || bytes[0] != 0x5d || bytes[13] != 0)
		return false;
	dictionary = le16(bytes + 1) | le16(bytes + 3) << 16;
	for (int i = 5; i < 13; i++)
		unknown = unknown && bytes[i] == 0xff;
	if (dictionary < 4096 ||
	    ((dictionary & (dictionary - 1)) && (dictionary & (dictionary - 1)) != dictionary / 3 * 2))
		return false;
	return unknown || (bytes[10] == 0 && bytes[11] == 0 && bytes[12] == 0);
}

/* zstd and lz4 allow any number of skippable frames before the first real one. */
static size_t skippable_frames(const unsigned char *bytes, size_t size)
{
	size_t at = 0;

	while (size - at >= 8 && (bytes[at] & 0xf0) == 0x50 && !memcmp(bytes + at + 1, "\x2a\x4d\x18", 3)) {
		uint64_t length = 8 + (le16(bytes + at + 4) | (uint64_t)le16(bytes + at + 6) << 16);
		if (length > size - at)
			return at;
		at += (size_t)length;
	}
	return at;
}

/* libclamav decodes it where Content-Transfer-Encoding names it, but it has no such header: it stands in the text. */
static bool has_yenc(const unsigned char *bytes, size_t size)
{
	static const char word[] = "=ybegin ";
	const unsigned char *at = bytes, *end = bytes + size, *line;

	while ((at = memmem(at, (size_t)(end - at), word, sizeof(word) - 1))) {
		line = memchr(at, '\n', (size_t)(end - at));
		line = line ? line : end;
		if ((at == bytes || at[-1] == '\n') && memmem(at, (size_t)(line - at), " size=", 6) &&
		    memmem(at, (size_t)(line - at), " name=", 6))
			return true;
		at = line;
	}
	return false;
}

/* FAT names itself in its boot sector, behind a jump; ext2 to ext4 in the superblock (state and what to do on errors
 * are small numbers). Their files lie in pieces. */
static const char *file_system(const unsigned char *bytes, size_t size)
{
	if (size >= 2048 && bytes[510] == 0x55 && bytes[511] == 0xaa && (bytes[0] == 0xeb || bytes[0] == 0xe9) &&
	    (!memcmp(bytes + 54, "FAT", 3) || !memcmp(bytes + 82, "FAT32", 5)))
		return "FAT";
	if (size >= 2048 && le16(bytes + 1080) == 0xef53 && le16(bytes + 1082) < 8 && le16(bytes + 1084) <= 3)
		return "ext file system";
	return NULL;
}

/* libclamav opens the first stream of a file alone; bzip2 opens all, and some programs write one for every 900 kB. */
static bool has_more_bzip2(const unsigned char *bytes, size_t size)
{
	static const char block[] = "\x31\x41\x59\x26\x53\x59"; /* behind "BZh9" */
	const unsigned char *at = bytes + 4, *end = bytes + size;

	if (size < 14)
		return false;
	while ((at = memmem(at, (size_t)(end - at), "BZh", 3)) && end - at >= 10) {
		if (at[3] >= '1' && at[3] <= '9' && !memcmp(at + 4, block, sizeof(block) - 1))
			return true;
		at += 3;
	}
	return false;
}

/* libclamav reads sizes in octal alone, and takes types that it doesn't know for nothing, which GNU tar and 7-Zip take
 * for files. Where each header lies depends on the sizes before it, so the first of these ends the walk. */
static bool is_odd_tar(const unsigned char *bytes, size_t size)
{
	static const char files[] = "07S", others[] = "123456KLNXgxVD";
	size_t at = 0;

	while (size - at >= 512) {
		const unsigned char *head = bytes + at;
		char type = head[156] ? (char)head[156] : '0';
		uint64_t length = 0;
		if (head[124] & 0x80)
			return true;
		for (int i = 124; i < 136; i++)
			length = head[i] >= '0' && head[i] <= '7' ? length * 8 + (head[i] - '0') : length;
		at += 512;
		if (type == 'x' && memmem(bytes + at, length < size - at ? (size_t)length : size - at, " size=", 6))
			return true;
		if (length > 0 && !strchr(files, type) && !strchr(others, type))
			return true;
		if (length > size - at || (type >= '1' && type <= '6'))
			length = type >= '1' && type <= '6' ? 0 : size - at;
		length = (length + 511) / 512 * 512;
		at += length < size - at ? (size_t)length : size - at;
	}
	return false;
}

static bool has(const unsigned char *bytes, size_t size, const char *word)
{
	return memmem(bytes, size, word, strlen(word)) != NULL;
}

/* Word opens these as any document of its own: what is binary lies in them in base64. libclamav loses it. */
static bool is_flat_office(const unsigned char *bytes, size_t size)
{
	if (size < 5 || (memcmp(bytes, "<?xml", 5) != 0 && memcmp(bytes, "\xef\xbb\xbf<?", 5) != 0))
		return false;
	return (has(bytes, size, "binData") && has(bytes, size, ".mso")) ||
	       (has(bytes, size, "binaryData") &&
		(has(bytes, size, "vbaProject.bin") || has(bytes, size, "/embeddings/")));
}

/* A file in the text itself (RFC 5545 3.8.1.1), as "ATTACH;VALUE=BINARY;ENCODING=BASE64:..." */
static bool is_calendar_with_file(const unsigned char *bytes, size_t size)
{
	static const char start[] = "BEGIN:VCALENDAR", word[] = "ATTACH";
	const unsigned char *at = bytes, *end = bytes + size;

	if (size < sizeof(start) || strncasecmp((const char *)bytes, start, sizeof(start) - 1) != 0)
		return false;
	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		const unsigned char *colon;
		if ((size_t)(end - ++at) < sizeof(word) || strncasecmp((const char *)at, word, sizeof(word) - 1) != 0)
			continue;
		colon = memchr(at, ':', end - at < PARAMETERS_MAX ? (size_t)(end - at) : PARAMETERS_MAX);
		if (!colon)
			return true;
		for (; colon - at >= 6; at++)
			if (!strncasecmp((const char *)at, "BASE64", 6) || !strncasecmp((const char *)at, "BINARY", 6))
				return true;
	}
	return false;
}

static bool is_text(const char *type)
{
	return type_is(type, "MAIL") || type_is(type, "MHTML") || !strncmp(type, "CL_TYPE_TEXT_", 13);
}

const char *format_unsupported(const char *type, const unsigned char *bytes, size_t size, bool rar)
{
	size_t skipped = skippable_frames(bytes, size);
	const char *zip = NULL;

	if (!rar && type_is(type, "RAR"))
		return "RAR";
	for (size_t i = 0; i < sizeof(shut) / sizeof(shut[0]); i++) {
		const struct magic *magic = &shut[i];
		if (magic->offset + magic->length <= size &&
		    !memcmp(bytes + magic->offset, magic->bytes, magic->length))
			return magic->name;
	}
	if (skipped > 0 && size - skipped >= 4)
		return !memcmp(bytes + skipped, "\x04\x22\x4d\x18", 4) ? "lz4" : "zstd";
	if (is_arc(bytes, size))
		return "ARC";
	if (is_lzma(bytes, size))
		return "lzma";
	if (!rar && memmem(bytes, size, "Rar!\x1a\x07", 6))
		return "RAR";
	if (format_is_zip(type) || zip_lists(bytes, size) || type_is(type, "MSEXE"))
		zip = zip_unsupported(bytes, size, !format_is_zip(type) && !zip_lists(bytes, size));
	if (zip || format_is_zip(type))
		return zip;
	if (is_text(type) && has_yenc(bytes, size))
		return "yEnc";
	if (has_udf_beside(bytes, size))
		return "UDF beside ISO 9660";
	if (type_is(type, "BZ") && has_more_bzip2(bytes, size))
		return "bzip2 of several streams";
	if ((type_is(type, "POSIX_TAR") || type_is(type, "OLD_TAR")) && is_odd_tar(bytes, size))
		return "tar of an odd form";
	if (is_flat_office(bytes, size))
		return "an office document in one XML";
	if (is_calendar_with_file(bytes, size))
		return "a file in a calendar entry";
	if (file_system(bytes, size))
		return file_system(bytes, size);
	return lha_unsupported(bytes, size);
}

static uint64_t le64(const unsigned char *bytes)
{
	return le16(bytes) | (uint64_t)le16(bytes + 2) << 16 | (uint64_t)le16(bytes + 4) << 32 |
	       (uint64_t)le16(bytes + 6) << 48;
}

/* The list at the end of the archive (7zFormat.txt: NextHeaderOffset, NextHeaderSize) names its coders in the clear. */
static bool is_7z_encrypted(const unsigned char *bytes, size_t size)
{
	uint64_t offset, length;

	if (size < 32)
		return false;
	offset = le64(bytes + 12);
	length = le64(bytes + 20);
	if (offset > size - 32 || length > size - 32 - offset)
		return false;
	return memmem(bytes + 32 + offset, (size_t)length, "\x06\xf1\x07\x01", 4); /* AES-256 and SHA-256 */
}

/* A Word file's FIB ([MS-DOC] 2.5.2: fEncrypted), or an Excel file's FilePass record ([MS-XLS] 2.4.117) near its
 * start. Both streams begin at a sector. */
static bool is_sector_encrypted(const unsigned char *sector, size_t size)
{
	size_t at = 0;

	if (size >= 12 && le16(sector) == 0xa5ec)
		return sector[11] & 1;
	if (size < 8 || le16(sector) != 0x0809 || le16(sector + 2) > 20)
		return false;
	while (at + 4 <= size && at < 512) {
		if (le16(sector + at) == 0x2f)
			return true;
		if (le16(sector + at) == 0)
			return false;
		at += 4 + le16(sector + at + 2);
	}
	return false;
}

static bool is_office_encrypted(const unsigned char *bytes, size_t size)
{
	static const char package[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e"; /* [MS-OFFCRYPTO] 1.3.3 */
	static const char slides[] = "E\0n\0c\0r\0y\0p\0t\0e\0d\0S\0u\0m\0m\0a\0r\0y";  /* PowerPoint 97-2003 */

	if (memmem(bytes, size, package, sizeof(package)) || memmem(bytes, size, slides, sizeof(slides)))
		return true;
	for (size_t at = 512; at < size; at += 512)
		if (is_sector_encrypted(bytes + at, size - at))
			return true;
	return false;
}

const char *format_encrypted(const char *type, const unsigned char *bytes, size_t size)
{
	if (size >= 9 && !memcmp(bytes, "CRYPTED\x03\x07", 9)) /* Dovecot's mail-crypt plugin (istream-decrypt.c) */
		return "mail-crypt";
	if (type_is(type, "7Z"))
		return is_7z_encrypted(bytes, size) ? "7Zip" : NULL;
	if (type_is(type, "MSOLE2"))
		return is_office_encrypted(bytes, size) ? "Office document" : NULL;
	if (size > 5 && !memcmp(bytes, "<?xml", 5) && memmem(bytes, size, "manifest:encryption-data", 24))
		return "OpenDocument";
	return NULL;
}

bool format_is_zip(const char *type)
{
	return type_is(type, "ZIP") || type_is(type, "ZIPSFX") || !strncmp(type, "CL_TYPE_OOXML", 13);
}

bool format_zip_behind(const char *type, const unsigned char *bytes, size_t size)
{
	return !format_is_zip(type) && zip_ends(bytes, size);
}

enum format_members format_members(const char *type)
{
	static const char *const some[] = {"GZ", "BZ", "XZ", "MSSZDD", "BINHEX", "ALZ", "LHA_LZH"};
	static const char *const announced[] = {"7Z", "ARJ", "MSCAB", "RAR", "EGG"};
	static const char *const listed[] = {"ZIP"};

	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		if (type_is(type, some[i]))
			return MEMBERS_SOME;
	for (size_t i = 0; i < sizeof(announced) / sizeof(announced[0]); i++)
		if (type_is(type, announced[i]))
			return MEMBERS_ANNOUNCED;
	for (size_t i = 0; i < sizeof(listed) / sizeof(listed[0]); i++)
		if (type_is(type, listed[i]))
			return MEMBERS_LISTED;
	return MEMBERS_NONE;
}
