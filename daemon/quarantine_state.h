/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The quarantine on disk, and the rooms that work on it.
 *
 *   steward_quarantine.c  what is to be moved: now, when it has its name, or as another name
 *   quarantine_places.c   the folders: one in the root of each mount that holds a root of a watch
 *   quarantine_items.c    items: making, taking a name in
 *   quarantine_reading.c  what lies there at the start; what a kill -9 left behind is ended
 *   quarantine_bounds.c   how much is kept, how long; what is said before something goes
 *   quarantine_giving.c   items: giving names back, ending
 *   quarantine_answers.c  what the tool asks
 *   quarantine_about.c    the file that says what an item is
 *   quarantine_names.c    what an open file is called; the search for its other names
 *   quarantine_copy.c     the same where no name can be renamed: copies
 *   quarantine_keep.c     copies of what stays where it is
 *   quarantine_back.c     what was restored, and is not to be moved again
 *   quarantine_digest.c   SHA-256 of what lies there, a slice at a time
 *
 * A folder `.mailward-quarantine` (root, 0700) lies in the root directory of the mount, so that a name gets there by
 * rename(2): the inode itself is kept, and with it content, owner, mode, ACL, attributes and times; nothing is copied.
 * Who has the file open goes on having it (in full mode his reads are refused). Nobody but root can enter the folder,
 * so no mode is changed. Times of the folders that a name was taken from, or given back to, are not put back: mail
 * software sees by them that something has changed.
 *
 * Where that folder can't be (the root of the mount is a mailbox itself, or read-only) or rename(2) says that it is
 * another file system (subvolumes of btrfs), items lie in STATE/steward/quarantine, and the file is copied there, with
 * everything that rename would have kept; what can't be copied exactly is not moved.
 *
 * Item = folder/ID/ with
 *   about        JSON: what, when, by which line; names: [{entry: "0", path_hex}, ...]
 *   0, 1, 2 ...  the file under its names, hard links of one inode
 *   restoring    (empty) its names are being given back;  deleting: it is being ended
 *
 * Steps, and what is found after a kill or a power cut behind each:
 *   taking     1 mkdir ID               an empty folder: removed
 *              2 about, fsync of it, ID and folder   no entry: removed; the file is still where it was
 *              3 rename NAME -> ID/0    the item, whole. (rename is atomic: the name is here or there, never both)
 *              4 fsync of ID and of the folder it came from
 *   each other name likewise: about with that name (written beside, fsync, renamed over), then the rename. A name in
 *              about without its entry was not moved, or given back already: it is not counted.
 *   restoring  1 every target looked at: something in the way: an error, nothing done
 *              2 restoring, fsync       given back as far as possible at the next start
 *              3 rename ID/n -> NAME, never over another file   each is here or there
 *              4 about, restoring, ID removed   a rest without entries: removed
 *   taking a copy   as taking, but
 *              2 taking, in ID; 3 the copy as ID/0, synced, compared
 *              4 NAME renamed aside, looked at, unlinked; taking removed    undone where the file is still there, else
 *                ended
 *   restoring a copy   2 restoring, a copy that has no name yet (O_TMPFILE), its inode noted in restoring
 *              3 NAME linked to it, then the other names; the item removed   ended where NAME is that very copy, else
 *                nothing has happened
 *   deleting   1 deleting, fsync        ended at the next start
 *              2 entries, about, ID removed
 * Whatever is found, a file with an entry is in the quarantine and a file without one is where it was.
 */
#ifndef MAILWARD_QUARANTINE_STATE_H
#define MAILWARD_QUARANTINE_STATE_H

#include <sys/stat.h>

#include "steward_state.h"

#define PLACES_MAX 32
#define PARKED_MAX 512
#define WANTED_MAX 1024 /* inodes of one search; more are looked for by the next */
#define ABOUT "about"
#define ABOUT_NEW "about.new"
#define RESTORING "restoring"
#define DELETING "deleting"
#define TAKING "taking"
#define ANNOUNCED "announced" /* empty; its time of change: since when status says that the item is purged soon */
#define COPIES "quarantine"   /* in FD_STATE_DIR: the place of copies */
#define ENTRIES_MAX 1000      /* names of one file that are taken in */
#define NAME_SIZE 4097

/* A folder of ours. */
struct quarantine_place {
	int fd;       /* O_RDONLY */
	int on;       /* a directory of that mount, for handles; O_RDONLY, ours */
	uint64_t dev; /* of both */
	uint64_t mount_id;
	uint64_t ino; /* of the folder */
	bool told;    /* the gate knows */
	bool copies;  /* nothing can be renamed there: the place of copies */
};

