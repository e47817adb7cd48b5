"""tracefile.py: a picture of lanes.py as the JSON of the trace event format, which Perfetto
(ui.perfetto.dev) and chrome://tracing open. Times there are microseconds, as strace saw them.

Each lane is a thread of its process; a life is a slice, what it waits for are slices in it, a
zombie is one behind it. Forks and SIGCHLDs are flows, the queue is a counter.
"""
import json

from drawing import NOTICE

OUTSIDE = 1  # the number of the "process" that the clients and the queue are shown in: that of init


def micros(shown, time):
    return round((time - shown.begin) * 1e6, 3)


def place_of(lane, number):
    """(process, thread) of a lane: a thread is shown in the process that made it."""
    owner = lane
    while owner.kind == 'thread' and owner.parent:
        owner = owner.parent
    return {'pid': owner.pid or OUTSIDE, 'tid': lane.pid or number + 1}


def named(kind, where, name):
    return {'ph': 'M', 'name': kind, **where, 'args': {'name': name}}


def slice_of(shown, where, name, category, begin, end):
    return {'ph': 'X', 'name': name, 'cat': category, **where, 'ts': micros(shown, begin),
            'dur': max(micros(shown, end) - micros(shown, begin), 0),
            **({'cname': 'terrible'} if category == 'zombie' else {})}  # which is red


def lane_events(shown, lane, where):
    found = [named('thread_name', where, lane.name),
             slice_of(shown, where, lane.how or 'runs on', lane.kind, lane.begin, lane.end)]
    if lane.kind != 'thread':
        found.append(named('process_name', where, lane.name if lane.pid else 'clients'))
    for span in lane.spans:
        # A call that does not return ends with its process; only a zombie goes on behind that.
        end = span.end if span.kind == 'zombie' else min(span.end, lane.end)
        found.append(slice_of(shown, where, span.words, span.kind, span.begin, end))
    return found + [{'ph': 'i', 's': 't', 'name': mark.words, 'cat': mark.kind, **where,
                     'ts': micros(shown, mark.time)} for mark in lane.marks]


def queue_events(shown, lane, where):
    found = [named('process_name', where, 'clients')]
    for span in lane.spans:
        waiting = span.words.split()[0]
        found += [{'ph': 'C', 'name': lane.name, **where, 'ts': micros(shown, time),
                   'args': {'waiting': value}} for time, value in ((span.begin, int(waiting)),
                                                                   (span.end, 0))]
    return found


def trace(shown):
    """The picture as what json.dump writes."""
    places = {id(lane): place_of(lane, number) for number, lane in enumerate(shown.lanes)}
    events = []
    for number, process in enumerate(dict.fromkeys(where['pid'] for where in places.values())):
        events.append({'ph': 'M', 'name': 'process_sort_index', 'pid': process, 'tid': process,
                       'args': {'sort_index': number}})
    for lane in shown.lanes:
        make = queue_events if lane.kind == 'queue' else lane_events
        events += make(shown, lane, places[id(lane)])
    for number, arrow in enumerate(shown.arrows):
        for phase, lane, time in (('s', arrow.source, arrow.begin), ('f', arrow.target, arrow.end)):
            events.append({'ph': phase, 'id': number, 'name': arrow.words, 'cat': arrow.kind,
                           **places[id(lane)], 'ts': micros(shown, time),
                           **({'bp': 'e'} if phase == 'f' else {})})
    return {'displayTimeUnit': 'ms', 'otherData': {'title': shown.title, 'note': NOTICE},
            'traceEvents': events}


def write(path, shown):
    path.write_text(json.dumps(trace(shown), indent=0) + '\n')
