"""Right servers in six languages, as their users would write them: no detector accuses them."""
import os
import shutil
import subprocess

import pytest

from harness import CC, DEADLINE, TOP
from test_hazards import FILES, needs_mistakes, not_under_tsan, trials

FOLDER = TOP / 'examples/hazards/right'
# `make hazards` has time for more.
TIMES = '20' if os.environ.get('ALL_BY_ALL') == '1' else '1'
WARNINGS = ['-Wall', '-Wextra', '-Werror', '-O2', '-pthread']
# How each is compiled, here below {}, and what is started then.
LANGUAGES = {
    'echo.c': ([*CC, *WARNINGS, '-std=c11', '-D_POSIX_C_SOURCE=200809L', '-o', '{}/echo'],
               '{}/echo'),
    'echo.cpp': (['c++', *WARNINGS, '-o', '{}/echo'], '{}/echo'),
    'echo.go': (['go', 'build', '-o', '{}/echo'], '{}/echo'),
    'echo.py': (['true'], f'python3 {FOLDER}/echo.py'),
    'echo.rs': (['rustc', '-O', '-D', 'warnings', '-o', '{}/echo'], '{}/echo'),
    'Echo.java': (['javac', '-Xlint:all', '-Werror', '-d', '{}'], 'java -cp {} Echo'),
}


@needs_mistakes
@not_under_tsan
@pytest.mark.parametrize('name', LANGUAGES)
def test_a_right_server_survives_in_any_language(folder, name):
    """Catches a detector that knows C and accuses what another language's runtime does: threads of
    its own that sleep and wake, many files that are opened at the start, an accept that tries again
    by itself; and a model for students that has one of the mistakes."""
    compiler, command = LANGUAGES[name]
    if not shutil.which(compiler[0]):
        pytest.skip(f'needs {compiler[0]}: run tests/deps languages')
    subprocess.run([word.format(folder) for word in compiler] + [FOLDER / name], check=True,
                   timeout=DEADLINE,  # go would have our $CC, of another machine, link its C
                   env={**os.environ, 'CGO_ENABLED': '0', 'GOCACHE': f'{folder}/cache'})
    done, rows = trials('-M', '-s', command.format(folder) + ' {port}', times=TIMES)
    assert {row[2:4] for row in rows} <= {('survived', TIMES), ('n/a', TIMES)}, done
    assert sorted(row[0] for row in rows) == sorted(FILES)
    assert (done.returncode, done.stderr) == (0, '')


def test_each_language_is_compiled():
    """Catches a right server that nobody has examined."""
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(LANGUAGES)
