# SPDX-License-Identifier: GPL-2.0-only
# Mailward. GNU make, no configure step. `make help` lists what can be made.

VERSION := 0.1.0
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
V ?= 0
Q := $(if $(filter 1,$(V)),,@)
SAY = $(if $(filter 1,$(V)),@true,@echo) "  $(1)  $(2)"

# make's own default for CC is cc
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang

SBINDIR = $(PREFIX)/sbin
BINDIR = $(PREFIX)/bin
LIBEXECDIR = $(PREFIX)/libexec/mailward
MANDIR = $(PREFIX)/share/man
DOCDIR = $(PREFIX)/share/doc/mailward
UNITDIR = $(PREFIX)/lib/systemd/system
SYSUSERSDIR = $(PREFIX)/lib/sysusers.d

WARN := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla
HARDEN := -fPIE -fstack-protector-strong -fstack-clash-protection -fcf-protection
ifeq ($(SANITIZE),)
OPT := -O2 -g -D_FORTIFY_SOURCE=2
else
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=$(SANITIZE) -fno-sanitize-recover=all
LDSAN := -fsanitize=$(SANITIZE)
# gcc sees less of the bounds through the instrumentation, and warns of what it can't follow
WARN += $(if $(findstring clang,$(CC)),,-Wno-format-truncation -Wno-maybe-uninitialized -Wno-stringop-truncation)
endif
INCLUDES := -I$(BUILD)/bpf -Iinclude -Idaemon/base -Idaemon/think -Idaemon/edge -Idaemon/scanner -Idaemon -Itools
CPPFLAGS += -D_GNU_SOURCE -DMAILWARD_VERSION=\"$(VERSION)\" -DPREFIX=\"$(PREFIX)\" $(INCLUDES)
CFLAGS ?=
ALL_CFLAGS = -std=gnu11 $(WARN) $(HARDEN) $(OPT) $(CFLAGS) -MMD -MP
LDFLAGS ?=
ALL_LDFLAGS = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDSAN) $(LDFLAGS)

# ---- libraries ----

NEEDED := libclamav libcap-ng libseccomp libconfuse jansson sqlite3 libcrypto libbpf libzstd liblz4
libs = $(shell pkg-config --libs $(1) 2>/dev/null)
LIBS_CFLAGS := $(shell pkg-config --cflags $(NEEDED) 2>/dev/null)
LIBS_DAEMON := $(call libs,libcap-ng libseccomp libconfuse sqlite3 libbpf jansson libcrypto)
LIBS_SCANNER := $(call libs,libclamav libcap-ng libseccomp libcrypto libzstd liblz4)
LIBS_TOOL := $(call libs,libconfuse jansson libbpf)

libraries:
	@command -v pkg-config >/dev/null || { echo "missing program: pkg-config (make deps installs it)" >&2; exit 1; }
	@pkg-config --exists $(NEEDED) || { for l in $(NEEDED); do pkg-config --exists $$l || \
		echo "missing library: $$l (make deps installs it)" >&2; done; exit 1; }

# ---- the three programs ----

