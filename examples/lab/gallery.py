"""gallery.py: which pictures there are, and what is to be seen in each.

A scene is a script for clients, what strace does to the server's calls, and a sentence. Each model
of the family plays the same scene, also one that is not named here; each hazard plays one in which
its mistake shows, and the right server plays it, too. draw_all() draws; html() is the part of a
page.
"""
import re
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from html import escape

import drawing
import lanes
import models
import scripted
import tracefile

TRIES = 5  # until a picture shows what it is for, where that is chance


# ---- scripts for some hazards ------------------------------------------------------------

def one_by_one(play):
    """Each leaves before the next comes; the server has its time."""
    for client in play.clients:
        play.come([client])
        play.leave([client])
        play.close([client])
        play.quiet()


def told_to_stop_early(play):
    """The server is told to stop while all are there; then they leave."""
    play.come(play.clients)
    play.stop()
    play.leave(play.clients)
    play.close(play.clients)
    play.quiet()


def while_it_looks(play):
    """One leaves, and the others when the parent's wait has looked for more and found nothing."""
    play.come(play.clients)
    first, others = play.clients[:1], play.clients[1:]
    play.quiet()
    told = len(play.server.told())
    for client in first:
        client.finish()
    nothing_left = re.compile(r'wait4\(.*= (?:0|-1 ECHILD)')
    play.until(lambda: nothing_left.search(play.server.told()[told:]))
    play.leave(others)
    play.quiet()
    play.close(play.clients)


def while_it_logs(play):
    """The first leaves when the second is served; then the third comes."""
    first, second, third = play.clients
    play.come([first])
    play.quiet()
    play.come([second])
    play.leave([first])
    play.close([first])
    play.quiet()
    play.come([third])
    play.leave([second, third])
    play.close([second, third])


def at_once(play):
    """All are there when the server, which was halted, looks."""
    with play.halted():
        play.connect(play.clients)
    play.until(lambda: all(client.served() for client in play.clients))
    play.leave(play.clients)
    play.close(play.clients)


def one_who_reads_late(play):
    """The only client sends a lot, and reads nothing until the server can write no more."""
    client = play.clients[0]
    client.connect(small=True)
    client.reads = False

    def has_sent_all():
        client.send(bytes(1 << 14))
        return client.sent >= 1 << 18

    play.until(has_sent_all)
    play.quiet()
    client.reads = True
    play.leave([client])
    play.close([client])


def without_newline(play):
    """They send no newline, and wait; then they say that they have finished."""
    play.come(play.clients, end='')
    play.leave(play.clients)
    play.close(play.clients)


def twice(play):
    """Each sends a line, and when the server is done with that another."""
    play.come(play.clients)
    play.quiet()
    play.say_more(play.clients)
    play.leave(play.clients)
    play.close(play.clients)


def one_resets(play):
    """The first resets its connection; then the others send once more."""
    play.come(play.clients)
    first, *others = play.clients
    first.reset()
    play.quiet()
    play.say_more(others)
    play.leave(others)
    play.close(others)


def started_anew(play):
    """The server is killed while the first is there, and started anew; then the second comes."""
    first, second = play.clients
    play.come([first])
    play.restart()
    play.close([first])
    play.come([second])
    play.leave([second])
    play.close([second])


# ---- the scenes --------------------------------------------------------------------------

# see: what to see of the mistake; instead: of the right server; right: its name and options; shows:
# whether the mistake is in a picture; below: a command that starts either.
Scene = namedtuple('Scene', 'see instead script clients inject right shows below', defaults=(
    'A right server, with the same clients.', scripted.three, 3, (), ('forkecho',), lambda _: True,
    ()))

