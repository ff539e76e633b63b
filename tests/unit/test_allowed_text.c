// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/allowances.c daemon/think/allowed_text.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "allowed_text.h"

static struct allowed_list list, again;
static char text[ALLOWED_TEXT_MAX];
static char why[160];

static size_t two(void)
{
	memset(&list, 0, sizeof(list));
	list.next = 9;
	list.count = 2;
	list.records[0] = (struct allowed_record){
		.entry = {.id = 8, .kind = ALLOWED_SIGNATURE, .until_ns = 77, .name = "Some Name"},
		.added_ns = 5,
		.uid = 1000,
		.reason = "\xff hostile \x1b"};
	list.records[1] = (struct allowed_record){.entry = {.id = 3, .kind = ALLOWED_CONTENT}, .reason = "x"};
	memset(list.records[1].entry.digest, 0xab, 32);
	return allowed_print(&list, text, sizeof(text));
}

static bool parsed(size_t size)
{
	return allowed_parse(text, size, &again, why, sizeof(why));
}

static void what_was_written_is_read(void)
{
	size_t size = two();

	memset(&again, 0, sizeof(again));
	CU_ASSERT_TRUE_FATAL(size > 0 && parsed(size));
	CU_ASSERT_EQUAL(memcmp(&list, &again, sizeof(list)), 0);
	list.count = 0;
	size = allowed_print(&list, text, sizeof(text));
	CU_ASSERT_TRUE(parsed(size) && again.count == 0 && again.next == 9);
}

static void a_full_list_has_room(void)
{
	memset(&list, 0, sizeof(list));
	list.next = UINT32_MAX;
	list.count = ALLOWED_MAX;
	for (uint32_t i = 0; i < ALLOWED_MAX; i++) {
		struct allowed_record *record = &list.records[i];
		record->entry = (struct allowed_entry){
			.id = UINT32_MAX - 1 - i, .kind = ALLOWED_SIGNATURE, .until_ns = UINT64_MAX};
		memset(record->entry.name, 'n', SIGNATURE_SIZE - 1);
		record->added_ns = UINT64_MAX;
		record->uid = UINT32_MAX;
		memset(record->reason, 'r', ALLOWED_REASON_SIZE - 1);
	}
	size_t size = allowed_print(&list, text, sizeof(text));
	CU_ASSERT_TRUE(size > 0 && parsed(size) && again.count == ALLOWED_MAX);
}

static void each_changed_byte_is_noticed(void)
{
	size_t size = two();
	unsigned taken = 0;

	for (size_t i = 0; i < size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			text[i] ^= (char)(1 << bit);
			taken += parsed(size) || again.count != 0 || !why[0];
			text[i] ^= (char)(1 << bit);
		}
	}
	CU_ASSERT_EQUAL(taken, 0);
	CU_ASSERT_TRUE(parsed(size));
}

static void each_cut_is_noticed(void)
{
	size_t size = two();
	unsigned taken = 0;

	for (size_t i = 0; i < size; i++)
		taken += parsed(i);
	CU_ASSERT_EQUAL(taken, 0);
	text[size] = '\n';
	CU_ASSERT_FALSE(parsed(size + 1));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("allowed_text", NULL, NULL);
#define TEST(name) CU_ADD_TEST(suite, name)
	TEST(what_was_written_is_read);
	TEST(a_full_list_has_room);
	TEST(each_changed_byte_is_noticed);
	TEST(each_cut_is_noticed);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
