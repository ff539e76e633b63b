// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who is told: what was moved away, denied or reported is collected here and on the disk (STATE/steward/notices), and
 * goes out as a digest by the local sendmail (edge/mailer.h). Each file once: what was told is remembered
 * (STATE/steward/notices.told). Where sendmail fails it is tried again, with pauses, for ever for the postmaster.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "mailer.h"
#include "notices.h"
#include "pages.h"
#include "places.h"
#include "steward_state.h"

#define QUEUE_FILE "notices"
#define TOLD_FILE "notices.told"
#define QUEUE_MAGIC 0x4d574e4f54493031ULL
#define TOLD_MAGIC 0x4d57544f4c443031ULL
#define TOLD_MAX 4096
#define OWNERS_MAX 64
#define SAVE_AGAIN_NS (5 * STEWARD_SECOND)
#define END_WAIT_NS (STEWARD_SECOND * 6 / 10) /* a stop may take two seconds, and the gate goes first */

struct record {
	struct notice notice;
	uint64_t sum;
};

struct told {
	uint64_t magic, count; /* of keys ever; the ring holds the last TOLD_MAX */
	uint64_t keys[TOLD_MAX];
	uint64_t sum;
};

/* What goes to the postmaster, or to one owner: what fails for one need not for another. */
struct channel {
	uint64_t sent_ns;
	uint32_t failures;
	uint64_t retry_ns, failing_since_ns;
};

static struct {
	struct record records[NOTICES_MAX + 1]; /* as they lie in the file; the last one is room to read into */
} * queue;
static uint32_t count, saved; /* saved: how many of them the file has */
static uint64_t queued_ns[NOTICES_MAX];
static bool in_mail[NOTICES_MAX];
static struct told told;
static uint32_t lost; /* for which there was no room since the last mail */
static int mailer = -1;
static uint64_t save_ns, job;
static uint32_t busy_with; /* uid of the owner who is being told; NOTICE_NOBODY: the postmaster */
static bool busy, issue_told;
static struct channel postmaster;
static struct {
	uint32_t uid;
	uint64_t used_ns; /* 0: free. Of whom there is no room for is told as if nothing had gone to him yet */
	struct channel channel;
} owners[OWNERS_MAX];

static uint64_t hash(uint64_t from, const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		from = (from ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
		from ^= from >> 31;
	}
	return from;
}

static uint64_t sum_of(const struct notice *notice)
{
	return hash(QUEUE_MAGIC, notice, sizeof(*notice));
}

/* ---- the disk ---- */

static void load_queue(void)
{
	static const char *const broken = "a part of it is damaged";
	size_t size, whole;
	const char *why = steward_file_read(QUEUE_FILE, queue->records, sizeof(queue->records), &size);

	for (whole = size / sizeof(struct record); !why && count < whole && count < NOTICES_MAX; count++) {
		const struct record *record = &queue->records[count];
		if (record->sum != sum_of(&record->notice) || !notice_is_sound(&record->notice)) {
			why = broken;
			break;
		}
		queued_ns[count] = now_ns();
	}
	if (why)
		steward_log("notices that were to be mailed (steward/" QUEUE_FILE "): %s; %u of them are used", why,
			    count);
	/* Written anew, without what is not to be used: behind half a record nothing can be appended. */
	if (why || size % sizeof(struct record))
		saved = UINT32_MAX;
	else
		saved = count;
}

static void load_told(void)
{
	static struct told found;
	size_t size;
	const char *why = steward_file_read(TOLD_FILE, &found, sizeof(found), &size);

	told.magic = TOLD_MAGIC;
	if (!why && size &&
	    (size != sizeof(found) || found.magic != TOLD_MAGIC ||
	     found.sum != hash(TOLD_MAGIC, &found, offsetof(struct told, sum))))
		why = "it is damaged";
	if (why)
		steward_log("what was mailed before (steward/" TOLD_FILE ") is forgotten: %s", why);
	else if (size)
		told = found;
}

