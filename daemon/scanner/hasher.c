// SPDX-License-Identifier: GPL-2.0-only
/* SHA-256 of a descriptor's bytes. It parses nothing, and is in the box all the same. */
#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "worker.h"

#define PIECE (256u << 10)

/* Files above the limit get no scan that ends in clean, so nobody needs their digest. */
static bool file_hash(EVP_MD_CTX *context, int fd, uint64_t limit, uint8_t digest[32])
{
	static unsigned char bytes[PIECE];
	struct stat status;
	uint64_t at = 0;

	if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || !EVP_DigestInit_ex(context, EVP_sha256(), NULL))
		return false;
	for (;;) {
		ssize_t got = pread(fd, bytes, sizeof(bytes), (off_t)at);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return false;
		if (got == 0)
			break;
		at += (uint64_t)got;
		if (at > limit || !EVP_DigestUpdate(context, bytes, (size_t)got))
			return false;
	}
	return EVP_DigestFinal_ex(context, digest, NULL) == 1;
}

_Noreturn void hasher_run(const struct box *box, const struct scanner_settings *settings)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	struct hash_request request;
	struct hash_reply reply;
	uint8_t digest[EVP_MAX_MD_SIZE];
	int fd;

	/* libcrypto reads its configuration at the first use: before the door closes */
	if (!context || !EVP_DigestInit_ex(context, EVP_sha256(), NULL) || !EVP_DigestFinal_ex(context, digest, NULL))
		_exit(CHILD_CANARY);
	child_enter(box);
	child_report(true, "");
	for (;;) {
		child_receive(&request, sizeof(request), &fd);
		if (fd < 0 || request.version != WIRE_VERSION)
			_exit(CHILD_BAD_FRAME);
		reply = (struct hash_reply){.version = WIRE_VERSION, .case_id = request.case_id};
		reply.ok = file_hash(context, fd, settings->max_file_size, reply.digest);
		close(fd);
		if (frame_send(CHILD_GATE, &reply, sizeof(reply), -1) < 0)
			_exit(CHILD_ENDED);
	}
}
