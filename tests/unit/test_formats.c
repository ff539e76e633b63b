// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/formats.c daemon/scanner/zips.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "formats.h"

#define BIN "CL_TYPE_BINARY_DATA"

/* On the heap in its exact size, so that a sanitizer sees each byte read beyond it. */
static const char *kind_of(const char *type, const char *bytes, size_t size, bool rar)
{
	unsigned char *copy = malloc(size ? size : 1);
	const char *kind;

	memcpy(copy, bytes, size);
	kind = format_unsupported(type, copy, size, rar);
	free(copy);
	return kind;
}
#define KIND(type, bytes) kind_of(type, bytes, sizeof(bytes) - 1, false)
#define IS(type, bytes, name)                                                                                          \
	do {                                                                                                           \
		const char *is = KIND(type, bytes);                                                                    \
		CU_ASSERT_PTR_NOT_NULL_FATAL(is);                                                                      \
		CU_ASSERT_STRING_EQUAL(is, name);                                                                      \
	} while (0)

static void magic_at_its_place_alone_counts(void)
{
	IS(BIN, "\x28\xb5\x2f\xfd....", "zstd");
	IS(BIN, "\x04\x22\x4d\x18", "lz4");
	IS(BIN, "LZIP\1", "lzip");
	IS(BIN, "Dovecot-LZ4\r*\x9b\xc5....", "Dovecot's lz4");
	IS(BIN, "1234567**ACE**", "ACE");
	CU_ASSERT_PTR_NULL(KIND(BIN, ".\x28\xb5\x2f\xfd...."));
	CU_ASSERT_PTR_NULL(KIND(BIN, "\x28\xb5\x2f"));
	CU_ASSERT_PTR_NULL(KIND(BIN, "12345678**ACE**"));
	CU_ASSERT_PTR_NULL(KIND(BIN, ""));
	CU_ASSERT_PTR_NULL(KIND("CL_TYPE_TEXT_ASCII", "Dear all, attached is the LZIP archive"));
}

static void frames_that_are_to_be_skipped_are(void)
{
	IS(BIN, "\x50\x2a\x4d\x18\2\0\0\0ab\x28\xb5\x2f\xfd", "zstd");
	IS(BIN, "\x5f\x2a\x4d\x18\0\0\0\0\x50\x2a\x4d\x18\1\0\0\0a\x04\x22\x4d\x18", "lz4");
	CU_ASSERT_PTR_NULL(KIND(BIN, "\x50\x2a\x4d\x18\xff\xff\xff\xff"
				     "ab"));
	CU_ASSERT_PTR_NULL(KIND(BIN, "\x50\x2a\x4d\x18\2\0\0\0ab"));
}

static void rar_is_opened_where_its_library_is(void)
{
	CU_ASSERT_STRING_EQUAL(kind_of("CL_TYPE_RAR", "Rar!\x1a\x07\1\0", 8, false), "RAR");
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_RAR", "Rar!\x1a\x07\1\0", 8, true));
	CU_ASSERT_STRING_EQUAL(kind_of("CL_TYPE_MSEXE", "MZ......Rar!\x1a\x07\0", 15, false), "RAR");
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_TEXT_ASCII", "a Rar! in a text", 16, false));
}

static void zip_methods_are_told_apart(void)
{
	char header[46] = "PK\3\4\x14\0\0\0\x08\0";

	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_ZIP", header, sizeof(header), false));
	for (int method = 0; method < 256; method++) {
		bool opens = method == 0 || method == 6 || method == 8 || method == 9 || method == 12 || method == 99;
		header[8] = (char)method;
		CU_ASSERT_EQUAL(kind_of("CL_TYPE_ZIP", header, sizeof(header), false) == NULL, opens);
		CU_ASSERT_EQUAL(kind_of("CL_TYPE_OOXML_WORD", header, sizeof(header), false) == NULL, opens);
		CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_TEXT_ASCII", header, sizeof(header), false));
	}
	char central[60] = "........PK\1\2\x14\0\x14\0\0\0\x5d\0";
	CU_ASSERT_STRING_EQUAL(kind_of("CL_TYPE_ZIP", central, sizeof(central), false), "zip method 93 (zstd)");
	central[12 + 3] = 0x7f; /* it needs version 127.x: no header */
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_ZIP", central, sizeof(central), false));
	for (size_t size = 0; size < sizeof(header); size++)
		kind_of("CL_TYPE_ZIP", header, size, false); /* reads nothing beyond */
}

