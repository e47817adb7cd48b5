"""batch.py: a folder of submissions, each in a folder of its own; and the table of the class.

A submission is copied, and built and run in the copy, within the bounds of a trial. It is built by
make, where it has a Makefile, or by cc, which makes a.out of its only C file.
Where no command is given for all, it is run by the only program that is then there, or by python3
where it is one file of Python, with a port as its argument. What goes wrong is its row.
"""
import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from grader import isolation, trial
from grader.report import of
from grader.results import printable, problem_of, sum_of
from grader.waiting import Unable, Undecided

PROGRAMS = b'\x7fELF', b'#!'  # how they begin: from some systems every file comes as executable
LONGEST_REASON = 200  # letters


def copy_all(place, folder):
    """{name: copy} of the folders in `place`; or why there is none."""
    originals = sorted(path for path in Path(place).iterdir()
                       if path.is_dir() and not path.is_symlink() and path.name[0] != '.')
    if not originals:
        raise Unable(f'{place}: there is no folder in it, for each submission one')
    copies = {}
    for number, original in enumerate(originals):
        copies[original.name] = Path(folder, f'submission-{number}')
        try:
            shutil.copytree(original, copies[original.name], symlinks=True)
        except OSError as problem:  # a pipe, or what may not be read: copytree has a list of them
            why = problem.args[0][0][-1] if isinstance(problem, shutil.Error) else problem
            copies[original.name] = Unable(f'it could not be copied: {why}')
    return copies


def run(folder, *command):
    """Builds. The first error that it names, or else its last line, is why that has failed."""
    with tempfile.TemporaryFile('w+', errors='replace') as output:  # where it has a bound
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
                              stderr=output, preexec_fn=isolation.set_bounds, check=False)
        if done.returncode:
            output.seek(0)
            said = output.read(trial.LAST_WORDS).strip().splitlines() or ['nothing was said']
            why = next((line for line in said if 'error:' in line), said[-1])
            raise Unable(f'{command[0]} failed: {printable(why)[:LONGEST_REASON]}')


def is_program(path):
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    with open(path, 'rb') as file:
        return file.read(4).startswith(PROGRAMS)


def only(paths, what):
    if len(paths) > 1:
        names = ' '.join(sorted(path.name for path in paths))
        raise Unable(f"it has more than one {what}: {names}; say which by -s './NAME {{port}}'")
    return paths[0].name if paths else None


def command_of(folder, template):
    """The words of the command that runs it, in its folder. It is built meanwhile."""
    isolation.enter_namespaces()
    isolation.enter_network()
    sources = list(folder.glob('*.c'))
    try:
        with trial.bounded():
            if any(Path(folder, name).exists() for name in ('GNUmakefile', 'makefile', 'Makefile')):
                run(folder, 'make', '-s')
            elif len(sources) == 1:
                run(folder, 'cc', '-pthread', sources[0].name)
    except Undecided as problem:
        raise Unable(f'it could not be built: {problem}') from None
    if template:
        words = [word.replace('{folder}', str(folder)) for word in shlex.split(template)]
    elif program := only(list(filter(is_program, folder.iterdir())), 'program'):
        words = [f'./{program}', '{port}']
    elif script := only(list(folder.glob('*.py')), 'file of Python'):
        words = ['python3', script, '{port}']
    else:
        raise Unable('it has no program, Makefile, single file of C or Python: say how by -s')
    return ('env', '-C', str(folder), *words)


def without_folder(text):
    """What is said of a command, without what is ours."""
    return re.sub(r'^env -C \S+ ', '', str(text))


def build_all(copies, template, run_all, jobs):
    """({name: command}, {command: why there is none})."""
    tasks = [(name, partial(command_of, folder, template)) for name, folder in copies.items()
             if not isinstance(folder, Unable)]
    found = {**copies, **{name: outcome for name, outcome, _ in
                          run_all(tasks, jobs, 'submissions built')}}
    commands = {name: (name,) if isinstance(outcome, Exception) else outcome
                for name, outcome in found.items()}
    return commands, {commands[name]: Unable(str(outcome)) for name, outcome in found.items()
                      if isinstance(outcome, Exception)}


# ---- the table of the class --------------------------------------------------------------

def write_text(results):
    rows_of = results.by_server()
    width = max(map(len, ['submission', *rows_of]))
    print(f'{"submission":{width}}  {"points":>10}  mistakes')
    for server, rows in rows_of.items():
        told = [row.hazard + '?' * (row.status == 'undecided') for row in rows
                if row.status in ('failed', 'undecided')]
        not_judged = sum(row.status == 'not judged' for row in rows)
        print(f'{server:{width}}  {of(*sum_of(rows)):>10}  '
              f'{problem_of(rows) or " ".join(told) or "none"}'
              + f' ({not_judged} not judged)' * bool(not_judged))


def write_csv(results):
    lines = csv.writer(sys.stdout, lineterminator='\n')
    rows_of = results.by_server()
    names = [row.hazard for row in next(iter(rows_of.values()))]
    lines.writerow(['submission', 'points', 'max_points', *names, 'problem'])
    for server, rows in rows_of.items():
        lines.writerow([server, *(f'{points:g}' for points in sum_of(rows)),
                        *(row.status for row in rows), problem_of(rows)])


WRITERS = {'text': write_text, 'csv': write_csv}
