// SPDX-License-Identifier: GPL-2.0-only
#include "canary.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"

static int file_of(const char *text, size_t size)
{
	int fd = open("/canary", O_RDWR | O_CREAT | O_EXCL, 0600);

	if (fd < 0)
		return -1;
	unlink("/canary");
	if (write(fd, text, size) != (ssize_t)size) {
		close(fd);
		return -1;
	}
	return fd;
}

static size_t base64(char *out, const unsigned char *bytes, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t used = 0;

	for (size_t i = 0; i + 3 <= size; i += 3) { /* size is a multiple of 3 */
		out[used++] = digits[bytes[i] >> 2];
		out[used++] = digits[(bytes[i] & 3) << 4 | bytes[i + 1] >> 4];
		out[used++] = digits[(bytes[i + 1] & 15) << 2 | bytes[i + 2] >> 6];
		out[used++] = digits[bytes[i + 2] & 63];
	}
	out[used] = 0;
	return used;
}

/* As an attachment, so that decoding and the file system are tried too. */
static bool canary_scan(struct engine *engine, bool shallow, const unsigned char *bytes, size_t size,
			struct verdict *verdict)
{
	char mail[512], text[4 * CANARY_BYTES], detail[FINDING_SIZE + 32];
	struct findings findings = {0};
	int length, fd;

	base64(text, bytes, size);
	length = snprintf(mail, sizeof(mail),
			  "From: <canary@localhost>\nMIME-Version: 1.0\nContent-Type: application/octet-stream\n"
			  "Content-Transfer-Encoding: base64\nSubject: canary\n\n%s\n",
			  text);
	fd = shallow ? file_of((const char *)bytes, size) : file_of(mail, (size_t)length);
	if (fd < 0)
		return false;
	engine_scan(engine, fd, &findings);
	close(fd);
	judge(&findings, verdict, detail, sizeof(detail));
	return true;
}

const char *canary_check(struct engine *engine)
{
	unsigned char bytes[CANARY_BYTES + 2] = {0};
	struct verdict verdict;
	bool shallow;

	memcpy(bytes, engine_canary_bytes(engine, &shallow), CANARY_BYTES);
	if (!canary_scan(engine, shallow, bytes, sizeof(bytes), &verdict))
		return "its file system takes no file";
	if (verdict.kind != VERDICT_INFECTED || strncmp(verdict.signature, CANARY_NAME, strlen(CANARY_NAME)) != 0)
		return "the canary was not found";
	bytes[0] ^= 0xff;
	if (!canary_scan(engine, shallow, bytes, sizeof(bytes), &verdict))
		return "its file system takes no file";
	if (verdict.kind != VERDICT_CLEAN)
		return "a harmless mail was not clean";
	return NULL;
}
