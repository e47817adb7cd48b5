"""drawing.py: a picture of lanes.py as SVG, in one file with everything in it.

Made with xml.etree of Python's own library, not by a plotting library: this is no chart but bars,
arrows and marks on lanes, each with words of its own that the mouse shows, words that stay text,
and one style for light and dark. gnuplot and matplotlib write shapes without names, with their
colours in each, of which all of that would have to be made afterwards; and nothing has to be
installed.

The axis shows order. Between two events that follow each other there is room that grows with the
logarithm of the time between them, so that microseconds are seen beside seconds.
"""
import math
from xml.etree import ElementTree

from lanes import KINDS, MARKS, in_words

WIDTH, LEFT, RIGHT = 960, 168, 16  # units of the picture: in all, for names, and at the end
ROW, BAR = 30, 12                  # of a lane, and the height of a span on it
LETTERS = 13
LEAST = 2                          # the width of the shortest span
SHORTEST = 20e-6                   # seconds: events that are nearer to each other are drawn near
# They stand out on white and on black alike, and the colour-blind tell neighbours apart.
COLOURS = {'accept': '#2f7fc1', 'select': '#8a66d6', 'read': '#1c9270', 'write': '#b07d12',
           'wait': '#c25f9c', 'sleep': '#858b94', 'halted': '#858b94', 'zombie': '#d93636',
           'queue': '#2b8c9e'}
SIGNAL = '#cc5a1a'
BESIDE = {'in': 10, 'out': 10, 'eof': 10, 'note': -9, 'stack': 10}  # how far below a mark its lane is
NOTICE = ('strace slows every call, a short one many times: this shows in which order things'
          ' happen, not how long they take. The axis is stretched where much happens.')

STYLE = '''
.timeline { color: #1a1c20; background: #ffffff; font: 13px sans-serif; }
.timeline text { fill: currentColor; }
.timeline .soft { opacity: .8; }
.timeline .grid { stroke: currentColor; opacity: .15; }
.timeline .life { stroke: currentColor; stroke-width: 1.5; opacity: .55; }
.timeline .fork { stroke: currentColor; stroke-width: 1; fill: none; opacity: .7; }
.timeline .mark { stroke: currentColor; stroke-width: 1.2; fill: none; }
.timeline .full { fill: currentColor; stroke: none; }
@media (prefers-color-scheme: dark) { .timeline { color: #e8eaed; background: #16181d; } }
@media print { .timeline { color: #000; background: #fff; } }
'''


# ---- the axis ----------------------------------------------------------------------------

class Axis:
    """Where a time is, from left to right."""

    def __init__(self, shown):
        self.came = shown.came
        times = {shown.begin, shown.came, shown.end}
        for lane in shown.lanes:
            times |= {lane.begin, lane.end}
            times |= {time for span in lane.spans for time in (span.begin, span.end)}
            times |= {mark.time for mark in lane.marks}
        for arrow in shown.arrows:
            times |= {arrow.begin, arrow.end}
        self.times = sorted(time for time in times if shown.begin <= time <= shown.end)
        places = [0.0]
        for before, after in zip(self.times, self.times[1:]):
            places.append(places[-1] + math.log1p((after - before) / SHORTEST))
        scale = (WIDTH - LEFT - RIGHT) / (places[-1] or 1)
        self.place = {time: LEFT + place * scale for time, place in zip(self.times, places)}

    def __call__(self, time):
        return self.place[min(max(time, self.times[0]), self.times[-1])]

    def ticks(self, room=90):
        """[(place, label)] of some of the times: none nearer to the next than a label is long, and
        none with the same label as another, as moments that are near may be far apart here."""
        chosen, last = [], -math.inf
        for time in self.times[self.times.index(self.came):]:
            place, words = self(time), in_units(time - self.came)
            new = words not in (label for _, label in chosen)
            if new and place - last >= room and place <= WIDTH - 40:
                chosen.append((place, words))
                last = place
        return chosen


def in_units(seconds):
    """'0', '0.35 ms', '12 ms', '1,400 ms': all of an axis in the same unit."""
    value = seconds * 1000
    if value <= 0:
        return '0'
    return f'{value:,.{min(max(0, 1 - math.floor(math.log10(value))), 2)}f} ms'


# ---- pieces ------------------------------------------------------------------------------

