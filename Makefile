# forkecho: GNU make. `make help` lists the targets.
#
# Everything that is built goes to $(BUILD), and nothing else is ever written to. Variants of
# the build are the same rules with another BUILD and other flags (static, asan, tsan below).

VERSION = 0.1.0

PREFIX   ?= /usr/local
SBINDIR  ?= $(PREFIX)/sbin
BINDIR   ?= $(PREFIX)/bin
SHAREDIR ?= $(PREFIX)/share
MANDIR   ?= $(SHAREDIR)/man
DOCDIR   ?= $(SHAREDIR)/doc/forkecho

BUILD  ?= build
CC     ?= cc
SYSTEM := $(shell uname -s)

CFLAGS   ?= -O2 -g
WARNINGS  = -pedantic -Wall -Wextra -Wshadow -Wconversion
HARDEN ?= -fPIE -fstack-protector-strong -U_FORTIFY_SOURCE $(FORTIFY)
# A packager's own level stands in the place of ours.
FORTIFY = $(if $(findstring _FORTIFY_SOURCE,$(CPPFLAGS) $(CFLAGS)),,-D_FORTIFY_SOURCE=2)
# -z is of ELF's linkers.
HARDEN_LD ?= -pie $(if $(filter Darwin,$(SYSTEM)),,-Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now)
# Few mappings make fork cheap (tests/bench/FIGURES): two segments of the program, not five.
FEWER_MAPPINGS ?= $(if $(filter Linux,$(SYSTEM)),-Wl$(comma)-z$(comma)noseparate-code)
comma := ,

# POSIX.1-2008 with files and times of 64 bits; and what macOS and the BSDs hide from those who ask
# for POSIX: MSG_DONTWAIT, INADDR_LOOPBACK, RLIMIT_NPROC.
STANDARD  = -std=c11 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 \
            -D_DARWIN_C_SOURCE -D__BSD_VISIBLE -D_NETBSD_SOURCE
# The same program wherever it is built: of the folder, a debugger is told `.`.
COMPILE   = $(CC) $(STANDARD) -DVERSION='"$(VERSION)"' $(WARNINGS) $(HARDEN) $(CFLAGS) $(CPPFLAGS) $(HAVE) \
            '-fdebug-prefix-map=$(CURDIR)=.' -Isrc -Iexamples/variants -MMD -MP
LINK      = $(CC) $(HARDEN) $(CFLAGS) $(HARDEN_LD) $(FEWER_MAPPINGS) $(LDFLAGS)

# What a libc or a compiler may lack is asked of it: _Fork of POSIX.1-2024; rseq(2)'s place beside a
# thread's variables, and where those are; and st_ctim, which is st_ctimespec on macOS. The answer
# is a file of its own in $(BUILD), also under -n: some compilers remove what their output was, so
# that as root they would make a regular file of /dev/null. Nothing of it stays: the folder may be
# somebody else's to make.
HAVE := $(shell mkdir -p '$(BUILD)' 2>/dev/null || exit; \
  compiles() { printf "\043include <sys/stat.h>\n\043include <unistd.h>\nint main(void) { return $$2; }\n" | \
    $(CC) $$1 -Werror -xc -o '$(BUILD)/probe'.$$$$ - 2>/dev/null; }; \
  compiles -D_GNU_SOURCE '(int)_Fork()' && echo -DHAVE__FORK; \
  compiles '-include sys/rseq.h' 'RSEQ_SIG && __rseq_offset < 0 && __builtin_thread_pointer()' && \
    echo -DHAVE_THREAD_POINTER; \
  compiles '$(STANDARD)' '(int)(struct stat){0}.st_ctim.tv_nsec' || echo -Dst_ctim=st_ctimespec; \
  rm -f '$(BUILD)/probe'.$$$$; rmdir '$(BUILD)' 2>/dev/null)
PLATFORM  = $(if $(filter Linux,$(SYSTEM)),linux,null)
CONFINE   = $(if $(filter null,$(PLATFORM)),$(or \
              $(filter openbsd freebsd,$(shell echo '$(SYSTEM)' | tr A-Z a-z)),null))
