// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/claims.c daemon/scanner/kinds.c daemon/scanner/mime.c daemon/scanner/names.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "claims.h"
#include "kinds.h"
#include "mime.h"
#include "names.h"
#include "wire.h"

#define EXECUTABLE (1u << TYPE_EXECUTABLE)
#define SCRIPT (1u << TYPE_SCRIPT)
#define SHORTCUT (1u << TYPE_SHORTCUT)
#define DISK (1u << TYPE_DISK_IMAGE)
#define MACRO (1u << TYPE_MACRO_DOCUMENT)
#define ALL ((1u << DENY_TYPES) - 1)

/* ---- names ---- */

static const struct {
	const char *name;
	unsigned types;
	bool doubled, hidden;
} names[] = {
	{"invoice.pdf", 0, false, false},
	{"invoice.exe", EXECUTABLE, false, false},
	{"invoice.pdf.exe", EXECUTABLE, true, false},
	{"INVOICE.PDF.EXE", EXECUTABLE, true, false},
	{"invoice.pdf .exe", EXECUTABLE, true, false},
	{"invoice.pdf_.exe", EXECUTABLE, true, false},
	{"invoice.pdf(1).exe", EXECUTABLE, false, false},
	{"invoice.pdf                      .exe", EXECUTABLE, true, true},
	{"invoice.pdf\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0\xc2\xa0.exe", EXECUTABLE, true, true},
	{"invoice.exe.", EXECUTABLE, false, false}, /* Windows drops dots and blanks at the end */
	{"invoice.exe  ", EXECUTABLE, false, false},
	{"invoice.exe. .", EXECUTABLE, false, false},
	{"invoice.exe.pdf", 0, false, false},
	{"archive.tar.gz", 0, false, false},
	{"report.2024.pdf", 0, false, false},
	{"setup-1.2.3.exe", EXECUTABLE, false, false},
	{"a.js", SCRIPT, false, false},
	{"a.jpg.js", SCRIPT, true, false},
	{"a.json", 0, false, false},
	{"run.ps1", SCRIPT, false, false},
	{"go.sh", SCRIPT, false, false},
	{"photo.jpg.lnk", SHORTCUT, true, false},
	{"site.url", SHORTCUT, false, false},
	{"x.desktop", SHORTCUT, false, false},
	{"disk.iso", DISK, false, false},
	{"disk.vhdx", DISK, false, false},
	{"letter.docm", MACRO, false, false},
	{"letter.docx", 0, false, false},
	{"invoice_\xe2\x80\xae"
	 "fdp.exe",
	 EXECUTABLE, false, true}, /* looks like invoice_exe.pdf */
	{"invoice_\xe2\x80\xae"
	 "fdp.txt",
	 0, false, true},
	{"invoice_\xe2\x81\xa7"
	 "fdp.exe",
	 EXECUTABLE, false, true},                                         /* an isolate, and something that runs */
	{"\xe2\x81\xa8\xd7\xa9\xd7\x9c\xe2\x81\xa9.pdf", 0, false, false}, /* an honest name between isolates */
	{"\xd7\xa9\xd7\x9c\xe2\x80\x8f.docx", 0, false, false},            /* a right-to-left mark is none of these */
	{"a.e\xe2\x80\x8bxe", EXECUTABLE, false, false},                   /* a space of no width in the ending */
	{"folder.exe/readme.txt", 0, false, false},
	{"C:\\evil\\a.pdf.scr", EXECUTABLE, true, false},
	{"folder.exe/", 0, false, false},
	{"exe", 0, false, false},
	{".exe", EXECUTABLE, false, false},
	{"", 0, false, false},
	{".", 0, false, false},
	{"   ", 0, false, false},
};

static void a_zero_byte_ends_a_name_for_some_and_not_for_others(void)
{
	CU_ASSERT_EQUAL(name_claims("a.exe\0.txt", 10).types, EXECUTABLE);
	CU_ASSERT_EQUAL(name_claims("a.txt\0.exe", 10).types, EXECUTABLE);
	CU_ASSERT_TRUE(name_claims("a.txt.exe\0.txt", 14).doubled);
	CU_ASSERT_EQUAL(name_claims("a.txt\0.txt", 10).types, 0);
	CU_ASSERT_EQUAL(name_claims("a\".exe\"", 7).types, EXECUTABLE);
}

