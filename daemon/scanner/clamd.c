// SPDX-License-Identifier: GPL-2.0-only
#include "clamd.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NESTED 110 /* clamd.conf(5): MaxRecursion is 100 at most */

static int question_send(int conn, enum clamd_question question, int fd)
{
	static const struct {
		const char *text;
		size_t size; /* with its zero byte; behind zFILDES comes a byte for the descriptor to go with */
	} questions[] = {{"zVERSION", 9}, {"zFILDES\0", 9}, {"zRELOAD", 8}, {"zSTATS", 7}};
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec part = {.iov_base = (void *)questions[question].text, .iov_len = questions[question].size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t sent;

	if (fd >= 0) {
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
	}
	do
		sent = sendmsg(conn, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent != (ssize_t)part.iov_len)
		return sent < 0 ? -errno : -EIO;
	return shutdown(conn, SHUT_WR) < 0 ? -errno : 0;
}

int clamd_ask(const char *path, enum clamd_question question, int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int conn, result;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (conn < 0)
		return -errno;
	result = connect(conn, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno
										 : question_send(conn, question, fd);
	if (result == 0)
		return conn;
	close(conn);
	return result;
}

pid_t clamd_pid(int conn)
{
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	return getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? 0 : peer.pid;
}

static void printable(char *out, size_t room, const char *text, size_t size)
{
	if (size >= room)
		size = room - 1;
	for (size_t i = 0; i < size; i++)
		out[i] = text[i] >= ' ' && text[i] <= '~' ? text[i] : '?';
	out[size] = 0;
}

/* The text behind "fd[12]: ", or NULL. */
static const char *file_named(const char *answer)
{
	if (strncmp(answer, "fd[", 3) != 0 || !isdigit((unsigned char)answer[3]))
		return NULL;
	answer += 3;
	answer += strspn(answer, "0123456789");
	return strncmp(answer, "]: ", 3) ? NULL : answer + 3;
}

enum clamd_answer clamd_answer_read(const char *answer, size_t size, char name_out[SIGNATURE_SIZE])
{
	const char *text;
	size_t length;

	name_out[0] = 0;
	if (size < 2 || size > CLAMD_ANSWER_SIZE || memchr(answer, 0, size) != answer + size - 1)
		return CLAMD_NO_ANSWER;
	text = file_named(answer);
	if (!text) { /* "COMMAND READ TIMED OUT", "fd[-1]: No file descriptor received. ERROR", ... */
		printable(name_out, SIGNATURE_SIZE, answer, size - 1);
		return CLAMD_ERROR;
	}
	length = strlen(text);
	if (!strcmp(text, "OK"))
		return CLAMD_OK;
	if (length > 6 && !strcmp(text + length - 6, " FOUND")) {
		printable(name_out, SIGNATURE_SIZE, text, length - 6);
		return CLAMD_FOUND;
	}
	printable(name_out, SIGNATURE_SIZE, text, length);
	return CLAMD_ERROR;
}

bool clamd_version_read(const char *answer, size_t size, char version_out[128], uint64_t *built_ns_out)
{
	struct tm when = {.tm_isdst = -1};
	const char *slash;

	*built_ns_out = 0;
	if (size < 8 || size > 128 || memchr(answer, 0, size) != answer + size - 1 ||
	    strncmp(answer, "ClamAV ", 7) != 0)
		return false;
	printable(version_out, 128, answer, size - 1);
	slash = strrchr(version_out, '/');
	if (slash && strptime(slash + 1, "%a %b %e %H:%M:%S %Y", &when)) {
		time_t built = mktime(&when);
		*built_ns_out = built > 0 ? (uint64_t)built * 1000000000u : 0;
	}
	return true;
}

bool clamd_holds_one(const char *answer, size_t size)
{
	return memmem(answer, size, " pools 1 ", 9) != NULL;
}

/* ---- what the proofs are made of ---- */

static const char head[] = "From: <canary@localhost>\nSubject: canary\nMIME-Version: 1.0\n"
			   "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\n";

struct text {
	unsigned char *bytes;
	size_t size;
};

static void add(struct text *text, const void *bytes, size_t size)
{
	memcpy(text->bytes + text->size, bytes, size);
	text->size += size;
}

static void add_number(struct text *text, uint32_t value, unsigned size)
{
	while (size-- > 0) {
		text->bytes[text->size++] = (unsigned char)value;
		value >>= 8;
	}
}

static uint32_t checksum(const unsigned char *bytes, size_t size)
{
	uint32_t value = ~0u;

	while (size-- > 0) {
		value ^= *bytes++;
		for (int i = 0; i < 8; i++)
			value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
	}
	return ~value;
}

#define ZIP_MORE (30 + 46 + 22 + 2) /* bytes that a zip of one stored member has besides it; the name is one byte */

/* A zip's headers have the same fields (APPNOTE 4.3.7, 4.3.12): version, flags, method, time, checksum, sizes, name. */
static void add_fields(struct text *zip, const struct text *member)
{
	add_number(zip, 20, 2);
	add_number(zip, 0, 2 + 2 + 2);
	add_number(zip, 33, 2);
	add_number(zip, checksum(member->bytes, member->size), 4);
	add_number(zip, (uint32_t)member->size, 4);
	add_number(zip, (uint32_t)member->size, 4);
	add_number(zip, 1, 2);
	add_number(zip, 0, 2);
}

static void zip_stored(struct text *zip, const struct text *member)
{
	uint32_t listed;

	zip->size = 0;
	add(zip, "PK\3\4", 4);
	add_fields(zip, member);
	add(zip, "a", 1);
	add(zip, member->bytes, member->size);
	listed = (uint32_t)zip->size;
	add(zip, "PK\1\2", 4);
	add_number(zip, 20, 2);
	add_fields(zip, member);
	add_number(zip, 0, 2 + 2 + 2 + 4 + 4);
	add(zip, "a", 1);
	add(zip, "PK\5\6\0\0\0\0\1\0\1\0", 12);
	add_number(zip, (uint32_t)zip->size - 12 - listed, 4);
	add_number(zip, listed, 4);
	add_number(zip, 0, 2);
}

/* In lines: clamd's parser of mails reads no longer ones. */
static void add_base64(struct text *mail, const struct text *content)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < content->size; i += 3) {
		unsigned char group[3] = {0};
		size_t left = content->size - i < 3 ? content->size - i : 3;
		memcpy(group, content->bytes + i, left);
		uint32_t value = (uint32_t)group[0] << 16 | (uint32_t)group[1] << 8 | group[2];
		for (size_t n = 0; n < 4; n++)
			mail->bytes[mail->size++] =
				(unsigned char)(n <= left ? digits[value >> (18 - 6 * n) & 63] : '=');
		if (i % 54 == 51)
			mail->bytes[mail->size++] = '\n';
	}
	mail->bytes[mail->size++] = '\n';
}