MODELS = {
    'forkecho': 'The parent sleeps in one call, and has a child for each client. The first child'
                ' that ends has a SIGCHLD of its own. The last two end while the parent is halted:'
                ' their signals are one, and yet both are waited for, so no red is left.',
    'exec': 'Each child becomes another program (a diamond) before it reads. That program knows'
            ' nothing of the parent: at its end it writes no message to it (no square, where a'
            ' child of forkecho has one), and SIGCHLD alone tells that it has ended.',
    'threadecho': 'A thread for each client in the place of a process: when it ends there is no'
                  ' signal and no zombie, as nobody has to wait for it.',
    'threadpoolecho': 'A thread is made where none is free, and kept: behind its client it waits'
                      ' for the next (grey). There is no signal and no zombie.',
    'preforkecho': 'The first processes are made at the start, and wait in accept themselves. More'
                   ' are made ahead when few are free, so that no client waits for a fork; and none'
                   ' ends when its client leaves, but takes the next.',
    'iterecho': 'One client at a time: the others stay in the accept queue, connected and without'
                ' an answer, until the first has gone.',
    'selectecho': 'One process for all. It sleeps in select and nowhere else, and its reads take'
                  ' turns among the clients; there is nobody to wait for.',
    'pollecho': 'One process for all, as selectecho: it sleeps in poll and nowhere else.',
    'epollecho': 'One process for all, as selectecho: it sleeps in epoll_wait and nowhere else.',
    'textbook': 'The parent sleeps in accept. The handler of SIGCHLD loops over wait, so that the'
                ' last two children, who share one signal, are both waited for.',
}
SERVER = 'The same three clients: the first leaves alone, the last two together.'

