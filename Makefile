# SPDX-License-Identifier: Apache-2.0
# make              build/kymo
# make unit         unit tests       make check   every test (see tests/run)
# make fuzz         every fuzzer, SECONDS=60 each
# make check-pythons                 a row for each CPython: stacks, shares, names, every line of its library; fetches Debian's others
#                                    (a quarter of an hour; SAMPLES=50000)
# make check-kernels                 kymo on five kernels, in an emulator (minutes)
# make soak         a churning host, SECONDS=60: nothing of kymo's grows, no tick is missing
# make coverage     which lines of the user side the tests run (minutes)
# make check-long   a whole minute of what `make check` does in its short form
# make check-dump   a hundred dumps of 200 threads: whether they hold anybody up, beside py-spy where it is installed (minutes)
# make install      PREFIX=/usr/local DESTDIR=
# make bench        kymo and its peers on the same work, into docs/BENCHMARKS.md (about an hour; MINUTES=18, QUICK=1)
# make bench-walk bench-cost bench-day bench-store     what kymo costs (bench/)
# make bench-gil    who waits for Python's lock: its cost beside py-spy and Austin, its shares against the program's own
# make bench-whole  whole and right stacks, of programs of every kind, beside perf and bcc
# make clean
# V=1 shows commands; BUILD=dir builds elsewhere; SANITIZE=1 builds with ASan and UBSan into build-asan.

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

