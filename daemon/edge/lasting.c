// SPDX-License-Identifier: GPL-2.0-only
#include "lasting.h"

#include <elf.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDERS_MAX 8
#define C_LOCALE "/usr/lib/locale/C.utf8/"

static const char *const programs[] = {
	"/bin/sh",
	"/bin/bash",
	"/bin/kill",
	"/usr/bin/kill",
	"/usr/sbin/sshd",
	"/bin/busybox",
	"/bin/ps",
	"/usr/bin/systemctl",
	"/usr/bin/ls",
	"/usr/bin/cat",
	"/bin/umount",
	PREFIX "/bin/mailward",
	PREFIX "/sbin/mailwardd",
	PREFIX "/libexec/mailward/mailward-scanner",
};
static const char *const beside_us[] = {"mailward", "mailwardd", "mailward-scanner"};
/* What each start of a program and each log-in looks at. */
static const char *const files[] = {
	"/etc/ld.so.cache",
	"/etc/passwd",
	"/etc/group",
	"/etc/nsswitch.conf",
	"/etc/localtime",
	"/usr/lib/locale/locale-archive",
	"/usr/share/locale/locale.alias",
	"/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache",
	"/usr/lib/aarch64-linux-gnu/gconv/gconv-modules.cache",
	C_LOCALE "LC_ADDRESS",
	C_LOCALE "LC_COLLATE",
	C_LOCALE "LC_CTYPE",
	C_LOCALE "LC_IDENTIFICATION",
	C_LOCALE "LC_MEASUREMENT",
	C_LOCALE "LC_MESSAGES/SYS_LC_MESSAGES",
	C_LOCALE "LC_MONETARY",
	C_LOCALE "LC_NAME",
	C_LOCALE "LC_NUMERIC",
	C_LOCALE "LC_PAPER",
	C_LOCALE "LC_TELEPHONE",
	C_LOCALE "LC_TIME",
};

#define SEEN_MAX 512

struct search {
	struct lasting *lasting;
	bool (*is_marked)(void *owner, int fd);
	void *owner;
	uint32_t seen_count;
	struct {
		dev_t dev;
		ino_t ino;
	} seen[SEEN_MAX];
	uint32_t folder_count;
	char folders[FOLDERS_MAX][PATH_MAX];
};

/* Notes that this file has been looked at. false: it was before, or there is no more room. */
static bool see(struct search *search, const struct stat *file)
{
	for (uint32_t i = 0; i < search->seen_count; i++)
		if (search->seen[i].dev == file->st_dev && search->seen[i].ino == file->st_ino)
			return false;
	if (search->seen_count == SEEN_MAX)
		return false;
	search->seen[search->seen_count].dev = file->st_dev;
	search->seen[search->seen_count++].ino = file->st_ino;
	return true;
}

