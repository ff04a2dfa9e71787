#!/usr/bin/env python3
"""lbj.py [--quiet] DIR...: reads archives of package journal. Written from docs/JOURNAL.md alone; section numbers are that page's.

Prints every record that can be read, control records included, as one line of JSON in the archive's order; payloads are hexadecimal. Behind them
comes the verdict, with the ranges of sequences that are lost (last null: nobody knows how far) and those that are missing and known to be, and
what is wrong. --quiet prints that line only. The exit status is 0 for clean, 1 torn, 2 loss, 3 corrupt, 4 when DIR holds no archive or one that
needs a later program. The archive must be at rest. Python 3.8 or later, standard library only. Compressed blocks are decoded by the command
zstd; without it their checksums and chain are verified, and a line with "undecoded" stands for the records of each."""
import collections, copy, functools, json, math, os, pathlib, re, shutil, struct, subprocess, sys

LIMIT, VERDICTS = 1 << 63, ("clean", "torn", "loss", "corrupt")
FIRST, UNSYNCED, POISONED, GAP, LAST_BLOCK, SEAL_LOSS = 1, 8, 16, 32, 8, 16  # flags: four of predecessors, one of blocks, one of trailers
TABLE = [functools.reduce(lambda c, _: c >> 1 ^ (0x82F63B78 if c & 1 else 0), range(8), n) for n in range(256)]

def structure(name, layout, fields):
    make = collections.namedtuple(name, fields)
    return lambda data, at=0: make(*struct.unpack_from(layout, data, at))
header_at = structure("Header", "<8sHHI16sQQQQqQQIIIIIIQQIIQ44xIq", "magic major minor length uuid number epoch base pos created zero salt frames"
                      " align limit window features compat pred_pos pred_seq pred_crc pred_flags orig_len orig_crc max_before")
block_at = structure("Block", "<4sIIIIIQQqqHHI", "magic crc stored raw payload_crc count base durable min_time max_time codec flags prev")
trailer_at = structure("Trailer", "<8sHHIQQqqQQQQQIIII16sI4s", "magic version flags zero first next min_time max_time end records raw lost"
                       " index_off index_len index_crc last_crc blocks hash crc magic2")
