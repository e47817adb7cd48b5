"""The Debian packages that `make deb` builds; tests/packaging tries them in Debian itself."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from harness import BUILD, DEADLINE, TOP

PACKAGES = ['forkecho', 'forkecho-tools', 'forkecho-lab']
ELSEWHERE = {'share/zsh/site-functions/': 'share/zsh/vendor-completions/',  # where Debian's looks
             'doc/forkecho/NEWS': 'doc/forkecho/changelog', 'doc/forkecho/COPYING': 'doc/forkecho/copyright'}
MISSING = [tool for tool in ('dpkg-buildpackage', 'dh') if not shutil.which(tool)]

pytestmark = pytest.mark.skipif(BUILD.name != 'build', reason='the packages are of a build of their own')


def run(*command, umask=-1, **settings):
    """What it prints, if it succeeds. Nothing of a make or shell around the tests is handed on."""
    environment = {key: value for key, value in os.environ.items()
                   if not key.startswith('MAKE') and key not in ('MFLAGS', 'BUILD')}
    done = subprocess.run(command, text=True, capture_output=True, check=False, cwd=TOP,
                          timeout=20 * DEADLINE, env=environment | settings, umask=umask)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def contents(package):
    """{path from the root: mode} of the files in it."""
    lines = run('dpkg-deb', '--contents', package).splitlines()
    return {line.split()[5][1:]: line.split()[0] for line in lines if not line.startswith('d')}


def in_package(path):
    """Where a package has what `make install` puts at `path`."""
    for ours, theirs in ELSEWHERE.items():
        path = path.replace(ours, theirs)
    return path


@pytest.mark.long
@pytest.mark.skipif(bool(MISSING), reason=f'needs {", ".join(MISSING)}: run make deps-all')
def test_debian_packages_have_all_that_is_installed(folder):
    """Catches a file that `make install` has and no package, or two; a server that everybody can
    read, which is what dh_fixperms makes of it; and whatever lintian finds and nobody has answered."""
    run('make', '-s', 'deb', f'BUILD={folder}/build', umask=0o077,
        DEB_BUILD_OPTIONS='noopt noautodbgsym')
    built = folder / 'build' / 'deb'
    found = [contents(next(built.glob(f'{name}_*.deb'))) for name in PACKAGES]
    paths = [path.removesuffix('.gz') for each in found for path in each]
    assert len(paths) == len(set(paths))
    run('make', '-s', 'install', f'DESTDIR={folder}/root', 'PREFIX=/usr', f'BUILD={BUILD.relative_to(TOP)}')
    installed = [path for path in Path(folder, 'root').rglob('*') if path.is_file()]
    assert len(installed) > 30
    assert {in_package('/' + str(path.relative_to(folder / 'root'))) for path in installed} - set(paths) == set()
    assert found[0]['/usr/sbin/forkecho'] == '-rwx--x--x'  # forkecho-internals(7) says why
    assert {f'/usr/lib/forkecho/hazards/{path.stem}'
            for path in (TOP / 'examples' / 'hazards').glob('*.c')} <= set(found[2])
    if shutil.which('lintian'):
        assert run('lintian', '--allow-root', '--pedantic', next(built.glob('*.changes'))) == ''


def test_make_deb_says_what_is_missing(folder):
    """Catches a build that goes on for a while and then ends with an error that names no package."""
    for name in ('make', 'sh', 'uname', 'mkdir', 'rmdir', 'rm'):
        (folder / name).symlink_to(shutil.which(name))
    done = subprocess.run(['make', '-s', 'deb', f'BUILD={folder}/build'], cwd=TOP, text=True, check=False,
                          capture_output=True, timeout=DEADLINE, env={'PATH': str(folder)})
    assert done.returncode != 0 and done.stdout == ''
    assert re.match(r'deb: dpkg-buildpackage is missing: install debhelper, .* make deps-all\n', done.stderr)
    assert not (folder / 'build').exists()