static void what_has_little_magic_needs_more_than_that(void)
{
	char arc[60] = "\x1a\x08readme.txt\0\0\0\x10\0\0\0";
	char lzma[40] = "\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0";

	CU_ASSERT_STRING_EQUAL(kind_of(BIN, arc, sizeof(arc), false), "ARC");
	arc[15] = (char)0xff, arc[16] = (char)0xff; /* packed to more than there is */
	CU_ASSERT_PTR_NULL(kind_of(BIN, arc, sizeof(arc), false));
	CU_ASSERT_PTR_NULL(KIND(BIN, "\x1a\x08                                       "));
	CU_ASSERT_STRING_EQUAL(kind_of(BIN, lzma, sizeof(lzma), false), "lzma");
	lzma[1] = 1; /* no size that a dictionary has */
	CU_ASSERT_PTR_NULL(kind_of(BIN, lzma, sizeof(lzma), false));
	CU_ASSERT_PTR_NULL(KIND("CL_TYPE_TEXT_ASCII", "]list of things, in brackets["));
}

static void lha_methods_are_told_apart(void)
{
	CU_ASSERT_PTR_NULL(KIND("CL_TYPE_LHA_LZH", "\x20\x20-lh5-................"));
	IS("CL_TYPE_LHA_LZH", "\x20\x20-lh2-................", "LHA method");
	IS(BIN, "\x20\x20-lzh-................", "LHA method");
	CU_ASSERT_PTR_NULL(KIND("CL_TYPE_TEXT_ASCII", "a -lh... is a text"));
}

static const char *encrypted(const char *type, const char *bytes, size_t size)
{
	unsigned char *copy = malloc(size ? size : 1);
	const char *kind;

	memcpy(copy, bytes, size);
	kind = format_encrypted(type, copy, size);
	free(copy);
	return kind;
}

static void encryption_that_the_engine_passes_over_is_seen(void)
{
	char seven[48] = "7z\xbc\xaf\x27\x1c\0\4....\4\0\0\0\0\0\0\0\x0c\0\0\0\0\0\0\0....";
	char word[1100] = "\xd0\xcf\x11\xe0", excel[1100] = "\xd0\xcf\x11\xe0";

	CU_ASSERT_PTR_NULL(encrypted("CL_TYPE_7Z", seven, sizeof(seven)));
	memcpy(seven + 38, "\x24\x06\xf1\x07\x01", 5);
	CU_ASSERT_STRING_EQUAL(encrypted("CL_TYPE_7Z", seven, sizeof(seven)), "7Zip");
	memset(seven + 12, 0xff, 16); /* a list beyond the end */
	CU_ASSERT_PTR_NULL(encrypted("CL_TYPE_7Z", seven, sizeof(seven)));
	memcpy(word + 1024, "\xec\xa5\xc1\0\0\0\0\0\0\0\0\1", 12);
	CU_ASSERT_PTR_NOT_NULL(encrypted("CL_TYPE_MSOLE2", word, sizeof(word)));
	word[1024 + 11] = 0;
	CU_ASSERT_PTR_NULL(encrypted("CL_TYPE_MSOLE2", word, sizeof(word)));
	memcpy(excel + 512, "\x09\x08\x10\0................\x2f\0\x36\0", 24);
	CU_ASSERT_PTR_NOT_NULL(encrypted("CL_TYPE_MSOLE2", excel, sizeof(excel)));
	CU_ASSERT_PTR_NULL(encrypted("CL_TYPE_TEXT_ASCII", excel, sizeof(excel)));
	excel[512 + 20] = 0x42;
	CU_ASSERT_PTR_NULL(encrypted("CL_TYPE_MSOLE2", excel, sizeof(excel)));
	CU_ASSERT_PTR_NOT_NULL(encrypted("CL_TYPE_TEXT_UTF8", "<?xml?> <manifest:encryption-data>", 34));
	CU_ASSERT_STRING_EQUAL(encrypted(BIN, "CRYPTED\3\7\2", 10), "mail-crypt");
	CU_ASSERT_PTR_NULL(encrypted(BIN, "CRYPTED\3", 8));
	CU_ASSERT_PTR_NULL(encrypted(BIN, ".CRYPTED\3\7", 10));
	CU_ASSERT_PTR_NULL(encrypted("CL_TYPE_TEXT_UTF8", "a text on manifest:encryption-data", 34));
	for (size_t size = 0; size < 32; size++) {
		encrypted("CL_TYPE_7Z", seven, size);
		encrypted("CL_TYPE_MSOLE2", word + 1020, size);
	}
}

