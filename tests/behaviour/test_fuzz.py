"""The fuzz harnesses, each with its corpus: hand-written inputs, and what fuzzing has found."""
import os
import subprocess

import pytest

from harness import BUILD, DEADLINE, SANITIZERS, TOP

FUZZ = TOP / 'tests' / 'fuzz'
HARNESSES = sorted(path.stem.removeprefix('fuzz_') for path in FUZZ.glob('fuzz_*.c'))


@pytest.mark.parametrize('what', HARNESSES)
def test_corpus(what):
    """Catches a defect that came back, and a promise that no longer holds for a known input."""
    result = subprocess.run([BUILD / 'fuzz' / f'fuzz_{what}', FUZZ / 'corpus' / what], text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, errors='replace',
                            stderr=subprocess.STDOUT, timeout=5 * DEADLINE, check=False,
                            env={**os.environ, **SANITIZERS}, cwd=TOP)
    assert result.returncode == 0, result.stdout[-4000:]


def test_corpora_are_small_and_used():
    """Catches a harness without a corpus, one of no harness, and one that fuzzing has filled."""
    folders = {path.name: list(path.iterdir()) for path in (FUZZ / 'corpus').iterdir()}
    assert sorted(folders) == HARNESSES
    assert [what for what, files in folders.items() if len(files) < 3] == []
    assert sum(path.stat().st_size for files in folders.values() for path in files) < 200 * 1024
