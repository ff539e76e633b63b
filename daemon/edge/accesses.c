// SPDX-License-Identifier: GPL-2.0-only
#include "accesses.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <time.h>
#include <unistd.h>

#include "loop.h"

#define BATCH 32u
/* Each answer wakes everybody who waits for one, in the kernel (fanotify_user.c, access_waitq); they look, and sleep
 * again. Answers given one by one to many thousands keep every processor busy with that alone: then nobody else runs
 * for seconds who is not real-time, the loader and `mailward status` included. So where many are asleep, answers are
 * gathered and given together, with a pause in between in which the others get their share. Waking one and seeing it
 * asleep again takes 3 us of two slow processors: the pause leaves them a third of the time even if answers never end.
 * 16,384 asleep: 82 ms. */
#define SLEEPER_PAUSE_NS 5000u
#define FEW_ASLEEP 200u /* their pause is under a millisecond: they are answered at once */
#define GIVEN_A_TURN 512u
#define CLOSE_NAP_NS 2000000
#define FULL_NAP_NS 1000000
#define CLOSE_PATIENCE_NS 100000000ull
#define ASKED (FAN_OPEN_PERM | FAN_OPEN_EXEC_PERM)

struct accesses {
	int group_fd;
	bool shows_errors; /* a failed open comes as an event, FAN_REPORT_FD_ERROR */
	struct gate_notes *notes;
	uint32_t room;    /* descriptors that events may use, all in all */
	uint32_t reserve; /* of these, kept for accesses that are answered at once */
	uint64_t taken;   /* descriptors ever taken */
	uint64_t closed;  /* ... and closed; written by the closing thread */

	uint32_t read_count, read_next;
	bool taken_all; /* a batch has been given out; the next read is the next turn's */
	struct fanotify_event_metadata read[BATCH];

	/* To the closing thread: one writer, one reader, never full, as it has a place for every descriptor. */
	int bell;
	bool asleep; /* the thread waits for the bell */
	uint64_t put;
	uint64_t done;
	int closing[NOTES_MAX];
	pthread_t closer;

	uint64_t short_since_ns; /* when the reserve was reached; 0: there is room */

	/* Answers that are gathered. Their numbers wait in a ring that has a place for every descriptor. */
	uint32_t sleepers; /* taken, and not answered yet */
	uint64_t gathered, given, round_end;
	uint64_t pause_until_ns;
	int gather[NOTES_MAX];
	uint8_t gathered_as[NOTES_MAX]; /* by descriptor: NOTE_*, and CLOSE_AFTER */
};
#define CLOSE_AFTER 4u

/* While there is work it looks again every few milliseconds by itself: a bell for each descriptor would wake another
 * processor for each open of a file that is known, which costs more than the answer. */
static void *close_all(void *argument)
{
	static const struct timespec nap = {.tv_nsec = CLOSE_NAP_NS};
	struct accesses *accesses = argument;
	uint64_t rung, before;

	for (;;) {
		before = accesses->done;
		while (accesses->done < __atomic_load_n(&accesses->put, __ATOMIC_SEQ_CST)) {
			close(accesses->closing[accesses->done % NOTES_MAX]);
			accesses->done++;
			__atomic_fetch_add(&accesses->closed, 1, __ATOMIC_RELEASE);
		}
		if (accesses->done != before) {
			nanosleep(&nap, NULL);
			continue;
		}
		__atomic_store_n(&accesses->asleep, true, __ATOMIC_SEQ_CST);
		/* Something may have been put before that was seen. */
		if (accesses->done == __atomic_load_n(&accesses->put, __ATOMIC_SEQ_CST) &&
		    read(accesses->bell, &rung, sizeof(rung)) < 0 && errno != EINTR)
			return NULL;
		__atomic_store_n(&accesses->asleep, false, __ATOMIC_SEQ_CST);
	}
}