/* What is known of an item without reading its file. */
struct quarantine_entry {
	char id[32];
	uint64_t serial; /* ascending with the order of the list */
	uint32_t place;  /* index in places */
	uint32_t entries, links;
	uint64_t time_ns;
	uint64_t size;         /* that it takes on the disk */
	uint64_t announced_ns; /* CLOCK_REALTIME; 0: nobody was told that it is purged soon */
	uint64_t dev, ino;
	bool has_digest;
	bool search; /* it has names that are to be looked for */
	bool new;    /* its folders have still to be synced, who wants to know to be told */
};

/* A file that can't be moved yet: it is being delivered, or it has no name that we know. */
struct parked {
	int fd; /* -1: free */
	uint64_t since_ns;
	bool lost;       /* no name: searched for */
	bool owes_reply; /* the gate waits for the end of it */
	struct steward_request request;
};

struct digesting; /* quarantine_digest.c */

struct quarantine {
	uint32_t place_count;
	struct quarantine_place places[PLACES_MAX];
	uint32_t count, room;
	struct quarantine_entry *all; /* by serial, which is by time */
	uint64_t last_serial, bytes;
	struct parked parked[PARKED_MAX];
	uint64_t parked_ns, bounds_ns, try_ns;
	char issue[256], warning[256]; /* as told; empty: none */
	bool read;                     /* what lies there has been read */
};

/* A name, and the directory that it is in. */
struct found_name {
	int folder;       /* O_RDONLY directory; the caller closes it */
	const char *base; /* in path */
	char path[NAME_SIZE];
};

/* ---- quarantine_places.c ---- */
void places_find(struct steward *steward); /* those of the roots in force */
/* The place for this file: on its mount, else that of copies. NULL: none there; *why_out is a sentence. */
struct quarantine_place *places_of(struct steward *steward, const struct stat *file, uint64_t mount_id,
				   const char **why_out);
struct quarantine_place *places_copies(struct steward *steward);    /* that of copies; NULL: it can't be had */
bool places_holds(const struct quarantine *quarantine, int folder); /* one of ours, or an item's? */
bool places_is_inside(const struct quarantine *quarantine, const struct stat *folder); /* one of ours? */
void places_tell_gate(struct steward *steward);
/* The same folder as `place`, by the mount that the directory `on` lies on. Descriptor or -errno. */
int places_on(int place, int on);

/* ---- quarantine_about.c ---- */
struct quarantine_names {
	uint32_t count;
	struct {
		uint32_t entry; /* its number as an entry */
		char *path;     /* allocated */
	} list[ENTRIES_MAX];
};
void names_clear(struct quarantine_names *names);
/* Writes about anew (beside, synced, renamed over). 0 or -errno. */
/* file: dev and ino; of a copy the original's. */
int about_write(int item, const struct quarantine_item *about, const struct stat *file,
		const struct quarantine_names *names);
/* 0 or -errno; -EBADMSG: it is none. file_out: dev, ino. names_out may be NULL. */
int about_read(int item, struct quarantine_item *about, struct stat *file_out, struct quarantine_names *names_out);

/* ---- quarantine_reading.c ---- */
void items_read(struct steward *steward); /* what lies in the places; ends what was begun */

/* ---- quarantine_items.c ---- */
struct quarantine_entry *items_by_id(struct quarantine *quarantine, const char *id);
struct quarantine_entry *items_by_file(struct quarantine *quarantine, const struct stat *file);
/* The first with a greater serial; NULL: none. */
struct quarantine_entry *items_after(struct quarantine *quarantine, uint64_t serial);
int items_open(const struct quarantine *quarantine, const struct quarantine_entry *entry); /* its folder; -errno */
/* A new item with this name, moved. 0 and *entry_out, or -errno: nothing has changed. */
int items_take(struct steward *steward, struct quarantine_place *place, const struct steward_request *request,
	       const struct stat *file, const struct found_name *name, struct quarantine_entry **entry_out);
/* Another name of it. 0 or -errno. */
int items_take_name(struct steward *steward, struct quarantine_entry *entry, const struct stat *file,
		    const struct found_name *name);
/* Gives all names back; entry is gone then. -EEXIST and the like: why says what is in the way; nothing has changed, or
 * as much as `names_out` of the rest says. */
int items_restore(struct steward *steward, struct quarantine_entry *entry, char *why, size_t size);
int items_delete(struct steward *steward, struct quarantine_entry *entry);
/* Syncs what was moved. */
void items_settle(struct steward *steward, struct quarantine_entry *entry);
void items_digest(struct steward *steward, struct quarantine_entry *entry, const uint8_t digest[32]);

