#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
# A peer of a news server, and a reader: news.py feed|check FIRST LAST. It prints
# the numbers of the articles that the server has accepted, or has.
import socket, sys, time

s = socket.create_connection(("127.0.0.1", 119), timeout=20)
f = s.makefile("rb")
def say(line):
    s.sendall(line.encode() + b"\r\n")
    return f.readline().decode()
f.readline()
feed = sys.argv[1] == "feed"
say("MODE STREAM" if feed else "MODE READER")
for i in range(int(sys.argv[2]), int(sys.argv[3])):
    mid = "<%d.test@client.test>" % i
    if feed:
        date = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
        got = say("TAKETHIS %s\r\nPath: client.test!not-for-mail\r\nFrom: a@client.test\r\nNewsgroups: local.test\r\n"
                  "Subject: test %d\r\nDate: %s\r\nMessage-ID: %s\r\n\r\nbody\r\n." % (mid, i, date, mid)).startswith("239")
    else:
        got = say("STAT " + mid).startswith("223")
    if got:
        print(i, flush=True)
