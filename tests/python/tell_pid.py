"""A process to be hosted: tells each client of the listening socket, its argument, its own pid."""

import os
import socket
import sys

listener = socket.socket(fileno=int(sys.argv[1]))
while True:
    client, _ = listener.accept()
    client.sendall(b'%d' % os.getpid())
    client.close()
