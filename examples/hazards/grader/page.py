"""page.py: a page of each server, in one file: its points, its mistakes with what was done, seen
and printed, and a picture of each. The pictures and the frame of the page are the lab's
(examples/lab)."""
import os
import sys
from functools import partial
from html import escape
from pathlib import Path

from grader import isolation, trial
from grader.report import of
from grader.results import problem_of, story, sum_of
from grader.waiting import Unable

sys.path.append(str(Path(__file__).resolve().parents[2] / 'lab'))
import gallery
import report

WORDS = {'passed': 'not seen', 'undecided': 'undecided',
         'n/a': 'does not apply', 'not judged': 'not judged'}


def open_all(place, servers):
    """{server: its file}: while this process may still write there."""
    if place.suffix == '.html':
        if len(servers) != 1:
            raise Unable(f'--page {place} is a page of one server; of more it names a folder')
        return {server: open(place, 'w', encoding='utf-8') for server in servers}
    place.mkdir(parents=True, exist_ok=True)
    return {server: open(place / (server.replace('/', '_') + '.html'), 'w', encoding='utf-8')
            for server in servers}


# ---- the pictures ------------------------------------------------------------------------

def draw(words, hazard, place):
    """Plays the scene of a hazard with a server, as a trial is run, and writes the picture to
    `place`: what it is made of is too long for a pipe."""
    isolation.enter_namespaces()
    port = str(isolation.enter_network())
    command = [word.replace('{port}', port) for word in words if word != '{options}']

    def play():
        isolation.set_bounds()
        scene = gallery.HAZARDS[hazard]
        try:
            figure = gallery.figure(gallery.draw(hazard, f'{hazard}: what its processes did',
                                                 scene.see, command, scene))
        except Exception as problem:
            figure = f'<p>The picture could not be drawn: {escape(str(problem))}</p>'
        place.write_text(figure)

    with trial.bounded():
        os.waitpid(isolation.keep(play), 0)


def draw_all(results, folder, run_all, jobs):
    """{(server, hazard): picture} of the mistakes."""
    places, tasks = {}, []
    for pair in results.pairs:
        if results.status(pair) == 'failed':
            place = places[pair.server, pair.hazard.name] = Path(folder, f'picture-{len(places)}')
            tasks.append((place, partial(draw, pair.words, pair.hazard.name, place)))
    for place, outcome, _ in run_all(tasks, jobs, 'pictures drawn'):
        if isinstance(outcome, Exception):
            place.write_text(f'<p>The picture could not be drawn: {escape(str(outcome))}</p>')
    return {key: place.read_text() for key, place in places.items()}


# ---- the page ----------------------------------------------------------------------------

def mistake_html(row, picture):
    name, lines = escape(row.hazard), escape(row.last_lines)
    told = ''.join(f'<dt>{term}</dt><dd>{escape(words)}</dd>' for term, words in (
        ('What was done', row.done), ('What was seen', row.seen), ('What to look at', row.look_at),
        ('Points', of(row.points, row.max_points))))
    printed = (f'<p>The last lines that the server printed:</p><section class="wide" tabindex="0"'
               f' aria-label="{name}: the last lines"><pre>{lines}</pre></section>'
               if lines else '<p>The server printed nothing.</p>')
    return (f'<section id="{name}"><h3>{name}: {escape(story(row.hazard)["title"])}</h3>'
            f'<dl>{told}</dl>{printed}{picture}</section>')


def html(server, rows, pictures):
    mistakes = [row for row in rows if row.status == 'failed']
    others = ''.join(f'<li><strong>{escape(row.hazard)}</strong>: {WORDS[row.status]},'
                     f' {of(row.points, row.max_points)} points. {escape(row.seen)}.</li>'
                     for row in rows if row.status in WORDS)
    problem = problem_of(rows)
    body = f'<p><strong>It could not be run.</strong> {escape(problem)}</p>' if problem else (
        '<h2>Mistakes</h2>' + (''.join(mistake_html(row, pictures[server, row.hazard])
                                       for row in mistakes) or '<p>None was seen.</p>'))
    body += f'<h2>What else was looked at</h2><ul>{others}</ul>' if others else ''
    return report.page_of(escape(f'{server}: an echo server, graded'),
                          f'{of(*sum_of(rows))} points. By examples/hazards/expose.', body)


def write_all(files, results, folder, run_all, jobs):
    pictures = draw_all(results, folder, run_all, jobs)
    for server, rows in results.by_server().items():
        with files[server] as file:
            file.write(html(server, rows, pictures))
