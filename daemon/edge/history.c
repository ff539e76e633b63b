// SPDX-License-Identifier: GPL-2.0-only
/* Knows SQL. The database is locked for this process alone (locking_mode exclusive): its write-ahead index then lies in
 * ordinary memory, and a full disk cannot raise SIGBUS. */
#include "history.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEMA                                                                                                         \
	"BEGIN IMMEDIATE;"                                                                                             \
	"CREATE TABLE denials(id INTEGER PRIMARY KEY, kind INTEGER, first_ns INTEGER, last_ns INTEGER,"                \
	" count INTEGER, wait_ns INTEGER, access INTEGER, answer INTEGER, would INTEGER, phase INTEGER,"               \
	" verdict INTEGER, reason INTEGER, pid INTEGER, uid INTEGER, signature BLOB, user BLOB, watch BLOB,"           \
	" policy BLOB, queue_id BLOB, message_id BLOB, detail BLOB, exe BLOB, path BLOB);"                             \
	"CREATE INDEX denials_age ON denials(last_ns);"                                                                \
	"CREATE TABLE released(time_ns INTEGER, count INTEGER);"                                                       \
	"PRAGMA user_version = 1; COMMIT;"
#define COLUMNS                                                                                                        \
	"id, kind, first_ns, last_ns, count, wait_ns, access, answer, would, phase, verdict, reason, pid, uid,"        \
	" signature, user, watch, policy, queue_id, message_id, detail, exe, path"
#define NUMBERS 14
#define TEXTS 9
#define TRIM_EVERY_NS 60000000000u
#define TRIM_EVERY_ROWS 1000

enum statement { SAVE, NEXT, LAST, HOURS, ADD_RELEASED, RELEASED, TRIM_AGE, TRIM_ROWS, TRIM_BYTES, STATEMENTS };
static const char *const statement_text[STATEMENTS] = {
	[SAVE] = "INSERT OR REPLACE INTO denials(" COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
	[NEXT] = "SELECT " COLUMNS " FROM denials WHERE id > ? ORDER BY id",
	[LAST] = "SELECT max(id) FROM denials",
	[HOURS] = ("SELECT (?1 - last_ns) / 3600000000000, sum(count) FROM denials WHERE answer = ?2 AND would = 0 AND"
		   " kind = ?3 AND last_ns <= ?1 AND last_ns > ?1 - 86400000000000 GROUP BY 1"),
	[ADD_RELEASED] = "INSERT INTO released VALUES(?, ?)",
	[RELEASED] = "SELECT sum(count) FROM released WHERE time_ns >= ?",
	[TRIM_AGE] = "DELETE FROM denials WHERE last_ns < ?",
	[TRIM_ROWS] = "DELETE FROM denials WHERE id <= (SELECT id FROM denials ORDER BY id DESC LIMIT 1 OFFSET ?)",
	[TRIM_BYTES] = "DELETE FROM denials WHERE id IN (SELECT id FROM denials ORDER BY id LIMIT ?)",
};

struct history {
	sqlite3 *database; /* NULL while the disk fails */
	sqlite3_stmt *statements[STATEMENTS];
	uint64_t retry_ns, trim_ns; /* CLOCK_MONOTONIC */
	uint64_t reading_id;        /* of the latest row of NEXT, which stands there and goes on; 0: it is reset */
	unsigned rows_since_trim;
	int read_error; /* met by history_next(), for the next history_save() to handle */
	bool failing, renewed;
	void (*say)(void *owner, const char *line);
	void *owner;
};

/* SQLite would walk the folders above the database to make its name absolute; ours is a plain name and stays one. */
static int keep_name(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)size, "%s", name) < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static const char *plain_names(void)
{
	static sqlite3_vfs vfs;

	if (!vfs.zName) {
		vfs = *sqlite3_vfs_find(NULL);
		vfs.zName = "plain-names";
		vfs.xFullPathname = keep_name;
		sqlite3_vfs_register(&vfs, 0);
	}
	return vfs.zName;
}

static void reading_stop(struct history *history)
{
	sqlite3_reset(history->statements[NEXT]);
	history->reading_id = 0;
}

static void database_close(struct history *history)
{
	history->reading_id = 0;
	for (int i = 0; i < STATEMENTS; i++) {
		sqlite3_finalize(history->statements[i]);
		history->statements[i] = NULL;
	}
	sqlite3_close(history->database);
	history->database = NULL;
}