ACCEPT, FORK = '?accept,?accept4', '?fork,?vfork,?clone,?clone3'
HAZARDS = {
    'no_reaping': Scene(
        'Each child is red from its end on: the signal comes, and nobody waits.',
        'Red ends with the wait, which the signal brings about.'),
    'reap_at_accept': Scene(
        'A child stays red until the next client is accepted. Behind the last client there is'
        ' none, and the red goes on.',
        'Each child is waited for when its signal comes, whether clients come or not.',
        one_by_one),
    'one_wait': Scene(
        'The last two children share one SIGCHLD, for which there is one wait. One of them stays'
        ' red.', 'One SIGCHLD for two children, and a wait for each.'),
    'no_eintr': Scene(
        'The first SIGCHLD interrupts accept, and the server ends. The next clients are refused.',
        'The signal wakes it, and it goes on.', one_by_one),
    'clear_after': Scene(
        'The parent has waited for one child, and has looked for more in vain, when the others'
        ' end. Their signal comes before the flag is cleared, so it is forgotten, and they stay'
        ' red. (strace makes each wait last longer, so that there is time for it.)',
        'It notes a signal anew while it works, and looks again.',
        while_it_looks, 3, ('wait4:delay_exit=300000',), shows=lanes.zombies),
    'unsafe_handler': Scene(
        'A child ends while the parent asks for the time for its log. The handler asks, too, and'
        ' waits for a lock that the parent has: for ever. The third client stays in the queue.'
        ' (strace makes looking at /etc/localtime last, as on a bad disk.)',
        'Its handler notes the signal and does nothing else, so nobody waits for a lock.',
        while_it_logs, 3, ('%%stat:delay_exit=300000',), shows=lanes.unanswered),
    'parent_keeps_connection': Scene(
        'The children end, but the parent has the connections open still: the clients wait for an'
        ' end that does not come.', 'Each client sees the end when its child has closed.'),
    'child_keeps_listener': Scene(
        'The server is told to stop and ends, and the accept queue goes on until its last child'
        ' has ended: as long, no other server can have the port.',
        'The queue ends when the server is told to stop. The children serve on.',
        told_to_stop_early),
    'exit_flushes': Scene(
        'At the end of each child is a line of log (a square) that the parent writes as well.',
        'The squares of the children are messages to the parent, which alone writes the log.',
        one_by_one, right=('forkecho', '-v')),
    'short_write': Scene(
        'One client sends a lot and reads late. It gets less than it has sent, as one of the'
        ' writes took only a part.', 'The same client gets all of it.', one_who_reads_late, 1),
    'accept_error_kills': Scene(
        'The second accept fails (a cross), as if a client had gone already, and the server ends.'
        ' The next clients are refused.', 'The same error, and it goes on.',
        one_by_one, 3, (f'{ACCEPT}:error=ECONNABORTED:when=2',)),
    'slot_leak': Scene(
        'Two forks fail (crosses). The server has two slots, counts both as taken, and leaves the'
        ' third client in the queue for ever.',
        'Where fork fails the client is held, and has its child when fork works again.',
        one_by_one, 3, (f'{FORK}:error=EAGAIN:when=1..2',)),
    'emfile_spin': Scene(
        'While the first client is served there is no descriptor for another one: accept fails'
        ' (crosses), and is called again at once, and again. That takes a whole processor for as'
        ' long as it lasts. Here strace ends it after the third.',
        'accept fails three times, too, but the server sleeps before each new try (violet), longer'
        ' every time. Then the second client is served.',
        one_by_one, 2, (f'{ACCEPT}:error=EMFILE:when=2..4',)),
    'shared_client': Scene(
        'All come at once. The threads have one variable in common, so that some serve the same'
        ' client, and another one is served by nobody.',
        'Each thread has a client of its own.',
        at_once, right=('threadecho',), shows=lanes.unanswered),
    'threads_not_joined': Scene(
        'For each thread there is memory for a stack (a bracket above the server), eight megabytes,'
        ' though the threads before it have ended: nobody has joined them.',
        'A thread that has ended is joined, and the next one takes over its stack: there is one'
        ' bracket.',
        one_by_one, right=('threadecho',)),
    'wrong_reply': Scene(
        'Each client sends nine bytes, and gets 256: all of the buffer that they were read into.',
        'Each client gets as many as it has sent.', clients=2),
    'needs_newline': Scene(
        'The child has read what its client sent, and reads on, as there was no newline. Both wait'
        ' for each other, until the client says that it sends no more.',
        'The child writes what it has read, and then reads on.', without_newline, 1),
    'one_message': Scene(
        'Each child ends when it has answered once. The second line of its client is answered by'
        ' nobody.', 'Each child reads on, and ends when its client has finished.', twice, 2),
    'one_at_a_time': Scene(
        'While the first client is there the others are in the accept queue, connected and without'
        ' an answer.', 'Each client has a child, and nobody waits for another.'),
    'reset_kills': Scene(
        'The first client resets its connection (a cross), as one that crashes. Its thread cannot'
        ' read, and ends the process with all threads: the other clients are lost.',
        'Only the thread of that client ends.', one_resets, right=('threadecho',)),
    'no_reuseaddr': Scene(
        'The server is killed while a client is there, and started anew with the same port. bind'
        ' fails (a cross), and the second client is refused.',
        'The new server has the port at once, and serves the second client.', started_anew, 2),
    'accept_unchecked': Scene(
        'The second accept fails (a cross), as if a client had gone already, and a child is made'
        ' all the same. It reads from the descriptor -1, which fails as well, and ends.',
        'The same error, and no child for it: there are three.',
        one_by_one, 3, (f'{ACCEPT}:error=ECONNABORTED:when=2',)),
    'errno_overwritten': Scene(
        'The second accept fails, as if a client had gone already; then the line of log that tells'
        ' of it, as the disk is full (crosses). The server looks at the error of the second call,'
        ' and ends. The next clients are refused.',
        'Of its log no line can be written, either (crosses), and it goes on: it keeps the error of'
        ' accept.',
        one_by_one, 3, (f'{ACCEPT}:error=ECONNABORTED:when=2',), ('forkecho', '-v'),
        below=('sh', '-c', 'exec "$@" 2>/dev/full', 'sh')),
    'fork_error_kills': Scene(
        'The second fork fails (a cross), and the server ends. The second client sees the end in'
        ' place of its echo, and the third is refused.',
        'The same error. The client is held, and has its child when fork works again.',
        one_by_one, 3, (f'{FORK}:error=EAGAIN:when=2',)),
}


# ---- drawing them ------------------------------------------------------------------------

