// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/judge.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "judge.h"

static struct findings findings;
static struct verdict verdict;
static char detail[160];

static int judged(void)
{
	judge(&findings, &verdict, detail, sizeof(detail));
	return verdict.kind;
}

static void fresh(unsigned layers)
{
	findings = (struct findings){.layers = layers};
}

static void clean_is_what_is_left_when_nothing_was_noticed(void)
{
	fresh(1);
	CU_ASSERT_EQUAL(judged(), VERDICT_CLEAN);
	CU_ASSERT_EQUAL(verdict.reason, REASON_NONE);
	CU_ASSERT_STRING_EQUAL(verdict.signature, "");
	CU_ASSERT_STRING_EQUAL(detail, "");
}

static void no_layer_is_not_clean(void)
{
	fresh(0);
	CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
	CU_ASSERT_EQUAL(verdict.reason, REASON_ENGINE_ERROR);
}

static void each_limit_has_its_reason(void)
{
	static const struct {
		const char *name;
		enum verdict_reason reason;
	} limits[] = {
		{"MaxFileSize", REASON_TOO_LARGE},   {"MaxScanSize", REASON_TOO_LARGE},
		{"MaxFiles", REASON_TOO_LARGE},      {"MaxRecursion", REASON_TOO_DEEP},
		{"MaxScanTime", REASON_TIMEOUT},     {"EmailHeaders", REASON_TOO_LARGE},
		{"WhatComesNext", REASON_TOO_LARGE},
	};
	char name[128];

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		fresh(9);
		strcpy(name, "Heuristics.Limits.Exceeded.");
		findings_name(&findings, strcat(name, limits[i].name));
		CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
		CU_ASSERT_EQUAL(verdict.reason, limits[i].reason);
		CU_ASSERT_PTR_NOT_NULL(strstr(detail, limits[i].name));
	}
	fresh(9);
	findings_name(&findings, "Heuristics.Limits.Exceeded");
	CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
}

static void a_signature_wins_over_all_else(void)
{
	for (int order = 0; order < 2; order++) {
		fresh(3);
		if (order)
			findings_name(&findings, "Test.Signature");
		findings_name(&findings, "Heuristics.Limits.Exceeded.MaxFiles");
		findings_name(&findings, "Heuristics.Encrypted.Zip");
		findings_error(&findings, REASON_IO_ERROR, "write: no space");
		strcpy(findings.unsupported, "zstd");
		if (!order)
			findings_name(&findings, "Test.Signature");
		CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
		CU_ASSERT_STRING_EQUAL(verdict.signature, "Test.Signature");
		CU_ASSERT_EQUAL(verdict.reason, REASON_NONE);
	}
}

static void each_heuristic_has_its_kind_and_no_signature(void)
{
	static const struct {
		const char *name;
		enum heuristic kind;
	} names[] = {{"Heuristics.OLE2.ContainsMacros.VBA", HEURISTIC_MACRO},
		     {"Heuristics.OLE2.ContainsMacros.XLM", HEURISTIC_MACRO},
		     {"Heuristics.Broken.Executable", HEURISTIC_BROKEN},
		     {"Heuristics.Broken.Media.GIF.UnknownBlockLabel", HEURISTIC_BROKEN},
		     {"Heuristics.Phishing.Email.SSL-Spoof", HEURISTIC_PHISHING},
		     {"Heuristics.Safebrowsing.Suspected-phishing_safebrowsing.clamav.net", HEURISTIC_PHISHING},
		     {"PUA.Win.Tool", HEURISTIC_UNWANTED},
		     {"PUA.Win.Tool.UNOFFICIAL", HEURISTIC_UNWANTED},
		     {"Heuristics.PDF.ObfuscatedNameObject", HEURISTIC_OTHER},
		     {"Heuristics.LimitsExceeded", HEURISTIC_OTHER},
		     {"Heuristics.WhatComesNext", HEURISTIC_OTHER}};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fresh(1);
		findings_name(&findings, names[i].name);
		CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
		CU_ASSERT_EQUAL(verdict.heuristics, 1 << names[i].kind);
		CU_ASSERT_EQUAL(verdict.reason, REASON_NONE);
		CU_ASSERT_STRING_EQUAL(verdict.signature, names[i].name);
		CU_ASSERT_PTR_NOT_NULL(strstr(detail, names[i].name));
	}
}

