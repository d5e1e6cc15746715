# SPDX-License-Identifier: Apache-2.0
# make              build/kymo
# make unit         unit tests       make check   every test (see tests/run)
# make install      PREFIX=/usr/local DESTDIR=
# make clean
# V=1 shows commands; BUILD=dir builds elsewhere; SANITIZE=1 builds with ASan and UBSan into build-asan.

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:

SANITIZE ?=
BUILD ?= $(if $(SANITIZE),build-asan,build)
PREFIX ?= /usr/local
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' '$(1)' '$(2)')

PACKAGES := libbpf libelf libdw libzstd libseccomp sqlite3 zlib
TEST_PACKAGES := cmocka
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
PKG_LIBS := $(shell pkg-config --libs $(PACKAGES))

comma := ,
SANITIZERS := $(if $(SANITIZE),-fsanitize=address$(comma)undefined -fno-sanitize-recover=all -DKYMO_SANITIZED)
CFLAGS ?= -O2 -g
KYMO_CFLAGS := -std=gnu17 -Wall -Wextra -Werror -D_GNU_SOURCE -Iuser -Iinclude $(PKG_CFLAGS) $(SANITIZERS)

# From the top down: each folder may use those behind it (scripts/check-includes holds the rule).
LAYERS := cmd agent export kern proc python symbol health merge query worker unwind elf store model base
FOLDERS := $(foreach f,$(LAYERS),$(if $(wildcard user/$(f)/*.c),$(f)))
ARCHIVES := $(foreach f,$(FOLDERS),$(BUILD)/lib/$(f).a)
TEST_ARCHIVES := $(filter-out $(BUILD)/lib/cmd.a,$(ARCHIVES))

.PHONY: all unit bpf-tests check check-includes format format-check install clean
all: $(BUILD)/kymo

$(BUILD)/kymo: $(ARCHIVES)
	$(call say,LD,$@)
	$(Q)$(CC) $(CFLAGS) $(SANITIZERS) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group $(PKG_LIBS) -liberty -lpthread -lm

# ---- user side: an archive per folder ----
define folder
$(1)_OBJECTS := $$(patsubst %.c,$$(BUILD)/%.o,$$(sort $$(wildcard user/$(1)/*.c)))
$$(BUILD)/lib/$(1).a: $$($(1)_OBJECTS)
	$$(call say,AR,$$@)
	@mkdir -p $$(@D)
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder,$(f))))

$(BUILD)/user/%.o: user/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(KYMO_CFLAGS) $(EXTRA_CFLAGS) -MMD -MP -c -o $@ $<

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

# ---- tests: a program per file ----
UNIT_SOURCES := $(sort $(shell find tests/unit -name 'test_*.c' 2>/dev/null))
UNIT_TESTS := $(patsubst %.c,$(BUILD)/%,$(UNIT_SOURCES))
BPF_TESTS := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard tests/bpf/test_*.c)))
TEST_CFLAGS = $(KYMO_CFLAGS) -Ivmlinux -Ibpf -Itests $(shell pkg-config --cflags $(TEST_PACKAGES))

# Helpers that several test programs share.
SUPPORT_SOURCES := $(sort $(wildcard tests/unit/support/*.c))
SUPPORT_OBJECTS := $(patsubst %.c,$(BUILD)/%.o,$(SUPPORT_SOURCES))

$(BUILD)/tests/unit/support/%.o: tests/unit/support/%.c
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/%: tests/%.c $(SUPPORT_OBJECTS) $(ARCHIVES)
	$(call say,TEST,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(TEST_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(SUPPORT_OBJECTS) -Wl,--start-group $(filter %.a,$^) -Wl,--end-group \
		$(PKG_LIBS) $(shell pkg-config --libs $(TEST_PACKAGES)) -liberty -lpthread -lm

unit-programs: $(UNIT_TESTS)
bpf-programs: $(BPF_TESTS)
.PHONY: unit-programs bpf-programs

unit: unit-programs
	$(Q)for t in $(UNIT_TESTS); do $$t || exit 1; done
bpf-tests: bpf-programs
	$(Q)for t in $(BPF_TESTS); do $$t || exit 1; done

check: all
	$(Q)tests/run

check-includes:
	$(Q)scripts/check-includes

FORMATTED = $(shell git ls-files '*.c' '*.h')
format:
	$(Q)clang-format -i $(FORMATTED)
format-check:
	$(Q)clang-format --dry-run -Werror $(FORMATTED)

install: all
	install -D -m 0755 $(BUILD)/kymo $(DESTDIR)$(PREFIX)/bin/kymo
	$(Q)for m in $(wildcard docs/*.1 docs/*.8); do \
		install -D -m 0644 $$m $(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}; done

clean:
	rm -rf build build-asan

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
