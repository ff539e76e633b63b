/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The content rule: what an attachment is, and what it is called, against the kinds that the policy does not want
 * (`attachments { deny-types }`). Collects over one scan, from the names and layers that the engine comes upon and from
 * the message's own heads. Pure; without such kinds nothing is collected.
 */
#ifndef MAILWARD_CLAIMS_H
#define MAILWARD_CLAIMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLAIM_PREFIX "Mailward.Type."

struct claims {
	uint32_t denied; /* bits 1 << enum deny_type */
	uint32_t found;  /* of these */
	bool doubled, hidden;
	int rank;       /* of what `where` is of */
	char where[64]; /* "member invoice.pdf.exe": printable ASCII, the end of a longer name; or empty */
};

void claims_open(struct claims *claims, uint32_t denied);

/* An attachment or a member of an archive is called so; any bytes. member: its path in an archive tells, too. */
void claims_name(struct claims *claims, const char *name, size_t size, bool member);
/* These bytes are one whole file, or one layer of it; name: what it was called last, or NULL. */
void claims_content(struct claims *claims, const unsigned char *bytes, size_t size, const char *name);
/* These bytes are a message, or a mailbox of several. */
void claims_message(struct claims *claims, const unsigned char *bytes, size_t size);
/* The engine found macros. */
void claims_macro(struct claims *claims, const char *name);

/* Was anything found? name_out: "Mailward.Type.DoubleExtension", the most telling one; detail_out: all of them and
 * where: "Mailward.Type.DoubleExtension, Executable (member invoice.pdf.exe)". */
bool claims_tell(const struct claims *claims, char *name_out, size_t name_size, char *detail_out, size_t detail_size);

#endif