static void members_are_expected_where_they_must_come(void)
{
	CU_ASSERT_EQUAL(format_members("CL_TYPE_GZ"), MEMBERS_SOME);
	CU_ASSERT_EQUAL(format_members("CL_TYPE_7Z"), MEMBERS_ANNOUNCED);
	CU_ASSERT_EQUAL(format_members("CL_TYPE_ZIP"), MEMBERS_LISTED);
	CU_ASSERT_EQUAL(format_members("CL_TYPE_TEXT_ASCII"), MEMBERS_NONE);
	CU_ASSERT_EQUAL(format_members(""), MEMBERS_NONE);
	CU_ASSERT_EQUAL(format_members("CL_TYPE_"), MEMBERS_NONE);
}

/* A header of 512 bytes, and what it says of the size and the type. */
static const char *tar_kind(const char *digits, char type, const char *behind)
{
	static char bytes[2048];

	memset(bytes, 0, sizeof(bytes));
	memcpy(bytes + 124, digits, strlen(digits));
	bytes[156] = type;
	strcpy(bytes + 512, behind);
	return kind_of("CL_TYPE_POSIX_TAR", bytes, sizeof(bytes), false);
}

static void a_tar_is_walked_as_others_do(void)
{
	CU_ASSERT_PTR_NULL(tar_kind("00000000010", '0', "a member"));
	CU_ASSERT_PTR_NULL(tar_kind("00000000010", 0, "a member"));
	CU_ASSERT_PTR_NULL(tar_kind("00000000000", 'A', ""));
	CU_ASSERT_PTR_NULL(tar_kind("77777777777", '5', ""));
	CU_ASSERT_PTR_NULL(tar_kind("00000000020", 'x', "15 mtime=12345\n"));
	CU_ASSERT_STRING_EQUAL(tar_kind("00000000010", 'A', "a member"), "tar of an odd form");
	CU_ASSERT_STRING_EQUAL(tar_kind("\200", '0', "a member"), "tar of an odd form");
	CU_ASSERT_STRING_EQUAL(tar_kind("00000000014", 'x', "12 size=123\n"), "tar of an odd form");
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_POSIX_TAR", "", 0, false));
}

static void a_second_stream_of_bzip2_is_seen(void)
{
	static const char two[] = "BZh91AY&SYxxxxxBZh91AY&SYxxxxx", one[] = "BZh91AY&SYxxxxxBZh91AY&SZxxxxx";

	CU_ASSERT_STRING_EQUAL(kind_of("CL_TYPE_BZ", two, sizeof(two) - 1, false), "bzip2 of several streams");
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_BZ", one, sizeof(one) - 1, false));
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_BZ", two, 24, false));
	CU_ASSERT_PTR_NULL(kind_of(BIN, two, sizeof(two) - 1, false));
}

static void texts_that_hold_files_are_seen(void)
{
	static const char entry[] = "BEGIN:VCALENDAR\r\nATTACH;ENCODING=base64:aGVs\r\n",
			  plain[] = "BEGIN:VCALENDAR\nATTACH:http://a\n";
	static const char word[] = "<?xml version=\"1.0\"?><w:binData w:name=\"editdata.mso\">",
			  picture[] = "<?xml?><w:binData w:name=\"1.png\">";

	CU_ASSERT_PTR_NOT_NULL(kind_of(BIN, entry, sizeof(entry) - 1, false));
	CU_ASSERT_PTR_NULL(kind_of(BIN, plain, sizeof(plain) - 1, false));
	CU_ASSERT_PTR_NOT_NULL(kind_of(BIN, word, sizeof(word) - 1, false));
	CU_ASSERT_PTR_NULL(kind_of(BIN, picture, sizeof(picture) - 1, false));
}

static bool behind(const char *type, const char *bytes, size_t size)
{
	unsigned char *copy = malloc(size ? size : 1);
	bool found;

	memcpy(copy, bytes, size);
	found = format_zip_behind(type, copy, size);
	free(copy);
	return found;
}

