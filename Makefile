# SPDX-License-Identifier: GPL-2.0-only
# Mailward. `make help` lists what can be made.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
CC ?= gcc
V ?= 0
Q := $(if $(filter 1,$(V)),,@)

# make's own default for CC is cc
ifeq ($(origin CC),default)
CC := gcc
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection
ifeq ($(SANITIZE),)
OPT := -O2 -g -D_FORTIFY_SOURCE=2
else
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDSAN := -fsanitize=$(SANITIZE)
endif
INCLUDES := -Iinclude -Idaemon/base -Idaemon/think -Idaemon/edge -Idaemon/scanner -Idaemon -Itools
CPPFLAGS += -D_GNU_SOURCE -DMAILWARD_VERSION=\"$(VERSION)\" -DPREFIX=\"$(PREFIX)\" $(INCLUDES)
CFLAGS ?=
ALL_CFLAGS = -std=gnu11 $(WARN) $(HARDEN) $(OPT) $(CFLAGS) -MMD -MP
LDFLAGS ?=
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDSAN) $(LDFLAGS)

NEEDED := libclamav libcap-ng libseccomp libconfuse jansson libsystemd sqlite3 libcrypto
LIBS_CFLAGS = $(shell pkg-config --cflags $(NEEDED) 2>/dev/null)
LIBS_DAEMON = $(shell pkg-config --libs libcap-ng libseccomp libconfuse libsystemd sqlite3)
LIBS_SCANNER = $(shell pkg-config --libs libclamav libcap-ng libseccomp libcrypto)
LIBS_TOOL = $(shell pkg-config --libs libconfuse jansson)

libraries: ## say which library is missing, if one is
	@pkg-config --exists $(NEEDED) || { for l in $(NEEDED); do pkg-config --exists $$l || echo "missing library: $$l (make deps installs it)" >&2; done; exit 1; }
.PHONY: libraries

BASE_SRC := $(wildcard daemon/base/*.c)
THINK_SRC := $(wildcard daemon/think/*.c)
EDGE_SRC := $(wildcard daemon/edge/*.c)
SCANNER_SRC := $(wildcard daemon/scanner/*.c)
DAEMON_SRC := $(wildcard daemon/*.c)
TOOLS_SRC := $(wildcard tools/*.c)
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROGRAMS := $(BUILD)/mailwardd $(BUILD)/mailward-scanner $(BUILD)/mailward

all: $(PROGRAMS) ## build the three programs into build/

$(BUILD)/mailwardd: $(call obj,$(DAEMON_SRC) $(EDGE_SRC) $(THINK_SRC) $(BASE_SRC))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) -pthread

$(BUILD)/mailward-scanner: $(call obj,$(SCANNER_SRC) $(BASE_SRC))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_SCANNER)

$(BUILD)/mailward: $(call obj,$(TOOLS_SRC) $(THINK_SRC) $(BASE_SRC))
	@echo "  LD      $@"
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_TOOL)

$(BUILD)/obj/%.o: %.c | libraries
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(LIBS_CFLAGS) $(ALL_CFLAGS) -c -o $@ $<

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.PHONY: all clean help
.DEFAULT_GOAL := all
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