static void what_the_engine_knows_by_heart_is_a_signature(void)
{
	static const char *const names[] = {"Heuristics.Exploit.W32.MS05-002", "Heuristics.Trojan.Swizzor.Gen",
					    "Heuristics.W32.Parite.B", "Heuristics.Worm.Mydoom.M.log",
					    "Heuristics.Of.The.House.UNOFFICIAL"}; /* somebody's own database */

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fresh(1);
		findings_name(&findings, names[i]);
		CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
		CU_ASSERT_EQUAL(verdict.heuristics, 0);
		CU_ASSERT_STRING_EQUAL(verdict.signature, names[i]);
	}
}

static void what_the_engine_refuses_to_unpack_is_a_limit(void)
{
	static const char *const names[] = {"Heuristics.XZ.DicSizeLimit", "Heuristics.Zip.OverlappingFiles"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		fresh(1);
		findings_name(&findings, names[i]);
		CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
		CU_ASSERT_EQUAL(verdict.reason, REASON_TOO_LARGE);
	}
}

static void a_heuristic_hides_neither_a_signature_nor_a_reason(void)
{
	for (int order = 0; order < 2; order++) {
		fresh(3);
		if (order)
			findings_name(&findings, "Test.Signature");
		for (int i = 0; i < 2; i++)
			findings_name(&findings, i ? "Heuristics.OLE2.ContainsMacros.VBA" : "PUA.Tool");
		findings_type(&findings, "Mailward.Type.Script", "Mailward.Type.Script (member a.js)");
		if (!order)
			findings_name(&findings, "Test.Signature");
		CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
		CU_ASSERT_EQUAL(verdict.heuristics, 0);
		CU_ASSERT_STRING_EQUAL(verdict.signature, "Test.Signature");
		CU_ASSERT_STRING_EQUAL(detail, "libclamav: Test.Signature, Heuristics.OLE2.ContainsMacros.VBA, "
					       "PUA.Tool; content: Mailward.Type.Script (member a.js)");
	}
	fresh(3);
	findings_name(&findings, "Heuristics.Encrypted.Zip");
	findings_name(&findings, "Heuristics.OLE2.ContainsMacros.VBA");
	findings_name(&findings, "PUA.Tool");
	CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
	CU_ASSERT_EQUAL(verdict.heuristics, 1 << HEURISTIC_MACRO | 1 << HEURISTIC_UNWANTED);
	CU_ASSERT_EQUAL(verdict.reason, REASON_ENCRYPTED);
	CU_ASSERT_STRING_EQUAL(verdict.signature, "PUA.Tool");
}

static void the_detail_says_what_each_level_found(void)
{
	fresh(1);
	findings_type(&findings, "Mailward.Type.Executable", "Mailward.Type.Executable (member invoice.pdf.exe)");
	CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
	CU_ASSERT_EQUAL(verdict.heuristics, 1 << HEURISTIC_TYPE);
	CU_ASSERT_STRING_EQUAL(detail, "libclamav: clean; content: Mailward.Type.Executable (member invoice.pdf.exe)");
	findings.engine = "clamd";
	findings_name(&findings, "Heuristics.Encrypted.Zip");
	judged();
	CU_ASSERT_STRING_EQUAL(detail,
			       "clamd: encrypted: Zip; content: Mailward.Type.Executable (member invoice.pdf.exe)");
	CU_ASSERT_EQUAL(verdict.reason, REASON_ENCRYPTED);
}

static void the_strictest_of_what_was_noticed_decides(void)
{
	fresh(3);
	findings_encrypted(&findings, "ARJ");
	CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
	CU_ASSERT_EQUAL(verdict.reason, REASON_ENCRYPTED);
	strcpy(findings.unsupported, "zstd");
	judged();
	CU_ASSERT_EQUAL(verdict.reason, REASON_UNSUPPORTED);
	findings_message(&findings, "LibClamAV Warning: something odd\n");
	judged();
	CU_ASSERT_EQUAL(verdict.reason, REASON_ENGINE_ERROR);
	CU_ASSERT_PTR_NOT_NULL(strstr(detail, "something odd"));
	findings_name(&findings, "Heuristics.Limits.Exceeded.MaxRecursion");
	judged();
	CU_ASSERT_EQUAL(verdict.reason, REASON_TOO_DEEP);
}