static bool put_aside(struct history *history)
{
	char line[160];

	if (history->renewed || rename(HISTORY_FILE, HISTORY_DAMAGED) < 0)
		return false;
	rename(HISTORY_FILE "-wal", HISTORY_DAMAGED "-wal");
	snprintf(line, sizeof(line), "history: the database is damaged; it is kept as %s, a new one begins",
		 HISTORY_DAMAGED);
	history->say(history->owner, line);
	return history->renewed = true;
}

/* After any error: come back later. A full disk leaves what is there readable; a damaged file is put aside so that the
 * next try begins anew. */
static void database_failed(struct history *history, int code, uint64_t now_ns)
{
	char line[256];
	int kind = code & 0xff;

	if (kind == SQLITE_FULL)
		sqlite3_exec(history->database, "ROLLBACK", NULL, NULL, NULL);
	else
		database_close(history);
	history->read_error = SQLITE_OK;
	history->retry_ns = now_ns;
	if ((kind == SQLITE_CORRUPT || kind == SQLITE_NOTADB) && put_aside(history))
		return;
	snprintf(line, sizeof(line), "history: %s; the last %d rows are kept in memory until it can be written again",
		 sqlite3_errstr(code), DENIALS_KEPT);
	if (!history->failing)
		history->say(history->owner, line);
	history->failing = true;
	history->retry_ns = now_ns + HISTORY_RETRY_NS;
}

static int64_t pragma_number(struct history *history, const char *text)
{
	sqlite3_stmt *statement;
	int64_t number = 0;

	if (sqlite3_prepare_v2(history->database, text, -1, &statement, NULL) != SQLITE_OK)
		return 0;
	if (sqlite3_step(statement) == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return number;
}

static int database_prepare(struct history *history)
{
	int code = sqlite3_exec(
		history->database,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
		"PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF;",
		NULL, NULL, NULL);

	if (code == SQLITE_OK && pragma_number(history, "PRAGMA user_version") == 0)
		code = sqlite3_exec(history->database, SCHEMA, NULL, NULL, NULL);
	for (int i = 0; i < STATEMENTS && code == SQLITE_OK; i++)
		code = sqlite3_prepare_v3(history->database, statement_text[i], -1, SQLITE_PREPARE_PERSISTENT,
					  &history->statements[i], NULL);
	return code;
}

static void database_open(struct history *history, uint64_t now_ns)
{
	int code = SQLITE_OK;

	/* twice: the first may find a damaged file and put it aside */
	for (int i = 0; i < 2 && !history->database && now_ns >= history->retry_ns; i++) {
		code = sqlite3_open_v2(HISTORY_FILE, &history->database,
				       SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
					       SQLITE_OPEN_NOFOLLOW,
				       plain_names());
		if (code == SQLITE_OK)
			code = database_prepare(history);
		if (code == SQLITE_OK)
			continue;
		database_failed(history, code, now_ns);
		database_close(history);
	}
}

struct history *history_open(void (*say)(void *owner, const char *line), void *owner, uint64_t now_ns)
{
	struct history *history = calloc(1, sizeof(*history));

	if (!history)
		return NULL;
	history->say = say;
	history->owner = owner;
	database_open(history, now_ns);
	return history;
}

void history_close(struct history *history)
{
	database_close(history);
	free(history);
}

bool history_works(const struct history *history)
{
	return history->database && !history->failing;
}

/* One statement whose result is a number; a is its parameter where it has one. */
static uint64_t ask_number(struct history *history, enum statement which, int64_t a)
{
	sqlite3_stmt *statement = history->statements[which];
	uint64_t number = 0;

	if (!history->database)
		return 0;
	if (sqlite3_bind_parameter_count(statement) > 0)
		sqlite3_bind_int64(statement, 1, a);
	if (sqlite3_step(statement) == SQLITE_ROW)
		number = (uint64_t)sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	return number;
}

uint64_t history_last_id(struct history *history)
{
	return ask_number(history, LAST, 0);
}

uint64_t history_released(struct history *history, int64_t since_ns)
{
	return ask_number(history, RELEASED, since_ns);
}

bool history_add_released(struct history *history, int64_t time_ns, uint64_t count)
{
	sqlite3_stmt *statement = history->statements[ADD_RELEASED];
	bool done;

	if (!history->database)
		return false;
	sqlite3_bind_int64(statement, 1, time_ns);
	sqlite3_bind_int64(statement, 2, (int64_t)count);
	done = sqlite3_step(statement) == SQLITE_DONE;
	sqlite3_reset(statement);
	return done;
}

void history_hours(struct history *history, int64_t time_ns, uint32_t counts_out[24])
{
	sqlite3_stmt *statement = history->statements[HOURS];

	memset(counts_out, 0, 24 * sizeof(counts_out[0]));
	if (!history->database)
		return;
	sqlite3_bind_int64(statement, 1, time_ns);
	sqlite3_bind_int(statement, 2, ANSWER_DENY);
	sqlite3_bind_int(statement, 3, ROW_RECORD);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		int64_t hour = sqlite3_column_int64(statement, 0), sum = sqlite3_column_int64(statement, 1);
		if (hour >= 0 && hour < 24)
			counts_out[hour] = sum < 0 ? 0 : sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
	}
	sqlite3_reset(statement);
}

