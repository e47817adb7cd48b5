"""What bash, zsh and fish make of a command line that is completed, asked of the real shells."""
import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time

import pytest

from harness import BUILD, DEADLINE, run

FILES = {'bash': 'bash-completion/completions/{}', 'zsh': 'zsh/site-functions/_{}',
         'fish': 'fish/vendor_completions.d/{}.fish'}
each_shell = pytest.mark.parametrize('shell', [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell) is None,
                                                 reason=f'needs {shell}: run make deps'))
    for shell in FILES])
each_program = pytest.mark.parametrize('name', ['forkecho', 'echoclient', 'echoload'])

# ^B completes the word at the cursor; ^T shows what it may become, between << and >>: in bash as
# the line that has all of it in.
BASH = r"""
PS1='ready> '
bind '"\C-b": insert-completions'
bind -x '"\C-t": printf "<<%s>>\n" "$READLINE_LINE"'
. {file}
"""
ZSH = r"""
PS1='ready> '
fpath=({file.parent} $fpath)
autoload -Uz compinit
compinit -D -u
found=()
compadd() {{
    local -a these
    if [[ ${{@[1,(i)(-|--)]}} == *-[OAD]\ * ]]; then
        builtin compadd "$@"
        return
    fi
    builtin compadd -O these "$@"
    found+=($these)
    builtin compadd "$@"
}}
show() {{ print -r -- "<<$found>>" }}
zle -N show
bindkey '^b' complete-word
bindkey '^t' show
"""


def at_terminal(command, line, folder, environment):
    """What a shell shows of `line`, typed at its prompt."""
    ours, theirs = pty.openpty()
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder,
                               env=environment, start_new_session=True,
                               preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(theirs)
    end = time.monotonic() + DEADLINE

    def read_until(pattern):
        seen = b''
        while not (match := re.search(pattern, seen, re.S)):
            assert select.select([ours], [], [], max(0, end - time.monotonic()))[0], seen
            seen += os.read(ours, 65536)
        return match

    try:
        read_until(b'ready> ')
        os.write(ours, line.encode() + b'\x02\x14')
        return read_until(b'<<(.*?)>>')[1].decode()
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def complete(shell, folder, line):
    """All that may stand in place of the last word of a line."""
    name = line.split()[0]
    file = BUILD / 'share' / FILES[shell].format(name)
    environment = {'PATH': f'{folder}:{os.environ["PATH"]}', 'HOME': str(folder), 'TERM': 'dumb',
                   'ZDOTDIR': str(folder), 'LC_ALL': 'C.UTF-8'}
    if shell == 'fish':
        done = subprocess.run(['fish', '--no-config', '-c', 'source $argv[1]; complete -C $argv[2]',
                               file, line], cwd=folder, env=environment, text=True,
                              stdout=subprocess.PIPE, timeout=DEADLINE, check=True)
        return [row.split('\t')[0] for row in done.stdout.splitlines()]
    settings = folder / '.zshrc'
    settings.write_text({'bash': BASH, 'zsh': ZSH}[shell].format(file=file))
    if shell == 'zsh':
        return at_terminal(['zsh', '-d', '-i'], line, folder, environment).split()
    command = ['bash', '--noprofile', '--rcfile', settings, '-i']
    whole = at_terminal(command, line, folder, environment)
    return whole.split()[len(line.split(' ')) - 1:] if whole != line else []


def shown(name):
    """The options of a program as its --help has them: {form}."""
    return {form for forms in re.findall(r'(?:  |(-\w), )(--[a-z-]+)', run(name, '--help').stdout)
            for form in forms if form}


@each_shell
@each_program
def test_all_options_are_completed(folder, shell, name):
    """Catches an option that completion lacks or invents, because it is written down a second time
    or because its row of the table is not read."""
    options = shown(name)
    assert '--help' in options and len(options) > 12
    found = {word.rstrip('=') for word in complete(shell, folder, f'{name} -')}
    assert found - {'-'} == options  # which zsh has wherever a command may stand


@each_shell
@pytest.mark.parametrize('line, words', [
    ('forkecho -v -s lo', [f'local{number}' for number in range(8)]),
    ('forkecho --syslog=d', ['daemon']),
    ('forkecho -P pi', ['pidfile', 'pidfolder']),
    ('forkecho --pidfile=pidfi', ['pidfile']),
    ('forkecho -r pi', ['pidfolder']),
    ('forkecho -b ', []),
    ('forkecho -- zz-pro', ['zz-program']),
    ('forkecho -- zz-program -', []),
    ('echoload -o ', ['csv', 'hdr', 'json', 'text']),
    ('echoload -c 5 no', ['nonreading']),
])
def test_a_value_is_completed(folder, shell, line, words):
    """Catches completion that offers options where a value or a program's own arguments stand, or
    files where there are none."""
    (folder / 'pidfile').touch()
    (folder / 'pidfolder').mkdir()
    (folder / 'zz-program').touch(0o755)
    found = complete(shell, folder, line)
    assert sorted({word.rpartition('=')[2].rstrip('/') for word in found}) == words


def offered(name, option):
    """The words that completion has for an option's value; for None, for an operand."""
    text = (BUILD / 'share' / FILES['fish'].format(name)).read_text()
    pattern = rf"-l {option} .*-a '([^']*)'" if option else r"-a '([^']*)' -n"
    return re.search(pattern, text)[1].split()


def test_the_words_of_completion_are_known():
    """Catches a word that completion offers and the program does not take, and a mode that
    completion lacks."""
    for word in offered('forkecho', 'syslog'):
        assert 'option -b' in run('forkecho', '-s', word, '-b', '0').stderr
    for word in offered('echoload', 'output'):
        assert 'a mode is missing' in run('echoload', '-o', word).stderr
    modes = run('echoload').stderr.partition('missing: ')[2].partition(' (')[0]
    assert sorted(offered('echoload', None)) == sorted(re.split(r', or |, | or ', modes))
