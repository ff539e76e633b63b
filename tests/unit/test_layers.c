// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/layers.c daemon/scanner/formats.c daemon/scanner/zips.c daemon/scanner/judge.c
// objects: daemon/scanner/claims.c daemon/scanner/kinds.c daemon/scanner/mime.c daemon/scanner/names.c
// objects: daemon/scanner/oddities.c
#include <CUnit/Basic.h>
#include <string.h>

#include "layers.h"
#include "wire.h"

static struct layers layers;
static struct findings findings;
static const unsigned char bytes[40] = "some bytes of no kind";

static uint32_t deny_types;

static void fresh(void)
{
	memset(&findings, 0, sizeof(findings));
	layers_open(&layers, &findings, false, deny_types, 10000);
}

static void begin(const char *type)
{
	CU_ASSERT_TRUE(layers_begin(&layers, type, bytes, sizeof(bytes), NULL));
}

static enum verdict_reason reason(void)
{
	struct verdict verdict;
	char detail[160];

	layers_close(&layers);
	judge(&findings, &verdict, detail, sizeof(detail));
	return verdict.kind == VERDICT_CLEAN ? REASON_NONE : (enum verdict_reason)verdict.reason;
}

static void a_text_is_clean(void)
{
	fresh();
	begin("CL_TYPE_TEXT_ASCII");
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_NONE);
	CU_ASSERT_EQUAL(findings.layers, 1);
}

static void a_stream_that_gives_nothing_did_not_open(void)
{
	fresh();
	begin("CL_TYPE_BZ");
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_UNSUPPORTED);
	CU_ASSERT_STRING_EQUAL(findings.unsupported, "BZ that does not open");
	fresh();
	begin("CL_TYPE_BZ");
	begin("CL_TYPE_TEXT_ASCII");
	layers_end(&layers);
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_NONE);
}

static void each_announced_member_must_come(void)
{
	fresh();
	begin("CL_TYPE_7Z");
	for (int i = 0; i < 2; i++) {
		layers_member(&layers, "CL_TYPE_7Z", "member", 100, false);
		begin("CL_TYPE_TEXT_ASCII");
		layers_end(&layers);
	}
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_NONE);
	for (int missing = 0; missing < 2; missing++) { /* the first, or the last */
		fresh();
		begin("CL_TYPE_7Z");
		layers_member(&layers, "CL_TYPE_7Z", "member", 100, false);
		if (missing == 1) {
			begin("CL_TYPE_TEXT_ASCII");
			layers_end(&layers);
		}
		layers_member(&layers, "CL_TYPE_7Z", "member", 100, false);
		if (missing == 0) {
			begin("CL_TYPE_TEXT_ASCII");
			layers_end(&layers);
		}
		layers_end(&layers);
		CU_ASSERT_EQUAL(reason(), REASON_UNSUPPORTED);
	}
}

static void empty_members_need_not_come(void)
{
	fresh();
	begin("CL_TYPE_7Z");
	layers_member(&layers, "CL_TYPE_7Z", "member", 0, false);
	layers_member(&layers, "CL_TYPE_7Z", "member", 5, false); /* the engine looks at nothing so small */
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_NONE);
}

static void encrypted_members_are_encrypted_and_nothing_else(void)
{
	fresh();
	begin("CL_TYPE_7Z");
	layers_name(&layers, "Heuristics.Encrypted.7Zip");
	layers_member(&layers, "CL_TYPE_7Z", "member", 100, true);
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_ENCRYPTED);
	fresh();
	begin("CL_TYPE_ARJ");
	layers_member(&layers, "CL_TYPE_ARJ", "member", 100, true);
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_ENCRYPTED);
}

static void a_zip_may_list_first_and_unpack_later(void)
{
	fresh();
	begin("CL_TYPE_ZIP");
	layers_member(&layers, "CL_TYPE_ZIP", "member", 100, false);
	layers_member(&layers, "CL_TYPE_ZIP", "member", 100, false);
	begin("CL_TYPE_TEXT_ASCII");
	layers_end(&layers);
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_NONE);
	fresh();
	begin("CL_TYPE_ZIP");
	layers_member(&layers, "CL_TYPE_ZIP", "member", 100, false);
	layers_end(&layers);
	CU_ASSERT_EQUAL(reason(), REASON_UNSUPPORTED);
}

static void an_archive_deep_inside_counts_like_one_at_the_top(void)
{
	fresh();
	begin("CL_TYPE_MAIL");
	begin("CL_TYPE_GZ");
	begin("CL_TYPE_XZ");
	layers_end(&layers);
	CU_ASSERT_STRING_EQUAL(findings.unsupported, "XZ that does not open");
	CU_ASSERT_EQUAL(reason(), REASON_UNSUPPORTED);
}

static void what_never_ended_ends_with_the_scan(void)
{
	fresh();
	begin("CL_TYPE_BZ");
	CU_ASSERT_EQUAL(reason(), REASON_UNSUPPORTED);
	CU_ASSERT_EQUAL(layers.depth, 0);
}