SANITIZE ?=
BUILD ?= $(if $(SANITIZE),build-asan,build)
# One name for one folder: the dependencies that one call writes are read by the next.
override BUILD := $(patsubst $(CURDIR)/%,%,$(BUILD))
PREFIX ?= /usr/local
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
CLANG ?= clang
# Debian's is not in an ordinary user's PATH; Ubuntu's is a script that fails unless the tools of the very kernel
# that runs are installed, though any version's program will do: the first that works.
BPFTOOL ?= $(or $(shell for b in bpftool /usr/sbin/bpftool /usr/local/sbin/bpftool /usr/lib/linux-tools*/*/bpftool; do \
	$$b version >/dev/null 2>&1 && echo $$b && break; done),bpftool)
CLANG_FORMAT ?= $(or $(shell command -v clang-format-14),clang-format)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

PACKAGES := libbpf libelf libdw libzstd liblzma libseccomp sqlite3 zlib
TEST_PACKAGES := cmocka
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES))

comma := ,
SANITIZERS := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -DKYMO_SANITIZED)
CFLAGS ?= -O2 -g
# Records are read where they lie in byte buffers, as kernel code does: hence no type-based aliasing.
KYMO_CFLAGS := -std=gnu17 -fno-strict-aliasing -Wall -Wextra -Werror -D_GNU_SOURCE -Iuser -Iinclude $(PKG_CFLAGS) $(SANITIZERS)

# From the top down, a slash between those that know nothing of each other (scripts/check-includes holds the rule).
LEVELS := cmd agent export walk/kern/proc/python/symbol/health/merge/query worker unwind elf/store model base
LAYERS := $(subst /, ,$(LEVELS))
FOLDERS := $(foreach f,$(LAYERS),$(if $(wildcard user/$(f)/*.c),$(f)))
archives = $(foreach f,$(filter $(1),$(FOLDERS)),$(BUILD)/lib/$(f).a)
ARCHIVES := $(call archives,$(FOLDERS))

# What a folder may use: itself and the levels below its own.
lower = $(if $(filter $(1),$(subst /, ,$(firstword $(2)))),$(wordlist 2,99,$(2)),$(call lower,$(1),$(wordlist 2,99,$(2))))
reach = $(if $(filter $(1),$(LAYERS)),$(1) $(subst /, ,$(call lower,$(1),$(LEVELS))),$(LAYERS))

.PHONY: all unit bpf-tests check check-includes format format-check install clean
all: $(BUILD)/kymo

$(BUILD)/kymo: $(ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANITIZERS) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(PKG_LIBS) -liberty -lpthread -lm

# ---- user side: an archive per folder ----
define folder
$(1)_OBJECTS := $$(patsubst %.c,$$(BUILD)/%.o,$$(sort $$(wildcard user/$(1)/*.c)))
# The folder itself: its time changes when a file goes, which must then leave the archive.
$$(BUILD)/lib/$(1).a: $$($(1)_OBJECTS) user/$(1)
	$$(call say,AR,$$@)
	@mkdir -p $$(@D)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$($(1)_OBJECTS)
endef
$(foreach f,$(FOLDERS),$(eval $(call folder,$(f))))

$(BUILD)/user/%.o: user/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(KYMO_CFLAGS) $(EXTRA_CFLAGS) -MMD -MP -c -o $@ $<

# Assets stand in the sources as .incbin, of which the compiler writes no dependency.
$(patsubst %.c,$(BUILD)/%.o,$(wildcard user/*/assets.c)): $(wildcard user/export/*.js user/export/*.css)

# The kernel side's walkers, built natively: gcc does not know clang's "unroll".
$(walk_OBJECTS): EXTRA_CFLAGS := -Ivmlinux -Ibpf -Wno-unknown-pragmas

# ---- kernel side: every bpf/*.bpf.c linked into one object, its skeleton for user/kern alone ----
BPF_SOURCES := $(sort $(wildcard bpf/*.bpf.c))
BPF_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(BPF_SOURCES))
MULTIARCH := $(shell $(CC) -print-multiarch)
BPF_CFLAGS := -target bpf -O2 -g -mcpu=v3 -Wall -Wextra -Werror -D__TARGET_ARCH_x86 -Iinclude -Ivmlinux -Ibpf -I/usr/include/$(MULTIARCH)

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/bpf/kymo.bpf.o: $(BPF_OBJECTS)
	$(call say,BPFLINK,$@)
	$(Q)$(BPFTOOL) gen object $@ $^

$(BUILD)/bpf/kymo.skel.h: $(BUILD)/bpf/kymo.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name kymo_bpf > $@

ifneq ($(BPF_SOURCES),)
$(kern_OBJECTS): $(BUILD)/bpf/kymo.skel.h
$(kern_OBJECTS): EXTRA_CFLAGS := -I$(BUILD)/bpf
endif

# ---- the demo's workload ----
$(BUILD)/demo/%: demo/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -fno-omit-frame-pointer -Wall -Wextra -Werror -o $@ $< -lpthread

# ---- benches: programs linked with the user side, loads, and a sampler of their own ----
BENCH := $(BUILD)/bench
BENCH_LOADS := $(BENCH)/depth $(BENCH)/depth-fp

$(BENCH)/%: bench/%.c $(ARCHIVES)
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(KYMO_CFLAGS) -MMD -MP -MF $@.d -o $@ $< -Wl,--start-group $(ARCHIVES) -Wl,--end-group \
		$(PKG_LIBS) -liberty -lpthread -lm

$(BENCH_LOADS): bench/programs/depth.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror $(if $(filter %-fp,$@),-fno-omit-frame-pointer,-fomit-frame-pointer) \
		-o $@ $< -lpthread

$(BENCH)/bare.bpf.o: bench/bare.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BENCH)/bare.skel.h: $(BENCH)/bare.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name bare_bpf > $@

$(BENCH)/bare: $(BENCH)/bare.skel.h
$(BENCH)/bare: KYMO_CFLAGS += -I$(BENCH)

bench-programs: $(BENCH)/day
# As root, on a host with nothing else to do. QUICK=1: a look; OPTIONS: more of bench/run's.
bench: all $(BENCH_LOADS)
	BUILD=$(BUILD) BENCH_COMMAND='make bench$(if $(MINUTES), MINUTES=$(MINUTES))$(if $(QUICK), QUICK=1)$(if $(OPTIONS), OPTIONS="$(OPTIONS)")' \
		bench/run $(if $(MINUTES),--minutes $(MINUTES)) $(if $(QUICK),--quick) $(OPTIONS)
bench-walk: all $(BENCH)/bare $(BENCH_LOADS)
	BUILD=$(BUILD) bench/walk
bench-cost: all $(BENCH_LOADS)
	BUILD=$(BUILD) bench/cost
bench-day: all $(BENCH)/day
	BUILD=$(BUILD) bench/day
bench-whole: all
	BUILD=$(BUILD) bench/whole
bench-gil: all
	BUILD=$(BUILD) bench/gil $(OPTIONS)
bench-store: $(BENCH)/store
	$(BENCH)/store
# Rows made beside libdw, and a first and a second start over the same files: FILES="..." for others.
FILES ?= $(wildcard /lib/$(MULTIARCH)/libc.so.6 /lib/$(MULTIARCH)/libcrypto.so.3 /usr/bin/python3.11 /usr/bin/perl \
	/usr/lib/gcc/$(MULTIARCH)/*/cc1plus /usr/lib/llvm-14/lib/libLLVM-14.so.1)
