// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/exim.c
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "exim.h"

static char came[200000];

static int file(const char *text)
{
	int fd = memfd_create("exim", 0);

	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		abort();
	return fd;
}

static enum unwrap_end unwrap(const char *text, uint64_t limit)
{
	int in = file(text), out = memfd_create("out", 0);
	enum unwrap_end end = exim_unwrap(in, out, limit);
	ssize_t size = pread(out, came, sizeof(came) - 1, 0);

	came[size > 0 ? size : 0] = 0;
	close(in);
	close(out);
	return end;
}

static bool is_body(const char *text)
{
	int fd = file(text);
	bool is = exim_is_body(fd);

	close(fd);
	return is;
}

static void a_body_is_known_by_its_first_line(void)
{
	CU_ASSERT_TRUE(is_body("1aBcDe-0001Fg-2H-D\nhello\n"));
	CU_ASSERT_TRUE(is_body("1tEdAB-000000001Xy-2abc-D\n"));
	CU_ASSERT_FALSE(is_body("1aBcDe-0001Fg-2H-H\nroot 0 0\n"));
	CU_ASSERT_FALSE(is_body("1aBcDe-0001Fg-2H-D"));
	CU_ASSERT_FALSE(is_body("1aBcDe-0001Fg-2H-D x\n"));
	CU_ASSERT_FALSE(is_body("1aBcD-0001Fg-2H-D\n"));
	CU_ASSERT_FALSE(is_body("1aBcDe-0001Fg-D\n"));
	CU_ASSERT_FALSE(is_body("From: a\n\n"));
	CU_ASSERT_FALSE(is_body(""));
	CU_ASSERT_EQUAL(unwrap("Subject: x\n\n", 1000), UNWRAP_NO_QUEUE_FILE);
}

static void a_multipart_gets_the_header_with_its_boundary(void)
{
	CU_ASSERT_EQUAL(
		unwrap("1aBcDe-0001Fg-2H-D\nThis is MIME.\n\n--=_x/y:1\nContent-Type: text/plain\n\nhi\n--=_x/y:1--\n",
		       1000),
		UNWRAP_DONE);
	CU_ASSERT_STRING_EQUAL(came, "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"=_x/y:1\"\n\n"
				     "This is MIME.\n\n--=_x/y:1\nContent-Type: text/plain\n\nhi\n--=_x/y:1--\n");
	CU_ASSERT_EQUAL(unwrap("1aBcDe-0001Fg-2H-D\n--a\"b\\c\n--\n-- \n--good\r\n", 1000), UNWRAP_DONE);
	CU_ASSERT_PTR_NOT_NULL(strstr(came, "boundary=\"good\"\n"));
}

static void a_body_of_base64_is_said_to_be_such(void)
{
	CU_ASSERT_EQUAL(unwrap("1aBcDe-0001Fg-2H-D\n"
			       "UEsDBBQAAAAIAGhlbGxvIHdvcmxkIHRoaXMgaXMgYmFzZTY0IGluIGEgbGluZQ==\n",
			       1000),
			UNWRAP_DONE);
	CU_ASSERT_PTR_NOT_NULL(strstr(came, "Content-Transfer-Encoding: base64\n\nUEsDBBQ"));
	CU_ASSERT_EQUAL(unwrap("1aBcDe-0001Fg-2H-D\nshort\n", 1000), UNWRAP_DONE);
	CU_ASSERT_PTR_NULL(strstr(came, "base64"));
	CU_ASSERT_PTR_NOT_NULL(strstr(came, "\n\nshort\n"));
}

static void nothing_beyond_the_limit_is_taken_for_all_of_it(void)
{
	CU_ASSERT_EQUAL(unwrap("1aBcDe-0001Fg-2H-D\n12345", 5), UNWRAP_DONE);
	CU_ASSERT_EQUAL(unwrap("1aBcDe-0001Fg-2H-D\n123456", 5), UNWRAP_TOO_LARGE);
	CU_ASSERT_EQUAL(unwrap("1aBcDe-0001Fg-2H-D\n", 5), UNWRAP_DONE);
}

int main(void)
{
	CU_initialize_registry();
	CU_pSuite suite = CU_add_suite("exim", NULL, NULL);
	CU_ADD_TEST(suite, a_body_is_known_by_its_first_line);
	CU_ADD_TEST(suite, a_multipart_gets_the_header_with_its_boundary);
	CU_ADD_TEST(suite, a_body_of_base64_is_said_to_be_such);
	CU_ADD_TEST(suite, nothing_beyond_the_limit_is_taken_for_all_of_it);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	unsigned failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
