// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/oddities.c
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "oddities.h"

#define HEAD "From: a@b\nMIME-Version: 1.0\n"
#define SIGNED                                                                                                         \
	HEAD "Content-Type: multipart/signed;\n protocol=x; boundary=\"ss\"\n\n--ss\nContent-Type: "                   \
	     "text/plain\n\nwords\n"
#define SIGNATURE "--ss\nContent-Type: application/pgp-signature; name=\"a.asc\"\n\nwords\n"
#define BASE64 HEAD "Content-Transfer-Encoding: base64\n\n"
#define QUOTED HEAD "Content-Transfer-Encoding: quoted-printable\n\n"

/* On the heap in its exact size, so that a sanitizer sees each byte read beyond it. */
static unsigned parts;

static const char *odd(const char *text)
{
	size_t size = strlen(text);
	char *copy = malloc(size ? size : 1);
	const char *found;

	memcpy(copy, text, size);
	found = message_left_out(copy, size, &parts);
	free(copy);
	return found;
}

static bool begins_at(const char *text, size_t wanted)
{
	size_t start = 9999;

	return message_begins(text, strlen(text), &start) && start == wanted;
}

static void a_signed_message_has_two_parts(void)
{
	CU_ASSERT_PTR_NULL(odd(SIGNED SIGNATURE "--ss--\n"));
	CU_ASSERT_PTR_NULL(odd(SIGNED SIGNATURE)); /* cut off */
	CU_ASSERT_PTR_NOT_NULL(odd(SIGNED SIGNATURE "--ss\n\nmore\n--ss--\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(SIGNED "--ss\nContent-Type: text/plain\n\nwords\n--ss--\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(SIGNED "--ss\n--ss\n--ss--\n"));
}

static void a_signature_is_called_one(void)
{
	CU_ASSERT_PTR_NOT_NULL(odd(SIGNED "--ss\nContent-Type: application/pgp-signature; name=a.zip\n\nwords\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(SIGNED "--ss\nContent-Type: application/pgp-signature\n"
					  "Content-Disposition: attachment; filename=\"a.exe\"\n\nwords\n"));
	CU_ASSERT_PTR_NOT_NULL(
		odd(SIGNED "--ss\nContent-Type: application/pgp-signature; name*0=a.; name*1=zip\n\nw\n"));
	CU_ASSERT_PTR_NULL(odd(SIGNED "--ss\nContent-Type: application/pkcs7-signature; name=smime.p7s\n"
				      "Content-Disposition: attachment; filename=\"smime.p7s\"\n\nwords\n"));
}

static void the_parts_of_others_are_not_counted(void)
{
	CU_ASSERT_PTR_NULL(odd(HEAD "Content-Type: multipart/mixed; boundary=xx\n\n--xx\n"
				    "Content-Type: multipart/signed; boundary=ss\n\n--ss\n"
				    "Content-Type: multipart/mixed; boundary=sss\n\n--sss\n\na\n--sss\n\nb\n--sss--\n"
				    "--ss\nContent-Type: application/pgp-signature\n\nx\n--ss--\n--xx\n\nc\n--xx--\n"));
	CU_ASSERT_PTR_NULL(odd("From a@b\n" SIGNED SIGNATURE "--ss--\n\nFrom a@b\n" SIGNED SIGNATURE "--ss--\n"));
}

static void base64_ends_with_its_padding(void)
{
	CU_ASSERT_PTR_NULL(odd(BASE64 "aGVsbG8=\n"));
	CU_ASSERT_PTR_NULL(odd(BASE64 "aGVsbG8=\n\n\nFrom a@b\n" BASE64 "aGVsbG8=\n"));
	CU_ASSERT_PTR_NULL(odd(BASE64 "aGVsbG8=\n\1\3\nR12\n\n\1\2N\n" BASE64 "aGVs\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(BASE64 "aGVsbG8=\naGVsbG8=\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(BASE64 "aGVsbG8=aGVsbG8=\n"));
	CU_ASSERT_PTR_NULL(odd(HEAD "\naGVsbG8=\naGVsbG8=\n"));
	CU_ASSERT_PTR_NULL(odd("--xx \n" BASE64 "aGVsbG8=\n--xx--\n")); /* a body alone */
	CU_ASSERT_PTR_NOT_NULL(odd("--xx\n" BASE64 "aGVsbG8=\n--xy--\n"));
}

static void a_multipart_is_not_encoded(void)
{
	CU_ASSERT_PTR_NOT_NULL(odd("Content-Type: multipart/mixed; boundary=x\n" BASE64 "LS14CgphCi0teC0tCg\n"));
	CU_ASSERT_PTR_NULL(odd("Content-Type: multipart/mixed; boundary=x\n" BASE64 "--x\n\na\n--x--\n"));
}

static void blanks_behind_a_soft_line_end_are_odd(void)
{
	CU_ASSERT_PTR_NULL(odd(QUOTED "one=\ntwo \nthree=3D\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(QUOTED "one= \ntwo\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(QUOTED "one=\t\r\ntwo\n"));
	CU_ASSERT_PTR_NULL(odd(HEAD "\none= \ntwo\n"));
	/* what is no boundary ends no part */
	CU_ASSERT_PTR_NOT_NULL(odd(QUOTED "--\nName: me\n\none= \ntwo\n"));
}

static void uuencode_has_three_digits(void)
{
	CU_ASSERT_PTR_NULL(odd(HEAD "\nbegin 644 a\n%:&5L;&\\\n`\nend\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(HEAD "\nbegin 0644 a\n%:&5L;&\\\n`\nend\n"));
	CU_ASSERT_PTR_NULL(odd(HEAD "\nbegin 0644 a\nwords and more\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(HEAD "\nbegin-base64 644 a\naGVsbG8=\n====\n"));
	CU_ASSERT_PTR_NULL(odd(HEAD "\nbegin-base64 644 a\nare words\n"));
}

static void a_boundary_is_written_in_one_way(void)
{
	CU_ASSERT_PTR_NULL(odd(HEAD "Content-Type: multipart/mixed; charset=x;\n\tboundary = \"a b\"\n\n--a b\n\nx\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(HEAD "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\n\nx\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(HEAD "Content-Type: multipart/mixed; boundary=\"a\\b\"\n\nx\n"));
	CU_ASSERT_PTR_NULL(
		odd("Content-Type: multipart/mixed; boundary=x\nContent-Type: message/x\n\n--x: y\n\n--x--\n"));
	CU_ASSERT_PTR_NOT_NULL(odd(HEAD "Content-Type: multipart/parallel; boundary=a\n\nx\n"));
}

static void more_boundaries_than_there_is_room_for_are_odd(void)
{
	static char text[400 * 64];
	size_t used = 0;

	for (int count = 250; count <= 300; count += 50) {
		used = 0;
		for (int i = 0; i < count; i++)
			used += (size_t)sprintf(text + used, "Content-Type: multipart/mixed; boundary=b%d\n", i);
		strcpy(text + used, "\nwords\n");
		CU_ASSERT_EQUAL(odd(text) != NULL, count > 256);
	}
}

static void parts_are_counted(void)
{
	odd(SIGNED SIGNATURE "--ss--\n");
	CU_ASSERT_EQUAL(parts, 3);
	odd("From a@b\n" SIGNED SIGNATURE "--ss--\n\nFrom a@b\n" SIGNED "--ss--\n");
	CU_ASSERT_EQUAL(parts, 3); /* of the one that has most */
	odd(SIGNED SIGNATURE "--ss--\n\nFrom a@b\n" SIGNED "--ss--\n");
	CU_ASSERT_EQUAL(parts, 5); /* it is no mailbox */
	odd(HEAD "Content-Type: multipart/mixed; boundary*0=a\n\n--a\n--a\n");
	CU_ASSERT_EQUAL(parts, 2);
}

static void a_message_begins_with_any_header(void)
{
	CU_ASSERT_TRUE(begins_at("X-Spam: no\nContent-Type: multipart/mixed; boundary=x\n\n--x\n", 0));
	CU_ASSERT_TRUE(begins_at("X-Spam: no\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n", 0));
	CU_ASSERT_TRUE(begins_at("\n\r\nX-Spam: no\n\tand\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n", 3));
	CU_ASSERT_TRUE(begins_at("\xef\xbb\xbfX-Spam: no\nContent-Transfer-Encoding: x-uuencode\n\nbegin\n", 3));
	CU_ASSERT_FALSE(begins_at("X-Spam: no\nContent-Type: text/plain\n\nwords\n", 0));
	CU_ASSERT_FALSE(begins_at("words\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n", 0));
	CU_ASSERT_FALSE(begins_at("X-Spam: no\n\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n", 0));
	/* the head alone, in a delivery report */
	CU_ASSERT_FALSE(begins_at("X-Spam: no\nContent-Type: multipart/mixed; boundary=x\n", 0));
	CU_ASSERT_FALSE(begins_at("X-Spam: no\nContent-Transfer-Encoding: base64\n\n\n", 0));
	CU_ASSERT_FALSE(begins_at("", 0));
}

static void a_message_may_have_no_line_end(void)
{
	static const char text[] = "From: a@b\rContent-Type: text/plain\r\rwords\r", mac[] = "a: b\rc: d\r";

	CU_ASSERT_TRUE(message_has_cr_alone(text, strlen(text)));
	CU_ASSERT_FALSE(message_has_cr_alone(mac, strlen(mac)));
	CU_ASSERT_FALSE(message_has_cr_alone("From: a@b\nContent-Type: x\r", 26));
	CU_ASSERT_FALSE(message_has_cr_alone("", 0));
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"a signed message has two parts", a_signed_message_has_two_parts},
		{"a signature is called one", a_signature_is_called_one},
		{"the parts of others are not counted", the_parts_of_others_are_not_counted},
		{"base64 ends with its padding", base64_ends_with_its_padding},
		{"a multipart is not encoded", a_multipart_is_not_encoded},
		{"blanks behind a soft line end are odd", blanks_behind_a_soft_line_end_are_odd},
		{"uuencode has three digits", uuencode_has_three_digits},
		{"a boundary is written in one way", a_boundary_is_written_in_one_way},
		{"more boundaries than there is room for are odd", more_boundaries_than_there_is_room_for_are_odd},
		{"parts are counted", parts_are_counted},
		{"a message begins with any header", a_message_begins_with_any_header},
		{"a message may have no line end", a_message_may_have_no_line_end},
		CU_TEST_INFO_NULL,
	};
	CU_SuiteInfo suites[] = {{.pName = "oddities", .pTests = tests}, CU_SUITE_INFO_NULL};
	unsigned failures;

	if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
		return 1;
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}