static void a_layer_without_bytes_is_an_error(void)
{
	fresh();
	CU_ASSERT_TRUE(layers_begin(&layers, "CL_TYPE_TEXT_ASCII", NULL, 40, NULL));
	CU_ASSERT_EQUAL(reason(), REASON_IO_ERROR);
	fresh();
	CU_ASSERT_TRUE(layers_begin(&layers, NULL, bytes, sizeof(bytes), NULL));
	CU_ASSERT_EQUAL(reason(), REASON_IO_ERROR);
}

static void nesting_without_end_is_noted_and_kept_in_bounds(void)
{
	fresh();
	for (int i = 0; i < LEVELS_MAX; i++)
		begin("CL_TYPE_MAIL");
	for (int i = 0; i < 5; i++)
		CU_ASSERT_FALSE(layers_begin(&layers, "CL_TYPE_MAIL", bytes, sizeof(bytes), NULL));
	for (int i = 0; i < LEVELS_MAX + 9; i++)
		layers_end(&layers);
	layers_member(&layers, "CL_TYPE_ZIP", "member", 9, false);
	layers_name(&layers, "Heuristics.Encrypted.Zip");
	CU_ASSERT_EQUAL(reason(), REASON_ENGINE_ERROR);
}

static void a_stream_of_five_bytes_may_give_nothing(void)
{
	unsigned char gzip[24] = "\x1f\x8b\x08\0";

	gzip[20] = 5;
	fresh();
	layers_begin(&layers, "CL_TYPE_GZ", gzip, sizeof(gzip), NULL);
	CU_ASSERT_EQUAL(reason(), REASON_NONE);
	gzip[20] = 6;
	fresh();
	layers_begin(&layers, "CL_TYPE_GZ", gzip, sizeof(gzip), NULL);
	CU_ASSERT_EQUAL(reason(), REASON_UNSUPPORTED);
}

static void what_members_are_and_are_called_is_noted_where_it_is_not_wanted(void)
{
	static const unsigned char elf[64] = "\177ELF", script[] = "#!/bin/sh\nls\n";

	for (deny_types = 0; deny_types < 1u << DENY_TYPES; deny_types++) {
		fresh();
		begin("CL_TYPE_ZIP");
		layers_member(&layers, "CL_TYPE_ZIP", "picture.jpg", 64, false);
		layers_begin(&layers, "CL_TYPE_ELF", elf, sizeof(elf), NULL);
		layers_end(&layers);
		layers_member(&layers, "CL_TYPE_ZIP", "dir/go.lnk", 14, false);
		layers_begin(&layers, "CL_TYPE_TEXT_ASCII", script, sizeof(script) - 1, NULL);
		layers_end(&layers);
		layers_end(&layers);
		layers_close(&layers);
		CU_ASSERT_EQUAL(layers.claims.found,
				deny_types & (1u << TYPE_EXECUTABLE | 1u << TYPE_SCRIPT | 1u << TYPE_SHORTCUT));
		CU_ASSERT_EQUAL(findings.heuristics[HEURISTIC_TYPE][0] != 0, layers.claims.found != 0);
		if (deny_types & 1u << TYPE_EXECUTABLE)
			CU_ASSERT_STRING_EQUAL(layers.claims.where, "member picture.jpg");
	}
	deny_types = 0;
}

static void the_heads_of_a_mail_give_names_too(void)
{
	static const unsigned char mail[] = "From: a@b\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
					    "Content-Type: application/pdf; name=\"a.pdf.exe\"\n\nx\n--x--\n";

	deny_types = 1u << TYPE_EXECUTABLE;
	for (int top = 0; top < 2; top++) { /* the engine may not take it for one at the top */
		fresh();
		if (!top)
			begin("CL_TYPE_GZ");
		layers_begin(&layers, top ? "CL_TYPE_TEXT_ASCII" : "CL_TYPE_MAIL", mail, sizeof(mail) - 1, NULL);
		layers_close(&layers);
		CU_ASSERT_STRING_EQUAL(findings.heuristics[HEURISTIC_TYPE], "Mailward.Type.DoubleExtension");
	}
	deny_types = 0;
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("layers", NULL, NULL);
	CU_ADD_TEST(suite, a_text_is_clean);
	CU_ADD_TEST(suite, a_stream_that_gives_nothing_did_not_open);
	CU_ADD_TEST(suite, each_announced_member_must_come);
	CU_ADD_TEST(suite, empty_members_need_not_come);
	CU_ADD_TEST(suite, encrypted_members_are_encrypted_and_nothing_else);
	CU_ADD_TEST(suite, a_zip_may_list_first_and_unpack_later);
	CU_ADD_TEST(suite, an_archive_deep_inside_counts_like_one_at_the_top);
	CU_ADD_TEST(suite, what_never_ended_ends_with_the_scan);
	CU_ADD_TEST(suite, a_layer_without_bytes_is_an_error);
	CU_ADD_TEST(suite, nesting_without_end_is_noted_and_kept_in_bounds);
	CU_ADD_TEST(suite, a_stream_of_five_bytes_may_give_nothing);
	CU_ADD_TEST(suite, what_members_are_and_are_called_is_noted_where_it_is_not_wanted);
	CU_ADD_TEST(suite, the_heads_of_a_mail_give_names_too);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