static void a_name_claims_what_its_last_ending_says(void)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct name_claim claim = name_claims(names[i].name, strlen(names[i].name));
		bool right = claim.types == names[i].types && claim.doubled == names[i].doubled &&
			     claim.hidden == names[i].hidden;
		if (!right)
			printf("\n  %s: types %u, doubled %d, hidden %d\n", names[i].name, claim.types, claim.doubled,
			       claim.hidden);
		CU_ASSERT_TRUE(right);
	}
}

static void a_long_name_counts_by_its_end(void)
{
	char *name = malloc(100000);

	memset(name, 'a', 100000);
	memcpy(name + 100000 - 8, ".pdf.exe", 8);
	struct name_claim claim = name_claims(name, 100000);
	CU_ASSERT_EQUAL(claim.types, EXECUTABLE);
	CU_ASSERT_TRUE(claim.doubled);
	free(name);
}

/* ---- contents ---- */

static unsigned char bytes[0x9000];

static unsigned kind_at(size_t size, size_t at, const char *what, size_t length)
{
	memcpy(bytes + at, what, length);
	unsigned types = kind_types(bytes, size);
	memset(bytes, 0, sizeof(bytes));
	return types;
}
#define KIND(size, at, what) kind_at(size, at, what, sizeof(what) - 1)
#define KIND_OF(text) kind_types((const unsigned char *)(text), sizeof(text) - 1)

static void programs_are_known_by_their_bytes(void)
{
	unsigned char pe[512] = "MZ";

	pe[60] = 0x80;
	memcpy(pe + 0x80, "PE\0\0", 4);
	CU_ASSERT_EQUAL(kind_types(pe, sizeof(pe)), EXECUTABLE);
	pe[60] = 0xff, pe[61] = 0xff, pe[62] = 0xff, pe[63] = 0xff; /* outside, and its other fields are none */
	CU_ASSERT_EQUAL(kind_types(pe, sizeof(pe)), 0);
	CU_ASSERT_EQUAL(KIND_OF("MZ is a text that begins like a program, and is none"), 0);
	CU_ASSERT_EQUAL(KIND(64, 0, "MZ\x90\0\3\0\0\0\4\0\0\0\xff\xff"), EXECUTABLE);
	CU_ASSERT_EQUAL(KIND(64, 0, "\177ELF\2\1\1"), EXECUTABLE);
	CU_ASSERT_EQUAL(KIND(64, 0, "\xcf\xfa\xed\xfe"), EXECUTABLE);
	CU_ASSERT_EQUAL(KIND(64, 0, "\xca\xfe\xba\xbe\0\0\0\2"), EXECUTABLE);
	CU_ASSERT_EQUAL(KIND(64, 0, "\xca\xfe\xba\xbe\0\0\0\x34"), EXECUTABLE);
	CU_ASSERT_EQUAL(KIND(3, 0, "\177EL"), 0);
	CU_ASSERT_EQUAL(kind_types(pe, 0), 0);
}

