// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/headers.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "headers.h"

static char queue_id[QUEUE_ID_SIZE], message_id[MESSAGE_ID_SIZE];

static void look(const char *text)
{
	/* a heap copy of the exact size, so that a sanitizer sees each byte read beyond it */
	size_t size = strlen(text);
	char *copy = malloc(size ? size : 1);

	memcpy(copy, text, size);
	memset(queue_id, 'x', sizeof(queue_id));
	memset(message_id, 'x', sizeof(message_id));
	headers_read(copy, size, queue_id, message_id);
	free(copy);
}

#define GIVES(text, queue, message)                                                                                    \
	do {                                                                                                           \
		look(text);                                                                                            \
		CU_ASSERT_STRING_EQUAL(queue_id, queue);                                                               \
		CU_ASSERT_STRING_EQUAL(message_id, message);                                                           \
	} while (0)

static void the_ids_of_a_message_that_postfix_delivered(void)
{
	GIVES("Return-Path: <a@b>\nReceived: from x (y [1.2.3.4])\n\tby z (Postfix) with ESMTP id 4Xyz12\n\tfor <c@d>; "
	      "Sat\n"
	      "Message-ID: <1@b>\nSubject: id NONE\n\nbody",
	      "4Xyz12", "<1@b>");
	GIVES("Received: by z (Postfix, from userid 0)\r\n\tid ABCDEF0123; Sat\r\nMessage-Id: <2@b>\r\n\r\n",
	      "ABCDEF0123", "<2@b>");
	GIVES("From a@b Sat\nReceived: by z id A1\nmessage-id:<3@b>\n\n", "A1", "<3@b>");
}

static void the_topmost_received_line_with_an_id_counts(void)
{
	GIVES("Received: from x by y; Sat\nReceived: by z id SECOND; x\nReceived: by z id THIRD; x\n\n", "SECOND", "");
	GIVES("Received: from x by y id ONE\nReceived: by z id TWO\n\n", "ONE", "");
}

static void lmtp_names_no_queue(void)
{
	GIVES("Received: from x\n\tby y with LMTP\n\tid SESSION\n\t(envelope-from <a@b>)\nReceived: by z id QUEUE;\n\n",
	      "QUEUE", "");
	GIVES("Received: by y with lmtps id SESSION\n\n", "", "");
	GIVES("Received: by y with ESMTPSA id QUEUE\n\n", "QUEUE", "");
}

static void comments_and_angles_hide_words(void)
{
	GIVES("Received: by z (id A (id B) id C) <id D> id E; id F\n\n", "E", "");
	GIVES("Received: by z (id A \\) id B) id C\n\n", "C", "");
	GIVES("Received: by z (never closed id A\n\n", "", "");
	GIVES("Received: by z; id AFTER-THE-DATE\n\n", "", "");
}

static void other_characters_make_no_id(void)
{
	GIVES("Received: by z id 1abc-0002-x\n\n", "", "");
	GIVES("Received: by z id a\x1b[2J\n\n", "", "");
	GIVES("Received: by z id \xc3\xa4\n\n", "", "");
	GIVES("Message-ID: <a b@c>\n\n", "", "<a");
	GIVES("Message-ID: <\x7f@c>\n\n", "", "");
	GIVES("Message-ID: <\xe2\x80\xae@c>\n\n", "", "");
	GIVES("Received: by z id 0123456789012345678901234567890\n\n", "0123456789012345678901234567890", "");
	GIVES("Received: by z id 01234567890123456789012345678901\n\n", "", "");
}

static void the_body_is_never_read(void)
{
	GIVES("Subject: x\n\nReceived: by z id A\nMessage-ID: <a@b>\n", "", "");
	GIVES("Subject: x\r\n\r\nMessage-ID: <a@b>\n", "", "");
	GIVES("no header here\nMessage-ID: <a@b>\n\n", "", "");
	GIVES("", "", "");
	GIVES("\n", "", "");
	GIVES(":", "", "");
	GIVES("Received", "", "");
	GIVES("Received:", "", "");
	GIVES("Received: id", "", "");
	GIVES("Message-ID:", "", "");
	GIVES("Message-ID: \n\n", "", "");
	GIVES("Message-ID:\n\t<folded@b>\n\n", "", "<folded@b>");
}

static void the_first_message_id_counts(void)
{
	GIVES("Message-ID: <one@b>\nMessage-ID: <two@b>\n\n", "", "<one@b>");
	GIVES("Message-ID: <b\x01@b>\nMessage-ID: <two@b>\n\n", "", "");
	GIVES("Message-ID : <blank@b>\n\n", "", "<blank@b>");
	GIVES("X-Message-ID: <x@b>\nMessage-IDs: <y@b>\n\n", "", "");
}

static void a_message_id_that_does_not_fit_is_left_out(void)
{
	char text[600] = "Message-ID: ";

	memset(text + 12, 'm', MESSAGE_ID_SIZE - 1);
	strcpy(text + 12 + MESSAGE_ID_SIZE - 1, "\n\n");
	look(text);
	CU_ASSERT_EQUAL(strlen(message_id), MESSAGE_ID_SIZE - 1);
	memset(text + 12, 'm', MESSAGE_ID_SIZE);
	strcpy(text + 12 + MESSAGE_ID_SIZE, "\n\n");
	look(text);
	CU_ASSERT_STRING_EQUAL(message_id, "");
}

static void only_the_first_64_kilobytes_are_looked_at(void)
{
	size_t size = 2 * HEADERS_LOOKED_AT;
	char *text = malloc(size);

	for (size_t i = 0; i + 32 <= size; i += 32)
		memcpy(text + i, "X-Filler: aaaaaaaaaaaaaaaaaaaaa\n", 32);
	memcpy(text + HEADERS_LOOKED_AT, "Message-ID: <late@b>\nXXXX: xxxx\n", 32);
	headers_read(text, size, queue_id, message_id);
	CU_ASSERT_STRING_EQUAL(message_id, "");
	memcpy(text + HEADERS_LOOKED_AT - 32, "Message-ID: <soon@b>\nXXXX: xxxx\n", 32);
	headers_read(text, size, queue_id, message_id);
	CU_ASSERT_STRING_EQUAL(message_id, "<soon@b>");
	free(text);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("headers", NULL, NULL);
	CU_ADD_TEST(suite, the_ids_of_a_message_that_postfix_delivered);
	CU_ADD_TEST(suite, the_topmost_received_line_with_an_id_counts);
	CU_ADD_TEST(suite, lmtp_names_no_queue);
	CU_ADD_TEST(suite, comments_and_angles_hide_words);
	CU_ADD_TEST(suite, other_characters_make_no_id);
	CU_ADD_TEST(suite, the_body_is_never_read);
	CU_ADD_TEST(suite, the_first_message_id_counts);
	CU_ADD_TEST(suite, a_message_id_that_does_not_fit_is_left_out);
	CU_ADD_TEST(suite, only_the_first_64_kilobytes_are_looked_at);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