static int save_row(struct history *history, const struct denial_row *row)
{
	const struct row_frame *frame = &row->frame;
	sqlite3_stmt *statement = history->statements[SAVE];
	const int64_t numbers[NUMBERS] = {(int64_t)row->id,
					  frame->kind,
					  frame->time_ns,
					  row->last_ns,
					  (int64_t)frame->count,
					  (int64_t)frame->wait_ns,
					  frame->access,
					  frame->answer,
					  frame->would,
					  frame->phase,
					  frame->verdict.kind | frame->verdict.heuristics << 8,
					  frame->verdict.reason,
					  frame->pid,
					  frame->uid};
	const char *texts[TEXTS] = {
		frame->verdict.signature, frame->user,   frame->watch, frame->policy, frame->queue_id,
		frame->message_id,        frame->detail, frame->exe,   frame->path};
	int code;

	for (int i = 0; i < NUMBERS; i++)
		sqlite3_bind_int64(statement, 1 + i, numbers[i]);
	for (int i = 0; i < TEXTS; i++) {
		size_t size = i == 7 ? frame->exe_size : i == 8 ? frame->path_size : strlen(texts[i]);
		sqlite3_bind_blob(statement, 1 + NUMBERS + i, texts[i], (int)size, SQLITE_STATIC);
	}
	code = sqlite3_step(statement);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int step_once(struct history *history, enum statement which, int64_t a)
{
	sqlite3_stmt *statement = history->statements[which];
	int code;

	sqlite3_bind_int64(statement, 1, a);
	code = sqlite3_step(statement);
	sqlite3_reset(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

/* Within the transaction of a save. */
static int trim(struct history *history, int64_t wall_ns)
{
	int code = step_once(history, TRIM_AGE, wall_ns - HISTORY_DAYS * 86400LL * 1000000000LL);

	if (code == SQLITE_OK)
		code = step_once(history, TRIM_ROWS, HISTORY_ROWS);
	int64_t pages = pragma_number(history, "PRAGMA page_count") - pragma_number(history, "PRAGMA freelist_count");
	if (code == SQLITE_OK && pages * pragma_number(history, "PRAGMA page_size") > HISTORY_BYTES)
		code = step_once(history, TRIM_BYTES, HISTORY_ROWS / 20);
	return code;
}

static int save_all(struct history *history, struct denials *denials, uint64_t now_ns, int64_t wall_ns)
{
	struct denial_row row;
	int code = sqlite3_exec(history->database, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	for (uint64_t id = denials->first_id; id < denials->next_id && code == SQLITE_OK; id++) {
		const struct denial *denial = denials_get(denials, id);
		if (!denial->unsaved)
			continue;
		denial_to_row(denial, &row);
		code = save_row(history, &row);
		history->rows_since_trim++;
	}
	if (code == SQLITE_OK && (now_ns >= history->trim_ns || history->rows_since_trim >= TRIM_EVERY_ROWS)) {
		code = trim(history, wall_ns);
		history->trim_ns = now_ns + TRIM_EVERY_NS;
		history->rows_since_trim = 0;
	}
	if (code == SQLITE_OK)
		code = sqlite3_exec(history->database, "COMMIT", NULL, NULL, NULL);
	return code;
}

bool history_save(struct history *history, struct denials *denials, uint64_t now_ns, int64_t wall_ns)
{
	uint64_t id = denials->first_id;
	int code;

	while (id < denials->next_id && !denials_get(denials, id)->unsaved)
		id++;
	if (id == denials->next_id && history->database && !history->renewed && !history->read_error)
		return true;
	if (history->failing && now_ns < history->retry_ns)
		return false;
	if (history->read_error)
		database_failed(history, history->read_error, now_ns);
	database_open(history, now_ns);
	if (history->renewed)
		denials_unsave(denials);
	history->renewed = false;
	if (!history->database)
		return false;
	reading_stop(history);
	code = save_all(history, denials, now_ns, wall_ns);
	if (code != SQLITE_OK) {
		database_failed(history, code, now_ns);
		return false;
	}
	denials_saved(denials);
	if (history->failing)
		history->say(history->owner, "history: it can be written again");
	history->failing = false;
	return true;
}

static uint32_t column_number(sqlite3_stmt *statement, int column, uint32_t end)
{
	int64_t number = sqlite3_column_int64(statement, column);

	return number < 0 || number >= end ? 0 : (uint32_t)number;
}

/* room: of out, whose last byte stays zero. Returns the bytes. */
static uint32_t column_text(sqlite3_stmt *statement, int column, char *out, size_t room)
{
	const void *from = sqlite3_column_blob(statement, column);
	size_t size = from ? (size_t)sqlite3_column_bytes(statement, column) : 0;

	if (size > room)
		size = room;
	if (size)
		memcpy(out, from, size);
	return (uint32_t)size;
}

static void row_fill(sqlite3_stmt *statement, struct denial_row *row)
{
	struct row_frame *frame = &row->frame;
	struct verdict *verdict = &frame->verdict;
	uint32_t kind = column_number(statement, 10, 1 << (8 + HEURISTICS)); /* with the heuristics above it */

	memset(row, 0, sizeof(*row));
	row->id = (uint64_t)sqlite3_column_int64(statement, 0);
	row->last_ns = sqlite3_column_int64(statement, 3);
	frame->version = WIRE_VERSION;
	frame->kind = column_number(statement, 1, ROW_KINDS);
	frame->time_ns = sqlite3_column_int64(statement, 2);
	frame->count = (uint64_t)sqlite3_column_int64(statement, 4);
	frame->wait_ns = (uint64_t)sqlite3_column_int64(statement, 5);
	frame->access = column_number(statement, 6, ACCESS_KINDS);
	frame->answer = column_number(statement, 7, ANSWERS);
	frame->would = column_number(statement, 8, 2);
	frame->phase = column_number(statement, 9, PHASES);
	verdict->kind = (uint8_t)(kind & 0xff) < VERDICT_KINDS ? (uint8_t)(kind & 0xff) : VERDICT_NONE;
	verdict->heuristics = (uint8_t)(kind >> 8);
	verdict->reason = (uint8_t)column_number(statement, 11, REASONS);
	frame->pid = (uint32_t)sqlite3_column_int64(statement, 12);
	frame->uid = (uint32_t)sqlite3_column_int64(statement, 13);
	column_text(statement, 14, verdict->signature, sizeof(verdict->signature) - 1);
	column_text(statement, 15, frame->user, sizeof(frame->user) - 1);
	column_text(statement, 16, frame->watch, sizeof(frame->watch) - 1);
	column_text(statement, 17, frame->policy, sizeof(frame->policy) - 1);
	column_text(statement, 18, frame->queue_id, sizeof(frame->queue_id) - 1);
	column_text(statement, 19, frame->message_id, sizeof(frame->message_id) - 1);
	column_text(statement, 20, frame->detail, sizeof(frame->detail) - 1);
	frame->exe_size = column_text(statement, 21, frame->exe, sizeof(frame->exe));
	frame->path_size = column_text(statement, 22, frame->path, sizeof(frame->path));
}

bool history_next(struct history *history, uint64_t after, uint64_t before, struct denial_row *row)
{
	sqlite3_stmt *statement = history->statements[NEXT];
	int code;

	if (!history->database)
		return false;
	if (after == 0 || after != history->reading_id) {
		reading_stop(history);
		sqlite3_bind_int64(statement, 1, (int64_t)after);
	}
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW && (uint64_t)sqlite3_column_int64(statement, 0) < before) {
		row_fill(statement, row);
		history->reading_id = row->id;
		return true;
	}
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		history->read_error = code;
	reading_stop(history);
	return false;
}