static void messages_about_files_are_io_errors(void)
{
	fresh(1);
	findings_message(&findings, "cli_untar: Can't create temporary file");
	judged();
	CU_ASSERT_EQUAL(verdict.reason, REASON_IO_ERROR);
	findings_message(&findings, "a later one of another kind");
	judged();
	CU_ASSERT_EQUAL(verdict.reason, REASON_IO_ERROR);
}

static void a_part_that_was_left_out_is_unsupported(void)
{
	fresh(1);
	findings_message(&findings, "Partial message received from MUA/MTA - message cannot be scanned\n");
	CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
	CU_ASSERT_EQUAL(verdict.reason, REASON_UNSUPPORTED);
	CU_ASSERT_TRUE(findings.spoke);
}

static void hostile_names_come_out_printable_and_cut(void)
{
	char name[400];

	fresh(1);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = 0;
	name[3] = '\n', name[4] = '\x1b', name[5] = (char)0xc3;
	findings_name(&findings, name);
	CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
	CU_ASSERT_EQUAL(strlen(verdict.signature), SIGNATURE_SIZE - 1);
	CU_ASSERT_EQUAL(memcmp(verdict.signature, "nnn???nn", 8), 0);
	fresh(1);
	findings_name(&findings, "");
	CU_ASSERT_EQUAL(judged(), VERDICT_INFECTED);
	CU_ASSERT_STRING_EQUAL(verdict.signature, "?");
	fresh(1);
	findings_message(&findings, "\n");
	CU_ASSERT_EQUAL(judged(), VERDICT_UNSCANNED);
}

static void every_name_goes_into_the_reply(void)
{
	struct scan_reply reply = {0};

	fresh(1);
	findings_name(&findings, "First");
	findings_name(&findings, "Second");
	findings_name(&findings, "First");
	findings_name(&findings, "Heuristics.Encrypted.Zip");
	judge(&findings, &reply.verdict, reply.detail, sizeof(reply.detail));
	judge_names(&findings, &reply);
	CU_ASSERT_EQUAL(reply.verdict.kind, VERDICT_INFECTED);
	CU_ASSERT_EQUAL(reply.name_count, 2);
	CU_ASSERT_EQUAL(reply.names_more, 0);
	CU_ASSERT_STRING_EQUAL(reply.names[0], "First");
	CU_ASSERT_STRING_EQUAL(reply.names[1], "Second");
	CU_ASSERT_EQUAL(reply.rest, REASON_ENCRYPTED);
}

static void more_names_than_have_room_are_told(void)
{
	struct scan_reply reply = {0};
	char name[16];

	fresh(1);
	for (int i = 0; i <= SCAN_NAMES; i++) {
		snprintf(name, sizeof(name), "Name.%d", i);
		findings_name(&findings, name);
	}
	judge(&findings, &reply.verdict, reply.detail, sizeof(reply.detail));
	judge_names(&findings, &reply);
	CU_ASSERT_EQUAL(reply.name_count, SCAN_NAMES);
	CU_ASSERT_EQUAL(reply.names_more, 1);
	CU_ASSERT_EQUAL(reply.rest, REASON_NONE);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("judge", NULL, NULL);
	CU_ADD_TEST(suite, clean_is_what_is_left_when_nothing_was_noticed);
	CU_ADD_TEST(suite, no_layer_is_not_clean);
	CU_ADD_TEST(suite, each_limit_has_its_reason);
	CU_ADD_TEST(suite, a_signature_wins_over_all_else);
	CU_ADD_TEST(suite, each_heuristic_has_its_kind_and_no_signature);
	CU_ADD_TEST(suite, what_the_engine_knows_by_heart_is_a_signature);
	CU_ADD_TEST(suite, what_the_engine_refuses_to_unpack_is_a_limit);
	CU_ADD_TEST(suite, a_heuristic_hides_neither_a_signature_nor_a_reason);
	CU_ADD_TEST(suite, the_detail_says_what_each_level_found);
	CU_ADD_TEST(suite, the_strictest_of_what_was_noticed_decides);
	CU_ADD_TEST(suite, messages_about_files_are_io_errors);
	CU_ADD_TEST(suite, a_part_that_was_left_out_is_unsupported);
	CU_ADD_TEST(suite, hostile_names_come_out_printable_and_cut);
	CU_ADD_TEST(suite, every_name_goes_into_the_reply);
	CU_ADD_TEST(suite, more_names_than_have_room_are_told);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
