"""Where compilers write: into $(BUILD), whatever is built, asked or checked; and what the scripts
around the tests say of what is not there."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import DEADLINE, TOP, new_user, run_to_end

COMPILERS = ['cc', 'gcc', 'clang', 'musl-gcc', 'tcc']
# What would install, should a script find that something is missing.
MANAGERS = ['apt-get', 'dnf', 'apk', 'pacman', 'zypper', 'brew', 'sudo']
# Logs what it is asked for, an argument a line, and does nothing else.
REFUSES = '#!/bin/sh\nprintf "%s\\n" "$0" "$@" >>"$ASKED"\nexit 1\n'
EVERYTHING = ['all', 'unit', 'harnesses', 'hazard-servers', 'minimal', 'static', 'asan', 'tsan',
              'coverage', 'fuzz', 'bench', 'bench-client', 'bench-program']


@pytest.fixture
def asked(folder):
    """A function that runs a command while all compilers only log, and returns what was printed
    and what they were asked for. It is in vain: no compiler makes anything."""
    programs = folder / 'bin'
    programs.mkdir()
    for name in COMPILERS + MANAGERS:
        (programs / name).write_text(REFUSES)
        (programs / name).chmod(0o755)

    def run(*command, **settings):
        environment = {key: value for key, value in os.environ.items()
                       if not key.startswith('MAKE') and key not in ('MFLAGS', 'CC')}
        environment |= {'PATH': f'{programs}:{os.environ["PATH"]}', 'BUILD': str(folder / 'build'),
                        'ASKED': str(folder / 'asked'), **settings}
        done = subprocess.run(command, cwd=TOP, env=environment, text=True, check=False,
                              capture_output=True, timeout=2 * DEADLINE)
        log = folder / 'asked'
        return done.stdout, log.read_text().splitlines() if log.exists() else []

    return run


def outputs(words):
    """What follows each -o; "-" is standard output."""
    return [after for word, after in zip(words, words[1:]) if word == '-o' and after != '-']


def outside(found, folder):
    return {name for name in found if not Path(TOP, name).is_relative_to(folder / 'build')}


def test_make_only_asked_writes_nothing_elsewhere(asked, folder):
    """Catches a probe that names /dev/null as its output, or another file out of $(BUILD): make runs
    it also where it is only to print, and tcc, and some linkers, remove and recreate their output.
    As root that leaves a machine without /dev/null."""
    printed, words = asked('make', '-n', '-B', *EVERYTHING)
    assert outputs(words), 'there is no probe any more: this tests nothing'
    assert outside(outputs(words), folder) == set()
    commands = [line.split() for line in printed.splitlines()]
    found = {name for words in commands for name in outputs(words)
             if words[0] in COMPILERS}
    assert len(found) > 100 and outside(found, folder) == set()
    assert [path for path in folder.glob('build/**/*') if path.is_file()] == []


@pytest.mark.parametrize('command', [['make', '-k', 'all', 'hazard-servers'], ['tests/deps'],
                                     ['tests/lint', 'fanalyzer', 'scan', 'bsd']])
def test_nothing_is_compiled_to_elsewhere(asked, folder, command):
    """Catches a compiler that is told to write to /dev/null because its output does not matter."""
    words = asked(*command)[1]
    assert words and outside(outputs(words), folder) == set()


@pytest.mark.parametrize('step, tool', [('tidy', 'clang-tidy'), ('cppcheck', 'cppcheck'),
                                        ('fanalyzer', 'gcc'), ('scan', 'clang')])
def test_lint_says_where_a_tool_is_newer(asked, folder, step, tool):
    """Catches findings of checks that nobody here has seen, without a word of that; and a tool that
    is missing, and so finds nothing."""
    fake = folder / 'bin' / tool
    fake.write_text('#!/bin/sh\n[ "$1" != --version ] || echo "A tool 99.1 (of 2)"\n')
    fake.chmod(0o755)
    said, _ = asked('tests/lint', step)
    assert re.match(rf'{step} +ok: {tool} 99\.1 is newer than [\d.]+, ', said)
    fake.write_text('#!/bin/sh\nexit 127\n')
    said, _ = asked('tests/lint', step)
    assert re.match(rf'{step} +FAILED', said)


def test_no_script_names_a_device_as_output():
    """Catches the same where none of the commands above comes by."""
    scripts = [path for top in ('tests', 'examples', '.ci') for path in (TOP / top).rglob('*')
               if path.is_file() and path.suffix in ('', '.py') and 'corpus' not in path.parts]
    named = re.compile(r'\b(?:cc|gcc|clang|tcc|CC\)?)\b[^\n|;]*-o[\s\',"]*/dev/')
    assert [path.name for path in [TOP / 'Makefile', *scripts]
            if named.search(path.read_text(errors='replace').replace('\\\n', ' '))] == []


def test_make_hands_on_the_settings_of_the_tests(asked):
    """Catches a variable of the Makefile that is called like a setting: make then hands on its own
    value. SUITES="trixie sid" make check-systemd booted none of them, SERVERS=preforkecho make soak
    all servers."""
    reads = re.compile(r"environ(?:\.get\(|\[)'([A-Z_]+)'|\$\{([A-Z_]+):?-")
    scripts = [path for path in (TOP / 'tests').rglob('*') if path.is_file()
               and path.suffix in ('', '.py') and 'corpus' not in path.parts]
    names = {name for path in scripts for pair in reads.findall(path.read_text(errors='replace'))
             for name in pair if name} - {'PATH', 'BUILD'}
    assert {'SUITES', 'SERVERS', 'SOAK_SEED'} <= names
    printed, _ = asked('make', '-s', '--eval=settings: ; @env', 'settings',
                       **{name: f'our {name}' for name in names})
    assert {name for name in names if f'{name}=our {name}\n' not in printed} == set()


def test_make_shows_a_line_for_each_file(asked, folder):
    """Catches a build that scrolls a screen of flags for each file, so that nobody sees its warnings;
    one that no longer shows them where a packager asks (V=1); and words among what -n prints, which
    then is no script, or that -s does not silence."""
    target = f'{folder}/build/obj/src/main.o'
    assert asked('make', target)[0] == 'CC\tsrc/main.c\n'
    assert asked('make', '-s', target)[0] == ''
    for loud in ('V=1', '-n'):
        *_, command = asked('make', loud, target)[0].splitlines()
        assert command.startswith('cc ') and command.endswith(f'-c -o {target} src/main.c')


def test_another_system_is_named_once(asked):
    """Catches a Makefile that asks uname in two places: `make SYSTEM=Darwin`, as in a cross build
    for macOS, took files and linker's options of Linux."""
    printed = asked('make', '-n', '-B', 'SYSTEM=Darwin', 'all')[0]
    assert set(re.findall(r'-c .* src/platform/(\w+)\.c', printed)) == {
        'null', 'confine_null', 'readiness', 'readiness_kqueue', 'readiness_select', 'readiness_poll'}
    assert '-Wl,-z' not in printed


def test_a_machine_that_cannot_be_emulated_is_skipped(folder):
    """Catches tests/cross/run that fails where no emulator may be registered with the kernel, such as
    by an ordinary user, as if a test had failed; and one that counts nothing then."""
    shutil.copytree(TOP / 'tests' / 'cross', folder / 'tests' / 'cross')
    (folder / 'tests' / 'cross' / 'machines').write_text('vax vax-linux vax vax-of-nobody\n')
    library = folder / 'forkecho' / 'cross' / 'vax-linux' / 'lib'
    library.mkdir(parents=True)
    (library / 'libcheck.a').touch()
    (folder / 'make').write_text('#!/bin/sh\n')
    (folder / 'make').chmod(0o755)
    user = new_user()
    identity = {'user': user, 'group': user, 'extra_groups': []} if os.geteuid() == 0 else {}
    done = run_to_end([folder / 'tests' / 'cross' / 'run', 'vax'], **identity,
                      env={**os.environ, 'XDG_CACHE_HOME': str(folder),
                           'PATH': f'{folder}:{os.environ["PATH"]}', 'BUILD': str(folder / 'build')})
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ['1 skipped in 0s']), done
    assert 'cross: vax: built, and not run: only root may register qemu' in done.stdout