static void a_zip_is_known_by_its_end(void)
{
	static char bytes[4 + 46 + 22 + 3] = "ID3 PK\1\2";

	memcpy(bytes + 50, "PK\5\6", 4);
	bytes[62] = 46;
	bytes[70] = 3; /* a comment of three bytes */
	CU_ASSERT_TRUE(behind(BIN, bytes, sizeof(bytes)));
	CU_ASSERT_FALSE(behind("CL_TYPE_ZIP", bytes, sizeof(bytes)));
	CU_ASSERT_FALSE(behind("CL_TYPE_OOXML_WORD", bytes, sizeof(bytes)));
	CU_ASSERT_FALSE(behind(BIN, bytes, sizeof(bytes) - 1));
	CU_ASSERT_FALSE(behind(BIN, bytes + 5, sizeof(bytes) - 5));
	CU_ASSERT_FALSE(behind(BIN, bytes, 0));
	bytes[62] = 45; /* there is no list */
	CU_ASSERT_FALSE(behind(BIN, bytes, sizeof(bytes)));
}

/* Two stored members of one byte each, of the names a and b, and their list. */
static size_t zip_make(char *out)
{
	static const char local[30] = "PK\3\4\24", listed[46] = "PK\1\2\24\0\24", end[22] = "PK\5\6";
	size_t at = 0;

	for (int i = 0; i < 2; i++) {
		memcpy(out + at, local, 30);
		out[at + 18] = out[at + 22] = out[at + 26] = 1;
		out[at + 30] = (char)('a' + i);
		out[at + 31] = 'x';
		at += 32;
	}
	for (int i = 0; i < 2; i++) {
		memcpy(out + at, listed, 46);
		out[at + 20] = out[at + 24] = out[at + 28] = 1;
		out[at + 42] = (char)(32 * i);
		out[at + 46] = (char)('a' + i);
		at += 47;
	}
	memcpy(out + at, end, 22);
	out[at + 8] = out[at + 10] = 2;
	out[at + 12] = 94;
	out[at + 16] = 64;
	return at + 22;
}

static void a_zip_says_the_same_twice(void)
{
	static const struct {
		size_t at;
		char value;
		bool same;
	} changes[] = {
		{4, 10, true},           {32 + 6, 1, false},        {32 + 8, 8, false},        {32 + 18, 0, false},
		{32 + 22, 2, false},     {32 + 26, 2, false},       {32 + 6, 8, true},         {32 + 7, 0x20, false},
		{64 + 47, 'X', false},   {64 + 47 + 20, 2, false},  {64 + 47 + 42, 33, false}, {64 + 94 + 10, 3, false},
		{64 + 94 + 10, 1, true}, {64 + 94 + 16, 65, false}, {64 + 94 + 12, 120, false}};
	char bytes[256], before[300] = "text";
	size_t size = zip_make(bytes);

	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_ZIP", bytes, size, false));
	memcpy(before + 10, bytes, size);
	CU_ASSERT_PTR_NULL(kind_of("CL_TYPE_ZIPSFX", before, size + 10, false));
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		zip_make(bytes);
		bytes[changes[i].at] = changes[i].value;
		CU_ASSERT_EQUAL(kind_of("CL_TYPE_ZIP", bytes, size, false) == NULL, changes[i].same);
	}
	for (size_t cut = 1; cut < size; cut++) { /* nothing is read beyond its end */
		zip_make(bytes);
		kind_of("CL_TYPE_ZIP", bytes, size - cut, false);
		kind_of("CL_TYPE_ZIP", bytes + cut, size - cut, false);
	}
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("formats", NULL, NULL);
	CU_ADD_TEST(suite, magic_at_its_place_alone_counts);
	CU_ADD_TEST(suite, frames_that_are_to_be_skipped_are);
	CU_ADD_TEST(suite, rar_is_opened_where_its_library_is);
	CU_ADD_TEST(suite, zip_methods_are_told_apart);
	CU_ADD_TEST(suite, what_has_little_magic_needs_more_than_that);
	CU_ADD_TEST(suite, lha_methods_are_told_apart);
	CU_ADD_TEST(suite, encryption_that_the_engine_passes_over_is_seen);
	CU_ADD_TEST(suite, a_tar_is_walked_as_others_do);
	CU_ADD_TEST(suite, a_second_stream_of_bzip2_is_seen);
	CU_ADD_TEST(suite, texts_that_hold_files_are_seen);
	CU_ADD_TEST(suite, a_zip_is_known_by_its_end);
	CU_ADD_TEST(suite, a_zip_says_the_same_twice);
	CU_ADD_TEST(suite, members_are_expected_where_they_must_come);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