/* What quarantine_giving.c needs of it. item: its folder. */
extern struct quarantine_names item_list; /* of the item at hand, one at a time */
void item_entry_name(char out[12], uint32_t number);
bool item_entry_status(int item, uint32_t number, struct stat *status);
/* Forgets the names that have no entry: they were not moved, or were given back. status_out: of the file. How many are
 * left. */
uint32_t item_names(int item, struct quarantine_names *list, struct stat *status_out);
void item_remove(int place, int item, const char *id); /* one without entries */
uint64_t item_room(const struct stat *file);           /* bytes that it takes: a hole takes none */
int item_mark(int item, const char *name);
struct quarantine_entry *item_add(struct quarantine *quarantine); /* NULL: no memory. Others move, too */
void item_forget(struct quarantine *quarantine, struct quarantine_entry *entry);
/* ---- quarantine_giving.c ---- */
void item_remove_entries(int item);
void item_end_copy_out(struct steward *steward, int item);
void item_end_copy_in(int item, const char *id, const struct stat *original);

/* ---- quarantine_names.c ---- */
/* A name of this open file below the roots. 0, -ENOENT: none is known. */
int names_of(struct steward *steward, int fd, const struct stat *file, struct found_name *name_out);
/* The directory of an absolute path, without following any link; *base_out in path. -errno. */
int names_folder(const char *path, const char **base_out);
/* Goes on with the search for names of what is wanted (quarantine_wanted()), for some milliseconds. true: it goes on.
 */
bool names_search(struct steward *steward, uint64_t now);
void names_search_again(void); /* something more is wanted: from the start, when the one under way is over */

/* ---- quarantine_copy.c ---- */
/* A copy with content, owner, mode, attributes and times, synced and compared. 0, or -errno and nothing is there. */
int copy_file(struct steward *steward, int from, int folder, const char *name);
/* Is that file (of a folder) the same in all that copy_file() copies but for attributes? */
bool copy_is_of(struct steward *steward, int from, int folder, const char *name);
/* Removes this name, if it is that file. 0; -EAGAIN: it is another; -errno. */
int copy_unlink(const struct found_name *name, const char *id, const struct stat *file);
/* After a kill: what copy_unlink() had begun is undone. true: the name is that file. */
bool copy_undo(const char *path, const char *id, const struct stat *file);
/* Gives an open file a name, never another file's. 0, or -1 and errno. */
int copy_link(int file, int folder, const char *base);
/* Copies it back, never over another file. before: called when the copy is there and has no name yet. The copy, open
 * for reading and writing, or -errno. */
int copy_back(struct steward *steward, int from, const char *path, struct stat *made_out,
	      int (*before)(void *owner, const struct stat *made), void *owner);

/* ---- quarantine_back.c ---- */
int back_read(void); /* FD_STATE_DIR/restored */
/* This inode was restored. */
void back_add(const struct stat *file, const uint8_t digest[32]);
/* Was this file restored, and is it still that content? */
bool back_is(struct steward *steward, int fd, const struct stat *file);

/* ---- quarantine_digest.c ---- */
/* Digest of a file, whole. 0 or -errno; -EFBIG: it is larger than all that the quarantine may hold. */
int digest_file(struct steward *steward, int fd, uint8_t digest_out[32]);
/* Goes on with an item that has no digest, if there is one. true: more to do. */
bool digest_turn(struct steward *steward);

/* ---- quarantine_keep.c ---- */
/* A copy of this file as an item of its own, on the disk when this returns; recorded as having been called `path`
 * (owner, mode and times are as `like` says). where: a directory on the mount whose quarantine takes it. 0 and
 * *entry_out, or -errno: nothing is left of it. */
int quarantine_keep(struct steward *steward, const struct steward_request *request, int fd, const struct stat *like,
		    int where, const char *path, struct quarantine_entry **entry_out);

/* ---- steward_quarantine.c ---- */
/* What a search looks for: listed anew before each slice of it. dev 0: any. */
void quarantine_list_wanted(struct steward *steward);
bool quarantine_wanted(struct steward *steward, uint64_t dev, uint64_t ino);
/* A name of something wanted was found. */
void quarantine_found(struct steward *steward, int folder, const char *base, const struct stat *file);
__attribute__((format(printf, 2, 3))) void quarantine_issue(struct steward *steward, const char *format, ...);
/* For status: text, if it is another one than was told. Empty: it is over. */
void quarantine_say(char *told, size_t size, enum steward_issue issue, const char *text);

/* ---- quarantine_bounds.c ---- */
/* Room for so many bytes more? The oldest may go for it. Entries of quarantine->all are others afterwards. */
bool quarantine_makes_room(struct steward *steward, uint64_t size);
void quarantine_keep_bounds(struct steward *steward, uint64_t now);
void quarantine_warn(struct steward *steward);

#endif
