// SPDX-License-Identifier: GPL-2.0-only
#include "zips.h"

#include <stdint.h>
#include <string.h>

#define LOCAL_SIZE 30u
#define LISTED_SIZE 46u
#define END_SIZE 22u
#define COMMENT_MAX 65535u
#define FLAG_ENCRYPTED 0x0001
#define FLAG_SIZES_BEHIND 0x0008
#define FLAGS_THAT_COUNT 0x2041 /* encrypted, strongly, its header too */

static uint32_t le16(const unsigned char *bytes)
{
	return bytes[0] | (uint32_t)bytes[1] << 8;
}

static uint32_t le32(const unsigned char *bytes)
{
	return le16(bytes) | le16(bytes + 2) << 16;
}

/* What libclamav's unz() can do: stored, imploded, deflated, deflate64, bzip2. 99 is AES: reported as encrypted. */
static bool zip_method_opens(uint32_t method)
{
	return method == 0 || method == 6 || method == 8 || method == 9 || method == 12 || method == 99;
}

static const char *zip_method_name(uint32_t method)
{
	switch (method) {
	case 1:
		return "zip method 1 (shrunk)";
	case 14:
		return "zip method 14 (LZMA)";
	case 20:
	case 93:
		return "zip method 93 (zstd)";
	case 95:
		return "zip method 95 (xz)";
	case 98:
		return "zip method 98 (PPMd)";
	}
	return "zip method";
}

/* Every local and central header, wherever it lies: libclamav looks for both, too. The version that a member needs
 * (below 10.0) and the two flag bits that are never used tell a header from four bytes that happen to be there. */
static const char *packed_unsupported(const unsigned char *bytes, size_t size)
{
	const unsigned char *at = bytes, *end = bytes + size;

	while ((at = memmem(at, (size_t)(end - at), "PK", 2)) && end - at >= 30) {
		bool local = at[2] == 3 && at[3] == 4, central = at[2] == 1 && at[3] == 2;
		const unsigned char *fields = at + (local ? 4 : 6); /* version needed, flags, method */
		if ((local || central) && le16(fields) < 100 && !(le16(fields + 2) & 0x1000) &&
		    !zip_method_opens(le16(fields + 4)))
			return zip_method_name(le16(fields + 4));
		at += 2;
	}
	return NULL;
}

/* The last end of a list that a comment may follow, up to the end of the file; NULL: there is none. */
static const unsigned char *end_find(const unsigned char *bytes, size_t size)
{
	size_t last, first;

	if (size < END_SIZE)
		return NULL;
	last = size - END_SIZE;
	first = last > COMMENT_MAX ? last - COMMENT_MAX : 0;
	for (size_t at = last + 1; at-- > first;)
		if (bytes[at] == 'P' && !memcmp(bytes + at, "PK\5\6", 4) &&
		    at + END_SIZE + le16(bytes + at + 20) <= size)
			return bytes + at;
	return NULL;
}

/* Does a list stand right before its end? */
static bool has_list(const unsigned char *bytes, const unsigned char *end)
{
	size_t list = le32(end + 12);

	return list >= LISTED_SIZE && list <= (size_t)(end - bytes) && !memcmp(end - list, "PK\1\2", 4);
}

bool zip_ends(const unsigned char *bytes, size_t size)
{
	const unsigned char *end = end_find(bytes, size);

	return end && (size_t)(end - bytes) + END_SIZE + le16(end + 20) == size && has_list(bytes, end);
}

bool zip_lists(const unsigned char *bytes, size_t size)
{
	const unsigned char *end = end_find(bytes, size);

	return end && has_list(bytes, end);
}

/* Do the header before a member and the one in the list say the same of what libclamav goes by? Sizes may stand behind
 * the member instead. */
static bool same_member(const unsigned char *local, const unsigned char *listed, size_t room)
{
	uint32_t packed = le32(local + 18), size = le32(local + 22), listed_packed = le32(listed + 20);
	uint64_t begins = LOCAL_SIZE + (uint64_t)le16(local + 26) + le16(local + 28);

	if (((le16(local + 6) ^ le16(listed + 8)) & FLAGS_THAT_COUNT) || le16(local + 8) != le16(listed + 10) ||
	    le16(local + 26) != le16(listed + 28) || (le16(local + 6) & FLAGS_THAT_COUNT & ~FLAG_ENCRYPTED))
		return false;
	if (begins > room || (listed_packed != UINT32_MAX && listed_packed > room - begins))
		return false;
	if (le16(local + 6) & FLAG_SIZES_BEHIND && packed == 0 && size == 0)
		return true;
	return packed == listed_packed && size == le32(listed + 24) && packed != UINT32_MAX;
}

/* Is each member of the list where the list says? */
static bool is_consistent(const unsigned char *bytes, size_t size)
{
	const unsigned char *end = end_find(bytes, size);
	uint64_t at, before, list, where;

	if (!end)
		return true; /* libclamav goes by the headers alone then, as others do to rescue what they can */
	list = le32(end + 12);
	where = le32(end + 16);
	at = (uint64_t)(end - bytes);
	if (list > at || where > at - list)
		return false;       /* of 64 bits, or of several disks, or broken */
	before = at - list - where; /* what stands before the archive */
	at -= list;
	for (uint32_t left = le16(end + 10); left > 0; left--) {
		const unsigned char *listed = bytes + at;
		uint64_t local;
		if ((uint64_t)(end - bytes) - at < LISTED_SIZE || memcmp(listed, "PK\1\2", 4) != 0)
			return false;
		local = before + le32(listed + 42);
		if (local > size || size - local < LOCAL_SIZE || memcmp(bytes + local, "PK\3\4", 4) != 0 ||
		    !same_member(bytes + local, listed, size - (size_t)local))
			return false;
		at += LISTED_SIZE + (uint64_t)le16(listed + 28) + le16(listed + 30) + le16(listed + 32);
		if (at > (uint64_t)(end - bytes))
			return false;
	}
	return true;
}

const char *zip_unsupported(const unsigned char *bytes, size_t size, bool packed_alone)
{
	const char *packed = packed_unsupported(bytes, size);

	if (packed || packed_alone)
		return packed;
	if (is_consistent(bytes, size))
		return NULL;
	return memmem(bytes, size, "\xff\xff\xff\xff\xff\xff\xff\xff", 8) ? "zip of 64 bits"
									  : "zip that contradicts itself";
}