BASE_SRC := $(wildcard daemon/base/*.c)
THINK_SRC := $(wildcard daemon/think/*.c)
EDGE_SRC := $(wildcard daemon/edge/*.c)
SCANNER_SRC := $(wildcard daemon/scanner/*.c)
DAEMON_SRC := $(wildcard daemon/*.c)
TOOLS_SRC := $(wildcard tools/*.c) $(wildcard daemon/edge/policy_*.c) $(wildcard daemon/edge/attach*.c)
obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

PROGRAMS := $(BUILD)/mailwardd $(BUILD)/mailward-scanner $(BUILD)/mailward

all: $(PROGRAMS) ## build the three programs into build/

$(BUILD)/mailwardd: $(call obj,$(DAEMON_SRC) $(EDGE_SRC) $(THINK_SRC) $(BASE_SRC))
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_DAEMON) -pthread

$(BUILD)/mailward-scanner: $(call obj,$(SCANNER_SRC) $(BASE_SRC))
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_SCANNER) -pthread

$(BUILD)/mailward: $(call obj,$(TOOLS_SRC) $(THINK_SRC) $(BASE_SRC))
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_TOOL)

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | libraries
	@mkdir -p $(@D)
	$(call SAY,CC,$<)
	$(Q)$(CC) $(CPPFLAGS) $(LIBS_CFLAGS) $(ALL_CFLAGS) -c -o $@ $<

# ---- the programs in the kernel ----
# One object of all bpf/*.bpf.c, and a C header that holds it. No kernel headers: bpf/kernel.h says what is read.

BPFTOOL ?= $(or $(shell command -v bpftool),$(wildcard /usr/sbin/bpftool))
BPF_HOST := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(BPF_HOST)))
BPF_CFLAGS := -target bpf -mcpu=v3 -std=gnu11 -g -O2 -ffreestanding -Wall -Wextra -Werror -Wno-unused-parameter \
	-D__TARGET_ARCH_$(BPF_ARCH) -Iinclude -Ibpf -Idaemon/think $(addprefix -idirafter ,$(wildcard /usr/include/$(BPF_HOST)-linux-gnu))
BPF_OBJ := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
SKELETON := $(BUILD)/bpf/mailward.skel.h

bpf: $(SKELETON)
$(call obj,daemon/edge/attach.c): $(SKELETON)

bpf-tools:
	@command -v $(CLANG) >/dev/null || { echo "missing program: $(CLANG) (make deps installs it)" >&2; exit 1; }
	@[ -n "$(BPFTOOL)" ] || { echo "missing program: bpftool (make deps installs it)" >&2; exit 1; }
	@pkg-config --exists libbpf || { echo "missing library: libbpf (make deps installs it)" >&2; exit 1; }

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c | bpf-tools
	@mkdir -p $(@D)
	$(call SAY,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/mailward.bpf.o: $(BPF_OBJ)
	@mkdir -p $(@D)
	$(call SAY,BPFLD,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(SKELETON): $(BUILD)/bpf/mailward.bpf.o
	$(call SAY,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name mailward_bpf >$@

# Other flags (another PREFIX is compiled in too) make everything anew.
FLAGS := $(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS)
$(BUILD)/flags: always
	@mkdir -p $(@D)
	@echo '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || echo '$(subst ','\'',$(FLAGS))' >$@

# ---- tests ----
# tests/unit/test_NAME.c and tests/fuzz/fuzz_NAME.c say in their first lines what they link besides daemon/base:
#   // objects: daemon/think/policy.c        // libs: libconfuse

UNIT_NAMES := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
FUZZ_NAMES := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
SUITES := $(filter-out vm_%,$(patsubst tests/suite_%.py,%,$(wildcard tests/suite_*.py)))
declared = $(shell sed -n '1,8s|^// $(2): *||p' $(1))
UNIT := $(addprefix $(BUILD)/unit/,$(UNIT_NAMES))
FUZZ := $(addprefix $(BUILD)/fuzz/,$(FUZZ_NAMES))
ASAN_UNIT := $(addprefix build/asan/unit/,$(UNIT_NAMES))
ASAN_SUITES := $(addprefix build/asan/suites/,$(filter kernel faults keeper,$(SUITES)))
FUZZ_SECONDS ?= 10
JOBS := $(shell nproc 2>/dev/null || echo 2)

define unit_rule
$(BUILD)/unit/$(1): $(call obj,tests/unit/$(1).c $(call declared,tests/unit/$(1).c,objects) $(BASE_SRC))
	@mkdir -p $$(@D)
	$$(call SAY,LD,$$@)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -o $$@ $$^ $$(call libs,$(call declared,tests/unit/$(1).c,libs)) -lcunit -pthread
endef
$(foreach name,$(UNIT_NAMES),$(eval $(call unit_rule,$(name))))

define fuzz_rule
$(BUILD)/bin/$(1): $(call obj,tests/fuzz/$(1).c $(call declared,tests/fuzz/$(1).c,objects) $(BASE_SRC))
	@mkdir -p $$(@D)
	$$(call SAY,LD,$$@)
	$$(Q)$$(CC) $$(ALL_LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(call libs,$(call declared,tests/fuzz/$(1).c,libs)) -pthread
$(BUILD)/fuzz/$(1): $(BUILD)/bin/$(1)
	@mkdir -p $(BUILD)/fuzz $(BUILD)/corpus/$(1)
	@printf '#!/bin/sh\nexec %s -max_total_time=%s -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 %s -artifact_prefix=%s %s %s\n' \
		$(BUILD)/bin/$(1) $(FUZZ_SECONDS) "$(patsubst %,-dict=%,$(wildcard tests/fuzz/$(1).dict))" $(BUILD)/$(1)- \
		$(BUILD)/corpus/$(1) "$(wildcard tests/fuzz/$(1).corpus)" >$$@
	@chmod +x $$@
endef
$(foreach name,$(FUZZ_NAMES),$(eval $(call fuzz_rule,$(name))))

# The keeper with stand-ins for everything that it starts (tests/suite_keeper.py).
FAKE_SRC := tests/keeper/fake_parts.c $(filter daemon/main.c daemon/keeper%,$(DAEMON_SRC)) \
	$(addprefix daemon/edge/,callers.c children.c groups.c memory.c pages.c places.c rights.c service.c sweep.c syscalls.c verdict_file.c) \
	$(filter daemon/think/cases.c daemon/think/policy.c daemon/think/queue.c daemon/think/restart.c daemon/think/store.c,$(THINK_SRC)) $(BASE_SRC)
$(BUILD)/keeper/mailwardd: $(call obj,$(FAKE_SRC))
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(call libs,libcap-ng libseccomp)
$(BUILD)/keeper/mailward-scanner: $(call obj,tests/keeper/fake_scanner.c $(BASE_SRC))
	@mkdir -p $(@D)
	$(call SAY,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^
# Loads the programs in the kernel and plays the gate by hand (tests/suite_vm_hooks.py).
$(BUILD)/tests/try_hooks: tests/vm/try_hooks.c $(BUILD)/bpf/mailward.skel.h
	@mkdir -p $(@D)
	$(call SAY,CC,$@)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) -o $@ $< $(ALL_LDFLAGS) $(call libs,libbpf)
stand-ins: $(BUILD)/keeper/mailwardd $(BUILD)/keeper/mailward-scanner $(BUILD)/tests/try_hooks

bench-guard: all ## what the guard's own hooks cost: opens, reads and writes with and without them
	$(Q)BUILD=$(BUILD) tests/bench/guard

bench-scan: all ## what judging mail costs: throughput, first opens, levels, memory with a large database
	$(Q)BUILD=$(BUILD) tests/bench/scan $(if $(QUICK),--quick)
.PHONY: bench-scan

# The same programs with another version of what they share with the kernel side (tests/suite_vm_life.py).
OTHER_VERSION := $(BUILD)/upgrade
upgrade-programs: all
	@mkdir -p $(OTHER_VERSION)/tree
	$(Q)for f in $$(git ls-files Makefile bpf include daemon tools 2>/dev/null || find Makefile bpf include daemon tools -type f); do \
		mkdir -p $(OTHER_VERSION)/tree/$$(dirname $$f); \
		cmp -s $$f $(OTHER_VERSION)/tree/$$f || cp -p $$f $(OTHER_VERSION)/tree/$$f; done
	$(Q)sed 's/^#define HOOKS_VERSION .*/#define HOOKS_VERSION 999/' include/hooks.h >$(OTHER_VERSION)/hooks.h
	$(Q)touch -r include/hooks.h $(OTHER_VERSION)/hooks.h
	$(Q)cp -p $(OTHER_VERSION)/hooks.h $(OTHER_VERSION)/tree/include/hooks.h
	$(Q)$(MAKE) --no-print-directory -C $(OTHER_VERSION)/tree BUILD=build all
	$(Q)cp -p $(patsubst $(BUILD)/%,$(OTHER_VERSION)/tree/build/%,$(PROGRAMS)) $(OTHER_VERSION)/
.PHONY: bench-guard upgrade-programs

unit-programs: $(UNIT)
fuzz-programs: $(FUZZ)

check-unit: $(UNIT) ## unit tests, seconds
	$(Q)tests/run $(UNIT)

fuzz: ## fuzz every target, FUZZ_SECONDS=10 each
	$(Q)$(MAKE) --no-print-directory BUILD=build/fuzzing CC=$(CLANG) SANITIZE=fuzzer-no-link,address,undefined \
		FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz-programs
	$(Q)tests/run $(addprefix build/fuzzing/fuzz/,$(FUZZ_NAMES))

build/asan/suites/%: tests/suite_%.py
	@mkdir -p $(@D)
	@printf '#!/bin/sh\nBUILD=build/asan TIME_FACTOR=3 exec /usr/bin/python3 %s\n' $< >$@
	@chmod +x $@

check-programs: all stand-ins unit-programs upgrade-programs
	$(Q)$(MAKE) --no-print-directory BUILD=build/clang CC=$(CLANG) all
	$(Q)$(MAKE) --no-print-directory BUILD=build/asan SANITIZE=address,undefined all stand-ins unit-programs
	$(Q)$(MAKE) --no-print-directory BUILD=build/fuzzing CC=$(CLANG) SANITIZE=fuzzer-no-link,address,undefined fuzz-programs

check: deps ## everything that is tested; ends with `N passed, N failed, N skipped`
	$(Q)$(MAKE) --no-print-directory -j$(JOBS) check-programs
	$(Q)tests/run --at-once 2 $(UNIT) $(ASAN_UNIT) $(addprefix build/fuzzing/fuzz/,$(FUZZ_NAMES)) $(SUITES) \
		$(addprefix build/asan/suites/,$(notdir $(ASAN_SUITES))) tests/vm/check
check: $(ASAN_SUITES)

check-broken: all ## tests/broken/*.patch, but for full mode: each one must make the test that it names fail
	$(Q)if [ -x tests/broken/run ]; then exec tests/broken/run; else $(call not_yet,check-broken); fi

check-broken-vm: all stand-ins ## those that weaken full mode: natively where the kernel can hold it, else in a machine with KERNEL
	$(Q)VM_KERNEL=$(KERNEL) tests/broken/run --vm

KERNEL ?= 6.1
check-vm: all stand-ins upgrade-programs ## full mode in a virtual machine, KERNEL=6.1|6.12|6.18|7|newest (77: that one can't be had)
	$(Q)BUILD=$(BUILD) tests/vm/run $(KERNEL)

check-matrix: all stand-ins upgrade-programs ## the same on every kernel
	$(Q)BUILD=$(BUILD) tests/vm/check 6.1 6.12 6.18 7

table: ## README's tables of what holds, from the last runs
	$(Q)BUILD=$(BUILD) tests/table

not_yet = { echo "make $(1): not in this version" >&2; exit 77; }

bench: all ## measure against the bare floors of this machine
	$(Q)if [ -x tests/bench/run ]; then exec tests/bench/run; else $(call not_yet,bench); fi

SOURCES := $(shell find include bpf daemon tools tests -name '*.[ch]' 2>/dev/null)
lint: ## formatting, clang-tidy, who includes whom, scripts
	$(Q)clang-format --dry-run -Werror $(SOURCES)
	$(Q)! grep -nE '#include "($(subst $() $(),|,$(notdir $(wildcard daemon/edge/*.h))))"' daemon/think/*.[ch] daemon/base/*.[ch] || \
		{ echo "thinking and tools must not include an edge" >&2; exit 1; }
	$(Q)clang-tidy --quiet $(filter %.c,$(filter-out tests/% bpf/%,$(SOURCES))) -- $(CPPFLAGS) $(LIBS_CFLAGS) -std=gnu11
	$(Q)for f in $$(find tests .ci -type f); do case $$(head -c 60 $$f | head -n 1) in \
		*python3*) /usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' $$f || exit 1;; \
		'#!/bin/sh'*) sh -n $$f || exit 1;; esac; done

coverage: ## lines that the unit tests reach
	$(Q)$(MAKE) --no-print-directory BUILD=build/coverage CFLAGS=--coverage LDFLAGS=--coverage unit-programs
	$(Q)for t in $(addprefix build/coverage/unit/,$(UNIT_NAMES)); do $$t >/dev/null || exit 1; done
	$(Q)cd build/coverage && find obj/daemon -name '*.gcda' -exec gcov -n -s $(CURDIR) {} + 2>/dev/null | \
		awk '/^File .*daemon\/.*\.c/ { f = $$2 } /^Lines executed/ && f { sub("executed:", "", $$2); print $$2, f; f = "" }' | sort -n

# ---- use ----

deps: ## install what is missing (Debian; takes root)
	$(Q).ci/deps

run: deps all ## show it: a mail spool of its own, one infected message, until Ctrl-C. CONFIG=FILE: on your policy
	$(Q)tests/demo $(if $(CONFIG),--config $(CONFIG))

day: deps all ## a day on a mail host in two minutes: deliveries, an outbreak, a false positive, and the report of it
	$(Q)BUILD=$(BUILD) tests/day

MAN := $(wildcard daemon/*.[1-8] daemon/*/*.[1-8] tools/*.[1-8])
EXAMPLES := $(wildcard examples/*)
DOCS := $(wildcard README.md LICENSE)
install: all ## into DESTDIR and PREFIX
	install -d $(addprefix $(DESTDIR),$(SBINDIR) $(BINDIR) $(LIBEXECDIR) $(DOCDIR) $(UNITDIR) $(SYSUSERSDIR))
	install -m 755 $(BUILD)/mailwardd $(DESTDIR)$(SBINDIR)/
	install -m 755 $(BUILD)/mailward $(DESTDIR)$(BINDIR)/
	install -m 755 $(BUILD)/mailward-scanner $(DESTDIR)$(LIBEXECDIR)/
	for page in $(MAN); do install -D -m 644 $$page $(DESTDIR)$(MANDIR)/man$${page##*.}/$${page##*/} || exit 1; done
	sed 's|@SBINDIR@|$(SBINDIR)|; s|@BINDIR@|$(BINDIR)|' daemon/mailward.service >$(DESTDIR)$(UNITDIR)/mailward.service
	chmod 644 $(DESTDIR)$(UNITDIR)/mailward.service
	install -m 644 daemon/mailward.sysusers $(DESTDIR)$(SYSUSERSDIR)/mailward.conf
	$(if $(DOCS)$(EXAMPLES),install -m 644 $(DOCS) $(EXAMPLES) $(DESTDIR)$(DOCDIR)/)
	$(Q)$(MAKE) --no-print-directory verify-unit DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)