static int mail_of(const struct text *content)
{
	struct text mail = {.bytes = malloc(sizeof(head) + 2 * content->size + 16)};
	int fd = memfd_create("canary", MFD_CLOEXEC);

	if (mail.bytes && fd >= 0) {
		add(&mail, head, sizeof(head) - 1);
		add_base64(&mail, content);
		if (write(fd, mail.bytes, mail.size) == (ssize_t)mail.size) {
			free(mail.bytes);
			return fd;
		}
	}
	if (fd >= 0)
		close(fd);
	free(mail.bytes);
	return -1;
}

#define WORDS                                                                                                          \
	"A harmless line of text, to see whether it is taken for one. " /* and random bytes: nobody knows it before */

static bool words_make(struct text *text)
{
	unsigned char bytes[16];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	add(text, WORDS, sizeof(WORDS) - 1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		text->bytes[text->size++] = (unsigned char)('a' + bytes[i] % 26);
	add(text, "\n", 1);
	return true;
}

int clamd_harmless_mail(void)
{
	unsigned char bytes[sizeof(WORDS) + 32];
	struct text text = {.bytes = bytes};

	return words_make(&text) ? mail_of(&text) : -1;
}

int clamd_deep_mail(void)
{
	struct text layers[2] = {{.bytes = malloc(sizeof(WORDS) + 32 + (size_t)NESTED * ZIP_MORE)},
				 {.bytes = malloc(sizeof(WORDS) + 32 + (size_t)NESTED * ZIP_MORE)}};
	int fd = -1;

	if (layers[0].bytes && layers[1].bytes && words_make(&layers[0])) {
		for (int i = 0; i < NESTED; i++)
			zip_stored(&layers[(i + 1) % 2], &layers[i % 2]);
		fd = mail_of(&layers[NESTED % 2]);
	}
	free(layers[0].bytes);
	free(layers[1].bytes);
	return fd;
}
