"""The archive that `make dist` makes: the same bytes and the same programs wherever it is made of a
commit, and all that is needed in it."""
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness import DEADLINE, TOP

needs_checkout = pytest.mark.skipif(
    not ((TOP / '.git').exists() and shutil.which('git')),
    reason='this is no checkout: what belongs to the source is not known')


def make(source, *words, umask=0o022, **settings):
    """What make prints in `source`, with these variables alone."""
    done = subprocess.run(['make', '-s', *words], cwd=source, text=True, capture_output=True,
                          timeout=10 * DEADLINE, check=False, umask=umask,
                          env={'PATH': os.environ['PATH'], **settings})
    assert (done.returncode, done.stderr) == (0, '')
    return done.stdout


def packed(source, build='build', **settings):
    """The archive of a source."""
    return source / make(source, 'dist', f'BUILD={build}', **settings).strip()


def unpack(archive, folder):
    """Returns where the source is then."""
    folder.mkdir()
    subprocess.run(['tar', '-xzf', archive, '-C', folder], check=True, timeout=DEADLINE)
    source, = folder.iterdir()
    return source


@needs_checkout
def test_the_archive_has_all_of_the_source(folder):
    """Catches a file that an archive lacks, without which `make lint` judges by other rules there."""
    with tarfile.open(packed(TOP, folder)) as archive:
        found = {name.partition('/')[2] for name in archive.getnames()}
    listed = subprocess.run(['git', '-c', f'safe.directory={TOP}', 'ls-files', '-z'], cwd=TOP,
                            check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert set(listed.stdout.split('\0')) - {''} - found == set()


@needs_checkout
def test_an_archive_of_a_commit_is_always_the_same(folder):
    """Catches an archive that tells who packed it, when, under which umask and with which options
    of tar and gzip, or has what lay about; so nobody could check that it is what the commit says."""
    (folder / '.gitconfig').write_text('[safe]\n\tdirectory = *\n[log]\n\tshowSignature = yes\n')
    made = []
    odd = {'TZ': 'JST-9', 'LC_ALL': 'C.UTF-8', 'TAR_OPTIONS': '--sort=name -v', 'GZIP': '-1',
           'POSIXLY_CORRECT': '1', 'HOME': str(folder)}
    for umask, settings in ((0o077, odd), (0o002, {'LC_ALL': 'C'})):
        clone = folder / f'clone{umask}'
        subprocess.run(['git', 'clone', '-q', TOP, clone], check=True, timeout=DEADLINE,
                       umask=umask, env={**os.environ, 'HOME': str(folder)})
        shutil.copy(TOP / 'Makefile', clone)  # of this one, committed or not
        (clone / 'src' / f'note{umask}').touch()
        made.append(packed(clone, umask=umask, **settings).read_bytes())
    assert made[0] == made[1]
    archive = packed(clone, SOURCE_DATE_EPOCH='86400')
    with tarfile.open(archive) as found:
        assert {member.mtime for member in found} == {86400}
        assert {(member.uid, member.uname, member.mode) for member in found} == \
            {(0, '', 0o644), (0, '', 0o755)}
    assert packed(unpack(archive, folder / 'unpacked')).read_bytes() == archive.read_bytes()


@pytest.mark.long
def test_the_archive_alone_makes_the_same_programs_anywhere(folder):
    """Catches an archive that is of use only beside git; and programs that tell where they were
    built, when, in which order or by whom, so that nobody could check what is in a package."""
    archive = packed(TOP, folder)
    tools = folder / 'bin'
    tools.mkdir()
    (tools / 'git').write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\nexit 1\n')
    (tools / 'git').chmod(0o755)
    path = f'{tools}:{os.environ["PATH"]}'
    one, other = unpack(archive, folder / 'one'), unpack(archive, folder / 'another place')
    for each in other.rglob('*'):
        os.utime(each, (1e9, 1e9))
    fast = 'CFLAGS=-O0 -g'
    make(one, '-j2', fast, 'all', 'build/unit/test_text', PATH=path, TZ='UTC0', LC_ALL='C')
    make(other, fast, 'BUILD=out', 'out/forkecho', 'out/echoclient', 'out/echoload', PATH=path,
         umask=0o077, TZ='JST-9', LC_ALL='C.UTF-8', HOME=str(folder))
    for name in ('forkecho', 'echoclient', 'echoload'):
        assert (one / 'build' / name).read_bytes() == (other / 'out' / name).read_bytes(), name
    subprocess.run(['build/unit/test_text'], cwd=one, check=True, timeout=DEADLINE,
                   stdout=subprocess.DEVNULL)
    make(one, fast, 'install', f'DESTDIR={folder}/root', PATH=path)
    assert Path(folder, 'root/usr/local/sbin/forkecho').exists()
    assert not (folder / 'asked').exists()
