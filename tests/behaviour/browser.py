"""A real browser without a window: Chromium, driven through ChromeDriver (W3C WebDriver)."""
import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
import urllib.request

from harness import DEADLINE

INSTALLED = all(shutil.which(name) for name in ('chromium', 'chromedriver'))


# A phone and a desk, by day and by night: width and scheme.
SCREENS = [(width, scheme) for width in (375, 1280) for scheme in ('light', 'dark')]

NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Browser:
    """Use it in `with`. A page is shown at a width, in light or dark, then asked by script."""

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix='browser-'))
            self.driver = subprocess.Popen(
                ['chromedriver', '--port=0'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, text=True, start_new_session=True,
                env={**os.environ, 'HOME': self.folder, 'TMPDIR': self.folder})
            stack.callback(self.end_driver)
            self.url = f'http://127.0.0.1:{self.read_port()}/session'
            arguments = ['--headless=new', '--disable-gpu', '--disable-dev-shm-usage',
                         '--no-first-run', f'--user-data-dir={self.folder}/profile',
                         *(['--no-sandbox'] if os.geteuid() == 0 else [])]
            session = self.ask('', {'capabilities': {'alwaysMatch': {
                'browserName': 'chrome', 'goog:chromeOptions': {
                    'binary': shutil.which('chromium'), 'args': arguments}}}})
            self.url += '/' + session['sessionId']
            stack.callback(self.ask, '', method='DELETE')
            self.cleaning = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.cleaning.close()

    def read_port(self):
        late = threading.Timer(DEADLINE, self.driver.kill)
        late.start()
        lines = iter(self.driver.stdout.readline, '')
        ports = (re.search(r'successfully on port (\d+)', line) for line in lines)
        port = next((match[1] for match in ports if match), None)
        late.cancel()
        assert port, 'chromedriver did not start'
        return port

    def end_driver(self):
        self.driver.terminate()
        self.driver.communicate(timeout=DEADLINE)

    def ask(self, path, body=None, method='POST'):
        """One command of the protocol; its value."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={'Content-Type': 'application/json'},
            data=json.dumps(body or {}).encode() if method == 'POST' else None)
        with NO_PROXY.open(request, timeout=max(DEADLINE, 60)) as answer:
            return json.load(answer)['value']

    def tell(self, command, **parameters):
        """A command of Chromium's own protocol."""
        return self.ask('/goog/cdp/execute', {'cmd': command, 'params': parameters})

    def show(self, path, width, scheme='light', media='screen'):
        self.tell('Emulation.setDeviceMetricsOverride', width=width, height=800,
                  deviceScaleFactor=1, mobile=width < 600)
        self.tell('Emulation.setEmulatedMedia', media=media,
                  features=[{'name': 'prefers-color-scheme', 'value': scheme}])
        self.ask('/url', {'url': f'file://{path}'})

    def run(self, script, *arguments):
        """What the body of a function of JavaScript returns."""
        return self.ask('/execute/sync', {'script': script, 'args': arguments})

    def picture(self, y, height):
        """A part of the page, as PNG."""
        size = self.run('return [document.documentElement.clientWidth]')
        shot = self.tell('Page.captureScreenshot', captureBeyondViewport=True, clip={
            'x': 0, 'y': y, 'width': size[0], 'height': height, 'scale': 1})
        return base64.b64decode(shot['data'])


# ---- what is seen of a page ------------------------------------------------------------------

# All that the tests ask of the page, in one answer.
LOOK = r'''
const box = (e) => { const r = e.getBoundingClientRect();
                     return {left: r.left, right: r.right, top: r.top, bottom: r.bottom,
                             width: r.width, height: r.height}; };
const behind = (e) => { const c = e ? getComputedStyle(e).backgroundColor : 'rgb(255, 255, 255)';
                        return /, 0\)$/.test(c) ? behind(e.parentElement) : c; };
const scale = (e) => { const m = e.getScreenCTM(); return Math.hypot(m.a, m.b); };
const words = (e) => [...e.querySelectorAll('text')].filter((t) => t.textContent.trim())
  .map((t) => ({text: t.textContent.trim(), box: box(t), colour: getComputedStyle(t).fill,
                size: parseFloat(getComputedStyle(t).fontSize) * scale(t)}));
const prose = 'h1, h2, p, li, dd, figcaption, th, td, caption, small, span, a';
return {
  page: [document.documentElement.scrollWidth, document.documentElement.clientWidth],
  plots: [...document.querySelectorAll('figure svg')].map((e) => ({
    name: e.id, box: box(e), behind: behind(e), words: words(e),
    lines: [...new Set([...e.querySelectorAll('use')].map((u) => getComputedStyle(u).color))]})),
  prose: [...document.querySelectorAll(prose)]
    .map((e) => ({text: e.textContent.slice(0, 40), colour: getComputedStyle(e).color,
                  behind: behind(e), size: parseFloat(getComputedStyle(e).fontSize)}))};
'''


def luminance(colour):
    parts = [float(part) / 255 for part in re.findall(r'[\d.]+', colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
              for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """WCAG 2: 4.5 is asked for text, 3 for marks."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def inside(word, frame):
    return word['left'] >= frame['left'] - 1 and word['right'] <= frame['right'] + 1 and \
        word['top'] >= frame['top'] - 1 and word['bottom'] <= frame['bottom'] + 1


def overlap(one, other):
    return min(one['right'], other['right']) - max(one['left'], other['left']) > -2 and \
        min(one['bottom'], other['bottom']) - max(one['top'], other['top']) > 1