static void scripts_and_shortcuts_are_known_by_their_words(void)
{
	CU_ASSERT_EQUAL(KIND_OF("#!/bin/sh\nls\n"), SCRIPT);
	CU_ASSERT_EQUAL(KIND_OF("\xef\xbb\xbf#! /usr/bin/env python\n"), SCRIPT);
	CU_ASSERT_EQUAL(KIND_OF("#! is what a script begins with\n"), 0);
	CU_ASSERT_EQUAL(KIND_OF("\r\n@ECHO OFF\r\ndel x\r\n"), SCRIPT);
	CU_ASSERT_EQUAL(KIND_OF("#@~^AAAAAA=="), SCRIPT);
	CU_ASSERT_EQUAL(KIND_OF("<html><head><HTA:APPLICATION id=x></head>"), SCRIPT);
	CU_ASSERT_EQUAL(KIND_OF("<job id='x'><script language='VBScript'>"), SCRIPT);
	CU_ASSERT_EQUAL(KIND_OF("<html><script>alert(1)</script></html>"), 0);
	CU_ASSERT_EQUAL(KIND_OF("[InternetShortcut]\r\nURL=http://x/\r\n"), SHORTCUT);
	CU_ASSERT_EQUAL(KIND_OF("\xff\xfe[\0I\0n\0t\0e\0r\0n\0e\0t\0S\0h\0o\0r\0t\0c\0u\0t\0]\0"), SHORTCUT);
	CU_ASSERT_EQUAL(KIND_OF("[Desktop Entry]\nExec=x\n"), SHORTCUT);
	CU_ASSERT_EQUAL(KIND(64, 0, "\x4c\0\0\0\1\x14\2\0\0\0\0\0\xc0\0\0\0\0\0\0\x46"), SHORTCUT);
	CU_ASSERT_EQUAL(KIND_OF("A letter about [Desktop Entry] and #!/bin/sh\n"), 0);
	CU_ASSERT_EQUAL(KIND_OF("#!"), 0);
}

static void disks_are_known_by_their_bytes(void)
{
	CU_ASSERT_EQUAL(KIND(0x9000, 0x8001, "CD001"), DISK);
	CU_ASSERT_EQUAL(KIND(0x9000, 0x8801, "NSR02"), DISK);
	CU_ASSERT_EQUAL(KIND(0x9000, 0x7001, "CD001"), 0);
	CU_ASSERT_EQUAL(KIND(1024, 0, "vhdxfile"), DISK);
	CU_ASSERT_EQUAL(KIND(1024, 512, "conectix"), DISK);
	CU_ASSERT_EQUAL(KIND(1024, 512, "koly"), DISK);
	CU_ASSERT_EQUAL(KIND(1024, 0, "KDMV"), DISK);
	bytes[510] = 0x55, bytes[511] = 0xaa, bytes[0] = 0xeb;
	CU_ASSERT_EQUAL(KIND(4096, 54, "FAT12   "), DISK);
	bytes[510] = 0x55, bytes[511] = 0xaa;
	CU_ASSERT_EQUAL(KIND(4096, 446, "\x80\0\0\0\x0c\0\0\0\1\0\0\0\7\0\0\0"), DISK);
	bytes[510] = 0x55, bytes[511] = 0xaa;
	CU_ASSERT_EQUAL(KIND(4096, 446, "text"), 0);
}

static void ole2_documents_are_known_by_their_directory(void)
{
	static unsigned char ole[2048] = "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1";
	static const char vba[] = "_\0V\0B\0A\0_\0P\0R\0O\0J\0E\0C\0T\0\0";

	CU_ASSERT_EQUAL(kind_types(ole, sizeof(ole)), 0);
	memcpy(ole + 1024, vba, sizeof(vba));
	CU_ASSERT_EQUAL(kind_types(ole, sizeof(ole)), 0); /* no entry */
	ole[1024 + 66] = 2;
	CU_ASSERT_EQUAL(kind_types(ole, sizeof(ole)), MACRO);
	memcpy(ole + 512, "R\0o\0o\0t\0 \0E\0n\0t\0r\0y\0", 20);
	ole[512 + 66] = 5;
	memcpy(ole + 512 + 80, "\x84\x10\x0c\0\0\0\0\0\xc0\0\0\0\0\0\0\x46", 16);
	CU_ASSERT_EQUAL(kind_types(ole, sizeof(ole)), MACRO | EXECUTABLE);
	CU_ASSERT_EQUAL(kind_types(ole, 640), EXECUTABLE);
	CU_ASSERT_EQUAL(kind_types(ole, 600), 0);
}