static int append(uint32_t from)
{
	int fd = openat(FD_STATE_DIR, QUEUE_FILE, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	int error;

	if (fd < 0)
		return -errno;
	error = steward_file_append(fd, &queue->records[from], (count - from) * sizeof(struct record));
	close(fd);
	return error;
}

static int rewrite(void)
{
	if (count == 0)
		return unlinkat(FD_STATE_DIR, QUEUE_FILE, 0) < 0 && errno != ENOENT ? -errno : 0;
	return steward_file_write(QUEUE_FILE, queue->records, count * sizeof(struct record), NULL);
}

static void save(uint64_t now)
{
	int error;

	if (saved == count || now < save_ns)
		return;
	for (uint32_t i = saved < count ? saved : 0; i < count; i++)
		queue->records[i].sum = sum_of(&queue->records[i].notice);
	error = saved > count ? rewrite() : append(saved);
	if (!error) {
		saved = count;
		return;
	}
	saved = UINT32_MAX; /* half of it may be there */
	save_ns = now + SAVE_AGAIN_NS;
	steward_log("notices cannot be kept on the disk: %s", strerror(-error));
}

/* What everybody was told of leaves the queue: remembered first. */
static void forget_told(void)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++) {
		const struct notice *notice = &queue->records[i].notice;
		if (!notice->postmaster && notice->owner == NOTICE_NOBODY) {
			told.keys[told.count++ % TOLD_MAX] = notice->key;
			continue;
		}
		queue->records[kept] = queue->records[i];
		queued_ns[kept++] = queued_ns[i];
	}
	count = kept;
	told.sum = hash(TOLD_MAGIC, &told, offsetof(struct told, sum));
	if (steward_file_write(TOLD_FILE, &told, sizeof(told), NULL) < 0)
		steward_log("what was mailed cannot be kept on the disk: after a restart it may be mailed again");
	saved = UINT32_MAX;
	save_ns = 0;
}

/* ---- collecting ---- */

static bool is_known(uint64_t key)
{
	uint64_t keys = told.count < TOLD_MAX ? told.count : TOLD_MAX;

	for (uint32_t i = 0; i < count; i++)
		if (queue->records[i].notice.key == key)
			return true;
	for (uint64_t i = 0; i < keys; i++)
		if (told.keys[i] == key)
			return true;
	return false;
}

/* Root, and who owns the whole store (the one user of virtual mailboxes), read no mailbox of their own there. */
static uint32_t owner_of(const struct steward *steward, uint32_t watch, const struct stat *file)
{
	struct stat root;

	if (!steward->policy->notify.owner || file->st_uid == 0)
		return NOTICE_NOBODY;
	for (uint32_t i = 0; i < steward->root_count; i++)
		if (steward->roots[i].watch == watch &&
		    (fstat(steward->roots[i].fd, &root) < 0 || root.st_uid == file->st_uid))
			return NOTICE_NOBODY;
	return file->st_uid;
}

/* A mailbox of many messages is another content with each of them: what is found in it is known by its Message-ID, and
 * where it has none by the signature alone. The inode of a queue file is the next one's at once. */
static uint64_t key_of(const struct notice *notice, const struct steward_request *request, enum store store)
{
	const struct generation *file = &request->generation;
	uint64_t key = hash(notice->action, &file->dev, sizeof(file->dev));

	key = hash(key, &file->ino, sizeof(file->ino));
	key = hash(key, notice->verdict.signature, strlen(notice->verdict.signature) + 1);
	key = hash(key, &notice->verdict.reason, 1);
	if (store == STORE_MBOX || store == STORE_MDBOX || store == STORE_POSTFIX_QUEUE)
		key = hash(key, notice->message_id, strlen(notice->message_id));
	if (store == STORE_MBOX || store == STORE_MDBOX)
		return key;
	if (store == STORE_POSTFIX_QUEUE)
		key = hash(key, notice->queue_id, strlen(notice->queue_id));
	key = hash(key, &file->size, sizeof(file->size));
	return notice->has_digest ? hash(key, notice->digest, sizeof(notice->digest)) : key;
}

static void collect(struct steward *steward, const struct steward_request *request, const struct stat *file,
		    enum notice_action action, const char *id, const char *path)
{
	const struct policy *policy = steward->policy;
	struct notice notice = {.time_ns = wall_ns(),
				.action = (uint8_t)action,
				.postmaster = 1,
				.has_digest = request->has_digest != 0,
				.verdict = request->verdict};
	size_t length = strlen(path);

	if (!queue || !policy || !policy->notify.on || request->watch >= policy->watch_count)
		return;
	notice.path_size = (uint32_t)(length < sizeof(notice.path) ? length : sizeof(notice.path));
	memcpy(notice.path, path, notice.path_size);
	memcpy(notice.digest, request->digest, sizeof(notice.digest));
	snprintf(notice.watch, sizeof(notice.watch), "%.255s", policy->watches[request->watch].path);
	snprintf(notice.id, sizeof(notice.id), "%.31s", id);
	memcpy(notice.queue_id, request->queue_id, sizeof(notice.queue_id));
	memcpy(notice.message_id, request->message_id, sizeof(notice.message_id));
	notice.owner = owner_of(steward, request->watch, file);
	notice.key = key_of(&notice, request, (enum store)policy->watches[request->watch].store);
	if (is_known(notice.key))
		return;
	if (count == NOTICES_MAX) {
		lost++;
		return;
	}
	memset(&queue->records[count], 0, sizeof(queue->records[count]));
	queue->records[count].notice = notice;
	in_mail[count] = false;
	queued_ns[count++] = now_ns();
}