/* Was the group made with FAN_REPORT_FD_ERROR? Its fdinfo says, proc(5): "fanotify flags:%x event-flags:%x". */
static bool shows_errors(int group_fd, int proc_fd)
{
	char name[40], text[512];
	const char *flags;
	unsigned value;
	ssize_t size;
	int fd;

	snprintf(name, sizeof(name), "self/fdinfo/%d", group_fd);
	fd = openat(proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[size > 0 ? size : 0] = 0;
	flags = strstr(text, "fanotify flags:");
	return flags && sscanf(flags, "fanotify flags:%x", &value) == 1 && value & FAN_REPORT_FD_ERROR;
}

int accesses_open(struct accesses **accesses_out, int group_fd, int proc_fd, struct gate_notes *notes, uint32_t nofile,
		  uint32_t in_use)
{
	struct accesses *accesses = calloc(1, sizeof(*accesses));
	int result;

	if (!accesses)
		return -ENOMEM;
	if (nofile > NOTES_MAX)
		nofile = NOTES_MAX;
	accesses->group_fd = group_fd;
	accesses->shows_errors = shows_errors(group_fd, proc_fd);
	accesses->notes = notes;
	accesses->room = nofile > in_use + 16 ? nofile - in_use : 16;
	accesses->reserve = accesses->room / 8 < 512 ? accesses->room / 8 : 512;
	accesses->bell = eventfd(0, EFD_CLOEXEC);
	if (accesses->bell < 0) {
		result = -errno;
		free(accesses);
		return result;
	}
	result = -pthread_create(&accesses->closer, NULL, close_all, accesses);
	if (result < 0) {
		close(accesses->bell);
		free(accesses);
		return result;
	}
	*accesses_out = accesses;
	return 0;
}

static uint32_t in_use(const struct accesses *accesses)
{
	return (uint32_t)(accesses->taken - __atomic_load_n(&accesses->closed, __ATOMIC_ACQUIRE));
}

bool accesses_room(const struct accesses *accesses)
{
	return in_use(accesses) + accesses->reserve < accesses->room;
}

bool accesses_adopt(struct accesses *accesses)
{
	/* Fresh files may take half of what is there at the most: nobody waits for them. */
	return ++accesses->taken - __atomic_load_n(&accesses->closed, __ATOMIC_ACQUIRE) <= accesses->room / 2;
}

/* Is there no room only because the closing thread, an ordinary one, has not had its turn? Then those who ask next are
 * better left in the queue for a moment than told that we are busy. Not again before there was room, should that thread
 * hang in a close. */
static bool room_comes(struct accesses *accesses)
{
	uint64_t now;

	if (in_use(accesses) + accesses->reserve < accesses->room) {
		accesses->short_since_ns = 0;
		return false;
	}
	if (accesses->put == __atomic_load_n(&accesses->closed, __ATOMIC_ACQUIRE))
		return false;
	now = now_ns();
	if (!accesses->short_since_ns)
		accesses->short_since_ns = now;
	return now - accesses->short_since_ns < CLOSE_PATIENCE_NS;
}

/* Fills the batch. false: nothing there, or no descriptor for it. refused: the kernel refused somebody. */
static bool fill(struct accesses *accesses, int *refused)
{
	uint32_t free_fds = accesses->room - (in_use(accesses) < accesses->room ? in_use(accesses) : accesses->room);
	uint32_t want = free_fds < BATCH ? free_fds : BATCH;
	struct pollfd group = {.fd = accesses->group_fd, .events = POLLIN};
	ssize_t size;

	*refused = 0;
	accesses->read_count = accesses->read_next = 0;
	if (want == 0)
		accesses->pause_until_ns = 0; /* answers are gathered no longer: their descriptors are wanted */
	/* One must be given back first; the group stays readable, and we must not spin over it. */
	if (want == 0 || room_comes(accesses)) {
		nanosleep(&(struct timespec){.tv_nsec = FULL_NAP_NS}, NULL);
		return false;
	}
	if (accesses->taken_all) {
		accesses->taken_all = false;
		return false;
	}
	size = read(accesses->group_fd, accesses->read, want * sizeof(accesses->read[0]));
	if (size > 0) {
		accesses->read_count = (uint32_t)((size_t)size / sizeof(accesses->read[0]));
		accesses->taken_all = true;
		return true;
	}
	/* Where the kernel can't show the failed open as an event, EAGAIN may mean a file under a write lease as well
	 * as an empty queue; the opener has been refused. */
	if (size < 0 && errno != EINTR && (errno != EAGAIN || poll(&group, 1, 0) == 1))
		*refused = errno;
	return false;
}

enum access_next accesses_next(struct accesses *accesses, struct access *access_out)
{
	const struct fanotify_event_metadata *event;
	int refused;

	for (;;) {
		if (accesses->read_next == accesses->read_count && !fill(accesses, &refused)) {
			*access_out = (struct access){.fd = -refused};
			return refused ? ACCESS_REFUSED : ACCESS_NONE;
		}
		event = &accesses->read[accesses->read_next++];
		*access_out = (struct access){.fd = event->fd,
					      .pid = event->pid,
					      .kind = event->mask & FAN_OPEN_EXEC_PERM ? ACCESS_EXEC : ACCESS_OPEN};
		if (event->mask & ASKED) {
			if (event->fd < 0)
				return ACCESS_REFUSED;
			accesses->taken++;
			accesses->sleepers++;
			return ACCESS_TAKEN;
		}
		if (event->fd >= 0) { /* nothing that we asked for; nobody waits for it */
			accesses->taken++;
			accesses_close(accesses, event->fd);
		}
	}
}

void accesses_note(struct accesses *accesses, const struct access *access, enum answer answer, uint32_t watch)
{
	struct gate_note *note = &accesses->notes->notes[access->fd];

	if ((uint32_t)access->fd >= NOTES_MAX)
		return;
	note->pid = access->pid;
	note->watch = (uint8_t)watch;
	__atomic_store_n(&note->answer, answer == ANSWER_ALLOW ? NOTE_ALLOW : NOTE_DENY, __ATOMIC_RELEASE);
}

/* ENOENT, the opener is gone, is as good as an answer. */
static void give(struct accesses *accesses, int fd, enum answer answer)
{
	struct fanotify_response response = {.fd = fd, .response = answer == ANSWER_ALLOW ? FAN_ALLOW : FAN_DENY};
	ssize_t size;

	do
		size = write(accesses->group_fd, &response, sizeof(response));
	while (size < 0 && errno == EINTR);
	accesses->sleepers--;
	if ((uint32_t)fd < NOTES_MAX)
		__atomic_store_n(&accesses->notes->notes[fd].answer, NOTE_NONE, __ATOMIC_RELEASE);
}

/* Should we end before it is given, the keeper gives it. */
static void gather(struct accesses *accesses, const struct access *access, enum answer answer)
{
	struct gate_note *note = &accesses->notes->notes[access->fd];

	accesses->gathered_as[access->fd] = answer == ANSWER_ALLOW ? NOTE_ALLOW : NOTE_DENY;
	accesses->gather[accesses->gathered++ % NOTES_MAX] = access->fd;
	if (note->answer == NOTE_NONE)
		note->watch = UINT8_MAX;
	note->pid = access->pid;
	__atomic_store_n(&note->answer, accesses->gathered_as[access->fd], __ATOMIC_RELEASE);
}

void accesses_answer(struct accesses *accesses, const struct access *access, enum answer answer)
{
	if (accesses->sleepers > FEW_ASLEEP && (uint32_t)access->fd < NOTES_MAX)
		gather(accesses, access, answer);
	else
		give(accesses, access->fd, answer);
}

static void give_next(struct accesses *accesses)
{
	int fd = accesses->gather[accesses->given++ % NOTES_MAX];
	uint8_t as = accesses->gathered_as[fd];

	accesses->gathered_as[fd] = NOTE_NONE;
	give(accesses, fd, (as & ~CLOSE_AFTER) == NOTE_ALLOW ? ANSWER_ALLOW : ANSWER_DENY);
	if (as & CLOSE_AFTER)
		accesses_close(accesses, fd);
}

uint64_t accesses_due(const struct accesses *accesses)
{
	return accesses->given == accesses->gathered ? UINT64_MAX : accesses->pause_until_ns;
}

void accesses_give(struct accesses *accesses, uint64_t now)
{
	if (accesses_due(accesses) > now)
		return;
	/* What is gathered from now on belongs to the next round. */
	if (accesses->given == accesses->round_end)
		accesses->round_end = accesses->gathered;
	for (uint32_t i = 0; i < GIVEN_A_TURN && accesses->given < accesses->round_end; i++)
		give_next(accesses);
	if (accesses->given == accesses->round_end)
		accesses->pause_until_ns = now_ns() + (uint64_t)accesses->sleepers * SLEEPER_PAUSE_NS;
}

void accesses_give_all(struct accesses *accesses)
{
	while (accesses->given < accesses->gathered)
		give_next(accesses);
}

void accesses_close(struct accesses *accesses, int fd)
{
	uint64_t one = 1;

	/* Its number is the question's name until the answer is given. */
	if ((uint32_t)fd < NOTES_MAX && accesses->gathered_as[fd] != NOTE_NONE) {
		accesses->gathered_as[fd] |= CLOSE_AFTER;
		return;
	}
	accesses->closing[accesses->put % NOTES_MAX] = fd;
	__atomic_store_n(&accesses->put, accesses->put + 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&accesses->asleep, __ATOMIC_SEQ_CST) && write(accesses->bell, &one, sizeof(one)) < 0)
		return; /* the counter is full: the thread has been rung for */
}