static void members_tell_by_their_place(void)
{
#define MEMBER(path) kind_of_member(path, sizeof(path) - 1)
	CU_ASSERT_EQUAL(MEMBER("word/vbaProject.bin"), MACRO);
	CU_ASSERT_EQUAL(MEMBER("xl\\VBAPROJECT.BIN"), MACRO);
	CU_ASSERT_EQUAL(MEMBER("notvbaProject.bin"), 0);
	CU_ASSERT_EQUAL(MEMBER("xl/macrosheets/sheet1.xml"), MACRO);
	CU_ASSERT_EQUAL(MEMBER("META-INF/MANIFEST.MF"), EXECUTABLE);
	CU_ASSERT_EQUAL(MEMBER("META-INF/manifest.xml"), 0);
	CU_ASSERT_EQUAL(MEMBER("Basic/Standard/Module1.xml"), MACRO);
	CU_ASSERT_EQUAL(MEMBER("Basic/Standard/script-lb.xml"), 0);
	CU_ASSERT_EQUAL(MEMBER(""), 0);
}

/* ---- messages ---- */

static char told[2048];

static void on_name(void *owner, const char *name, size_t length)
{
	size_t used = strlen(told);

	(void)owner;
	snprintf(told + used, sizeof(told) - used, "%s%.*s", used ? "|" : "", (int)length, name);
}

static void message_names(const char *message, const char *expected)
{
	char *copy = malloc(strlen(message) + 1); /* at its exact size, for the sanitizer */

	memcpy(copy, message, strlen(message));
	told[0] = 0;
	mime_names(copy, strlen(message), on_name, NULL);
	if (strcmp(told, expected) != 0)
		printf("\n  %s\n  names: %s\n", message, told);
	CU_ASSERT_STRING_EQUAL(told, expected);
	free(copy);
}

#define PART(head) "From: a\nContent-Type: multipart/mixed; boundary=\"b c\"\n\n--b c\n" head "\n\nbody\n--b c--\n"

static void names_come_from_the_heads_of_parts(void)
{
	message_names(PART("Content-Type: application/pdf; name=\"a.exe\""), "a.exe");
	message_names(PART("content-disposition : ATTACHMENT ; FILENAME = a.exe ; size=3"), "a.exe");
	message_names(
		PART("Content-Type: x/y;\r\n\tname=\"a\r\n .exe\"\r\nContent-Disposition: inline; filename=b.exe"),
		"a .exe|b.exe");
	message_names(PART("Content-Type: x/y; name=\"a\\\"b;c.exe\"; charset=x"), "a\"b;c.exe");
	message_names(PART("Content-Type: x/y; name=\"never closed.exe"), "never closed.exe");
	message_names(PART("Content-Type: x/y; name=a b.exe"), "a b.exe");
	message_names(PART("Content-Type: text/plain\n\nContent-Disposition: attachment; filename=quoted.exe"), "");
	message_names("Content-Disposition: attachment; filename=top.exe\n\nbody\n", "top.exe");
	message_names("Subject: x\n\nContent-Type: x/y; name=body.exe\n", "");
	message_names("", "");
}

static void names_are_decoded(void)
{
	message_names(PART("Content-Type: x/y; name=\"=?utf-8?B?aW52b2ljZS5leGU=?=\""), "invoice.exe");
	message_names(PART("Content-Type: x/y; name==?us-ascii?q?a=2Eexe?="), "a.exe");
	message_names(PART("Content-Type: x/y; name=\"=?x?q?a_b?= \r\n =?x?q?=2Eexe?=\""), "a b.exe");
	message_names(PART("Content-Type: x/y; name=\"=?utf-16le?B?YQAuAGUAeABlAA==?=\""), "a.exe");
	message_names(PART("Content-Type: x/y; name=\"=?x?q?a\""), "=?x?q?a");
	message_names(PART("Content-Disposition: attachment; filename*=utf-8'en'a%2Eexe"), "a.exe");
	message_names(PART("Content-Disposition: attachment; filename*=a%2Eexe%"), "a.exe%");
	message_names(PART("Content-Disposition: x; filename*1=\".e\"; filename*0=a; filename*2=xe"), "a.exe");
	message_names(PART("Content-Disposition: x; filename*0*=utf-8''a%2E; filename*1*=e%78; filename*2=e"), "a.exe");
	message_names(PART("Content-Disposition: x; filename*1=.e; filename*3=xe"), ".exe");
	message_names(PART("Content-Disposition: filename=a.exe"), "a.exe");
	message_names(PART("Content-Disposition: attachment, filename=a.exe"), "a.exe");
	message_names(PART("Content-Disposition: x; filename=\"a\".exe"), "a.exe");
	message_names(PART("Content-Disposition: x; filename*=utf-16be''a%00.%00exe"), "a.exe");
	message_names(PART("Content-Disposition: x; filename*99=a; filename*-1=b; filename*x=c; filename*="), "b|c|a");
}