void notify_moved(struct steward *steward, const struct steward_request *request, const struct stat *file,
		  const char *id, const char *path)
{
	collect(steward, request, file, NOTICE_QUARANTINED, id, path);
}

void notify_found(struct steward *steward, const struct steward_request *request, int fd)
{
	static char path[4097];
	struct stat file;
	char link[32];
	ssize_t size;

	snprintf(link, sizeof(link), "self/fd/%d", fd);
	size = readlinkat(FD_PROC, link, path, sizeof(path) - 1);
	if (size < 0 || fstat(fd, &file) < 0)
		return;
	path[size] = 0;
	collect(steward, request, &file, request->result ? NOTICE_REPORTED : NOTICE_DENIED, "", path);
}

/* ---- mailing ---- */

static bool is_for(const struct notice *notice, uint32_t uid)
{
	return uid == NOTICE_NOBODY ? notice->postmaster : notice->owner == uid;
}

/* What is known of it; all 0 where nothing is. */
static struct channel channel_known(uint32_t uid)
{
	if (uid == NOTICE_NOBODY)
		return postmaster;
	for (uint32_t i = 0; i < OWNERS_MAX; i++)
		if (owners[i].used_ns && owners[i].uid == uid)
			return owners[i].channel;
	return (struct channel){0};
}

/* To be written to; the one that was not used for longest makes room. */
static struct channel *channel_of(uint32_t uid, uint64_t now)
{
	uint32_t at = 0;

	if (uid == NOTICE_NOBODY)
		return &postmaster;
	for (uint32_t i = 0; i < OWNERS_MAX; i++) {
		if (owners[i].used_ns && owners[i].uid == uid) {
			at = i;
			break;
		}
		if (owners[i].used_ns < owners[at].used_ns)
			at = i;
	}
	if (!owners[at].used_ns || owners[at].uid != uid)
		owners[at].channel = (struct channel){0};
	owners[at].uid = uid;
	owners[at].used_ns = now;
	return &owners[at].channel;
}

static size_t compose(uint32_t uid, char mail[NOTICE_MAIL_MAX])
{
	static const struct notice *chosen[NOTICES_IN_MAIL];
	struct notice_head head = {.from = "postmaster", .now_ns = wall_ns(), .serial = ++job};
	struct utsname name;
	uint32_t number = 0;

	head.host = uname(&name) == 0 ? name.nodename : "";
	head.to_owner = uid != NOTICE_NOBODY;
	head.more = uid == NOTICE_NOBODY ? lost : 0;
	if (getrandom(&head.random, sizeof(head.random), 0) < 0)
		head.random = now_ns();
	for (uint32_t i = 0; i < count; i++) {
		const struct notice *notice = &queue->records[i].notice;
		in_mail[i] = is_for(notice, uid);
		if (in_mail[i] && number < NOTICES_IN_MAIL)
			chosen[number++] = notice;
		else if (in_mail[i])
			head.more++;
	}
	return notices_compose(&head, chosen, number, mail, NOTICE_MAIL_MAX);
}

static void send_to(const struct policy_notify *notify, uint32_t uid)
{
	struct mailer_job sent = {.uid = uid};
	char *mail = malloc(NOTICE_MAIL_MAX); /* no static array: keeper and gate would lock it, too */
	size_t size = mail ? compose(uid, mail) : 0;
	int fd = size ? pages_sealed_copy("mailward notice", mail, size) : mail ? -EFBIG : -ENOMEM;

	free(mail);
	if (fd < 0) {
		steward_log("a notice could not be made: %s", strerror(-fd));
		return;
	}
	sent.id = job;
	snprintf(sent.recipient, sizeof(sent.recipient), "%s", notify->postmaster);
	snprintf(sent.command, sizeof(sent.command), "%s", notify->command);
	busy = mailer_send(mailer, &sent, fd) == 0;
	busy_with = uid;
	close(fd);
}

static bool is_due(uint32_t uid, uint64_t queued, uint64_t every_ns, uint64_t now)
{
	struct channel channel = channel_known(uid);

	return now >= channel.retry_ns && now >= notices_due(queued, channel.sent_ns, every_ns);
}