def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = TABLE[(crc ^ b) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF
def u32(data, at):
    return int.from_bytes(data[at:at + 4], "little")
def read(*path):
    return pathlib.Path(*path).read_bytes() if os.path.exists(os.path.join(*path)) else b""
def small(data, magic, uuid, layout):
    """6: the fields of a 64-byte file such as HEAD, zeros when it says nothing."""
    ok = len(data) == 64 and data[:4] == magic and crc32c(data[8:], crc32c(uuid)) == u32(data, 4)
    fields = struct.unpack_from(layout, data if ok else bytes(64), 8)
    return fields if magic != b"LBH1" or max(fields[2:]) < LIMIT else (0,) * len(fields)

def frames(data):
    """4: the frames of a block that are not skips: kind, flags, stream, time, payload."""
    at = 0
    while at < len(data):
        length, kind, flags, stream = struct.unpack_from("<iBBH", data, at)  # at is a multiple of 8
        skip = data[at + 4:at + 8] == b"\xff\xff\xff\xff"
        valid = skip and length >= 8 or length >= 16 and 1 <= kind <= 0x7F and kind != 0x45 and stream < 1 << 15
        if not valid or at + (length + 7 & ~7) > len(data):
            raise ValueError("frame has kind %#x, stream %d, length %d" % (kind, stream, length))
        if not skip:
            yield kind, flags, stream, int.from_bytes(data[at + 8:at + 16], "little", signed=True), data[at + 16:at + length]
        at += length + 7 & ~7

class Segment:
    """A segment file, and a walk through its blocks: x is the offset of the next one, seq the sequence that it begins with."""
    def __init__(self, path, base, epoch):
        self.path, self.base, self.epoch, self.data = path, base, epoch, read(path)
        self.x, self.h, self.bad, d = 0, None, "segment header is not valid", self.data
        if len(d) < 4096 or d[:8] != b"\x89LBJ\r\n\x1a\n" or crc32c(d[:4092]) != u32(d, 4092):
            return
        h = header_at(d)
        if (h.major, h.length, h.frames, h.align) != (1, 4096, 1, 8) or h.features & ~1:
            raise OSError("%s: version %d.%d, features %#x" % (path, h.major, h.minor, h.features))
        if (4096 <= h.limit <= 64 << 20 and h.limit % 8 == 0 and h.number and h.epoch and h.base < LIMIT and h.pos == h.pred_pos < LIMIT
                and (h.base == h.pred_seq or h.pred_flags & GAP and h.base > h.pred_seq) and (h.base, h.epoch) == (base, epoch)
                and (4096 <= h.orig_len <= 1 << 42 and h.orig_len % 8 == 0 if h.features else h.orig_len == h.orig_crc == 0)):
            self.bad = self.begin(h) or ""
    def begin(self, h):
        self.h, self.seed, self.prev, d = h, crc32c(struct.pack("<Q", h.salt)), u32(self.data, 4092), self.data
        self.x, self.seq, self.max_time, self.flags, self.met = 4096, h.base, -LIMIT, 0, set()
        self.blocks, self.lost, self.undecoded, self.trailer = {}, 0, False, None
        if len(d) >= 4096 + 128 and d[-128:-120] == b"LBJFOOT1" and d[-4:] == b"LBJE" and crc32c(d[-128:-8], self.seed) == u32(d, len(d) - 8):
            t = trailer_at(d, len(d) - 128)
            if t.version == 1 and 4096 <= t.end == t.index_off == len(d) - 128 - t.index_len and t.index_len % 32 == 0 and t.first <= t.next < LIMIT:
                self.trailer = t
    def pos(self):
        return self.h.pos + (self.h.orig_len if self.h.features else self.x)

    def header(self, x):
        """3: the valid block header at x, or None."""
        if self.data[x:x + 4] != b"LBB1" or len(self.data) - x < 64:
            return None
        b, h = block_at(self.data, x), self.h
        if crc32c(self.data[x + 8:x + 64], self.seed) != b.crc:
            return None
        ok = b.raw == b.stored if b.codec == 0 else b.codec == 2 and h.features and 0 < b.stored < b.raw
        ok = ok and b.stored % 8 == b.raw % 8 == 0 and b.raw <= h.limit and b.count <= b.raw // 16
        return b if ok and max(b.base, b.durable) < LIMIT else None

    def search(self, x):
        """All valid block headers from x on at multiples of 8 whose durable position is not above their own."""
        at = self.data.find(b"LBB1", x)
        while at >= 0:
            b = self.header(at) if at % 8 == 0 else None
            if b and b.durable <= self.h.pos + at:
                yield at, b
            at = self.data.find(b"LBB1", at + 1)

    def fits(self, end):
        """3, 1 to 3: the header at x, if it continues what is before it and its bytes lie before end."""
        b = self.header(self.x)
        ok = b and self.prev in (None, b.prev) and b.base == self.seq and b.max_time >= self.max_time and b.durable <= self.h.pos + self.x
        return b if ok and self.x + 64 + b.stored <= end else None

    def whole(self, end):
        """3: the whole block at x and its frames, None when nothing here decodes them; or None and what is wrong."""
        b = self.fits(end)
        data = b and self.data[self.x + 64:self.x + 64 + b.stored]
        if not b or crc32c(data) != b.payload_crc:
            return None, "block payload checksum is wrong" if b else "no block continues the one before it"
        if b.codec and not shutil.which("zstd"):
            return b, None
        if b.codec:
            data = subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
        try:
            fs = list(frames(data))
        except (ValueError, struct.error) as e:
            return None, str(e)
        times = [f[3] for f in fs if f[0] < 0x40]
        ok = (len(data), len(times), min(times, default=LIMIT - 1)) == (b.raw, b.count, b.min_time) and max(times, default=-LIMIT) <= b.max_time
        return (b, fs) if ok else (None, "block is not what its header says")
    def step(self, b):
        self.x, self.prev, self.seq, self.max_time, self.flags = self.x + 64 + b.stored, b.crc, b.base + b.count, b.max_time, b.flags
        self.met = set() if b.count else self.met | {b.crc}

    def wrong(self, damaged):
        """5: what is not right about the footer at the end of the blocks; "index" when it is only the index's checksum."""
        t, blocks = self.trailer, self.blocks.values()
        have = (self.h.base, self.seq, min([b.min_time for b in blocks] + [LIMIT - 1]), self.max_time, self.seq - self.h.base,
                sum(b.raw for b in blocks), t.lost if self.undecoded else self.lost % (1 << 64), self.prev, len(blocks))
        if not damaged and have != (t.first, t.next, t.min_time, t.max_time, t.records, t.raw, t.lost, t.last_crc, t.blocks):
            return "footer's fields are not those of the blocks"
        index = self.data[t.end:t.end + t.index_len]
        if crc32c(index) != t.index_crc:
            return "footer's index is damaged" if damaged else "index"
        there = iter([(b.base, b.max_time, x, b.crc, b.count) for x, b in self.blocks.items()])
        return "" if damaged or all(e in there for e in struct.iter_unpack("<QqQII", index)) else "footer's index points to no such block"

class Archive:
    def __init__(self, path, out):
        self.out, self.worst, self.problems, self.lost, self.missing, self.sealed = out, 0, [], [], [], False
        self.names, self.ordinals, self.records, self.undecoded = {}, {}, 0, 0
        self.seq, self.prev, self.max_time = None, None, -LIMIT  # expected; the segment before, None when its end is not known
        dirs, segs = [path] + sorted({os.path.normpath(d) for d in read(path, "FAILOVER").decode().split("\n") if d}), []
        for d, name in [(d, name) for d in dirs for name in os.listdir(d)]:
            m = re.fullmatch(r"(\d{20})-([0-9a-f]{8,16})\.lbj", name)
            if m and name == "%020d-%08x.lbj" % (int(m[1]), int(m[2], 16)) and (int(m[1]) | int(m[2], 16)) < 1 << 63:
                segs.append(Segment(os.path.join(d, name), int(m[1]), int(m[2], 16)))
        if not segs:
            raise OSError("%s: no segment in it" % path)
        segs.sort(key=lambda s: (s.base, s.epoch))
        uuid = next((s.h.uuid for s in reversed(segs) if not s.bad), b"")
        self.head = max(small(read(d, "HEAD"), b"LBH1", uuid, "<QQQQQ") for d in dirs)  # epoch, segment, written, durable, next
        self.trim = small(read(path, "TRIM"), b"LBT1", uuid, "<QQQ")  # first sequence, segment, epoch
        over = [s for s in segs if not s.bad and s.h.pred_flags & POISONED]
        segs = [s for s in segs if not any(s.epoch < o.epoch and (s.base > o.base if s.bad else s.h.number >= o.h.number) for o in over)]
        self.segs = [s for s in segs if s.base >= self.trim[0] and s.epoch >= self.trim[2]] or segs

    def say(self, verdict, s, what, first=0, last=-1):
        """Takes in a finding, and the sequences it costs."""
        self.worst = max(self.worst, VERDICTS.index(verdict))
        self.problems += [] if verdict == "clean" else ["%s at %d: %s: %s" % (os.path.basename(s.path), s.x, verdict, what)]
        self.lost += [[first, last]] if last >= first else []
        self.ordinals = {}

    def run(self):
        """7.1"""
        for i, s in enumerate(self.segs):
            if self.bad_header(s, self.segs[i + 1:]) if s.bad else self.between(i, s) or self.walk(s, self.segs[i + 1:]):
                return
        if self.prev and self.head[3] > self.prev.pos():
            self.say("corrupt", self.prev, "HEAD says that more was durable", self.seq, max(self.head[4], self.seq) - 1)

    def bad_header(self, s, later):
        """7.2, last but one: True when the archive ends before the segment."""
        if not later and self.prev and self.prev.epoch == s.epoch and self.head[3] <= self.prev.pos():
            end, promise = self.prev.pos(), None
            if len(s.data) >= 4096:
                s.begin(header_at(s.data)._replace(pos=end, limit=64 << 20, features=0))
                promise = s.trailer or any(b.durable > end for _, b in s.search(4096))
            if not promise:
                return self.say("torn", s, s.bad) or True
        seq = s.base if self.seq is None else self.seq
        last = later[0].base - 1 if later else self.head[4] - 1 if self.head[4] > seq else math.inf
        self.say("corrupt", s, s.bad, min(s.base, seq) if later else seq, last)
        self.seq, self.prev = later[0].base if later else seq, None

    def between(self, i, s):
        """7.1: how a segment continues the one before."""
        h, p = s.h, self.prev
        if h.pred_flags & GAP or i == 0 and self.trim[1] >= h.number > 1:
            gone = [0 if i == 0 else h.pred_seq, h.base - 1]
            self.missing, self.ordinals = self.missing + [gone] * (gone[0] <= gone[1]), {}
        if i == 0 and h.pred_flags & FIRST and (h.number != 1 or h.pred_seq != 0):
            self.say("corrupt", s, "segment says that it is the first", 0, h.base - 1)
        elif i == 0 and h.number > 1 and self.trim[1] < h.number:
            self.say("loss", s, "the oldest segments are missing", self.trim[0], h.base - 1)
        lossy = p and p.trailer and p.trailer.flags & SEAL_LOSS and h.pred_flags & UNSYNCED and h.pred_pos >= p.pos() and h.pred_seq >= self.seq
        if lossy and h.pred_pos > p.pos():
            self.say("loss", s, "a power cut took what was before", self.seq, h.pred_seq - 1)
        elif p and (h.uuid, h.number, h.pred_pos, h.pred_seq, max(h.epoch, p.epoch), p.prev and h.pred_crc) != (
                p.h.uuid, p.h.number + 1, p.pos(), self.seq, h.epoch, p.h.orig_crc if p.h.features and p.prev else p.prev):
            self.say("corrupt", s, "segment does not continue the one before it", self.seq, h.base - 1)
        elif p and h.max_before < self.max_time:
            self.say("corrupt", s, "maximum time before is too low")

    def walk(self, s, later):
        """7.2: True when the archive ends in the segment."""
        n, size, damaged = later[0] if later else None, len(s.data), False
        follows = n and not n.bad and (n.h.uuid, n.h.number) == (s.h.uuid, s.h.number + 1)
        poisoned, stated = follows and not s.h.features and n.h.pred_flags & POISONED, n.h.pred_pos - s.h.pos if follows else 0
        t = None if poisoned else s.trailer
        stated = t.end if t else stated if 4096 <= stated <= size else size + 1
        end = min(stated, size)
        while True:
            b, what = s.whole(end)
            if b:
                self.take(s, b, what)
                continue
            wrong = s.wrong(damaged) if t and s.x == stated else ""
            t = None if wrong == "index" else t
            verdict, reach = self.judge(s, later, t, follows)
            if s.x == stated and (t or poisoned or later):
                self.sealed = bool(t and not later)
                if wrong if t or poisoned else verdict == "corrupt":
                    self.say("corrupt", s, wrong or "footer is missing or damaged")
                break
            if verdict != "corrupt":
                self.say(verdict, s, what, *[s.seq, reach - 1] if verdict == "loss" else [])
                self.seq, self.prev = (reach, None) if verdict == "loss" else (s.seq, s)
                return verdict == "torn"
            damaged, b = True, s.fits(end)  # 7.3
            if b:
                self.say("corrupt", s, what, s.seq, b.base + b.count - 1)
                s.step(b)
                continue
            fit = ((x, b) for x, b in s.search(s.x) if b.base >= s.seq and x + 64 + b.stored <= end and (b.count or b.crc not in s.met))
            x, b = next(fit, (end, None))
            seq = b.base if b else min(t.next, n.base if n else LIMIT) if t else n.base if n else reach
            self.say("corrupt", s, what, s.seq, seq - 1)
            s.x, s.seq, s.prev, s.max_time = x, max(s.seq, seq), None, -LIMIT
            if not b:
                s.x, s.seq = (n.h.pred_pos - s.h.pos, n.h.pred_seq) if follows else (s.x, s.seq)
                break
        self.seq, self.prev, self.max_time = s.seq, s, max(self.max_time, s.max_time, s.h.max_before)

    def judge(self, s, later, t, follows):
        """7.2, the table: the verdict on what is at x, and the sequence after the last one that anything speaks of."""
        n, pos, hangs = later[0] if later else None, s.h.pos + s.x, False
        if follows and len(later) == 1 and n.h.pred_flags & UNSYNCED and not n.trailer and n.h.pred_pos >= pos and n.h.pred_seq >= s.seq:
            hangs = n.h.pred_pos > pos or n.h.pred_seq == s.seq and s.prev in (None, n.h.pred_crc)
        heads = [b for _, b in s.search(s.x) if b.base >= s.seq] + [b for _, b in (n.search(4096) if hangs else ())]
        told = self.head[3] > pos or self.head[0] == s.epoch and self.head[2] > pos
        reach = max([s.seq, t.next if t else 0, n.base if n else 0, self.head[4] if told else 0] + [b.base + b.count for b in heads])
        if t or s.h.features or max([self.head[3]] + [b.durable for b in heads]) > pos or len(later) > 1 or n and not n.bad and not hangs:
            return "corrupt", reach
        m = copy.copy(n)
        while hangs and (b := m.whole(len(m.data))[0]) and not b.count:
            m.step(b)
        if hangs and b:
            return "loss", n.base
        return "torn" if n or len(s.data) > s.x or reach > s.seq or s.flags & LAST_BLOCK else "clean", reach

    def take(self, s, b, fs):
        """Counts a whole block, and prints its records."""
        s.blocks[s.x], seq, self.records = b, b.base, self.records + b.count
        if fs is None:
            s.undecoded, self.undecoded, self.ordinals = True, self.undecoded + b.count, {}
            self.out({"seq": seq, "undecoded": b.count})
        for kind, flags, stream, time, payload in fs or ():
            n, (number, lost) = int(kind < 0x40), struct.unpack("<QQ", payload[8:24].ljust(16, b"\0"))
            if kind == 0x41 and len(payload) >= 48 and payload[0]:
                n, s.lost = lost, s.lost + lost
                self.ordinals = {} if stream == 0 and payload[1] == 7 else self.ordinals
            if kind == 0x40 and stream and payload[:1] == b"\1" and 17 <= len(payload) <= 1040 and number < LIMIT:
                if self.ordinals.get(stream, number) != number:
                    self.say("corrupt", s, "stream %d goes on with ordinal %d, not %d" % (stream, number, self.ordinals[stream]))
                self.ordinals[stream], self.names[stream] = number, payload[16:].decode(errors="replace")
            if stream in self.ordinals:
                self.ordinals[stream] = min(self.ordinals[stream] + n, LIMIT - 1)
            self.out(dict(seq=seq, time=time, kind=kind, flags=flags, stream=stream, name=self.names.get(stream, ""), payload=payload.hex()))
            seq += kind < 0x40
        s.step(b)

def report(path, quiet):
    lost = []
    try:
        a = Archive(path, (lambda line: None) if quiet else (lambda line: print(json.dumps(line))))
        a.run()
    except OSError as e:
        return print(json.dumps({"verdict": "refused", "dir": path, "problems": [str(e)]})) or 4
    for first, last in sorted(a.lost):
        joins = lost and first <= lost[-1][1] + 1
        lost[-1:] = [[lost[-1][0], max(last, lost[-1][1])]] if joins else lost[-1:] + [[first, last]]
    lost = [[first, None if last == math.inf else last] for first, last in lost]
    print(json.dumps({"verdict": VERDICTS[a.worst], "dir": path, "sealed": a.sealed, "segments": len(a.segs), "records": a.records,
                      "undecoded": a.undecoded, "first_seq": a.segs[0].base, "next_seq": a.seq, "lost": lost, "missing": a.missing, "problems": a.problems}))
    return a.worst
if __name__ == "__main__":
    sys.exit(max([report(path, "--quiet" in sys.argv) for path in sys.argv[1:] if path != "--quiet"], default=4))
