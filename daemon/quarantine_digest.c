// SPDX-License-Identifier: GPL-2.0-only
/* SHA-256 of what lies in the quarantine, where the gate did not send one. Never parsed; read without a trace in the
 * access time. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quarantine_state.h"

#define PIECE (64u << 10)
#define PIECES_A_TURN 64

static uint8_t bytes[PIECE];

/* More than the quarantine holds can only be holes, and could be read for years. */
static bool is_endless(const struct steward *steward, int fd)
{
	struct stat status;

	return fstat(fd, &status) < 0 || (uint64_t)status.st_size > steward->policy->quarantine.max_size;
}

int digest_file(struct steward *steward, int fd, uint8_t digest[32])
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	off_t at = 0;
	ssize_t size = -1;
	int error = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 ? 0 : -ENOMEM;

	if (!error && is_endless(steward, fd))
		error = -EFBIG;
	while (!error && (size = pread(fd, bytes, sizeof(bytes), at)) > 0) {
		at += size;
		if (EVP_DigestUpdate(context, bytes, (size_t)size) != 1)
			error = -EIO;
		if ((uint64_t)at > steward->policy->quarantine.max_size) /* somebody makes it longer */
			error = -EFBIG;
		steward_alive(steward);
	}
	if (!error && size < 0)
		error = -errno;
	if (!error && EVP_DigestFinal_ex(context, digest, NULL) != 1)
		error = -EIO;
	EVP_MD_CTX_free(context);
	return error;
}

static struct digesting {
	char id[32]; /* empty: none */
	int fd;
	off_t at;
	EVP_MD_CTX *context;
} running = {.fd = -1};

static void stop(void)
{
	if (running.fd >= 0)
		close(running.fd);
	EVP_MD_CTX_free(running.context);
	running = (struct digesting){.fd = -1};
}

static bool start(struct steward *steward, const struct quarantine_entry *entry)
{
	int item = items_open(steward->quarantine, entry);

	if (item < 0)
		return false;
	for (char name[] = "0"; name[0] <= '9' && running.fd < 0; name[0]++)
		running.fd = openat(item, name, O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
	close(item);
	running.context = EVP_MD_CTX_new();
	if (running.fd < 0 || is_endless(steward, running.fd) || !running.context ||
	    EVP_DigestInit_ex(running.context, EVP_sha256(), NULL) != 1) {
		stop();
		return false;
	}
	memcpy(running.id, entry->id, sizeof(running.id));
	return true;
}

static struct quarantine_entry *next_without(struct quarantine *quarantine)
{
	for (uint32_t i = 0; i < quarantine->count; i++)
		if (!quarantine->all[i].has_digest)
			return &quarantine->all[i];
	return NULL;
}

bool digest_turn(struct steward *steward)
{
	struct quarantine_entry *entry;
	uint8_t digest[32];
	ssize_t size = 0;

	if (!running.id[0]) {
		entry = next_without(steward->quarantine);
		if (!entry)
			return false;
		if (!start(steward, entry)) {
			entry->has_digest = true; /* it can't be read: not asked for again in this run */
			return true;
		}
	}
	entry = items_by_id(steward->quarantine, running.id);
	for (int i = 0; entry && i < PIECES_A_TURN; i++) {
		size = -1;
		if ((uint64_t)running.at > steward->policy->quarantine.max_size) /* somebody makes it longer */
			break;
		size = pread(running.fd, bytes, sizeof(bytes), running.at);
		if (size <= 0)
			break;
		running.at += size;
		EVP_DigestUpdate(running.context, bytes, (size_t)size);
	}
	if (entry && size > 0)
		return true;
	if (entry && size == 0 && EVP_DigestFinal_ex(running.context, digest, NULL) == 1)
		items_digest(steward, entry, digest);
	else if (entry)
		entry->has_digest = true;
	stop();
	return true;
}