/* Looks at a file, and takes it in where its file system is marked. true: what it needs is to be looked at as well. */
static bool take(struct search *search, const char *path)
{
	struct lasting *lasting = search->lasting;
	struct stat file;
	int fd = open(path, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (fstat(fd, &file) < 0 || !S_ISREG(file.st_mode) || file.st_uid != 0 || file.st_mode & (S_IWGRP | S_IWOTH) ||
	    !see(search, &file)) {
		close(fd);
		return false;
	}
	if (lasting->count < LASTING_MAX && search->is_marked(search->owner, fd))
		lasting->fds[lasting->count++] = fd;
	else
		close(fd);
	return true;
}

static void take_program(struct search *search, const char *path);

static void take_library(struct search *search, const char *name)
{
	char path[PATH_MAX + NAME_MAX + 2];

	if (strchr(name, '/')) {
		take_program(search, name);
		return;
	}
	for (uint32_t i = 0; i < search->folder_count; i++) {
		snprintf(path, sizeof(path), "%s/%.255s", search->folders[i], name);
		if (access(path, F_OK) == 0) {
			take_program(search, path);
			return;
		}
	}
}

/* A table of the image at a file offset, or NULL where it does not lie within. */
static const void *at(const char *image, size_t size, uint64_t offset, uint64_t length)
{
	return offset <= size && length <= size - offset ? image + offset : NULL;
}

/* Where an address of the program lies in its file. */
static uint64_t offset_of(const Elf64_Phdr *parts, size_t count, uint64_t address)
{
	for (size_t i = 0; i < count; i++)
		if (parts[i].p_type == PT_LOAD && address >= parts[i].p_vaddr &&
		    address - parts[i].p_vaddr < parts[i].p_filesz)
			return address - parts[i].p_vaddr + parts[i].p_offset;
	return UINT64_MAX;
}

static void take_needed(struct search *search, const char *image, size_t size, const Elf64_Phdr *parts, size_t count,
			const Elf64_Phdr *dynamic)
{
	const Elf64_Dyn *entries = at(image, size, dynamic->p_offset, dynamic->p_filesz);
	size_t entry_count = entries ? dynamic->p_filesz / sizeof(*entries) : 0;
	uint64_t names = UINT64_MAX, names_size = 0;

	for (size_t i = 0; i < entry_count; i++) {
		if (entries[i].d_tag == DT_STRTAB)
			names = offset_of(parts, count, entries[i].d_un.d_ptr);
		if (entries[i].d_tag == DT_STRSZ)
			names_size = entries[i].d_un.d_val;
	}
	const char *text = at(image, size, names, names_size);
	for (size_t i = 0; text && i < entry_count; i++) {
		uint64_t name = entries[i].d_un.d_val;
		if (entries[i].d_tag == DT_NEEDED && name < names_size && memchr(text + name, 0, names_size - name))
			take_library(search, text + name);
	}
}

static void read_elf(struct search *search, const char *image, size_t size)
{
	const Elf64_Ehdr *head = at(image, size, 0, sizeof(*head));
	const Elf64_Phdr *parts;

	if (!head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0 || head->e_ident[EI_CLASS] != ELFCLASS64 ||
	    head->e_phentsize != sizeof(*parts))
		return;
	parts = at(image, size, head->e_phoff, (uint64_t)head->e_phnum * sizeof(*parts));
	for (size_t i = 0; parts && i < head->e_phnum; i++) {
		const char *interpreter = at(image, size, parts[i].p_offset, parts[i].p_filesz);
		if (parts[i].p_type == PT_INTERP && interpreter && memchr(interpreter, 0, parts[i].p_filesz))
			take(search, interpreter);
		if (parts[i].p_type == PT_DYNAMIC)
			take_needed(search, image, size, parts, head->e_phnum, &parts[i]);
	}
}

static void take_program(struct search *search, const char *path)
{
	struct stat file;
	const char *image;
	int fd;

	if (!take(search, path))
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return;
	if (fstat(fd, &file) == 0 && file.st_size > 0) {
		image = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (image != MAP_FAILED) {
			read_elf(search, image, (size_t)file.st_size);
			munmap((void *)image, (size_t)file.st_size);
		}
	}
	close(fd);
}

/* Folders of libraries: those that our own come from, and where a loader looks anyway. */
static void find_folders(struct search *search)
{
	static const char *const usual[] = {"/lib/x86_64-linux-gnu",
					    "/usr/lib/x86_64-linux-gnu",
					    "/lib/aarch64-linux-gnu",
					    "/usr/lib/aarch64-linux-gnu",
					    "/lib64",
					    "/usr/lib64",
					    "/usr/lib"};

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]) && search->folder_count < FOLDERS_MAX; i++)
		if (access(usual[i], F_OK) == 0)
			snprintf(search->folders[search->folder_count++], PATH_MAX, "%s", usual[i]);
}

void lasting_open(struct lasting *lasting, bool (*is_marked)(void *owner, int fd), void *owner)
{
	static struct search search;
	char own[PATH_MAX], path[PATH_MAX + 64];
	ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

	lasting->count = 0;
	search = (struct search){.lasting = lasting, .is_marked = is_marked, .owner = owner};
	find_folders(&search);
	if (length > 0) {
		own[length] = 0;
		take_program(&search, own);
		dirname(own);
		for (size_t i = 0; i < sizeof(beside_us) / sizeof(beside_us[0]); i++) {
			snprintf(path, sizeof(path), "%s/%s", own, beside_us[i]);
			take_program(&search, path);
		}
	}
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		take(&search, files[i]);
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		take_program(&search, programs[i]);
}

void lasting_close(struct lasting *lasting)
{
	while (lasting->count > 0)
		close(lasting->fds[--lasting->count]);
}