bench-rows: all $(BENCH)/unwind_rows $(BENCH)/prepare
	$(BENCH)/unwind_rows $(FILES)
	$(BENCH)/prepare $(BUILD)/kymo $(BENCH)/prepare.cache $(FILES)
.PHONY: bench bench-programs bench-walk bench-cost bench-day bench-gil bench-store bench-whole bench-rows

# ---- tests: a program per file ----
UNIT_SOURCES := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT_SOURCES))
BPF_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/bpf/test_*.c)))
TEST_CFLAGS = $(KYMO_CFLAGS) -Ivmlinux -Ibpf -Itests $(shell pkg-config --cflags $(TEST_PACKAGES))

# Helpers that several test programs share: an archive, so that a test takes only those it calls.
SUPPORT_SOURCES := $(sort $(wildcard tests/unit/support/*.c))
SUPPORT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(SUPPORT_SOURCES))
SUPPORT := $(if $(SUPPORT_SOURCES),$(BUILD)/lib/support.a)

$(BUILD)/tests/unit/support/%.o: tests/unit/support/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

$(SUPPORT): $(SUPPORT_OBJECTS) $(wildcard tests/unit/support)
	$(call say,AR,$@)
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rcs $@ $(SUPPORT_OBJECTS)

# A unit test is linked with what its folder may use and nothing else: the linker holds the layers too,
# and what is broken above does not stop it.
.SECONDEXPANSION:
$(BUILD)/tests/unit/%: tests/unit/%.c $(SUPPORT) $$(call archives,$$(call reach,$$(firstword $$(subst /, ,$$*))))
	$(link-test)
$(BUILD)/tests/bpf/%: tests/bpf/%.c $(SUPPORT) $(ARCHIVES)
	$(link-test)

define link-test
$(call say,TEST,$<)
@mkdir -p $(@D)
$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -MF $@.d -o $@ $< -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
	$(PKG_LIBS) $(shell pkg-config --libs $(TEST_PACKAGES)) -liberty -lpthread -lm
endef

# ---- fuzzers: libFuzzer with ASan and UBSan, all sources compiled once more for it ----
# make fuzz: each for SECONDS, what it learns is kept under $(BUILD)/fuzz/corpus; a crash ends it with its input's name.
SECONDS ?= 60
FUZZERS := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_PROGRAMS := $(addprefix $(BUILD)/fuzz/,$(FUZZERS))
FUZZ_FOLDERS := base model elf store unwind python worker proc
FUZZ_OBJECTS := $(patsubst %.c,$(BUILD)/fuzz/%.o,$(sort $(foreach f,$(FUZZ_FOLDERS),$(wildcard user/$(f)/*.c))))
FUZZ_CFLAGS := $(filter-out -Werror,$(KYMO_CFLAGS)) -w -O1 -g -fno-omit-frame-pointer -fsanitize=address$(comma)undefined -fno-sanitize-recover=all
FUZZ_OPTIONS := -rss_limit_mb=3072 -timeout=25 -max_len=65536 -verbosity=0

$(BUILD)/fuzz/user/%.o: user/%.c
	$(call say,FUZZCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

# The walk of Python frames, built natively.
$(BUILD)/fuzz/tests/%.o: tests/%.c
	$(call say,FUZZCC,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -Ivmlinux -Ibpf -Itests -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
FUZZ_OBJECTS += $(BUILD)/fuzz/tests/unit/support/python_walk.o

$(BUILD)/fuzz/all.a: $(FUZZ_OBJECTS)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(FUZZ_PROGRAMS): $(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/fuzz/all.a
	$(call say,FUZZLD,$@)
	$(Q)$(CLANG) $(FUZZ_CFLAGS) -Itests -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(BUILD)/fuzz/all.a $(PKG_LIBS) -liberty -lpthread -lm

fuzz-programs: $(FUZZ_PROGRAMS)
fuzz: fuzz-programs
	$(Q)cd $(BUILD)/fuzz && for f in $(FUZZERS); do mkdir -p corpus/$$f && echo "$$f: $(SECONDS) s" && \
		ASAN_OPTIONS=allocator_may_return_null=1 ./$$f $(FUZZ_OPTIONS) -max_total_time=$(SECONDS) \
			-artifact_prefix=$$f- corpus/$$f $$(ls -d $(CURDIR)/tests/fixtures/fuzz/$$f 2>/dev/null) || exit 1; done
.PHONY: fuzz fuzz-programs

# On other kernels, in an emulator (tests/vm/check): all of them here, two in `make check`.
VM_PROGRAMS := $(BUILD)/kymo $(BUILD)/bpf/kymo.bpf.o $(BUILD)/tests/bpf/test_fields $(BUILD)/tests/vm/programs
$(BUILD)/tests/vm/%: tests/vm/%.c $(BUILD)/lib/base.a
	$(link-test)
vm-programs: $(VM_PROGRAMS)
check-kernels: $(VM_PROGRAMS)
	$(Q)tests/vm/check $(BUILD)
.PHONY: vm-programs check-kernels

# Which lines of the user side the unit and e2e tests run: a table. E2E="test_x.py ..." for some of them.
coverage:
	$(Q)$(MAKE) BUILD=build-coverage CFLAGS="-O0 -g --coverage -fprofile-update=atomic" all unit-programs
	$(Q)tests/coverage build-coverage $(E2E)
.PHONY: coverage

# A churning host for SECONDS: memory, descriptors, maps and files stay what they are.
soak: all
	$(Q)tests/soak/soak.py $(BUILD) $(SECONDS)
.PHONY: soak

check-long: all
	KYMO_LONG=1 KYMO=$(abspath $(BUILD))/kymo /usr/bin/python3 -B -m pytest -q tests/e2e/test_storm.py tests/e2e/test_hostile_python.py
check-dump: all
	$(Q)KYMO_LONG=1 KYMO=$(abspath $(BUILD))/kymo /usr/bin/python3 -B -m pytest -q -s -p no:cacheprovider tests/e2e/test_dump_many.py
.PHONY: check-long check-dump

# Debian's other CPythons with the libraries they were built for: what is there already is kept.
PYTHONS := build/pythons
SAMPLES ?= 50000
pythons:
	$(Q)tests/pythons/fetch.py $(PYTHONS)
check-pythons: all pythons $(BUILD)/tests/unit/python/test_lines
	$(Q)KYMO=$(abspath $(BUILD))/kymo KYMO_PYTHONS=$(abspath $(PYTHONS)) /usr/bin/python3 -B -m pytest -q -p no:cacheprovider \
		tests/e2e/test_interleave.py tests/e2e/test_imports.py tests/e2e/test_c_libraries.py
	$(Q)KYMO=$(abspath $(BUILD))/kymo tests/pythons/matrix $(PYTHONS) --samples $(SAMPLES)
	$(Q)tests/pythons/lines $(PYTHONS) $(BUILD)/tests/unit/python/test_lines
# One with musl, one without the GIL, from Debian's sources: a quarter of an hour; check-pythons takes them where they are.
built-pythons:
	$(Q)tests/pythons/build $(PYTHONS)
.PHONY: pythons check-pythons built-pythons

unit-programs: $(UNIT_TESTS)
bpf-programs: $(BPF_TESTS)
.PHONY: unit-programs bpf-programs

unit: unit-programs
	$(Q)r=0; for t in $(UNIT_TESTS); do $$t || r=1; done; exit $$r
bpf-tests: bpf-programs
	$(Q)r=0; for t in $(BPF_TESTS); do $$t || r=1; done; exit $$r

check: all
	$(Q)tests/run

check-includes:
	$(Q)scripts/check-includes

# Not asked of git: a tarball has none.
FORMATTED = $(sort $(shell find bench bpf demo include tests user vmlinux -name '*.[ch]'))
format:
	$(Q)$(CLANG_FORMAT) -i $(FORMATTED)
format-check:
	$(Q)$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

install: all
	install -D -m 0755 $(BUILD)/kymo $(DESTDIR)$(PREFIX)/bin/kymo
	$(Q)for m in $(wildcard docs/*.1 docs/*.8); do \
		install -D -m 0644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean:
	rm -rf build build-asan

# Only where we compile: other trees under build may hold folders or files of that name.
-include $(shell find $(addprefix $(BUILD)/,user bpf bench tests fuzz) -type f -name '*.d' 2>/dev/null)
