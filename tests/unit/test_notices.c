// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/think/notices.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <string.h>

#include "notices.h"

#define SECOND 1000000000ull
#define MINUTE (60 * SECOND)

static struct notice notices[3];
static const struct notice *chosen[3] = {&notices[0], &notices[1], &notices[2]};
static char mail[NOTICE_MAIL_MAX];
static struct notice_head head;

static void fresh(void)
{
	memset(notices, 0, sizeof(notices));
	for (int i = 0; i < 3; i++) {
		notices[i].time_ns = 1700000000ull * SECOND;
		notices[i].action = NOTICE_DENIED;
		notices[i].owner = NOTICE_NOBODY;
		notices[i].verdict.kind = VERDICT_INFECTED;
		snprintf(notices[i].verdict.signature, SIGNATURE_SIZE, "Name.%d", i);
		notices[i].path_size = (uint32_t)snprintf(notices[i].path, sizeof(notices[i].path), "/v/%d", i);
	}
	head = (struct notice_head){
		.host = "mx.example.org", .from = "postmaster", .now_ns = 1700000000ull * SECOND, .serial = 1};
}

static size_t composed(uint32_t count)
{
	size_t size = notices_compose(&head, chosen, count, mail, sizeof(mail) - 1);

	mail[size] = 0;
	return size;
}

static unsigned times(const char *word)
{
	unsigned found = 0;

	for (const char *at = mail; (at = strstr(at, word)); at++)
		found++;
	return found;
}

static void a_digest_has_the_headers_of_an_automatic_mail(void)
{
	fresh();
	CU_ASSERT_TRUE(composed(2) > 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(mail, "\nDate: Tue, 14 Nov 2023 22:13:20 +0000\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(mail, "\nAuto-Submitted: auto-generated\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(mail, "From: Mailward <postmaster@mx.example.org>\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(mail, "2 messages or files\n"));
	CU_ASSERT_EQUAL(times("\nMessage-ID: <"), 1);
	CU_ASSERT_EQUAL(times("denied: Name."), 2);
}

static void hostile_bytes_forge_no_line_of_it(void)
{
	static const char name[] = "/v/\nBcc: a@b\n\n.\nFrom me\n=41\xff\x1b[0m";
	char host[] = "mx\nBcc: x\n\xff";
	size_t size, column = 0;
	unsigned bad = 0;

	fresh();
	memcpy(notices[0].path, name, sizeof(name) - 1);
	notices[0].path_size = sizeof(name) - 1;
	snprintf(notices[0].message_id, sizeof(notices[0].message_id), "<a>\nBcc: c@d");
	memset(notices[1].path, 'x', sizeof(notices[1].path));
	notices[1].path_size = sizeof(notices[1].path);
	head.host = host;
	size = composed(2);
	CU_ASSERT_TRUE(size > 0);
	CU_ASSERT_EQUAL(times("\nBcc"), 0);
	CU_ASSERT_EQUAL(times("\n.\n"), 0);
	CU_ASSERT_EQUAL(times("\nFrom "), 0);
	for (size_t i = 0; i < size; i++) {
		column = mail[i] == '\n' ? 0 : column + 1;
		bad += column > 200 || (mail[i] != '\n' && (mail[i] < ' ' || mail[i] > '~'));
	}
	CU_ASSERT_EQUAL(bad, 0);
}

static void one_message_in_several_places_is_told_as_one(void)
{
	fresh();
	for (int i = 0; i < 3; i += 2) {
		notices[i].has_digest = 1;
		memset(notices[i].digest, 7, 32);
	}
	composed(3);
	CU_ASSERT_EQUAL(times("denied: "), 2);
	CU_ASSERT_EQUAL(times("/v/"), 3);
	CU_ASSERT_PTR_NOT_NULL(strstr(mail, ": 2 messages"));
}

static void an_owner_is_not_told_how_to_release(void)
{
	fresh();
	notices[0].action = NOTICE_QUARANTINED;
	snprintf(notices[0].id, sizeof(notices[0].id), "abc");
	composed(1);
	CU_ASSERT_EQUAL(times("mailward release abc"), 1);
	head.to_owner = true;
	composed(1);
	CU_ASSERT_EQUAL(times("mailward release"), 0);
	CU_ASSERT_EQUAL(times("abc"), 1);
}

static void what_has_no_room_is_no_mail(void)
{
	fresh();
	CU_ASSERT_EQUAL(notices_compose(&head, chosen, 3, mail, 300), 0);
}

static void the_first_waits_a_minute_and_the_next_its_time(void)
{
	CU_ASSERT_EQUAL(notices_due(1000 * SECOND, 0, 60 * MINUTE), 1060 * SECOND);
	CU_ASSERT_EQUAL(notices_due(1000 * SECOND, 0, 5 * SECOND), 1005 * SECOND);
	CU_ASSERT_EQUAL(notices_due(1000 * SECOND, 900 * SECOND, 60 * MINUTE), 900 * SECOND + 60 * MINUTE);
	CU_ASSERT_EQUAL(notices_due(9000 * SECOND, 900 * SECOND, 60 * MINUTE), 9060 * SECOND);
}

static void pauses_grow_to_an_hour(void)
{
	uint64_t before = 0;

	for (uint32_t i = 1; i < 40; i++) {
		CU_ASSERT_TRUE(notices_pause_ns(i) >= before && notices_pause_ns(i) <= 60 * MINUTE);
		before = notices_pause_ns(i);
	}
	CU_ASSERT_EQUAL(notices_pause_ns(1), 15 * SECOND);
	CU_ASSERT_EQUAL(before, 60 * MINUTE);
}

static void after_a_day_status_says_so(void)
{
	CU_ASSERT_FALSE(notices_overdue(0, 1000000 * SECOND));
	CU_ASSERT_FALSE(notices_overdue(5 * SECOND, 86405 * SECOND));
	CU_ASSERT_TRUE(notices_overdue(5 * SECOND, 86406 * SECOND));
}

static void a_damaged_notice_is_not_used(void)
{
	fresh();
	CU_ASSERT_TRUE(notice_is_sound(&notices[0]));
	notices[0].path_size = sizeof(notices[0].path) + 1;
	CU_ASSERT_FALSE(notice_is_sound(&notices[0]));
	fresh();
	memset(notices[0].id, 'x', sizeof(notices[0].id));
	CU_ASSERT_FALSE(notice_is_sound(&notices[0]));
	fresh();
	notices[0].verdict.reason = REASONS;
	CU_ASSERT_FALSE(notice_is_sound(&notices[0]));
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("notices", NULL, NULL);
#define TEST(name) CU_ADD_TEST(suite, name)
	TEST(a_digest_has_the_headers_of_an_automatic_mail);
	TEST(hostile_bytes_forge_no_line_of_it);
	TEST(one_message_in_several_places_is_told_as_one);
	TEST(an_owner_is_not_told_how_to_release);
	TEST(what_has_no_room_is_no_mail);
	TEST(the_first_waits_a_minute_and_the_next_its_time);
	TEST(pauses_grow_to_an_hour);
	TEST(after_a_day_status_says_so);
	TEST(a_damaged_notice_is_not_used);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
