"""What `make install` puts where, and what tests/deps knows to install."""
import os
import re
import shutil
import subprocess
import tarfile

import pytest

from harness import BUILD, DEADLINE, TOP

MANAGERS = 6


def make(target, folder, *settings):
    done = subprocess.run(['make', '--no-print-directory', target, f'DESTDIR={folder}/root',
                           f'BUILD={BUILD.relative_to(TOP)}', *settings], cwd=TOP, text=True,
                          capture_output=True, timeout=3 * DEADLINE, check=False,
                          env={key: value for key, value in os.environ.items()
                               if not key.startswith('MAKE') and key != 'MFLAGS'})
    assert done.returncode == 0, done.stderr


def installed(folder):
    root = folder / 'root'
    return {str(path.relative_to(root)): path for path in root.rglob('*') if path.is_file()}


@pytest.mark.parametrize('prefix', ['/usr/local', '/opt/echo'])
def test_everything_is_installed_and_taken_back(folder, prefix):
    """Catches a file that is forgotten by install or uninstall, and an example that names a
    program where this installation has none."""
    make('install', folder, f'PREFIX={prefix}')
    found = installed(folder)
    top = prefix.lstrip('/')
    assert {f'{top}/sbin/forkecho', f'{top}/bin/echoclient', f'{top}/bin/echoload'} <= set(found)
    assert found[f'{top}/sbin/forkecho'].stat().st_mode & 0o777 == 0o711  # forkecho-internals(7) says why
    pages = {f'{top}/share/man/man{path.suffix[1:]}/{path.name}'
             for path in (TOP / 'man').iterdir()}
    assert {name for name in found if '/man/' in name} == pages
    assert {f'{top}/share/doc/forkecho/{name}' for name in ('README', 'NEWS', 'COPYING')} <= set(found)
    examples = f'{top}/share/doc/forkecho/examples'
    shipped = [path for name in ('systemd', 'init', 'inetd', 's6', 'haproxy', 'monitoring')
               for path in (TOP / 'examples' / name).iterdir()]
    for path in shipped:
        copy = found[f'{examples}/{path.relative_to(TOP / "examples")}']
        assert copy.stat().st_mode & 0o777 == (0o755 if os.access(path, os.X_OK) else 0o644)
        for program in re.findall(r'\S*/sbin/forkecho\b', copy.read_text()):
            assert program.endswith(f'{prefix}/sbin/forkecho'), path
    make('uninstall', folder, f'PREFIX={prefix}')
    assert installed(folder) == {}
    assert not (folder / 'root' / top / 'share' / 'doc' / 'forkecho').exists()


needs_checkout = pytest.mark.skipif(
    not ((TOP / '.git').exists() and shutil.which('git')),
    reason='this is no checkout: what belongs to the source is not known')


@needs_checkout
def test_the_archive_has_all_of_the_source(folder):
    """Catches a file that an archive lacks, without which `make lint` judges by other rules there."""
    make('dist', folder, f'BUILD={folder}')
    archive, = folder.glob('forkecho-*.tar.gz')
    with tarfile.open(archive) as packed:
        found = {name.partition('/')[2] for name in packed.getnames()}
    listed = subprocess.run(['git', '-c', f'safe.directory={TOP}', 'ls-files', '-z'], cwd=TOP,
                            check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert set(listed.stdout.split('\0')) - {''} - found == set()


def packed(source, **settings):
    """What `make dist` makes of a source: (its bytes, the archive)."""
    done = subprocess.run(['make', '-s', 'dist'], cwd=source, text=True, capture_output=True,
                          timeout=DEADLINE, check=False,
                          env={'PATH': os.environ['PATH'], **settings})
    assert done.returncode == 0, done.stderr
    archive = source / done.stdout.strip()
    return archive.read_bytes(), archive


@needs_checkout
def test_an_archive_of_a_commit_is_always_the_same(folder):
    """Catches an archive that tells who packed it, when and under which umask, or has what lay
    about; so nobody could check that it is what the commit says."""
    made = []
    (folder / '.gitconfig').write_text('[safe]\n\tdirectory = *\n')
    for umask in (0o077, 0o002):
        clone = folder / f'clone{umask}'
        subprocess.run(['git', 'clone', '-q', TOP, clone], check=True, timeout=DEADLINE, umask=umask,
                       env={**os.environ, 'HOME': str(folder)})
        shutil.copy(TOP / 'Makefile', clone)  # of this one, committed or not
        (clone / 'src' / f'note{umask}').touch()
        made.append(packed(clone)[0])
    assert made[0] == made[1]
    one, archive = packed(clone, SOURCE_DATE_EPOCH='86400')
    with tarfile.open(archive) as found:
        assert {member.mtime for member in found} == {86400}
        assert {(member.uid, member.uname, member.mode) for member in found} == \
            {(0, '', 0o644), (0, '', 0o755)}
        found.extractall(folder)
    unpacked, = folder.glob('forkecho-*')
    assert packed(unpacked)[0] == one


def test_deps_knows_every_tool_for_every_manager():
    """Catches a row that is shorter than its heading: what follows is then of another manager."""
    text = (TOP / 'tests' / 'deps').read_text()
    rows = re.search(r"^table='\n(.*?)^'", text, re.M | re.S)[1].splitlines()
    assert [row for row in rows if len(row.split()) != MANAGERS + 1] == []
