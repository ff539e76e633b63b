// SPDX-License-Identifier: GPL-2.0-only
// objects: daemon/scanner/unpack.c
// libs: libzstd liblz4
#include <CUnit/Basic.h>
#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zstd.h>

#include "loop.h"
#include "unpack.h"

#define BIG (4u << 20)
#define SOON (now_ns() + 60000000000ull)

static char text[BIG], packed[2 * BIG], out[2 * BIG];
static size_t packed_size;
static ssize_t got;

static enum unpack_end take(enum packing packing, uint64_t at, uint64_t size, uint64_t limit, uint64_t until)
{
	int in = memfd_create("in", 0), to = memfd_create("out", 0);
	enum unpack_end end;

	if (write(in, packed, packed_size) != (ssize_t)packed_size)
		abort();
	end = unpack(packing, in, at, size, to, limit, until);
	got = pread(to, out, sizeof(out), 0);
	close(in);
	close(to);
	return end;
}

static bool all_came(size_t size)
{
	return got == (ssize_t)size && !memcmp(out, text, size);
}

static void lz4_chunk(size_t at, size_t size)
{
	int length = LZ4_compress_default(text + at, packed + packed_size + 4, (int)size,
					  (int)(sizeof(packed) - packed_size - 4));

	for (int i = 0; i < 4; i++)
		packed[packed_size + i] = (char)(length >> (24 - 8 * i));
	packed_size += 4 + (size_t)length;
}

static void lz4_head(void)
{
	memcpy(packed, "Dovecot-LZ4\x0d\x2a\x9b\xc5\0\1\0\0", 19);
	packed_size = 19;
}

static void lz4_all(size_t size)
{
	lz4_head();
	for (size_t at = 0; at < size; at += 65536)
		lz4_chunk(at, size - at < 65536 ? size - at : 65536);
}

static void zstd_all(size_t size)
{
	packed_size = ZSTD_compress(packed, sizeof(packed), text, size, 3);
}

static void text_make(void)
{
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i % 251 ^ i / 65521);
}

static void they_are_known_by_their_first_bytes(void)
{
	zstd_all(10);
	CU_ASSERT_EQUAL(packing_of((unsigned char *)packed, packed_size), PACKING_ZSTD);
	CU_ASSERT_EQUAL(packing_of((unsigned char *)packed, 3), PACKING_NONE);
	lz4_all(10);
	CU_ASSERT_EQUAL(packing_of((unsigned char *)packed, packed_size), PACKING_LZ4);
	CU_ASSERT_EQUAL(packing_of((unsigned char *)packed, 14), PACKING_NONE);
	CU_ASSERT_EQUAL(packing_of((const unsigned char *)"From: a@b", 9), PACKING_NONE);
}

static void all_of_it_comes_out(void)
{
	static const size_t sizes[] = {1, 5, 1000, 65536, 65537, 1 << 20, BIG};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		lz4_all(sizes[i]);
		CU_ASSERT_EQUAL(take(PACKING_LZ4, 0, packed_size, BIG, SOON), UNPACK_DONE);
		CU_ASSERT(all_came(sizes[i]));
		zstd_all(sizes[i]);
		CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, packed_size, BIG, SOON), UNPACK_DONE);
		CU_ASSERT(all_came(sizes[i]));
		memcpy(packed, text, sizes[i]);
		packed_size = sizes[i];
		CU_ASSERT_EQUAL(take(PACKING_NONE, 0, packed_size, BIG, SOON), UNPACK_DONE);
		CU_ASSERT(all_came(sizes[i]));
	}
}

static void several_frames_are_one_message(void)
{
	size_t first = ZSTD_compress(packed, sizeof(packed), text, 1000, 3);

	memcpy(packed + first, "\x50\x2a\x4d\x18\3\0\0\0abc", 11);
	packed_size = first + 11;
	packed_size += ZSTD_compress(packed + packed_size, sizeof(packed) - packed_size, text + 1000, 5000, 3);
	CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, packed_size, BIG, SOON), UNPACK_DONE);
	CU_ASSERT(all_came(6000));
}

static void only_the_bytes_named_are_read(void)
{
	size_t size;

	zstd_all(3000);
	size = packed_size;
	memmove(packed + 7, packed, size);
	memcpy(packed + 7 + size, "metadata", 8);
	packed_size = size + 15;
	CU_ASSERT_EQUAL(take(PACKING_ZSTD, 7, size, BIG, SOON), UNPACK_DONE);
	CU_ASSERT(all_came(3000));
}

static void nothing_in_it_is_no_damage(void)
{
	zstd_all(0);
	CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, packed_size, BIG, SOON), UNPACK_DONE);
	CU_ASSERT_EQUAL(got, 0);
	lz4_head();
	CU_ASSERT_EQUAL(take(PACKING_LZ4, 0, packed_size, BIG, SOON), UNPACK_DONE);
	CU_ASSERT_EQUAL(got, 0);
}