# What was just installed, with the programs where they lie now.
verify-unit:
	@mkdir -p $(BUILD)/verify
	@sed 's|=$(SBINDIR)/|=$(DESTDIR)$(SBINDIR)/|; s|=$(BINDIR)/|=$(DESTDIR)$(BINDIR)/|' $(DESTDIR)$(UNITDIR)/mailward.service \
		>$(BUILD)/verify/mailward.service
	@if command -v systemd-analyze >/dev/null; then systemd-analyze verify --man=no $(BUILD)/verify/mailward.service && \
		echo "mailward.service: verified"; else echo "systemd-analyze is not here: the unit was not verified"; fi

deb: ## a Debian package, build/mailward_VERSION_ARCH.deb
	$(Q)rm -rf build/package
	$(Q)$(MAKE) --no-print-directory BUILD=build/deb PREFIX=/usr DESTDIR=$(CURDIR)/build/package install
	$(Q).ci/deb build/package $(VERSION) build

clean: ## remove build/
	rm -rf build

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16
	@echo "V=1 shows the commands; CC=clang, BUILD=DIR, SANITIZE=address,undefined, PREFIX=, DESTDIR= as usual"

always:
.PHONY: all always table libraries bpf bpf-tools verify-unit stand-ins unit-programs fuzz-programs check check-unit check-programs check-broken check-broken-vm check-vm \
	check-matrix bench lint fuzz coverage deps run day install deb clean help
.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SECONDARY:
-include $(shell find $(BUILD)/obj $(BUILD)/bpf -name '*.d' 2>/dev/null)