READINESS = $(if $(filter Linux,$(SYSTEM)),epoll,$(if $(filter %BSD DragonFly Darwin,$(SYSTEM)),kqueue,null))

# Programs have a main(), servers a serve(); all the rest is the library.
PROGRAMS  = src/main.c src/fork/serve_fork.c src/client/echoclient.c src/load/echoload.c
BACKENDS  = $(addprefix src/platform/,linux.c null.c) $(wildcard src/platform/*_*.c)
LIBRARY   = $(filter-out $(PROGRAMS) $(BACKENDS),$(sort $(wildcard src/*/*.c))) \
            $(wildcard $(patsubst %,src/platform/%.c,$(PLATFORM) fork_$(PLATFORM) \
              limits_$(PLATFORM) waiting_$(PLATFORM) confine_$(CONFINE) readiness_$(READINESS) \
              readiness_poll readiness_select))
# What only the other servers of the family need.
PARTS     = $(sort $(wildcard examples/variants/parts/*.c))
VARIANTS  = $(filter-out $(if $(filter null,$(READINESS)),epollecho), \
            $(patsubst examples/variants/serve_%.c,%echo,$(wildcard examples/variants/serve_*.c)))
FAMILY    = forkecho $(VARIANTS)
TOOLS     = echoclient echoload
# What completes their options in shells, by folders below SHAREDIR, from the tables behind --help.
COMPLETIONS = $(foreach name,forkecho $(TOOLS),bash-completion/completions/$(name) \
                zsh/site-functions/_$(name) fish/vendor_completions.d/$(name).fish)
OPTIONS_forkecho   = src/server/options.c
OPTIONS_echoclient = src/client/echoclient.c
OPTIONS_echoload   = src/load/options.c src/load/mode.c
UNIT_SUITES = $(patsubst tests/unit/%.c,$(BUILD)/unit/%,$(wildcard tests/unit/test_*.c))
HAZARDS   = $(patsubst examples/hazards/%.c,$(BUILD)/hazards/%,$(wildcard examples/hazards/*.c))
HARNESSES = $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

.DELETE_ON_ERROR:
.PHONY: all help run check check-cross check-faults check-inits check-systemd deps deps-all static \
        bench bench-client bench-peers bench-program bench-scale bench-vanish bench-variants gallery lab \
        lint install uninstall html dist deb clean hazards hazard-servers harnesses fuzz minimal \
        unit asan tsan coverage memcheck instructions soak

all: $(addprefix $(BUILD)/,$(FAMILY) $(TOOLS)) $(addprefix $(BUILD)/share/,$(COMPLETIONS))

help:
	@printf '%s\n' \
	  'make            build everything into $(BUILD)/; V=1 shows the commands' \
	  'make run        serve on localhost:7007 in the foreground' \
	  'make deps       install what `make check` needs; deps-all: what all of the others need' \
	  'make check      run all tests' \
	  'make check-faults    run the servers while their system calls fail (about two minutes)' \
	  'make coverage   run them with lines of src/ counted, and report' \
	  'make memcheck   run unit suites and some behaviours under valgrind' \
	  'make instructions   count what a connection costs in instructions (valgrind)' \
	  'make soak       a million random connections, children killed meanwhile (about five minutes)' \
	  'make check-systemd   run the tests that boot a small Debian (root)' \
	  'make check-inits     run it under OpenRC, runit, s6 and sysvinit, booted likewise' \
	  'make check-cross     build for other machines, and run it by emulation (tests/deps cross)' \
	  'make fuzz       fuzz for $$FUZZ_SECONDS each, 60 (clang); make check replays the corpora' \
	  'make static     build $(BUILD)/static/forkecho with musl, static' \
	  'make bench      measure against the textbook server (four minutes)' \
	  'make bench-scale  measure with up to 30,000 live connections (about ten minutes)' \
	  'make bench-vanish  measure what clients wait while 10,000 others vanish (two minutes)' \
	  'make bench-variants  measure each variant against a minimal server of its kind' \
	  'make bench-client   measure echoload against a second client (about a minute)' \
	  'make bench-peers    measure the echo beside that of inetd, xinetd, socat and others' \
	  'make bench-program  measure programs against tcpserver, xinetd and socat (six minutes)' \
	  'make hazards    the famous mistakes, caught, and our servers beside them (four minutes)' \
	  'make lab        compare all servers, with plots (about four minutes; LAB=full: most of an hour)' \
	  'make gallery    draw what the processes of each server and hazard do (about a minute)' \
	  'make lint       static checks of C, shell, Python, man pages, layers and commit subjects' \
	  'make install    to $$DESTDIR$$PREFIX ($(PREFIX)); uninstall takes it back' \
	  'make html       the man pages as HTML in $(BUILD)/html/ (mandoc)' \
	  'make dist       a source archive in $(BUILD)/' \
  'make deb        Debian packages, in $(BUILD)/deb/ (examples/packaging/debian)' \
	  'make clean      remove $(BUILD)/'

# ---- building ----------------------------------------------------------------------------

# A line for each file; V=1 shows the commands, as -n does, and -s nothing.
LETTERS    = $(firstword -$(MAKEFLAGS))
quiet      = $(if $(filter 1,$(V))$(findstring n,$(LETTERS))$(findstring s,$(LETTERS)),,@$(info $(1)))
QUIET_CC   = $(call quiet,CC	$<)
QUIET_AR   = $(call quiet,AR	$@)
QUIET_LINK = $(call quiet,LINK	$@)

$(BUILD)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(QUIET_CC)$(COMPILE) -c -o $@ $<

$(BUILD)/libecho.a: $(call object,$(LIBRARY))
	@rm -f $@
	$(QUIET_AR)$(AR) rcs $@ $^

$(BUILD)/libparts.a: $(call object,$(PARTS))
	@rm -f $@
	$(QUIET_AR)$(AR) rcs $@ $^

$(BUILD)/forkecho: $(call object,src/main.c src/fork/serve_fork.c) $(BUILD)/libecho.a
	$(QUIET_LINK)$(LINK) -o $@ $^ $(LDLIBS)

# The other servers of the family: the same main and library, one other serve().
$(addprefix $(BUILD)/,$(VARIANTS)): $(BUILD)/%echo: \
    $(call object,src/main.c examples/variants/serve_%.c) $(BUILD)/libparts.a $(BUILD)/libecho.a
	$(QUIET_LINK)$(LINK) -pthread -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)
$(BUILD)/obj/examples/variants/%.o $(BUILD)/obj/tests/bench/minimal/%.o: COMPILE += -pthread

$(BUILD)/echoclient: $(call object,src/client/echoclient.c) $(BUILD)/libecho.a
$(BUILD)/echoload: $(call object,src/load/echoload.c) $(BUILD)/libecho.a
$(BUILD)/echoload: MATH = -lm
$(addprefix $(BUILD)/,$(TOOLS)):
	$(QUIET_LINK)$(LINK) -o $@ $^ $(MATH) $(LDLIBS)

$(addprefix $(BUILD)/share/,$(COMPLETIONS)): PROGRAM = $(patsubst _%,%,$(basename $(@F)))
$(addprefix $(BUILD)/share/,$(COMPLETIONS)): $(BUILD)/share/%: src/base/completion.awk Makefile \
    $(OPTIONS_forkecho) $(OPTIONS_echoclient) $(OPTIONS_echoload)
	@mkdir -p $(@D)
	$(call quiet,AWK	$@)LC_ALL=C awk -v program=$(PROGRAM) \
	  -v shell=$(firstword $(subst -, ,$(subst /, ,$*))) -f $< $(OPTIONS_$(PROGRAM)) >$@

# The hazards stand alone, as a student would compile them; `make lint` wants no warning.
STUDENT = $(CC) -O2 $(STANDARD) $(WARNINGS) $(filter -Werror,$(CFLAGS))
hazard-servers: $(HAZARDS)
$(BUILD)/hazards/%: examples/hazards/%.c Makefile
	@mkdir -p $(@D)
	$(QUIET_CC)$(STUDENT) $(THREADS) -o $@ $<
$(addprefix $(BUILD)/hazards/,shared_client reset_kills threads_not_joined): THREADS = -pthread

# Its buffer as large as forkecho's, for the comparison of streams.
$(BUILD)/hazards/textbook64: examples/hazards/textbook.c Makefile
	@mkdir -p $(@D)
	$(QUIET_CC)$(STUDENT) -DBUFFER_SIZE=65536 -o $@ $<

# The minimal servers, of the same flags as what is measured against them, and nothing else of it.
MINIMAL = $(patsubst tests/bench/minimal/%.c,%,$(wildcard tests/bench/minimal/*.c)) fork
minimal: $(addprefix $(BUILD)/minimal/,$(MINIMAL))
$(BUILD)/minimal/%: $(BUILD)/obj/tests/bench/minimal/%.o
	@mkdir -p $(@D)
	$(QUIET_LINK)$(LINK) -pthread -o $@ $^
$(BUILD)/minimal/fork: $(call object,examples/hazards/textbook.c)
	@mkdir -p $(@D)
	$(QUIET_LINK)$(LINK) -o $@ $^

# libc first, so that what it writes to in a new child lies together: a page, not two.
static:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/static CC='$(STATIC_CC)' CFLAGS='-O2 -g' \
	  HARDEN='-fno-pie -fstack-protector-strong -ffunction-sections -fdata-sections' \
	  HARDEN_LD='-static -no-pie -Wl,--gc-sections -lc' \
	  $(addprefix $(BUILD)/static/,forkecho $(STATIC_ALSO))
STATIC_CC ?= musl-gcc

SANITIZE = -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=all
asan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/asan HARDEN= HARDEN_LD= FEWER_MAPPINGS= \
	  CFLAGS='$(SANITIZE) -fsanitize=address,undefined' all unit harnesses
tsan:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/tsan HARDEN= HARDEN_LD= FEWER_MAPPINGS= \
	  CFLAGS='$(SANITIZE) -fsanitize=thread' $(addprefix $(BUILD)/tsan/,threadecho threadpoolecho)

# Each program counts in a file of its own, whatever becomes of its processes: tests/coverage/counters.c.
COUNTED = BUILD=$(BUILD)/coverage HARDEN= HARDEN_LD= FEWER_MAPPINGS= CC=gcc \
  CFLAGS='-O0 -g --coverage -fprofile-update=atomic -fprofile-info-section=gcov_info \
    -fdata-sections -DCOUNTERS=\"$(abspath $(BUILD)/coverage/counters)\"'
COUNTERS = $(BUILD)/coverage/obj/tests/coverage/counters.o
coverage:
	@$(MAKE) --no-print-directory $(COUNTED) $(COUNTERS)
	@$(MAKE) --no-print-directory $(COUNTED) LDLIBS='-Wl,-T,tests/coverage/counters.ld $(COUNTERS)' all unit
	@BUILD=$(BUILD)/coverage tests/coverage/run $(TESTS)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- using -------------------------------------------------------------------------------

run: $(BUILD)/forkecho $(BUILD)/echoclient
	@echo 'Starting forkecho on localhost:7007; Ctrl-C stops it. In another terminal, try:'
	@echo '  $(BUILD)/echoclient localhost:7007 hello world'
	@exec $(BUILD)/forkecho -v -l localhost:7007

# ---- testing -----------------------------------------------------------------------------

$(BUILD)/unit/%: $(BUILD)/obj/tests/unit/%.o $(BUILD)/libparts.a $(BUILD)/libecho.a
	@mkdir -p $(@D)
	$(QUIET_LINK)$(LINK) -o $@ $^ $(CHECK_LIBS) $(LDLIBS)
$(BUILD)/unit/test_pool_thread: LINK += -pthread
CHECK_LIBS = $(shell pkg-config --libs check) -lm
unit: $(UNIT_SUITES)

# A fuzz harness replays a corpus; linked with libFuzzer instead of replay.o, it fuzzes.
FUZZ_MAIN = $(call object,tests/fuzz/replay.c)
$(BUILD)/fuzz/%: $(BUILD)/obj/tests/fuzz/%.o $(FUZZ_MAIN) $(BUILD)/libecho.a
	@mkdir -p $(@D)
	$(QUIET_LINK)$(LINK) -pthread -o $@ $^ $(LDLIBS)
harnesses: $(HARNESSES)

fuzz:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/libfuzzer CC=clang HARDEN= HARDEN_LD= \
	  FEWER_MAPPINGS= FUZZ_MAIN= LDFLAGS=-fsanitize=fuzzer \
	  CFLAGS='$(SANITIZE) -fsanitize=fuzzer-no-link,address,undefined' harnesses
	@BUILD=$(BUILD)/libfuzzer tests/fuzz/run

deps:
	@tests/deps
deps-all:
	@tests/deps all

# `make deps check` installs before it builds, also under -j.
$(UNIT_SUITES:$(BUILD)/unit/%=$(BUILD)/obj/tests/unit/%.o): | $(filter deps deps-all,$(MAKECMDGOALS))

check: all unit harnesses hazard-servers $(BUILD)/echo_program
	@BUILD=$(BUILD) WORKERS=$${WORKERS:-$$(( $$(getconf _NPROCESSORS_ONLN) * 5 ))} tests/run $(TESTS)

# What stands between a server and its libc there; see tests/faults.
$(BUILD)/faults/shim.so: tests/faults/shim.c Makefile
	@mkdir -p $(@D)
	$(QUIET_CC)$(CC) $(STANDARD) $(WARNINGS) -O2 -g -fPIC -shared -o $@ $< -ldl

# A program that it does not stand in.
$(BUILD)/faults/echo_program: examples/program/echo.c Makefile
	@mkdir -p $(@D)
	$(QUIET_CC)$(CC) $(STANDARD) $(WARNINGS) -O2 -static -o $@ $<

check-faults: all $(BUILD)/faults/shim.so $(BUILD)/faults/echo_program
	@BUILD=$(BUILD) WORKERS=$$(( $$(getconf _NPROCESSORS_ONLN) * 4 )) \
	  tests/run $(or $(TESTS),tests/faults)

# Under valgrind: for uses of what was not set, and for a figure that load does not move.
memcheck: all unit
	@BUILD=$(BUILD) tests/valgrind/memcheck $(TESTS)
instructions: all
	@BUILD=$(BUILD) tests/valgrind/instructions

soak: all
	@BUILD=$(BUILD) tests/soak/run

# For other machines, which MACHINES chooses, of tests/cross/machines; and for macos.
check-cross:
	@BUILD=$(BUILD) tests/cross/run $(MACHINES)

check-systemd: all
	@BUILD=$(BUILD) tests/systemd/run $(TESTS)

check-inits: all
	@BUILD=$(BUILD) tests/inits/run $(TESTS)

# What fork alone costs, built as the servers are.
$(BUILD)/bare_fork: $(call object,tests/bench/bare_fork.c) $(BUILD)/libecho.a
	$(QUIET_LINK)$(LINK) -o $@ $^ $(LDLIBS)

bench: STATIC_ALSO = bare_fork
bench: all static hazard-servers $(BUILD)/hazards/textbook64 $(BUILD)/bare_fork
	@BUILD=$(BUILD) tests/bench/run

bench-scale: all static hazard-servers
	@BUILD=$(BUILD) tests/bench/scale

bench-vanish: all static hazard-servers
	@BUILD=$(BUILD) tests/bench/vanish

bench-variants: STATIC_ALSO = threadecho
bench-variants: all minimal static
	@BUILD=$(BUILD) tests/bench/variants

# A second load client, which shares nothing with echoload.
$(BUILD)/plain_client: tests/bench/plain_client.c Makefile
	@mkdir -p $(@D)
	$(QUIET_CC)$(CC) -O2 $(STANDARD) $(WARNINGS) -o $@ $<

bench-client: all static $(BUILD)/plain_client
	@BUILD=$(BUILD) tests/bench/client

# The smallest program to serve.
$(BUILD)/echo_program: $(call object,examples/program/echo.c)
	$(QUIET_LINK)$(LINK) -o $@ $^

bench-peers bench-program: STATIC_ALSO = echo_program
bench-peers: all static hazard-servers
	@BUILD=$(BUILD) tests/bench/allow $${HELD:-3000} /usr/bin/python3 tests/bench/peers

bench-program: all static
	@BUILD=$(BUILD) tests/bench/program

hazards: all hazard-servers
	@BUILD=$(BUILD) examples/hazards/expose
	@BUILD=$(BUILD) ALL_BY_ALL=1 tests/run tests/behaviour/test_hazards.py \
	  tests/behaviour/test_right.py -k 'lights_its_own_row or right_server_survives'

gallery: all hazard-servers $(BUILD)/echo_program
	@BUILD=$(BUILD) examples/lab/gallery

# All servers and all hazards: what the lab compares, and what its sheet speaks of.
# What would be missed only after the builds is asked for before them.
lab:
	@command -v gnuplot >/dev/null || \
	  { echo 'lab: gnuplot is missing, which draws the plots: install it, or all tools by make deps-all' >&2; \
	    exit 1; }
	@$(MAKE) --no-print-directory all hazard-servers $(BUILD)/echo_program \
	  $(if $(shell command -v $(STATIC_CC)),static STATIC_ALSO=echo_program)
	@$(if $(shell command -v strace),BUILD=$(BUILD) examples/lab/gallery || echo 'lab: the report goes without')
	@BUILD=$(BUILD) examples/lab/run

lint:
	@tests/lint

# ---- installing --------------------------------------------------------------------------

# Nobody but its owner can read the server, so that Linux lets nobody trace it, not even while it
# becomes another program at an upgrade (forkecho-internals(7)).
install: all
	install -d "$(DESTDIR)$(SBINDIR)" "$(DESTDIR)$(BINDIR)" "$(DESTDIR)$(DOCDIR)"
	install -m 711 $(BUILD)/forkecho "$(DESTDIR)$(SBINDIR)/"
	install -m 755 $(addprefix $(BUILD)/,$(TOOLS)) "$(DESTDIR)$(BINDIR)/"
	for page in $(PAGES); do \
	  install -d "$(DESTDIR)$(MANDIR)/man$${page##*.}" && \
	  install -m 644 "$$page" "$(DESTDIR)$(MANDIR)/man$${page##*.}/" || exit; \
	done
	for file in $(COMPLETIONS); do \
	  install -d "$(DESTDIR)$(SHAREDIR)/$${file%/*}" && \
	  install -m 644 "$(BUILD)/share/$$file" "$(DESTDIR)$(SHAREDIR)/$$file" || exit; \
	done
	install -m 644 $(DOCUMENTS) "$(DESTDIR)$(DOCDIR)/"
	for file in $(EXAMPLES); do \
	  install -d "$(DESTDIR)$(DOCDIR)/$$(dirname "$$file")" && \
	  sed 's,/usr/local/sbin,$(SBINDIR),g' "$$file" >"$(DESTDIR)$(DOCDIR)/$$file" && \
	  chmod "$$([ -x "$$file" ] && echo 755 || echo 644)" "$(DESTDIR)$(DOCDIR)/$$file" || exit; \
	done

DOCUMENTS = README NEWS COPYING

# A page's section is what its name ends in.
PAGES = $(wildcard man/*.[1-9])

# What an administrator copies; it names the program where it is installed.
EXAMPLES = $(wildcard $(addprefix examples/,systemd/* init/* inetd/* openrc/* container/* haproxy/* \
             monitoring/* program/*) $(foreach file,run check finish notification-fd log/run, \
             $(addprefix examples/,runit/$(file) s6/$(file))))

INSTALLED = $(SBINDIR)/forkecho $(addprefix $(BINDIR)/,$(TOOLS)) \
            $(foreach page,$(PAGES),$(MANDIR)/man$(subst .,,$(suffix $(page)))/$(notdir $(page))) \
            $(addprefix $(SHAREDIR)/,$(COMPLETIONS)) \
            $(addprefix $(DOCDIR)/,$(DOCUMENTS) $(EXAMPLES))

uninstall:
	for file in $(INSTALLED); do rm -f "$(DESTDIR)$$file" || exit; done
	-for folder in $$(printf '%s\n' $(sort $(dir $(EXAMPLES))) examples/ | sort -r) ''; do \
	  rmdir "$(DESTDIR)$(DOCDIR)/$$folder"; \
	done

# Links lead to the other pages here; those of other software are Debian's.
html: $(PAGES:man/%=$(BUILD)/html/%.html)
$(BUILD)/html/%.html: man/% Makefile
	@mkdir -p $(@D)
	$(call quiet,HTML	$@)(cd man && mandoc -Thtml \
	  -O 'man=%N.%S.html;https://manpages.debian.org/%N.%S' $*) >$@.part
	@sed -e 's/^<html>/<html lang="en">/' -e 's/^<body>/&<main>/' -e 's/^<\/body>/<\/main>&/' \
	  $@.part >$@ && rm $@.part

# The same bytes from the same commit, whoever packs it, and again from what the archive has in it.
SOURCES = Makefile $(DOCUMENTS) src man tests examples findings .ci .clang-tidy .gitignore
ARCHIVE = $(BUILD)/forkecho-$(VERSION).tar
GIT     = $(if $(wildcard .git),git -c safe.directory='$(CURDIR)' -c log.showSignature=no,false)
EPOCH   = $(or $(SOURCE_DATE_EPOCH),$(shell $(GIT) log -1 --format=%ct || date -r NEWS +%s))
dist: export TAR_OPTIONS =
dist: export GZIP =
dist:
	@mkdir -p $(BUILD)
	{ $(GIT) ls-files $(SOURCES) || find $(SOURCES) -type f ! -path '*/__pycache__/*'; } | \
	  LC_ALL=C sort | tar --format=ustar --mtime=@$(EPOCH) --owner=0 --group=0 --numeric-owner \
	    --mode=u=rwX,go=rX --hard-dereference --transform 's,^,forkecho-$(VERSION)/,' -T - -cf $(ARCHIVE)
	gzip -nf $(ARCHIVE)
	@echo $(ARCHIVE).gz

# From the archive, as a packager does; its tests are ours. The revision is Debian's.
DEB_REVISION ?= 1
DEB = $(BUILD)/deb/forkecho-$(VERSION)
deb:
	@for tool in dpkg-buildpackage dh; do command -v $$tool >/dev/null || \
	  { echo "deb: $$tool is missing: install debhelper, or all tools by make deps-all" >&2; exit 1; }; done
	@$(MAKE) --no-print-directory -s dist >/dev/null
	rm -rf $(BUILD)/deb && mkdir $(BUILD)/deb
	cp $(ARCHIVE).gz $(BUILD)/deb/forkecho_$(VERSION).orig.tar.gz
	tar -xzf $(ARCHIVE).gz -C $(BUILD)/deb
	cp -r $(DEB)/examples/packaging/debian $(DEB)
	sed -i '1s/(.*)/($(VERSION)-$(DEB_REVISION))/' $(DEB)/debian/changelog
	cd $(DEB) && env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL dpkg-buildpackage -us -uc -d -Pnocheck
	@ls $(BUILD)/deb/*.deb

clean:
	rm -rf $(BUILD)