static void every_message_within_is_read(void)
{
	message_names("Content-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=i\n\n--i\n"
		      "Content-Type: x/y; name=inner.exe\n\nx\n--i--\n",
		      "inner.exe");
	message_names("From a Sat\nTo: x\n\nhello\n\nFrom b Sat\nContent-Type: x/y; name=second.exe\n\n", "second.exe");
	message_names("To: x\n\nhello\nFrom b Sat\nContent-Type: x/y; name=text.exe\n\n", "");
	message_names(
		"Content-Type: m/x; boundary*0=\"a\"; boundary*1=\"b\"\n\n--ab\nContent-Type: x/y; name=p.exe\n\n",
		"p.exe");
	message_names("Content-Type: m/x; boundary=a\n\n--a--\nContent-Type: x/y; name=behind.exe\n\n", "");
	message_names("To: x\n\nbegin 644 a.exe\nM123\nend\nbegin here\n=ybegin line=128 size=9 name=b c.exe\n",
		      "a.exe|b c.exe");
	message_names("Content-Type: message/rfc822\n\n\n\n\n\n", "");
}

static void more_boundaries_than_are_kept_end_in_none_that_is_overlooked(void)
{
	char *message = malloc(1 << 20);
	size_t used = 0;

	for (int i = 0; i < 200; i++)
		used += (size_t)sprintf(message + used, "%sContent-Type: m/x; boundary=b%d\n\n", i ? "\n--b\n" : "", i);
	sprintf(message + used, "--b199\nContent-Type: x/y; name=deep.exe\n\n");
	message_names(message, "");
	used = (size_t)sprintf(message, "Content-Type: m/x; boundary=c0\n\n");
	for (int i = 1; i < 200; i++)
		used += (size_t)sprintf(message + used, "--c%d\nContent-Type: m/x; boundary=c%d\n\n", i - 1, i);
	sprintf(message + used, "--c199\nContent-Type: x/y; name=deep.exe\n\n");
	message_names(message, "deep.exe");
	free(message);
}

static void what_begins_like_a_message_is_told(void)
{
	CU_ASSERT_TRUE(mime_looks_so("Received: x\n", 12));
	CU_ASSERT_TRUE(mime_looks_so("From a@b Sat\n", 13));
	CU_ASSERT_TRUE(mime_looks_so("2 M1e C5d\n", 10));
	CU_ASSERT_FALSE(mime_looks_so("PK\3\4", 4));
	CU_ASSERT_FALSE(mime_looks_so("two words: x\n", 13));
	CU_ASSERT_FALSE(mime_looks_so(": x\n", 4));
	CU_ASSERT_FALSE(mime_looks_so("", 0));
}

/* ---- the rule ---- */

static void the_rule_is(uint32_t denied, const char *name, const unsigned char *content, size_t size,
			const char *expected)
{
	struct claims claims;
	char said[128] = "", detail[96] = "";

	claims_open(&claims, denied);
	claims_name(&claims, name, strlen(name), true);
	if (content)
		claims_content(&claims, content, size, name);
	CU_ASSERT_EQUAL(claims_tell(&claims, said, sizeof(said), detail, sizeof(detail)), expected[0] != 0);
	CU_ASSERT_STRING_EQUAL(detail, expected);
	if (expected[0])
		CU_ASSERT_EQUAL(strncmp(detail, said, strlen(said)), 0);
}