int accesses_watch(struct accesses *accesses, int fd, bool exec)
{
	uint64_t mask = FAN_OPEN_PERM | (exec ? FAN_OPEN_EXEC_PERM : 0);

	return fanotify_mark(accesses->group_fd, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, mask, fd, NULL) < 0 ? -errno : 0;
}

int accesses_unwatch(struct accesses *accesses, int fd)
{
	unsigned flags = FAN_MARK_REMOVE | FAN_MARK_FILESYSTEM;

	return fanotify_mark(accesses->group_fd, flags, ASKED, fd, NULL) < 0 ? -errno : 0;
}

int accesses_ignore(struct accesses *accesses, int fd)
{
	unsigned flags = FAN_MARK_ADD | FAN_MARK_IGNORE | FAN_MARK_EVICTABLE;

	return fanotify_mark(accesses->group_fd, flags, ASKED, fd, NULL) < 0 ? -errno : 0;
}

/* An O_PATH descriptor is no good as such, but its name under /proc is (follows to the inode, no open). */
static int mark_by_name(const struct accesses *accesses, unsigned flags, int fd)
{
	char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return fanotify_mark(accesses->group_fd, flags, ASKED, AT_FDCWD, name) < 0 ? -errno : 0;
}

int accesses_ignore_for_good(struct accesses *accesses, int fd)
{
	return mark_by_name(accesses, FAN_MARK_ADD | FAN_MARK_IGNORE_SURV, fd);
}

int accesses_unignore(struct accesses *accesses, int fd)
{
	return mark_by_name(accesses, FAN_MARK_REMOVE | FAN_MARK_IGNORE | FAN_MARK_EVICTABLE, fd);
}

int accesses_unignore_all(struct accesses *accesses)
{
	return fanotify_mark(accesses->group_fd, FAN_MARK_FLUSH, 0, AT_FDCWD, NULL) < 0 ? -errno : 0;
}
