"""The unit suites, one a module: each is a program that reports its own cases."""
import os
import subprocess

import pytest

from harness import BUILD, DEADLINE, SANITIZERS, TOP, UNABLE, UNDER

SUITES = sorted(path.stem for path in (TOP / 'tests' / 'unit').glob('test_*.c'))

LEFT_OUT = [name for name in UNABLE if not name.startswith('test_')]


@pytest.mark.parametrize('suite', SUITES)
def test_unit(suite):
    """Catches what a module promises in its header and does not keep."""
    result = subprocess.run([*UNDER, BUILD / 'unit' / suite], stdin=subprocess.DEVNULL, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=5 * DEADLINE,
                            env={**os.environ, **SANITIZERS, 'LEFT_OUT': ' '.join(LEFT_OUT)},
                            cwd=TOP, check=False)
    assert result.returncode == 0, result.stdout


if LEFT_OUT:  # or pytest would count one that is skipped
    @pytest.mark.parametrize('case', LEFT_OUT)
    def test_is_left_out(case):
        """Counts what suite.h leaves out of its suite."""
        pytest.skip(UNABLE[case])
