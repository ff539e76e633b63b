/* SPDX-License-Identifier: GPL-2.0-only */
/* One file of the definitions in use, as the loader tells the keeper of it and the status page shows it. */
#ifndef MAILWARD_DEFINITION_H
#define MAILWARD_DEFINITION_H

#include <stdint.h>

#define SIGNATURES_NOT_KNOWN UINT64_MAX /* as a number of signatures: they are clamd's, which does not say */
#define DEFINITION_FILES_MAX 32         /* that are told of one by one */

enum verified {
	VERIFIED_UNSIGNED = 0, /* it has no signature that could be verified */
	VERIFIED_YES,          /* a .cvd: libclamav has verified it before it loaded it */
	VERIFIED_NO,           /* a .cld or .cud: freshclam made it; libclamav loads it without looking */
	VERIFIEDS
};
#define VERIFIED_NAMES                                                                                                 \
	{                                                                                                              \
		"unsigned", "yes", "no"                                                                                \
	}

struct definition_file {
	char name[64];       /* cut where longer; any byte but zero and slash */
	uint64_t size;       /* bytes */
	uint64_t time_ns;    /* CLOCK_REALTIME of its last change */
	uint64_t built_ns;   /* CLOCK_REALTIME of its making, from its header; 0: it has none */
	uint32_t version;    /* from its header; 0: it has none */
	uint32_t signatures; /* the same */
	uint32_t verified;   /* enum verified */
	uint32_t reserved;
};

/* Why newer definitions than those in use are not in use. */
enum definitions_refusal {
	DEFINITIONS_NEWEST = 0, /* they are */
	DEFINITIONS_BROKEN,     /* they do not load, a signature that does not hold included */
	DEFINITIONS_NO_ROOM,    /* there is no room for a second engine beside the first; tried again when there is */
	DEFINITIONS_GONE,       /* the folder is gone or empty */
	DEFINITIONS_CLAMD,      /* clamd, whose they are, does not answer, or what it calls clean is not */
	DEFINITIONS_REFUSALS
};

#endif