/* Somebody who has waited long enough; false: nobody. */
static bool who_is_due(uint64_t every_ns, uint64_t now, uint32_t *uid_out)
{
	bool seen_postmaster = false;

	for (uint32_t i = 0; i < count; i++) {
		const struct notice *notice = &queue->records[i].notice;
		if (notice->postmaster && !seen_postmaster && is_due(NOTICE_NOBODY, queued_ns[i], every_ns, now)) {
			*uid_out = NOTICE_NOBODY;
			return true;
		}
		seen_postmaster = seen_postmaster || notice->postmaster;
		if (notice->owner != NOTICE_NOBODY && is_due(notice->owner, queued_ns[i], every_ns, now)) {
			*uid_out = notice->owner;
			return true;
		}
	}
	return false;
}

static void mark_told(uint32_t uid)
{
	for (uint32_t i = 0; i < count; i++) {
		struct notice *notice = &queue->records[i].notice;
		if (!in_mail[i])
			continue;
		if (uid == NOTICE_NOBODY)
			notice->postmaster = 0;
		else
			notice->owner = NOTICE_NOBODY;
		queue->records[i].sum = sum_of(notice);
	}
	if (uid == NOTICE_NOBODY)
		lost = 0;
	forget_told();
}

static void tell_issue(const struct channel *channel, uint64_t now)
{
	bool overdue = notices_overdue(channel->failing_since_ns, now);

	if (overdue == issue_told)
		return;
	issue_told = overdue;
	steward_issue(ISSUE_NOTIFY, "%s", overdue ? "notices have not got out for a day: the log says why" : "");
}

static void failed(struct channel *channel, const char *why, uint64_t now)
{
	channel->failures++;
	channel->retry_ns = now + notices_pause_ns(channel->failures);
	if (!channel->failing_since_ns)
		channel->failing_since_ns = now;
	steward_log("a notice to %s could not be mailed, next try in %" PRIu64 " s: %s",
		    channel == &postmaster ? "the postmaster" : "an owner",
		    (uint64_t)(notices_pause_ns(channel->failures) / STEWARD_SECOND), why);
	/* An owner's are not kept for good; the postmaster knows of what they tell. */
	if (channel != &postmaster && notices_overdue(channel->failing_since_ns, now)) {
		mark_told(busy_with);
		*channel = (struct channel){0};
	}
}

static void hear_mailer(struct steward *steward, uint64_t now)
{
	struct mailer_result result;
	int error = mailer_take(mailer, &result);
	struct channel *channel;

	if (error == -EAGAIN)
		return;
	if (error < 0) { /* it cannot be forked again without the rights that we gave up */
		steward_log("the process that mails notices has ended; the steward starts again");
		steward->stopping = true;
		busy = false;
		return;
	}
	if (!busy || result.id != job)
		return;
	busy = false;
	channel = channel_of(busy_with, now);
	if (result.code == -EINVAL && busy_with != NOTICE_NOBODY)
		steward_log("uid %u is told of nothing: %s", busy_with, result.why);
	if (result.code == 0 || ((result.code == -ENOENT || result.code == -EINVAL) && busy_with != NOTICE_NOBODY)) {
		*channel = (struct channel){.sent_ns = now};
		mark_told(busy_with);
	} else {
		failed(channel, result.why, now);
	}
	tell_issue(&postmaster, now);
}

void notify_start(void)
{
	mailer = mailer_start(FALLBACK_RECORDER);
}

void notify_open(struct steward *steward)
{
	(void)steward;
	queue = calloc(1, sizeof(*queue));
	if (!queue || mailer < 0) {
		steward_log("no notices can be mailed: %s", mailer < 0 ? strerror(-mailer) : strerror(ENOMEM));
		return;
	}
	load_queue();
	load_told();
}

void notify_turn(struct steward *steward, uint64_t now)
{
	const struct policy_notify *notify = steward->policy ? &steward->policy->notify : NULL;
	uint32_t uid;

	if (!queue || mailer < 0)
		return;
	hear_mailer(steward, now);
	save(now);
	if (notify && notify->on && !busy && who_is_due(notify->every_s * STEWARD_SECOND, now, &uid))
		send_to(notify, uid);
}

void notify_end(struct steward *steward, uint64_t now)
{
	struct pollfd wait = {.fd = mailer, .events = POLLIN};

	if (!queue || mailer < 0)
		return;
	for (uint64_t end = now + END_WAIT_NS; busy && now < end; now = now_ns()) {
		poll(&wait, 1, (int)((end - now) / 1000000u) + 1);
		hear_mailer(steward, now_ns());
	}
	save(now);
}