Drawn = namedtuple('Drawn', 'name title see shown')


def draw(name, title, see, command, scene):
    """One picture; where the mistake is there by chance, until it is. None where the server does
    not start."""
    for _ in range(TRIES):
        recording = scripted.record([*scene.below, *command], scene.script, scene.clients,
                                    scene.inject)
        shown = lanes.picture(title, recording.events, recording.visits)
        if scene.shows(shown):
            return Drawn(name, title, see, shown)
    return Drawn(name, title, f'{see} Here it did not happen: draw it again.', shown)


def plan(known):
    """[(part of the page, arguments of draw)] of the commands that are known."""
    found = [('models', (name, name, MODELS.get(name, SERVER), known[name], Scene('')))
             for name in known if name not in HAZARDS and not name.endswith('-static')]
    for name, scene in HAZARDS.items():
        right, *options = scene.right
        if name in known:
            found.append(('hazards', (name, f'{name}: the mistake', scene.see, known[name], scene)))
        if name in known and right in known:
            command = [word for word in known[right] if not options or word != '-q'] + options
            found.append(('hazards', (f'{name}-{right}', f'{name}: {right} in its place',
                                      scene.instead, command,
                                      scene._replace(shows=lambda _: True))))
    return found


def draw_all(planned, jobs, tell=lambda name: None):
    """Several at once: [(part, Drawn)], and {name: why not}."""
    def one(arguments):
        tell(arguments[0])
        try:
            return draw(*arguments)
        except (models.ServerFailed, models.LoadFailed, OSError, ValueError) as problem:
            return problem

    with ThreadPoolExecutor(jobs) as pool:
        results = list(pool.map(one, [arguments for _, arguments in planned]))
    drawn = [(part, result) for (part, _), result in zip(planned, results)
             if isinstance(result, Drawn)]
    return drawn, {arguments[0]: result for (_, arguments), result in zip(planned, results)
                   if not isinstance(result, Drawn)}


# ---- the page ----------------------------------------------------------------------------

TITLES = {'models': ('The models, with the same three clients', 'Every server has the same'
                                                                ' visitors: the first comes, then'
                                                                ' two more; the first leaves,'
                                                                ' then the other two together. A'
                                                                ' parent of processes is halted'
                                                                ' meanwhile, so that their'
                                                                ' signals merge.'),
          'hazards': ('The hazards, beside the right server', 'First the server with the mistake,'
                                                              ' then a right one with the same'
                                                              ' clients and the same bad luck.')}
LEAD = ('A row is a process, a thread or a client, from left to right in the order of things. '
        + drawing.NOTICE + ' Point at anything for its words. Beside each picture lies the same'
                           ' as a trace (.json), which ui.perfetto.dev and chrome://tracing open.')


def figure(drawn):
    picture = drawing.svg(drawn.shown, f'picture-{drawn.name}', titled=False)
    title = escape(drawn.title)
    return (f'<figure class="timelines"><h4>{title}</h4><section class="wide" tabindex="0"'
            f' aria-label="{title}">{picture}</section>'
            f'<figcaption>{escape(drawn.see)}</figcaption></figure>')


def html(drawn):
    """The part of a page that has them all."""
    parts = ''
    for part, (title, lead) in TITLES.items():
        figures = ''.join(figure(each) for where, each in drawn if where == part)
        if figures:
            parts += f'<h3>{escape(title)}</h3><p>{escape(lead)}</p>{figures}'
    return f'<section id="pictures"><h2>Pictures of what happens</h2><p>{escape(LEAD)}</p>{parts}' \
        '</section>'


def write(folder, drawn, page):
    """pictures.html is what the lab's report takes in; index.html is a page of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for _, each in drawn:
        path = folder / f'{each.name}.svg'
        path.write_text(drawing.as_file(drawing.svg(each.shown, 'timeline')))
        tracefile.write(path.with_suffix('.json'), each.shown)
    body = html(drawn)
    (folder / 'pictures.html').write_text(body)
    (folder / 'index.html').write_text(page(body))
