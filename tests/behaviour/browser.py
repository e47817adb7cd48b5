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

    def run(self, script):
        """What the body of a function of JavaScript returns."""
        return self.ask('/execute/sync', {'script': script, 'args': []})

    def picture(self, y, height):
        """A part of the page, as PNG."""
        size = self.run('return [document.documentElement.clientWidth]')
        shot = self.tell('Page.captureScreenshot', captureBeyondViewport=True, clip={
            'x': 0, 'y': y, 'width': size[0], 'height': height, 'scale': 1})
        return base64.b64decode(shot['data'])