static void only_what_the_policy_names_is_found(void)
{
	static const unsigned char elf[64] = "\177ELF";

	the_rule_is(0, "a.pdf.exe", elf, sizeof(elf), "");
	the_rule_is(SCRIPT, "a.pdf.exe", elf, sizeof(elf), "");
	the_rule_is(EXECUTABLE, "a.pdf", elf, sizeof(elf), "Mailward.Type.Executable (member a.pdf)");
	the_rule_is(EXECUTABLE, "a.exe", NULL, 0, "Mailward.Type.Executable (member a.exe)");
	the_rule_is(ALL, "a.pdf.exe", elf, sizeof(elf), "Mailward.Type.DoubleExtension, Executable (member a.pdf.exe)");
	the_rule_is(SCRIPT,
		    "a\xe2\x80\xae"
		    "fdp.txt",
		    NULL, 0, "Mailward.Type.HiddenName (member a???fdp.txt)");
	the_rule_is(0,
		    "a\xe2\x80\xae"
		    "fdp.txt",
		    NULL, 0, "");
	the_rule_is(ALL, "a.docm", NULL, 0, "Mailward.Type.MacroDocument (member a.docm)");
}

static void the_most_telling_name_is_kept(void)
{
	struct claims claims;
	char name[128], detail[96];

	claims_open(&claims, ALL);
	claims_name(&claims, "a.iso", 5, false);
	claims_name(&claims, "b.jpg.js", 8, false);
	claims_name(&claims, "c.exe", 5, false);
	CU_ASSERT_TRUE(claims_tell(&claims, name, sizeof(name), detail, sizeof(detail)));
	CU_ASSERT_STRING_EQUAL(name, "Mailward.Type.DoubleExtension");
	CU_ASSERT_STRING_EQUAL(detail,
			       "Mailward.Type.DoubleExtension, Executable, Script, DiskImage (member b.jpg.js)");
}

static void hostile_names_come_out_printable_and_cut(void)
{
	struct claims claims;
	char name[500], said[128], detail[96];

	memset(name, 'n', sizeof(name));
	memcpy(name + 480,
	       "\n\x1b[31m\xff"
	       "abc.exe",
	       14);
	claims_open(&claims, ALL);
	claims_name(&claims, name, 494, true);
	CU_ASSERT_TRUE(claims_tell(&claims, said, sizeof(said), detail, sizeof(detail)));
	for (const char *at = detail; *at; at++)
		CU_ASSERT_TRUE(*at >= ' ' && *at <= '~');
	CU_ASSERT_PTR_NOT_NULL(strstr(detail, "??[31m?abc.exe)"));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("claims", NULL, NULL);
	CU_ADD_TEST(suite, a_zero_byte_ends_a_name_for_some_and_not_for_others);
	CU_ADD_TEST(suite, a_name_claims_what_its_last_ending_says);
	CU_ADD_TEST(suite, a_long_name_counts_by_its_end);
	CU_ADD_TEST(suite, programs_are_known_by_their_bytes);
	CU_ADD_TEST(suite, scripts_and_shortcuts_are_known_by_their_words);
	CU_ADD_TEST(suite, disks_are_known_by_their_bytes);
	CU_ADD_TEST(suite, ole2_documents_are_known_by_their_directory);
	CU_ADD_TEST(suite, members_tell_by_their_place);
	CU_ADD_TEST(suite, names_come_from_the_heads_of_parts);
	CU_ADD_TEST(suite, names_are_decoded);
	CU_ADD_TEST(suite, every_message_within_is_read);
	CU_ADD_TEST(suite, more_boundaries_than_are_kept_end_in_none_that_is_overlooked);
	CU_ADD_TEST(suite, what_begins_like_a_message_is_told);
	CU_ADD_TEST(suite, only_what_the_policy_names_is_found);
	CU_ADD_TEST(suite, the_most_telling_name_is_kept);
	CU_ADD_TEST(suite, hostile_names_come_out_printable_and_cut);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
