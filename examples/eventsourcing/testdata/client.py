#!/usr/bin/env python3
"""A client of the event-sourcing example that believes nothing.

client.py SEED COMMANDS DIR PROGRAM starts PROGRAM as a service without quotes on
DIR, sends it commands over TCP, kills it at random (SIGKILL), starts it again,
sends what was not acknowledged again, and now and then what was. It keeps its
own books in SQLite and works out itself what each command must come to. In the
end it asks for the service's state and compares. Standard library only.
"""

import json
import random
import socket
import sqlite3
import subprocess
import sys
import threading

seed, commands, directory, program = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
rng = random.Random(seed)
db = sqlite3.connect(":memory:")
db.executescript("""
    create table command (id text primary key, line text, symbol text, qty integer, price integer, result text not null);
    create index book on command (symbol, result);
    create table symbol (name text primary key, halted integer default 0, most integer default 10000);
""")


def expected(words):
    """What a command must come to, given all that were acknowledged."""
    verb, symbol = words[0], words[2]
    db.execute("insert or ignore into symbol (name) values (?)", (symbol,))
    if verb in ("halt", "resume"):
        db.execute("update symbol set halted = ? where name = ?", (verb == "halt", symbol))
        return "done"
    if verb == "limit":
        db.execute("update symbol set most = ? where name = ?", (int(words[3]), symbol))
        return "done"
    halted, most = db.execute("select halted, most from symbol where name = ?", (symbol,)).fetchone()
    (held,) = db.execute("select coalesce(sum(qty), 0) from command where symbol = ? and result = 'filled'", (symbol,)).fetchone()
    if halted:
        return "rejected halted"
    if abs(held + int(words[3])) > most:
        return "rejected limit"
    return "filled"


class Service:
    """The service's process and a connection to it."""

    def __init__(self):
        self.process = subprocess.Popen([program, "-dir", directory, "-feed", "0", "-snapshot-every", "70", "-segment-size", "65536", "-keep", "65536"],
                                        stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                host, port = line.split()[2].rsplit(":", 1)
                break
        else:
            sys.exit("the service has not started")
        self.socket = socket.create_connection((host, int(port)))
        self.answers = self.socket.makefile("r")

    def ask(self, line):
        """The answer to a line, None if the service is gone."""
        try:
            self.socket.sendall((line + "\n").encode())
            answer = self.answers.readline()
        except OSError:
            return None
        return answer[:-1] if answer.endswith("\n") else None

    def end(self):
        self.process.kill()
        self.process.wait()
        self.answers.close()
        self.socket.close()
        self.process.stdout.close()


def check(what, got, want):
    if got != want:
        sys.exit(f"seed {seed}: {what}: got {got!r}, want {want!r}")


def make(number):
    symbol = rng.choice(["ABC", "DEF", "X.1"])
    verb = rng.choices(["order", "halt", "resume", "limit"], [30, 1, 2, 1])[0]
    words = [verb, f"py-{number}", symbol]
    if verb == "order":
        words += [str(rng.choice([-1, 1]) * rng.randint(1, 4000)), str(rng.randint(1, 10**9))]
    if verb == "limit":
        words.append(str(rng.randint(0, 20000)))
    return words


service, kills, again = Service(), 0, 0
killer = None
for number in range(commands):
    words = make(number)
    line = " ".join(words)
    want = expected(words)
    if killer is None:
        killer = threading.Timer(rng.uniform(0, 0.1), service.process.kill)
        killer.start()
    while (answer := service.ask(line)) is None:
        killer.cancel()
        service.end()
        kills += 1
        service = Service()
        again += 1
        killer = threading.Timer(rng.uniform(0, 0.1), service.process.kill)
        killer.start()
    check(line, answer, f"ack {words[1]} {want}")
    qty, price = (int(words[3]), int(words[4])) if words[0] == "order" else (0, 0)
    db.execute("insert into command values (?, ?, ?, ?, ?, ?)", (words[1], line, words[2], qty, price, want))
    if rng.random() < 0.1:  # an impatient client
        old, result = db.execute("select line, result from command order by random() limit 1").fetchone()
        if (answer := service.ask(old)) is not None:
            check(old, answer, f"ack {old.split()[1]} {result}")
killer.cancel()
service.end()
service = Service()
state = json.loads(service.ask("dump").removeprefix("state "))
check("commands", state["Commands"], commands)
check("duplicates", state["Duplicates"], 0)
check("symbols", sorted(state["Books"]), sorted(name for (name,) in db.execute("select name from symbol")))
for name, halted, most in db.execute("select * from symbol"):
    position, cash, filled = db.execute(
        "select coalesce(sum(qty), 0), coalesce(-sum(qty * price), 0), count(*) from command where symbol = ? and result = 'filled'", (name,)).fetchone()
    (rejected,) = db.execute("select count(*) from command where symbol = ? and result like 'rejected%'", (name,)).fetchone()
    book = state["Books"][name]
    check(name, [book[k] for k in ("Position", "Cash", "Filled", "Rejected", "Halted", "Limit")], [position, cash, filled, rejected, bool(halted), most])
for (line_id, result) in db.execute("select id, result from command"):
    check(line_id, service.ask(f"status {line_id}"), f"known {line_id} {result}")
service.end()
counts = dict(db.execute("select result, count(*) from command group by result"))
print(f"seed {seed}: {commands} commands, {kills} kills, {again} sent again, results {counts}")
if kills == 0:
    sys.exit("the service was never killed")