def add(parent, tag, words='', **attributes):
    """An element with its attributes; `words` are what the mouse shows."""
    names = {name.rstrip('_').replace('_', '-'): f'{value:.1f}' if isinstance(value, float)
             else str(value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, names)
    if words:
        ElementTree.SubElement(element, 'title').text = words
    return element


def label(parent, x, y, text, **attributes):
    add(parent, 'text', x=float(x), y=float(y), **attributes).text = text


def bar(parent, kind, x, y, width, words=''):
    """A span. What is halted has a dashed frame and no colour, as a zombie has the whole row."""
    half = BAR / 2 + (2 if kind == 'zombie' else 0)
    look = {'fill': 'none', 'stroke': COLOURS[kind], 'stroke_dasharray': '4 3', 'stroke_width': 2} \
        if kind == 'halted' else {'fill': COLOURS[kind]}
    add(parent, 'rect', words, x=float(x), y=float(y - half), width=float(max(width, LEAST)),
        height=float(2 * half), **look)


def mark(parent, kind, x, y, words=''):
    """Bytes that come in point down into the lane, bytes that go out up and away from it."""
    top = y - BAR / 2
    shapes = {'in': f'M{x - 4:.1f} {top - 7:.1f}h8l-4 6z',
              'out': f'M{x - 4:.1f} {top - 1:.1f}h8l-4 -6z',
              'error': f'M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8',
              'signal': f'M{x + 2:.1f} {y - 11:.1f}l-5 11h6l-5 11',
              'end': f'M{x:.1f} {y - 9:.1f}v18',
              'exec': f'M{x:.1f} {y - 8:.1f}l6 8l-6 8l-6 -8z',
              'note': f'M{x - 3:.1f} {y + 7:.1f}h6v4h-6z',
              'stack': f'M{x - 4:.1f} {y - 12:.1f}v5h8v-5',
              'eof': f'M{x - 3:.1f} {top - 4:.1f}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0'}
    style = 'full' if kind in ('in', 'out', 'note', 'exec') else 'mark'
    element = add(parent, 'path', words, d=shapes[kind], class_=style)
    if kind == 'error':
        element.set('style', f'stroke: {COLOURS["zombie"]}; stroke-width: 2.5')


def head(x, y, from_x, from_y):
    """The tip of an arrow."""
    angle = math.atan2(y - from_y, x - from_x)
    corners = [(x, y)] + [(x - 8 * math.cos(angle + turn), y - 8 * math.sin(angle + turn))
                          for turn in (0.4, -0.4)]
    return ' '.join(f'{each_x:.1f},{each_y:.1f}' for each_x, each_y in corners)


# ---- the picture -------------------------------------------------------------------------

class Drawing:
    def __init__(self, shown, titled):
        self.shown, self.axis, self.titled = shown, Axis(shown), titled
        self.top = 48 if titled else 14
        self.rows = {id(lane): self.top + ROW * number + ROW / 2
                     for number, lane in enumerate(shown.lanes)}
        self.bottom = self.top + ROW * len(shown.lanes)

    def row(self, lane):
        return self.rows[id(lane)]

    def draw(self, root):
        if self.titled:
            label(root, 12, 24, self.shown.title, font_weight='bold', font_size=16)
        self.draw_axis(root)
        for lane in self.shown.lanes:
            self.draw_lane(root, lane)
        for arrow in self.shown.arrows:
            self.draw_arrow(root, arrow)
        for lane in self.shown.lanes:
            self.name_zombies(root, lane)
        return self.draw_legend(root)

    def draw_axis(self, root):
        for x, words in self.axis.ticks():
            add(root, 'line', x1=x, x2=x, y1=self.top, y2=self.bottom + 4, class_='grid')
            label(root, x, self.bottom + 18, words, text_anchor='start' if x == LEFT else 'middle',
                  class_='soft')
        label(root, LEFT - 12, self.bottom + 18, 'since the first client', text_anchor='end',
              class_='soft')

    def draw_lane(self, root, lane):
        y, lane_group = self.row(lane), add(root, 'g')
        begin, end = self.axis(lane.begin), self.axis(lane.end)
        label(lane_group, 12, y + 4, lane.name)
        number = f', number {lane.pid}' if lane.pid else ''
        add(lane_group, 'line', lane.name + number, x1=begin, x2=end, y1=y, y2=y, class_='life',
            **({'stroke_dasharray': '2 3'} if lane.kind == 'client' else {}))
        for span in sorted(lane.spans, key=lambda span: span.kind == 'halted'):
            x = self.axis(span.begin)
            bar(lane_group, span.kind, x, y, self.axis(span.end) - x, span.words)
        for each in lane.marks:
            mark(lane_group, each.kind, self.axis(each.time), y, each.words)
        if lane.how:
            mark(lane_group, 'end', end, y, lane.how)

    def name_zombies(self, root, lane):
        """In white on red, where there is room."""
        for span in lane.spans:
            begin, end = self.axis(span.begin), self.axis(span.end)
            if span.kind == 'zombie' and end - begin > 60:
                label(root, begin + 6, self.row(lane) + 4.5, 'zombie', style='fill: #ffffff')

    def draw_arrow(self, root, arrow):
        x, y = self.axis(arrow.begin), self.row(arrow.source)
        to_x, to_y = self.axis(arrow.end), self.row(arrow.target)
        half = math.copysign(BAR / 2, to_y - y)
        y, to_y = y + half, to_y - half
        look = {'class_': 'fork'} if arrow.kind == 'fork' else \
            {'stroke': SIGNAL, 'stroke_width': 2, 'fill': 'none'}
        group = add(root, 'g', arrow.words)
        add(group, 'line', x1=x, y1=y, x2=to_x, y2=to_y, **look)
        add(group, 'polygon', points=head(to_x, to_y, x, y),
            **({'class_': 'full'} if arrow.kind == 'fork' else {'fill': SIGNAL}))

    def merged(self):
        """Where several children are told of by one signal: {(time, lane): how many}."""
        found = {}
        for arrow in self.shown.arrows:
            if arrow.kind == 'signal':
                place = (arrow.end, id(arrow.target))
                found[place] = found.get(place, 0) + 1
        return {place: many for place, many in found.items() if many > 1}

    def draw_legend(self, root):
        """What is in the picture, and nothing else, in columns. Returns where it ends."""
        y = self.bottom + 44
        entries = self.entries()
        columns, width = 3, (WIDTH - 24) / 3
        for number, (draw, words) in enumerate(entries):
            x, row = 12 + width * (number % columns), y + 21 * (number // columns)
            draw(root, x, row)
            label(root, x + 30, row + 4, words)
        y += 21 * -(-len(entries) // columns) + 8
        for line in wrapped(NOTICE, 130):
            label(root, 12, y, line, class_='notice')
            y += 17
        return y

    def entries(self):
        """[(what draws a sample at x and y, its words)]."""
        kinds = {span.kind for lane in self.shown.lanes for span in lane.spans}
        marks = {each.kind for lane in self.shown.lanes for each in lane.marks}
        marks |= {'end' for lane in self.shown.lanes if lane.how}
        arrows = {arrow.kind for arrow in self.shown.arrows}
        found = [(lambda root, x, y, kind=kind: bar(root, kind, x, y, 22), words)
                 for kind, words in KINDS.items() if kind in kinds]
        found += [(lambda root, x, y, kind=kind: mark(root, kind, x + 11, y + BESIDE.get(kind, 0)),
                   words) for kind, words in MARKS.items() if kind in marks]
        merged = ''.join(f', {many} as one' for many in sorted(set(self.merged().values())))
        found += [(sample_arrow(kind), words) for kind, words in
                  (('fork', 'makes a process or thread'), ('signal', 'SIGCHLD' + merged))
                  if kind in arrows]
        return found


def sample_arrow(kind):
    def draw(root, x, y):
        look = {'class_': 'fork'} if kind == 'fork' else {'stroke': SIGNAL, 'stroke_width': 2}
        add(root, 'line', x1=float(x), y1=float(y), x2=float(x + 22), y2=float(y), **look)
        add(root, 'polygon', points=head(x + 22, y, x, y),
            **({'class_': 'full'} if kind == 'fork' else {'fill': SIGNAL}))
    return draw


def wrapped(text, letters):
    lines, line = [], ''
    for word in text.split():
        if len(line) + len(word) >= letters:
            lines, line = [*lines, line], ''
        line = f'{line} {word}'.strip()
    return [*lines, line]


def svg(shown, ident, titled=True):
    """For a page, which has STYLE; `ident` is its name there, and the page may have its title."""
    words = in_words(shown)
    root = ElementTree.Element('svg', {'id': ident, 'class': 'timeline', 'role': 'img'})
    ElementTree.SubElement(root, 'title').text = shown.title
    ElementTree.SubElement(root, 'desc').text = words
    height = Drawing(shown, titled).draw(root)
    root.set('viewBox', f'0 0 {WIDTH} {height:.0f}')
    root.set('width', str(WIDTH))
    root.set('height', f'{height:.0f}')
    root.set('aria-label', f'{shown.title}. {words}')
    return ElementTree.tostring(root, encoding='unicode')


def as_file(drawn):
    """The same as a file of its own, with its style."""
    head_end = drawn.index('>') + 1
    opening = drawn[:head_end].replace('<svg', '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f'{opening}<style>{STYLE}</style>{drawn[head_end:]}\n'
