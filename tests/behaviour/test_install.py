"""What `make install` puts where, and what tests/deps knows to install."""
import os
import re
import subprocess

import pytest

from harness import BUILD, DEADLINE, TOP

MANAGERS = 6


def make(target, folder, *settings):
    done = subprocess.run(['make', '--no-print-directory', target, f'DESTDIR={folder}/a root',
                           f'BUILD={BUILD.relative_to(TOP)}', *settings], cwd=TOP, text=True,
                          capture_output=True, timeout=3 * DEADLINE, check=False,
                          env={key: value for key, value in os.environ.items()
                               if not key.startswith('MAKE') and key != 'MFLAGS'})
    assert done.returncode == 0, done.stderr


def installed(folder):
    root = folder / 'a root'
    return {str(path.relative_to(root)): path for path in root.rglob('*') if path.is_file()}


@pytest.mark.parametrize('prefix', ['/usr/local', '/opt/echo'])
def test_everything_is_installed_and_taken_back(folder, prefix):
    """Catches a file that is forgotten by install or uninstall, an example that names a program
    where this installation has none, and a blank in DESTDIR, by which both went astray."""
    make('install', folder, f'PREFIX={prefix}')
    found = installed(folder)
    top = prefix.lstrip('/')
    assert {f'{top}/sbin/forkecho', f'{top}/bin/echoclient', f'{top}/bin/echoload'} <= set(found)
    assert found[f'{top}/sbin/forkecho'].stat().st_mode & 0o777 == 0o711  # forkecho-internals(7) says why
    pages = {f'{top}/share/man/man{path.suffix[1:]}/{path.name}'
             for path in (TOP / 'man').iterdir()}
    assert {name for name in found if '/man/' in name} == pages
    assert {f'{top}/share/{name}' for name in (
        'bash-completion/completions/echoload', 'zsh/site-functions/_forkecho',
        'fish/vendor_completions.d/echoclient.fish')} <= set(found)
    assert {f'{top}/share/doc/forkecho/{name}' for name in ('README', 'NEWS', 'COPYING')} <= set(found)
    examples = f'{top}/share/doc/forkecho/examples'
    shipped = [path for name in ('systemd', 'init', 'inetd', 'openrc', 'runit', 's6', 'container',
                                 'haproxy', 'monitoring')
               for path in (TOP / 'examples' / name).rglob('*') if path.is_file()]
    for path in shipped:
        copy = found[f'{examples}/{path.relative_to(TOP / "examples")}']
        assert copy.stat().st_mode & 0o777 == (0o755 if os.access(path, os.X_OK) else 0o644)
        for program in re.findall(r'\S*/sbin/forkecho\b', copy.read_text()):
            assert program.endswith(f'{prefix}/sbin/forkecho'), path
    make('uninstall', folder, f'PREFIX={prefix}')
    assert installed(folder) == {}
    assert not (folder / 'a root' / top / 'share' / 'doc' / 'forkecho').exists()


def test_deps_knows_every_tool_for_every_manager():
    """Catches a row that is shorter than its heading: what follows is then of another manager."""
    text = (TOP / 'tests' / 'deps').read_text()
    rows = ''.join(re.findall(r"^(?:table|more)='\n(.*?)^'", text, re.M | re.S)).splitlines()
    assert [row for row in rows if len(row.split()) != MANAGERS + 1] == []
