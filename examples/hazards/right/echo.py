#!/usr/bin/env python3
"""A right echo server in Python: a thread for each client.

    echo.py [port]        prints the address that it listens on, and serves

(socketserver.ThreadingTCPServer would be shorter, but where descriptors run out it tries again at
once, for ever.)
"""
import socket
import sys
import threading
import time


def echo(client):
    with client:
        try:
            while data := client.recv(4096):
                client.sendall(data)
        except ConnectionError:
            pass  # the client has gone


def serve(listener):
    while True:
        try:
            client, _ = listener.accept()
        except ConnectionAbortedError:
            continue
        except OSError as error:  # short of something: neither spin nor end
            print(f'accept: {error}', file=sys.stderr)
            time.sleep(1)
            continue
        try:
            threading.Thread(target=echo, args=[client], daemon=True).start()
        except RuntimeError as error:  # no thread to be had: one client's loss
            print(error, file=sys.stderr)
            client.close()


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with socket.create_server(('127.0.0.1', port), backlog=128) as listener:  # with SO_REUSEADDR
        print('%s:%d' % listener.getsockname(), flush=True)
        serve(listener)


if __name__ == '__main__':
    main()