static void what_is_cut_off_is_damaged_and_its_beginning_comes_out(void)
{
	size_t whole;

	lz4_all(200000);
	whole = packed_size;
	for (size_t size = 15; size < whole; size += size < 40 ? 1 : 97) {
		enum unpack_end end = take(PACKING_LZ4, 0, size, BIG, SOON);
		CU_ASSERT(end == UNPACK_DAMAGED || (end == UNPACK_DONE && got % 65536 == 0));
	}
	CU_ASSERT_EQUAL(take(PACKING_LZ4, 0, whole - 1, BIG, SOON), UNPACK_DAMAGED);
	CU_ASSERT(all_came(3 * 65536));
	zstd_all(200000);
	whole = packed_size;
	for (size_t size = 4; size < whole; size++)
		CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, size, BIG, SOON), UNPACK_DAMAGED);
	memcpy(packed + whole, "junk behind it", 14);
	packed_size = whole + 14;
	CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, packed_size, BIG, SOON), UNPACK_DAMAGED);
	CU_ASSERT(all_came(200000));
}

static void wrong_chunks_are_damaged(void)
{
	static const char *const wrong[] = {"\0\0\0\0", "\0\x10\0\1", "\xff\xff\xff\xff", "\0\0\0\4\xff\xff\xff\xff",
					    "\0\0\0\1\0"};
	static const size_t sizes[] = {4, 4, 4, 8, 5};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		lz4_head();
		lz4_chunk(0, 500);
		memcpy(packed + packed_size, wrong[i], sizes[i]);
		packed_size += sizes[i];
		CU_ASSERT_EQUAL(take(PACKING_LZ4, 0, packed_size, BIG, SOON), UNPACK_DAMAGED);
		CU_ASSERT(all_came(500));
	}
	lz4_head();
	memcpy(packed + 15, "\0\x10\0\1", 4);
	CU_ASSERT_EQUAL(take(PACKING_LZ4, 0, packed_size, BIG, SOON), UNPACK_DAMAGED);
}

static void no_more_than_the_limit_comes_out(void)
{
	static const enum packing kinds[] = {PACKING_ZSTD, PACKING_LZ4};

	for (int i = 0; i < 2; i++) {
		memset(text, 0, sizeof(text));
		i ? lz4_all(BIG) : zstd_all(BIG);
		CU_ASSERT(packed_size < 50000);
		CU_ASSERT_EQUAL(take(kinds[i], 0, packed_size, BIG - 1, SOON), UNPACK_TOO_LARGE);
		CU_ASSERT(got < (ssize_t)BIG);
		CU_ASSERT_EQUAL(take(kinds[i], 0, packed_size, BIG, SOON), UNPACK_DONE);
		CU_ASSERT_EQUAL(take(kinds[i], 0, packed_size, BIG, now_ns() - 1), UNPACK_TIME);
		text_make();
	}
}

static void a_window_beyond_128_megabytes_is_not_opened(void)
{
	/* magic, a descriptor without size or checksum, window 2^31, one empty last block (RFC 8878 3.1.1) */
	static const char frame[] = "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00";

	memcpy(packed, frame, sizeof(frame) - 1);
	packed_size = sizeof(frame) - 1;
	CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, packed_size, BIG, SOON), UNPACK_DAMAGED);
	packed[5] = 0x50;
	CU_ASSERT_EQUAL(take(PACKING_ZSTD, 0, packed_size, BIG, SOON), UNPACK_DONE);
}

static void what_cannot_be_read_or_written_is_said_to_be(void)
{
	int full = memfd_create("full", 0);

	CU_ASSERT_EQUAL(unpack(PACKING_ZSTD, -1, 0, 100, full, BIG, SOON), UNPACK_IO);
	lz4_all(100);
	if (write(full, packed, packed_size) != (ssize_t)packed_size)
		abort();
	CU_ASSERT_EQUAL(unpack(PACKING_LZ4, full, 0, packed_size, -1, BIG, SOON), UNPACK_IO);
	close(full);
}

int main(void)
{
	CU_pSuite suite;

	text_make();
	CU_initialize_registry();
	suite = CU_add_suite("unpack", NULL, NULL);
	CU_ADD_TEST(suite, they_are_known_by_their_first_bytes);
	CU_ADD_TEST(suite, all_of_it_comes_out);
	CU_ADD_TEST(suite, several_frames_are_one_message);
	CU_ADD_TEST(suite, only_the_bytes_named_are_read);
	CU_ADD_TEST(suite, nothing_in_it_is_no_damage);
	CU_ADD_TEST(suite, what_is_cut_off_is_damaged_and_its_beginning_comes_out);
	CU_ADD_TEST(suite, wrong_chunks_are_damaged);
	CU_ADD_TEST(suite, no_more_than_the_limit_comes_out);
	CU_ADD_TEST(suite, a_window_beyond_128_megabytes_is_not_opened);
	CU_ADD_TEST(suite, what_cannot_be_read_or_written_is_said_to_be);
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	int failed = (int)CU_get_number_of_failures();
	CU_cleanup_registry();
	return failed != 0;
}
