// SPDX-License-Identifier: GPL-2.0-only
/*
 * A stand-in for mailward-scanner that knows the keeper's side alone. The file RUNTIME/loader/behave says what it does:
 * silent, die, liar, loading (for 3 s without a beat), stopped (no answer to LEASH_STOP), empty (no definitions), no
 * canary.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frame.h"
#include "wire.h"

static int tell(enum leash_kind kind, uint64_t value, const char *text)
{
	struct leash_frame frame = {.version = WIRE_VERSION, .kind = kind, .value = value, .time_ns = 1000};

	snprintf(frame.text, sizeof(frame.text), "%s", text);
	return frame_send(FD_LEASH, &frame, sizeof(frame), -1);
}

int main(int argc, char **argv)
{
	struct leash_frame frame;
	struct stat status;
	char words[64] = "", line[256];
	int file = openat(FD_OWN_DIR, "behave", O_RDONLY), fd = -1;
	struct pollfd leash = {.fd = FD_LEASH, .events = POLLIN};

	if (file >= 0 && read(file, words, sizeof(words) - 1) < 0)
		return 1;
	if (file >= 0)
		close(file);
	if (poll(&leash, 1, 2000) != 1 || frame_receive(FD_LEASH, &frame, sizeof(frame), &fd) < 0 ||
	    frame.kind != LEASH_START)
		return 2;
	snprintf(line, sizeof(line), "%s of %d: workers %u, uids %u %u, definitions %s", argv[0], argc,
		 frame.scanner.workers, frame.scanner.loader_uid, frame.scanner.worker_uid,
		 fstat(FD_DEFINITIONS, &status) == 0 ? "open" : "missing");
	tell(LEASH_LOG, 0, line);
	if (strstr(words, "die"))
		return 3;
	tell(LEASH_LOADING, 0, "");
	if (strstr(words, "loading"))
		sleep(3);
	tell(LEASH_LOADED, strstr(words, "empty") ? 0 : 7, strstr(words, "empty") ? "the folder is empty" : "test 1");
	if (!strstr(words, "empty") && !strstr(words, "no canary"))
		tell(LEASH_CANARY, 0, "c0ffee");
	if (!strstr(words, "empty"))
		tell(LEASH_SERVING, frame.scanner.workers, "");
	if (strstr(words, "liar"))
		tell(LEASH_POLICY_END, 0, "");
	for (;;) {
		if (poll(&leash, 1, 200) > 0) {
			if (frame_receive(FD_LEASH, &frame, sizeof(frame), &fd) < 0)
				return 0;
			if (fd >= 0)
				close(fd);
			if (frame.kind == LEASH_STOP && !strstr(words, "stopped"))
				return 0;
		}
		if (!strstr(words, "silent"))
			tell(LEASH_BEAT, 0, "");
	}
}
